/**
 * Sends metrics, traces and the log by OTLP. The destination is part of the configuration and may change at a reload.
 */
import type { TelemetryConfig } from "../../config/config.ts";
import type { Tracer } from "../../proxy/tracing.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { packageVersion } from "../../version.ts";
import type { OwnSnapshot } from "../own-snapshot.ts";
import type { OpenTelemetry } from "./opentelemetry.ts";

/** Sources of the exports, and the receivers of events. */
export interface OtlpSources {
  readonly own: OwnSnapshot;
  readonly startedUnixSeconds: number;
  readonly random: () => number;
  readonly log: Log;
  readonly reports: Reports;
  /** Sets the current tracer. `null` if traces are off. */
  setTracer(tracer: Tracer | null): void;
}

/** Loads the SDK only if there is a destination. */
export class OtlpExport {
  private readonly sources: OtlpSources;
  private openTelemetry: OpenTelemetry | null = null;
  /** The last restart. */
  private change: Promise<void> = Promise.resolve();

  constructor(sources: OtlpSources) {
    this.sources = sources;
  }

  async start(config: TelemetryConfig): Promise<void> {
    if (config.metricsUrl === null && config.tracesUrl === null && config.logsUrl === null) return;
    const { own, startedUnixSeconds, random, log, reports, setTracer } = this.sources;
    own.watchProcess();
    const { OpenTelemetry } = await import("./opentelemetry.ts");
    this.openTelemetry = new OpenTelemetry({
      config,
      version: packageVersion,
      take: () => own.take({ wantsReadiness: true, hasOperations: true }),
      startedUnixMs: startedUnixSeconds * 1000,
      random,
      failed: (message, count) => {
        // The line about a failed export is not exported: it would cause the next failure.
        const { receiver } = log;
        log.receiver = null;
        reports.failed("otlp", message, count);
        log.receiver = receiver;
      },
    });
    setTracer(this.openTelemetry.tracer);
    log.receiver = this.openTelemetry.logReceiver;
  }

  /** Sends to the new destination, and the remaining data to the old one. */
  replace(old: TelemetryConfig, next: TelemetryConfig): void {
    if (JSON.stringify(old) === JSON.stringify(next)) return;
    const { log, setTracer } = this.sources;
    const restart = async () => {
      setTracer(null);
      log.receiver = null;
      await this.openTelemetry?.stop();
      this.openTelemetry = null;
      await this.start(next);
    };
    this.change = this.change
      .then(restart)
      .catch((error: unknown) => log.error("telemetry", `not started: ${String(error)}`));
  }

  /** Sends the remaining data. */
  async stop(): Promise<void> {
    await this.change;
    await this.openTelemetry?.stop();
  }
}
