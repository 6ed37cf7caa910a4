/**
 * What Platypus writes for others beside the log: files, messages, exports, pages. One rule for all of them: a report that
 * cannot be made does not throw into its maker. It is counted here, and named in the log once in a while. What waits to be
 * reported is bounded by each maker.
 *
 * Lines of the log follow the same rule in log-output.ts, which counts those that are lost.
 */
import type { Clock } from "../clock.ts";
import { BurstLog } from "./burst-log.ts";
import type { Log } from "./log.ts";
import type { LogModule } from "./log-config.ts";

/** For each report: the level and module of its failures in the log, and how their message begins. */
const told = {
  async_log: ["error", "asynclog", "a delete was not kept"],
  kept_config: ["warn", "config", "--config-dump-root: the configuration is not kept"],
  otlp: ["warn", "telemetry", "not sent"],
  page: ["warn", "admin", "a page was closed"],
  pid_file: ["warn", "options", "--pid-file"],
  stats_files: ["warn", "stats", "stats files are not written"],
  systemd: ["warn", "serve", "systemd is not told how we are"],
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

  /** What could not be reported since the start: lines, files, messages, exports or pages. */
  get failures(): ReadonlyMap<ReportName, number> {
    return this.counts;
  }

  /** `count`: what was lost by this failure. */
  failed(name: ReportName, error: unknown, count = 1): void {
    const [level, module, start] = told[name];
    this.counts.set(name, this.counts.get(name)! + count);
    this.bursts.say(level, module, name, `${start}: ${error instanceof Error ? error.message : String(error)}`);
  }

  /** Resolves when `report` has been made or has failed; never rejects. */
  async make(name: ReportName, report: () => Promise<void>): Promise<void> {
    try {
      await report();
    } catch (error) {
      this.failed(name, error);
    }
  }
}
