/**
 * What a Platypus with a mcrouter configuration tells of itself as mcrouter does: the values of `__mcrouter__.` keys, the rates
 * of `stats`, and the files of stats.
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

/** What it is made of. */
export interface SelfReportSources {
  readonly clock: Clock;
  readonly hostId: number;
  readonly log: Log;
  readonly reports: Reports;
  /** Of now. */
  readonly config: () => Config;
  readonly reloads: ReloadState;
  /** Numbers that only grow, by the names that their rates have. */
  totals(): ReadonlyMap<string, number>;
  /** What the stats file has. */
  stats(): Readonly<Record<string, string | number>>;
}

/** What `stats` has of a process beside what every Platypus counts. */
export interface McrouterNumbers {
  /** The configuration is one that was kept. */
  readonly isFromDump: boolean;
  /** Names that the stats file has numbers of, each with its pools. */
  readonly statsPools: readonly (readonly [name: string, pools: readonly string[]])[];
  /** 0 where the system does not say. */
  readonly virtualBytes: number;
  /** Amounts a second over the last four minutes. */
  readonly rates: Readonly<Record<string, number>>;
}

/** A pool counts under the longest of the names that it begins with. Names without a pool are left out. */
export function poolsByName(names: readonly string[], pools: readonly string[]): (readonly [string, string[]])[] {
  const longestFirst = [...names].sort((a, b) => b.length - a.length);
  const byName = Map.groupBy(pools, (pool) => longestFirst.find((name) => pool.startsWith(name)));
  return names.flatMap((name) => (byName.has(name) ? [[name, byName.get(name)!] as const] : []));
}

/** Rates and files are from `begin` on. */
export class SelfReport {
  private readonly sources: SelfReportSources;
  private rates: RateWindow | null = null;
  private files: StatsFiles | null = null;

  constructor(sources: SelfReportSources) {
    this.sources = sources;
  }

  /** Of now; null: the configuration is none of mcrouter's. */
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

  /** Where the configuration is none of mcrouter's nothing begins. */
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

  /** Resolves when what is being written is written. */
  async stop(): Promise<void> {
    this.rates?.stop();
    await this.files?.close();
  }

  /** The value of `get __mcrouter__.COMMAND`. */
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

/** Of this process; 0 where the system does not say. */
function virtualBytes(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[0]) * 4096;
  } catch {
    return 0;
  }
}
