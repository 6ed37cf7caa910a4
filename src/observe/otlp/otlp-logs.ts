/**
 * Sends the log's lines by OTLP, in addition to the log's own output. The SDK batches them. While 2,048
 * lines wait, it drops further lines (`OTEL_BLRP_…` changes these numbers).
 *
 * Source: OpenTelemetry specification, "Logs Data Model" (severity numbers, trace context).
 */
import { type Attributes, type Logger, ROOT_CONTEXT, SeverityNumber, TraceFlags, trace } from "@opentelemetry/api";
import { LogsExporterMetricsHelper, ProtobufLogsSerializer } from "@opentelemetry/otlp-transformer";
import type { Resource } from "@opentelemetry/resources";
import { BatchLogRecordProcessor, LoggerProvider } from "@opentelemetry/sdk-logs";
import type { LogLine } from "../../telemetry/log.ts";
import type { LogLevel } from "../../telemetry/log-config.ts";
import { otlpExporter } from "./otlp-exporter.ts";
import { SCHEMA_URL } from "./otlp-resource.ts";

const severities: Readonly<Record<LogLevel, SeverityNumber>> = {
  error: SeverityNumber.ERROR,
  warn: SeverityNumber.WARN,
  info: SeverityNumber.INFO,
  debug: SeverityNumber.DEBUG,
};

export class OtlpLogs {
  private readonly provider: LoggerProvider;
  private readonly logger: Logger;

  constructor(url: string, headers: Record<string, string>, resource: Resource, version: string) {
    const exporter = otlpExporter("LOGS", { url, headers }, ProtobufLogsSerializer, LogsExporterMetricsHelper);
    this.provider = new LoggerProvider({ resource, processors: [new BatchLogRecordProcessor({ exporter })] });
    this.logger = this.provider.getLogger("platypus", version, { schemaUrl: SCHEMA_URL });
  }

  /** Queues a line. */
  emit({ level, module, message, fields, unixMs }: LogLine): void {
    const { trace_id: traceId, span_id: spanId, ...others } = fields;
    const attributes: Attributes = { "platypus.module": module };
    for (const [name, value] of Object.entries(others)) attributes[`platypus.${name}`] = value;
    const isTraced = typeof traceId === "string" && typeof spanId === "string";
    const context = isTraced
      ? trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED })
      : ROOT_CONTEXT;
    this.logger.emit({
      timestamp: unixMs,
      severityNumber: severities[level],
      severityText: level.toUpperCase(),
      body: message,
      attributes,
      context,
    });
  }

  /** Sends the queued lines. */
  flush(): Promise<void> {
    return this.provider.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.provider.shutdown();
  }
}
