/**
 * A strict parser of Prometheus' text format: it throws on everything that it does not know.
 *
 * Source: Prometheus documentation, "Exposition formats" (text format 0.0.4).
 */

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** Lines of one metric: what stands between two HELP lines. */
export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/y;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/;
const suffixes: Readonly<Record<string, readonly string[]>> = { histogram: ["_bucket", "_sum", "_count"] };

/** Families by name, in their order. Throws at what is no such text. */
export function parsePrometheus(text: string): Map<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const families = new Map<string, Family>();
  const seen = new Set<string>();
  let current: Family | null = null;
  let help: { name: string; text: string } | null = null;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, helpName, helpText] = /^# HELP (\S+) (.*)$/.exec(line) ?? [];
    const [, typeName, type] = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line) ?? [];
    if (helpName !== undefined) {
      help = { name: helpName, text: helpText! };
    } else if (typeName !== undefined) {
      if (help?.name !== typeName) throw new Error(`${typeName}: no HELP line before its TYPE`);
      if (families.has(typeName)) throw new Error(`${typeName} stands twice`);
      current = { name: typeName, type: type!, help: help.text, samples: [] };
      families.set(typeName, current);
    } else {
      const sample = parseSample(line);
      const names = suffixes[current?.type ?? ""]?.map((suffix) => current!.name + suffix) ?? [current?.name];
      if (current === null || !names.includes(sample.name)) throw new Error(`${line}: outside of its metric`);
      const identity = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
      if (seen.has(identity)) throw new Error(`${line}: stands twice`);
      seen.add(identity);
      current.samples.push(sample);
    }
  }
  for (const family of families.values()) if (family.type === "histogram") checkHistogram(family);
  return families;
}

/** A traced duration beside the bucket of a histogram. */
export interface ReadExemplar {
  readonly bucket: Sample;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  readonly unixSeconds: number;
}

const EXEMPLAR = /^(.*) # \{(.*)\} ([0-9.e+-]+) ([0-9]+\.[0-9]+)$/;

/** Families of an OpenMetrics text under their names in the text format, and its exemplars. */
export function parseOpenMetrics(text: string): { families: Map<string, Family>; exemplars: ReadExemplar[] } {
  if (!text.endsWith("\n# EOF\n")) throw new Error("the last line is not # EOF");
  const exemplars: ReadExemplar[] = [];
  const counters = new Set([...text.matchAll(/^# TYPE (\S+) counter$/gm)].map(([, name]) => name!));
  const lines = text.replace(/# EOF\n$/, "").split("\n");
  const plain = lines.map((line) => {
    const [, kind, name = "", rest] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (counters.has(name) && name.endsWith("_total"))
      throw new Error(`${name}: the family of a counter has no suffix`);
    if (kind !== undefined) return `# ${kind} ${counters.has(name) ? `${name}_total` : name} ${rest}`;
    const [, sample, labels, value, time] = EXEMPLAR.exec(line) ?? [];
    if (sample === undefined) return line;
    const bucket = parseSample(sample);
    if (!bucket.name.endsWith("_bucket")) throw new Error(`${line}: only buckets have exemplars here`);
    if (labels!.length > 128) throw new Error(`${line}: the labels of an exemplar have at most 128 characters`);
    const { labels: read } = parseSample(`exemplar{${labels}} 1`);
    exemplars.push({ bucket, labels: read, value: Number(value), unixSeconds: Number(time) });
    return sample;
  });
  return { families: parsePrometheus(plain.join("\n")), exemplars };
}

/** The value of one series. `undefined` if there is no such series. */
export function sampleValue(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const base = name.replace(/_(bucket|sum|count)$/, "");
  const samples = (families.get(name) ?? families.get(base))?.samples ?? [];
  return samples.find(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )?.value;
}

function parseSample(line: string): Sample {
  const [, name, inner = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined) throw new Error(`${JSON.stringify(line)} is no sample`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < inner.length) {
    const at = LABEL.lastIndex;
    const [, label, text] = LABEL.exec(inner) ?? [];
    if (label === undefined) throw new Error(`${line}: bad labels at ${at}`);
    labels[label] = text!.replaceAll(/\\(["\\n])/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
  }
  const number = value === "+Inf" ? Number.POSITIVE_INFINITY : Number(value);
  if (Number.isNaN(number)) throw new Error(`${line}: no number`);
  return { name, labels, value: number };
}

/** Buckets of each series rise to its count, and the last one is +Inf. */
function checkHistogram({ name, samples }: Family): void {
  const series = new Map<string, { buckets: [number, number][]; count?: number; sum?: number }>();
  for (const sample of samples) {
    const { le, ...labels } = sample.labels;
    const identity = JSON.stringify(Object.entries(labels).sort());
    const one = series.get(identity) ?? { buckets: [] };
    series.set(identity, one);
    if (le !== undefined) one.buckets.push([le === "+Inf" ? Number.POSITIVE_INFINITY : Number(le), sample.value]);
    else if (sample.name.endsWith("_count")) one.count = sample.value;
    else one.sum = sample.value;
  }
  for (const { buckets, count, sum } of series.values()) {
    const isRising = buckets.every(
      ([le, value], i) => i === 0 || (le > buckets[i - 1]![0] && value >= buckets[i - 1]![1]),
    );
    const [lastBound, lastValue] = buckets.at(-1) ?? [];
    if (!isRising || lastBound !== Number.POSITIVE_INFINITY || lastValue !== count || sum === undefined) {
      throw new Error(`${name}: not a histogram`);
    }
  }
}
