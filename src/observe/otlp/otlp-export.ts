/**
 * Sending metrics and traces by OTLP: where to is the configuration's, and may change while it runs.
 */
import type { TelemetryConfig } from "../../config/config.ts";
import type { Tracer } from "../../proxy/tracing.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { packageVersion } from "../../version.ts";
import type { OwnSnapshot } from "../own-snapshot.ts";
import type { OpenTelemetry } from "./opentelemetry.ts";

/** What is sent, and who hears of it. */
export interface OtlpSources {
  readonly own: OwnSnapshot;
  readonly startedUnixSeconds: number;
  readonly random: () => number;
  readonly log: Log;
  readonly reports: Reports;
  /** Told of the tracer to use from now on; null: nothing is traced. */
  setTracer(tracer: Tracer | null): void;
}

/** Loads the SDK only where something is to be sent. */
export class OtlpExport {
  private readonly sources: OtlpSources;
  private openTelemetry: OpenTelemetry | null = null;
  /** The last restart. */
  private change: Promise<void> = Promise.resolve();

  constructor(sources: OtlpSources) {
    this.sources = sources;
  }

  async start(config: TelemetryConfig): Promise<void> {
    if (config.metricsUrl === null && config.tracesUrl === null) return;
    const { own, startedUnixSeconds, random, reports, setTracer } = this.sources;
    own.watchProcess();
    const { OpenTelemetry } = await import("./opentelemetry.ts");
    this.openTelemetry = new OpenTelemetry({
      config,
      version: packageVersion,
      take: () => own.take({ wantsReadiness: true }),
      startedUnixMs: startedUnixSeconds * 1000,
      random,
      failed: (message, count) => reports.failed("otlp", message, count),
    });
    setTracer(this.openTelemetry.tracer);
  }

  /** Sends to the new place, and to the old one once more. */
  replace(old: TelemetryConfig, next: TelemetryConfig): void {
    if (JSON.stringify(old) === JSON.stringify(next)) return;
    const { log, setTracer } = this.sources;
    const restart = async () => {
      setTracer(null);
      await this.openTelemetry?.stop();
      this.openTelemetry = null;
      await this.start(next);
    };
    this.change = this.change
      .then(restart)
      .catch((error: unknown) => log.error("telemetry", `not started: ${String(error)}`));
  }

  /** Sends what there is once more. */
  async stop(): Promise<void> {
    await this.change;
    await this.openTelemetry?.stop();
  }
}
