/**
 * mcrouter's reports of a Platypus with a mcrouter configuration: the values of `__mcrouter__.` keys, the rates of
 * `stats`, and the stats files.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { ReloadState } from "../../config/reload-state.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { answerAdmin } from "./admin.ts";
import { RateWindow } from "./rate-window.ts";
import { StatsFiles } from "./stats-files.ts";

/** Input for the reports. */
export interface SelfReportSources {
  readonly clock: Clock;
  readonly hostId: number;
  readonly log: Log;
  readonly reports: Reports;
  /** The current configuration. */
  readonly config: () => Config;
  readonly reloads: ReloadState;
  /** Monotonic counters by the names of their rates. */
  totals(): ReadonlyMap<string, number>;
  /** Content of the stats file. */
  stats(): Readonly<Record<string, string | number>>;
}

/** Numbers that only mcrouter's `stats` has. */
export interface McrouterNumbers {
  /** True if the configuration is a kept copy. */
  readonly isFromDump: boolean;
  /** Names with counters in the stats file, each with its pools. */
  readonly statsPools: readonly (readonly [name: string, pools: readonly string[]])[];
  /** 0 if the system does not report it. */
  readonly virtualBytes: number;
  /** Rates per second over the last four minutes. */
  readonly rates: Readonly<Record<string, number>>;
}

/** Assigns each pool to the longest name that it begins with. Names without a pool are omitted. */
export function poolsByName(names: readonly string[], pools: readonly string[]): (readonly [string, string[]])[] {
  const longestFirst = [...names].sort((a, b) => b.length - a.length);
  const byName = Map.groupBy(pools, (pool) => longestFirst.find((name) => pool.startsWith(name)));
  return names.flatMap((name) => (byName.has(name) ? [[name, byName.get(name)!] as const] : []));
}

/** Rates and files start with `begin`. */
export class SelfReport {
  private readonly sources: SelfReportSources;
  private rates: RateWindow | null = null;
  private files: StatsFiles | null = null;

  constructor(sources: SelfReportSources) {
    this.sources = sources;
  }

  /** Current numbers. `null` if the configuration is not mcrouter's. */
  numbers(): McrouterNumbers | null {
    const { config, totals } = this.sources;
    const { mcrouter, pools } = config();
    if (mcrouter === null) return null;
    return {
      isFromDump: mcrouter.isFromDump,
      statsPools: poolsByName(
        mcrouter.statsPools,
        pools.map(({ name }) => name),
      ),
      virtualBytes: virtualBytes(),
      rates: Object.fromEntries(this.rates?.rates() ?? totals()),
    };
  }

  /** Does nothing if the configuration is not mcrouter's. */
  begin(): void {
    const { clock, config, reports, totals, stats } = this.sources;
    const { mcrouter } = config();
    if (mcrouter === null) return;
    this.rates = new RateWindow(clock, totals);
    const { statsRoot, statsIntervalMs, serviceName, routerName } = mcrouter;
    if (statsRoot === null) return;
    this.files = new StatsFiles({
      root: statsRoot,
      serviceName,
      routerName,
      intervalMs: statsIntervalMs,
      clock,
      reports,
      stats,
      options: () => Object.fromEntries(mcrouter.options),
      sources: () => JSON.parse(this.answer("config_sources_info")),
    });
  }

  /** Resolves when all writes are done. */
  async stop(): Promise<void> {
    this.rates?.stop();
    await this.files?.close();
  }

  answer(command: string): string {
    const { clock, hostId, log, config, reloads } = this.sources;
    return answerAdmin(command, {
      config: config(),
      clock,
      hostId,
      configAgeSeconds: reloads.ageSeconds,
      logLevel: log.level,
      setLogLevel: (level) => log.configure({ ...config().server.log, level }),
    });
  }
}

/** Virtual memory of this process. 0 if the system does not report it. */
function virtualBytes(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[0]) * 4096;
  } catch {
    return 0;
  }
}
