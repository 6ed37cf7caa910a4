/**
 * What a Platypus with a mcrouter configuration tells of itself as mcrouter does: the values of `__mcrouter__.` keys, `stats`,
 * and the files of stats.
 */
import type { Clock } from "../../clock.ts";
import type { Config } from "../../config/config.ts";
import type { ReloadState } from "../../config/reload-state.ts";
// biome-ignore lint/style/noRestrictedImports: what it needs of the form of stats is to be handed to it.
import { type McrouterFacts, mcrouterStatLines, poolStats, totalsOf } from "../../observe/stats/mcrouter-stats.ts";
import type { Backend } from "../../proxy/backend/backend.ts";
import type { ClientCounters } from "../../proxy/client/client-counters.ts";
import type { StatLine } from "../../proxy/client/local-commands.ts";
import type { RouteCounters } from "../../proxy/route/route-counters.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Reports } from "../../telemetry/reports.ts";
import { answerAdmin } from "./admin.ts";
import type { AsyncLogCounters } from "./async-log.ts";
import { RateWindow } from "./rate-window.ts";
import { StatsFiles } from "./stats-files.ts";

/** What it is made of. */
export interface SelfReportSources {
  readonly clock: Clock;
  readonly hostId: number;
  readonly log: Log;
  readonly reports: Reports;
  readonly startedUnixSeconds: number;
  /** Of now. */
  readonly config: () => Config;
  readonly backends: () => readonly Backend[];
  readonly clients: ClientCounters;
  readonly routes: RouteCounters;
  readonly asyncLog: AsyncLogCounters;
  readonly reloads: ReloadState;
}

/** Rates and files are from `begin` on. */
export class SelfReport {
  private readonly sources: SelfReportSources;
  private rates: RateWindow | null = null;
  private files: StatsFiles | null = null;

  constructor(sources: SelfReportSources) {
    this.sources = sources;
  }

  /** The lines of `stats GROUP` that have mcrouter's meaning; `null` if the group is not one of mcrouter's. */
  statLines(group: string): readonly StatLine[] | null {
    return mcrouterStatLines(group, this.facts());
  }

  /** Where the configuration is none of mcrouter's nothing begins. */
  begin(): void {
    const { clock, config, reports } = this.sources;
    const { mcrouter } = config();
    if (mcrouter === null) return;
    this.rates = new RateWindow(clock, () => totalsOf(this.counted()));
    const { statsRoot, statsIntervalMs, serviceName, routerName } = mcrouter;
    if (statsRoot === null) return;
    this.files = new StatsFiles({
      root: statsRoot,
      serviceName,
      routerName,
      intervalMs: statsIntervalMs,
      clock,
      reports,
      stats: () => {
        const facts = this.facts();
        return Object.fromEntries([...(mcrouterStatLines("ods", facts) ?? []), ...poolStats(facts)]);
      },
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

  /** What its `stats` are made of. */
  facts(): McrouterFacts {
    const counted = this.counted();
    return { ...counted, rates: this.rates?.rates() ?? totalsOf(counted) };
  }

  private counted(): Omit<McrouterFacts, "rates"> {
    const { clock, startedUnixSeconds, config, backends, clients, routes, asyncLog, reloads } = this.sources;
    return {
      config: config(),
      clock,
      startedUnixSeconds,
      clients,
      backends: backends(),
      routes,
      asyncLog,
      configAgeSeconds: reloads.ageSeconds,
      configLastAttemptUnixSeconds: reloads.lastAttemptUnixSeconds,
      configFailures: reloads.failures,
    };
  }
}
