/**
 * Metrics → the text that Prometheus reads.
 *
 * Source: Prometheus documentation, "Exposition formats" (text format 0.0.4).
 */
import { type Metric, type MetricFacts, metrics, prometheusName } from "./counters.ts";
import type { BucketCounts } from "./latency-histogram.ts";

export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Every metric of the table. */
export function prometheusText(facts: MetricFacts): string {
  return metrics.map((metric) => metricText(metric, facts)).join("");
}

function metricText(metric: Metric, facts: MetricFacts): string {
  const name = prometheusName(metric);
  const labels = metric.attributes.map((attribute) => attribute.replaceAll(".", "_"));
  const lines: string[] = [];
  if (metric.kind === "histogram") {
    for (const [values, counts] of metric.read(facts)) histogramLines(lines, name, pairs(labels, values), counts);
  } else {
    for (const [values, value] of metric.read(facts)) lines.push(`${name}${inBraces(pairs(labels, values))} ${value}`);
  }
  if (lines.length === 0) return "";
  const help = metric.meaning.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  return `# HELP ${name} ${help}\n# TYPE ${name} ${metric.kind}\n${lines.join("\n")}\n`;
}

function histogramLines(lines: string[], name: string, labels: readonly string[], counts: BucketCounts): void {
  let below = 0;
  for (const [i, bound] of counts.boundsSeconds.entries()) {
    below += counts.counts[i]!;
    lines.push(`${name}_bucket${inBraces([...labels, `le="${bound}"`])} ${below}`);
  }
  lines.push(`${name}_bucket${inBraces([...labels, 'le="+Inf"'])} ${counts.count}`);
  lines.push(`${name}_sum${inBraces(labels)} ${counts.sumSeconds}`);
  lines.push(`${name}_count${inBraces(labels)} ${counts.count}`);
}

function pairs(names: readonly string[], values: readonly string[]): string[] {
  return names.map((name, i) => `${name}="${escaped(values[i]!)}"`);
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function inBraces(labels: readonly string[]): string {
  return labels.length === 0 ? "" : `{${labels.join(",")}}`;
}
