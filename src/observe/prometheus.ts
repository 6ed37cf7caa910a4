/**
 * A snapshot → Prometheus' text format.
 *
 * Source: Prometheus documentation, "Exposition formats" (text format 0.0.4).
 */

import type { BucketCounts } from "../telemetry/durations.ts";
import { metrics, prometheusKind, prometheusName } from "./metrics.ts";
import type { Snapshot } from "./snapshot.ts";

export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** All metrics with a value. */
export function prometheusText(snapshot: Snapshot): string {
  return metrics
    .map((metric) => {
      const name = prometheusName(metric);
      const labels = metric.attributes.map((attribute) => attribute.replaceAll(".", "_"));
      const lines = metric.read(snapshot).flatMap(([attributes, value]) => {
        const named = pairs(labels, attributes);
        return typeof value === "number" ? `${name}${inBraces(named)} ${value}` : histogramLines(name, named, value);
      });
      if (lines.length === 0) return "";
      const help = metric.meaning.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
      return `# HELP ${name} ${help}\n# TYPE ${name} ${prometheusKind(metric)}\n${lines.join("\n")}\n`;
    })
    .join("");
}

function histogramLines(name: string, labels: readonly string[], counts: BucketCounts): string[] {
  let below = 0;
  const buckets = counts.boundsSeconds.map((bound, i) => {
    below += counts.counts[i]!;
    return `${name}_bucket${inBraces([...labels, `le="${bound}"`])} ${below}`;
  });
  return [
    ...buckets,
    `${name}_bucket${inBraces([...labels, 'le="+Inf"'])} ${counts.count}`,
    `${name}_sum${inBraces(labels)} ${counts.sumSeconds}`,
    `${name}_count${inBraces(labels)} ${counts.count}`,
  ];
}

function pairs(names: readonly string[], values: readonly string[]): string[] {
  return names.flatMap((name, i) => (values[i] === "" ? [] : [`${name}="${escaped(values[i]!)}"`]));
}

function escaped(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function inBraces(labels: readonly string[]): string {
  return labels.length === 0 ? "" : `{${labels.join(",")}}`;
}
