/** The table of metrics as lists for people: the parts of docs/metrics.md between marks. */
import { metrics, prometheusKind, prometheusName } from "../../src/observe/metrics.ts";
import { attributeNames, ownSeries } from "../../src/observe/otlp/otlp-series.ts";

const METRICS = ["<!-- metrics, written by `npm run docs` from src/observe/metrics.ts -->", "<!-- end of metrics -->"];
const NAMES = [
  "<!-- names in OTLP, written by `npm run docs` from src/observe/otlp/otlp-series.ts -->",
  "<!-- end of names in OTLP -->",
];

/** `page` with the lists as they are now between their marks. */
export function withMetricList(page: string): string {
  return between(between(page, METRICS, metricList()), NAMES, otlpNames());
}

function between(page: string, [first, last]: readonly string[], text: string): string {
  const [before, rest] = page.split(first!);
  const after = rest?.split(last!)[1];
  if (after === undefined) throw new Error(`the page has no ${first} … ${last}`);
  return `${before}${first}\n\n${text}\n\n${last}${after}`;
}

function metricList(): string {
  const rows = metrics.map((metric) => {
    const labels = metric.attributes.map((attribute) => code(attribute.replaceAll(".", "_"))).join(", ");
    return `| ${code(prometheusName(metric))} | ${prometheusKind(metric)} | ${labels} | ${metric.meaning} |`;
  });
  return ["| Metric | Kind | Labels | Meaning |", "| --- | --- | --- | --- |", ...rows].join("\n");
}

function otlpNames(): string {
  const rows = Object.entries(attributeNames).map(([label, attribute]) => {
    const names = label === "backend" ? [attribute, "server.port"] : [attribute];
    const users = metrics.filter(({ attributes }) => attributes.includes(label)).map(({ name }) => name);
    const some = users.length > 3 ? `${users.length} metrics` : users.map(code).join(", ");
    return `| ${code(label)} | ${names.map(code).join(", ")} | ${some} |`;
  });
  const kinds = metrics.filter(({ kind }) => kind === "updown").map(({ name }) => code(name));
  return [
    "| Label in Prometheus, and former attribute in OTLP | Attribute in OTLP | Metrics |",
    "| --- | --- | --- |",
    ...rows,
    "",
    `Metrics with other series in OTLP, as in the list below: ${Object.keys(ownSeries).map(code).join(", ")}.`,
    "",
    `Gauges in Prometheus that are UpDownCounters in OTLP (non-monotonic sums): ${kinds.join(", ")}.`,
  ].join("\n");
}

function code(text: string): string {
  return `\`${text}\``;
}
