/**
 * A snapshot → Prometheus' text format, or OpenMetrics. OpenMetrics has exemplars: traces of single durations.
 *
 * Sources: Prometheus documentation, "Exposition formats" (text format 0.0.4); OpenMetrics 1.0.
 */

import type { BucketCounts } from "../telemetry/durations.ts";
import type { Exemplar } from "../telemetry/exemplars.ts";
import { type Metric, metrics, prometheusKind, prometheusName } from "./metrics.ts";
import type { Snapshot } from "./snapshot.ts";

export type PrometheusFormat = "text" | "openmetrics";

export const prometheusContentTypes: Readonly<Record<PrometheusFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** All metrics with a value. */
export function prometheusText(snapshot: Snapshot, format: PrometheusFormat = "text"): string {
  const families = metrics.map((metric) => familyText(metric, snapshot, format)).join("");
  return format === "openmetrics" ? `${families}# EOF\n` : families;
}

/**
 * The format that an Accept field prefers. Without the field, or if it accepts both equally, the text format.
 * Prometheus prefers OpenMetrics.
 */
export function formatFor(accept: string): PrometheusFormat {
  const ranges = accept.split(",").map((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    const parameter = (name: string) => parameters.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
    return { type, version: parameter("version") ?? "1.0.0", quality: Number(parameter("q") ?? 1) || 0 };
  });
  const best = (isWanted: (range: (typeof ranges)[number]) => boolean) =>
    Math.max(0, ...ranges.filter(isWanted).map(({ quality }) => quality));
  const open = best(({ type, version }) => type === "application/openmetrics-text" && version === "1.0.0");
  const text = best(({ type }) => type === "text/plain" || type === "text/*" || type === "*/*");
  return open > text ? "openmetrics" : "text";
}

function familyText(metric: Metric, snapshot: Snapshot, format: PrometheusFormat): string {
  const name = prometheusName(metric);
  const labels = metric.attributes.map((attribute) => attribute.replaceAll(".", "_"));
  const lines = metric.read(snapshot).flatMap(([attributes, value]) => {
    const named = pairs(labels, attributes);
    if (typeof value === "number") return `${name}${inBraces(named)} ${value}`;
    return histogramLines(name, named, value, format === "openmetrics");
  });
  if (lines.length === 0) return "";
  const isOpen = format === "openmetrics";
  // A counter's family has no suffix in OpenMetrics.
  const family = isOpen ? name.replace(/_total$/, "") : name;
  const help = isOpen ? escaped(metric.meaning) : metric.meaning.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${family} ${help}\n# TYPE ${family} ${prometheusKind(metric)}\n${lines.join("\n")}\n`;
}

function histogramLines(
  name: string,
  labels: readonly string[],
  { boundsSeconds, counts, count, sumSeconds, exemplars }: BucketCounts,
  hasExemplars: boolean,
): string[] {
  let below = 0;
  const exemplarOf = (bucket: number) => (hasExemplars ? exemplarText(exemplars.get(bucket)) : "");
  const buckets = boundsSeconds.map((bound, i) => {
    below += counts[i]!;
    return `${name}_bucket${inBraces([...labels, `le="${bound}"`])} ${below}${exemplarOf(i)}`;
  });
  return [
    ...buckets,
    `${name}_bucket${inBraces([...labels, 'le="+Inf"'])} ${count}${exemplarOf(boundsSeconds.length)}`,
    `${name}_sum${inBraces(labels)} ${sumSeconds}`,
    `${name}_count${inBraces(labels)} ${count}`,
  ];
}

function exemplarText(exemplar: Exemplar | undefined): string {
  if (exemplar === undefined) return "";
  const { traceId, spanId, seconds, unixSeconds } = exemplar;
  return ` # {trace_id="${traceId}",span_id="${spanId}"} ${seconds} ${unixSeconds.toFixed(3)}`;
}

/** A label without a value is absent. */
function pairs(names: readonly string[], values: readonly string[]): string[] {
  return names.flatMap((name, i) => (values[i] === "" ? [] : [`${name}="${escaped(values[i]!)}"`]));
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function inBraces(labels: readonly string[]): string {
  return labels.length === 0 ? "" : `{${labels.join(",")}}`;
}
