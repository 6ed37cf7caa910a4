/**
 * The numbers of all metrics at one moment, in the order of the table: what is shown, sent, and told between workers, whose
 * numbers together are those of the one server that clients see.
 */

import type { BucketCounts } from "../telemetry/latency-histogram.ts";
import { type Metric, type MetricFacts, metrics } from "./metrics.ts";

/** One series: the values of the metric's attributes in their order, and its number or its counts. */
export type Series<Value> = readonly [attributes: readonly string[], value: Value];
/** By metric; of a histogram counts, of others numbers. */
export type MetricValues = readonly (readonly Series<number | BucketCounts>[])[];

export function readMetrics(facts: MetricFacts): MetricValues {
  return metrics.map((metric) => metric.read(facts));
}

/** Numbers of several workers as one's. */
export function mergeMetrics(workers: readonly MetricValues[]): MetricValues {
  if (workers.length === 1) return workers[0]!;
  return metrics.map((metric, i) => {
    const merged = new Map<string, Series<number | BucketCounts>>();
    for (const values of workers) {
      for (const [attributes, value] of values[i] ?? []) {
        const identity = JSON.stringify(attributes);
        const before = merged.get(identity)?.[1];
        merged.set(identity, [attributes, before === undefined ? value : joined(metric, before, value)]);
      }
    }
    return [...merged.values()];
  });
}

function joined(metric: Metric, one: number | BucketCounts, other: number | BucketCounts): number | BucketCounts {
  if (typeof one !== "number" && typeof other !== "number") {
    return {
      boundsSeconds: one.boundsSeconds,
      counts: one.counts.map((count, i) => count + other.counts[i]!),
      count: one.count + other.count,
      sumSeconds: one.sumSeconds + other.sumSeconds,
    };
  }
  const [a, b] = [Number(one), Number(other)];
  if (metric.kind !== "gauge" || metric.across === undefined) return a + b;
  return metric.across === "max" ? Math.max(a, b) : Math.min(a, b);
}
