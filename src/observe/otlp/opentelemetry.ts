/**
 * The OpenTelemetry SDK: loaded and started only where the configuration says where to send to.
 */
import { setTimeout as delay } from "node:timers/promises";
import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import {
  defaultResource,
  detectResources,
  hostDetector,
  processDetector,
  type Resource,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
} from "@opentelemetry/resources";
import { PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace";
import type { TelemetryConfig } from "../../config/config.ts";
import type { Tracer } from "../../proxy/tracing.ts";
import type { Snapshot } from "../snapshot.ts";
import { TableProducer } from "./otlp-metrics.ts";
import { OpenTelemetryTracer } from "./otlp-traces.ts";

const STOP_TIMEOUT_MS = 2_000;
/** What the exporters take by themselves, where the environment says nothing. */
const EXPORT_TIMEOUT_MS = 10_000;

export interface OpenTelemetryOptions {
  readonly config: TelemetryConfig;
  readonly version: string;
  readonly take: () => Snapshot;
  readonly startedUnixMs: number;
  readonly random: () => number;
  /** Told of what could not be sent: `count` exports, or spans that were dropped. */
  failed(message: string, count: number): void;
}

/** What runs, until `stop`. */
export class OpenTelemetry {
  /** Null: no traces are sent. */
  readonly tracer: Tracer | null;
  private readonly reader: PeriodicExportingMetricReader | null;
  private readonly processor: BatchSpanProcessor | null;

  constructor(options: OpenTelemetryOptions) {
    const { config } = options;
    tellFailures(options.failed);
    const resource = resourceOf(config, options.version);
    const headers = Object.fromEntries(config.headers);
    this.reader = config.metricsUrl === null ? null : startMetrics(config.metricsUrl, headers, resource, options);
    const { tracesUrl: url, keys } = config;
    this.processor =
      url === null ? null : new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url, headers }) });
    const instrumentationScope = { name: "platypus", version: options.version };
    const origin = this.processor === null ? null : { resource, instrumentationScope, keys, processor: this.processor };
    this.tracer = origin === null ? null : new OpenTelemetryTracer(origin, config, options.random);
  }

  /** Sends what there is once more and ends, in a few seconds whatever the receiver does; never rejects. */
  async stop(): Promise<void> {
    const timeoutMillis = STOP_TIMEOUT_MS;
    await Promise.all([
      this.reader?.shutdown({ timeoutMillis }).catch(() => {}),
      Promise.race([this.processor?.forceFlush().catch(() => {}), delay(timeoutMillis, null, { ref: false })]),
    ]);
    // What it waits for was given its time above.
    this.processor?.shutdown().catch(() => {});
  }
}

function startMetrics(
  url: string,
  headers: Record<string, string>,
  resource: Resource,
  { config, take, startedUnixMs }: OpenTelemetryOptions,
): PeriodicExportingMetricReader {
  // Shorter than the interval, so that the exporter is the first to give up: it knows why.
  const longestMs = config.metricsIntervalMs * 0.8;
  const timeout = longestMs < EXPORT_TIMEOUT_MS ? { timeoutMillis: longestMs } : {};
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url, headers, ...timeout }),
    exportIntervalMillis: config.metricsIntervalMs,
  });
  reader.setMetricProducer(new TableProducer(resource, take, startedUnixMs));
  return reader;
}

function resourceOf({ serviceName }: TelemetryConfig, version: string): Resource {
  const own = resourceFromAttributes({ "service.name": serviceName, "service.version": version });
  const detected = detectResources({
    detectors: [hostDetector, processDetector, serviceInstanceIdDetector, resourceAttributesEnvDetector],
  });
  return defaultResource().merge(detected).merge(own);
}

/** The SDK tells of failures to everybody at once, in the whole process. */
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

/** The SDK's own error handler tells of errors as JSON with their stacks. */
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
