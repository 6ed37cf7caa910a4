/**
 * Reports outside of the log: files, messages, exports, pages. One rule for all of them: a failed report does not throw
 * into its caller. It is counted, and logged from time to time. Each maker limits its waiting reports.
 *
 * Log lines follow this rule in log-output.ts, which counts lost lines.
 */
import type { Clock } from "../clock.ts";
import { BurstLog } from "./burst-log.ts";
import type { Log } from "./log.ts";
import type { LogModule } from "./log-config.ts";

/** For each report: the level and module of its failures in the log, and the beginning of their message. */
const told = {
  access_log: ["warn", "telemetry", "a request was not written to the access log"],
  async_log: ["error", "asynclog", "a delete was not kept"],
  kept_config: ["warn", "config", "--config-dump-root: the configuration is not kept"],
  otlp: ["warn", "telemetry", "not sent"],
  page: ["warn", "admin", "a page was closed"],
  pid_file: ["warn", "options", "--pid-file"],
  stats_files: ["warn", "stats", "stats files are not written"],
  systemd: ["warn", "serve", "systemd gets no status messages"],
} as const satisfies Readonly<Record<string, readonly ["error" | "warn", LogModule, string]>>;

export type ReportName = keyof typeof told;

const reportNames = Object.keys(told) as ReportName[];

/** Counts and logs the failures of one process. */
export class Reports {
  private readonly bursts: BurstLog;
  private readonly counts = new Map<ReportName, number>(reportNames.map((name) => [name, 0]));

  constructor(log: Log, clock: Clock) {
    this.bursts = new BurstLog(log, clock);
  }

  /** Number of failures since the start: lines, files, messages, exports or pages. */
  get failures(): ReadonlyMap<ReportName, number> {
    return this.counts;
  }

  /** `count` is the number of reports that this failure lost. */
  failed(name: ReportName, error: unknown, count = 1): void {
    const [level, module, start] = told[name];
    this.counts.set(name, this.counts.get(name)! + count);
    this.bursts.say(level, module, name, `${start}: ${error instanceof Error ? error.message : String(error)}`);
  }

  /** Resolves when `report` has succeeded or failed. Never rejects. */
  async make(name: ReportName, report: () => Promise<void>): Promise<void> {
    try {
      await report();
    } catch (error) {
      this.failed(name, error);
    }
  }
}
