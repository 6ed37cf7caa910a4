/** The SDK's exporter over HTTP, with a serializer: the packages for each signal only add theirs. */
import { OTLPExporterBase } from "@opentelemetry/otlp-exporter-base";
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from "@opentelemetry/otlp-exporter-base/node-http";
import type { IExporterMetricsHelper, ISerializer } from "@opentelemetry/otlp-transformer";

/** Names of the signals in OpenTelemetry's variables, such as `OTEL_EXPORTER_OTLP_LOGS_HEADERS`. */
type Signal = "TRACES" | "LOGS";

/** Retries, compression, certificates and timeouts follow OpenTelemetry's variables. */
export function otlpExporter<Request, Response>(
  signal: Signal,
  { url, headers }: { readonly url: string; readonly headers: Record<string, string> },
  serializer: ISerializer<Request, Response>,
  metrics: IExporterMetricsHelper<Request>,
): OTLPExporterBase<Request> {
  const name = signal.toLowerCase();
  const type = { "Content-Type": "application/x-protobuf" };
  const options = convertLegacyHttpOptions({ url, headers }, signal, `v1/${name}`, type);
  return new OTLPExporterBase(
    createOtlpHttpExportDelegate(options, serializer, `otlp_http_${name}_exporter`, metrics, undefined),
  );
}
