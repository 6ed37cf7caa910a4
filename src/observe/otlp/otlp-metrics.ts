/**
 * A snapshot → metrics of the OpenTelemetry SDK. A producer replaces the SDK's instruments: these support neither
 * histograms that are read on export, nor counters that other code increments. Sums are cumulative.
 */
import { type HrTime, ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  type DataPoint,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import type { BucketCounts } from "../../telemetry/durations.ts";
import { type Metric, metrics } from "../metrics.ts";
import type { Snapshot } from "../snapshot.ts";
import { SCHEMA_URL } from "./otlp-resource.ts";
import { otlpSeriesOf } from "./otlp-series.ts";

/** Takes a snapshot for each collection. */
export class TableProducer implements MetricProducer {
  private readonly resource: Resource;
  private readonly take: () => Snapshot;
  private readonly startTime: HrTime;

  constructor(resource: Resource, take: () => Snapshot, startedUnixMs: number) {
    this.resource = resource;
    this.take = take;
    this.startTime = hrTimeOf(startedUnixMs);
  }

  async collect(): Promise<CollectionResult> {
    const snapshot = this.take();
    const times = { startTime: this.startTime, endTime: hrTimeOf(Date.now()) };
    const scope = { name: "platypus", version: snapshot.process.version, schemaUrl: SCHEMA_URL };
    const data = metricData(snapshot, times);
    return { resourceMetrics: { resource: this.resource, scopeMetrics: [{ scope, metrics: data }] }, errors: [] };
  }
}

type Times = Pick<DataPoint<unknown>, "startTime" | "endTime">;

/** All metrics with a value. */
function metricData(snapshot: Snapshot, times: Times): MetricData[] {
  return metrics.map((metric) => dataOf(metric, snapshot, times)).filter(({ dataPoints }) => dataPoints.length > 0);
}

function dataOf(metric: Metric, snapshot: Snapshot, times: Times): MetricData {
  const { name, meaning: description, unit } = metric;
  const base = {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const series = otlpSeriesOf(metric, snapshot);
  if (metric.kind === "histogram") {
    const dataPoints = series.map(([attributes, counts]) => {
      // The series of a histogram are counts.
      return { ...times, attributes, value: histogramOf(counts as BucketCounts) };
    });
    return { ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints };
  }
  // Those of the other kinds are numbers.
  const dataPoints = series.map(([attributes, value]) => ({ ...times, attributes, value: value as number }));
  if (metric.kind === "gauge") return { ...base, dataPointType: DataPointType.GAUGE, dataPoints };
  return { ...base, dataPointType: DataPointType.SUM, isMonotonic: metric.kind === "counter", dataPoints };
}

function histogramOf({ boundsSeconds, counts, count, sumSeconds }: BucketCounts) {
  return { buckets: { boundaries: [...boundsSeconds], counts: [...counts] }, sum: sumSeconds, count };
}

function hrTimeOf(unixMs: number): HrTime {
  return [Math.floor(unixMs / 1000), (unixMs % 1000) * 1e6];
}
