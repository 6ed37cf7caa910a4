/**
 * The OpenTelemetry SDK: loaded and started only if the configuration has a destination.
 */
import { setTimeout as delay } from "node:timers/promises";
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { TraceExporterMetricsHelper } from "@opentelemetry/otlp-transformer";
import type { Resource } from "@opentelemetry/resources";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, type SpanExporter } from "@opentelemetry/sdk-trace";
import type { TelemetryConfig } from "../../config/config.ts";
import type { Tracer } from "../../proxy/tracing.ts";
import type { LogLine } from "../../telemetry/log.ts";
import type { Snapshot } from "../snapshot.ts";
import { otlpExporter } from "./otlp-exporter.ts";
import { OtlpLogs } from "./otlp-logs.ts";
import { TableProducer } from "./otlp-metrics.ts";
import { resourceOf, SCHEMA_URL } from "./otlp-resource.ts";
import { OpenTelemetryTracer } from "./otlp-traces.ts";
import type { RecordedSpan } from "./recorded-span.ts";
import { SpanEncoder } from "./span-encoder.ts";

const STOP_TIMEOUT_MS = 2_000;
/** The exporters' default, if the environment sets none. */
const EXPORT_TIMEOUT_MS = 10_000;
const MAX_WAITING_SPANS = 8_192;
const MAX_BATCH_SPANS = 2_048;

export interface OpenTelemetryOptions {
  readonly config: TelemetryConfig;
  readonly version: string;
  readonly take: () => Snapshot;
  readonly startedUnixMs: number;
  readonly random: () => number;
  /** Called for lost reports: `count` exports, or dropped spans. */
  failed(message: string, count: number): void;
}

/** A running SDK, until `stop`. */
export class OpenTelemetry {
  /** `null` if traces are off. */
  readonly tracer: Tracer | null;
  private readonly reader: PeriodicExportingMetricReader | null;
  private readonly processor: BatchSpanProcessor | null;
  private readonly logs: OtlpLogs | null;

  constructor(options: OpenTelemetryOptions) {
    const { config } = options;
    tellFailures(options.failed);
    const resource = resourceOf(config, options.version);
    const headers = Object.fromEntries(config.headers);
    this.reader = config.metricsUrl === null ? null : startMetrics(config.metricsUrl, headers, resource, options);
    const { tracesUrl: url, keys } = config;
    this.processor =
      url === null ? null : new BatchSpanProcessor({ exporter: spanExporter(url, headers), ...batchSizes() });
    const instrumentationScope = { name: "platypus", version: options.version, schemaUrl: SCHEMA_URL };
    const origin = this.processor === null ? null : { resource, instrumentationScope, keys, processor: this.processor };
    this.tracer = origin === null ? null : new OpenTelemetryTracer(origin, config, options.random);
    const { logsUrl } = config;
    this.logs = logsUrl === null ? null : new OtlpLogs(logsUrl, headers, resource, options.version);
  }

  /** Receives the log's lines. `null` if logs are off. */
  get logReceiver(): ((line: LogLine) => void) | null {
    const { logs } = this;
    return logs === null ? null : (line) => logs.emit(line);
  }

  /** Sends the remaining data and stops, within a few seconds even if the receiver hangs. Never rejects. */
  async stop(): Promise<void> {
    const timeoutMillis = STOP_TIMEOUT_MS;
    await Promise.all([
      this.reader?.shutdown({ timeoutMillis }).catch(() => {}),
      Promise.race([this.processor?.forceFlush().catch(() => {}), delay(timeoutMillis, null, { ref: false })]),
      Promise.race([this.logs?.flush().catch(() => {}), delay(timeoutMillis, null, { ref: false })]),
    ]);
    // The wait above has already given pending exports their time.
    this.processor?.shutdown().catch(() => {});
    this.logs?.shutdown().catch(() => {});
  }
}

/** A request of HTTP costs as much as the encoding of 500 spans. `OTEL_BSP_…` has other sizes. */
function batchSizes(): { maxQueueSize?: number; maxExportBatchSize?: number } {
  const isSet = Object.keys(process.env).some((name) => /^OTEL_BSP_MAX_/.test(name));
  return isSet ? {} : { maxQueueSize: MAX_WAITING_SPANS, maxExportBatchSize: MAX_BATCH_SPANS };
}

function spanExporter(url: string, headers: Record<string, string>): SpanExporter {
  const exporter = otlpExporter("TRACES", { url, headers }, new SpanEncoder(), TraceExporterMetricsHelper);
  return {
    // All spans are those of `OpenTelemetryTracer`.
    export: (spans, done) => exporter.export(spans as RecordedSpan[], done),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

function startMetrics(
  url: string,
  headers: Record<string, string>,
  resource: Resource,
  { config, take, startedUnixMs }: OpenTelemetryOptions,
): PeriodicExportingMetricReader {
  // Shorter than the interval, so that the exporter times out first: its error has the reason.
  const longestMs = config.metricsIntervalMs * 0.8;
  const timeout = longestMs < EXPORT_TIMEOUT_MS ? { timeoutMillis: longestMs } : {};
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url, headers, ...timeout }),
    exportIntervalMillis: config.metricsIntervalMs,
  });
  reader.setMetricProducer(new TableProducer(resource, take, startedUnixMs));
  return reader;
}

/** The SDK reports failures through one handler for the whole process. */
function tellFailures(failed: OpenTelemetryOptions["failed"]): void {
  const say = (...words: unknown[]) => {
    const message = words.map((word) => messageOf(word)).join(" ");
    failed(message, Number(/^Dropped ([0-9]+) spans/.exec(message)?.[1] ?? 1));
  };
  const nothing = () => {};
  diag.setLogger(
    { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing },
    {
      logLevel: DiagLogLevel.WARN,
      suppressOverrideMessage: true,
    },
  );
}

/** The SDK's error handler gets errors as JSON with stacks. */
function messageOf(word: unknown): string {
  if (word instanceof Error) return word.message;
  const text = String(word);
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === "string" ? message : text;
  } catch {
    return text;
  }
}
