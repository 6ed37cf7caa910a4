/**
 * `stats` and `version` as clients ask for them: of all workers, with what the servers have to say.
 */
import type { Clock } from "../../clock.ts";
import type { LocalFacts, StatLine } from "../../proxy/client/local-commands.ts";
import { askServers, askServersForLines } from "../../proxy/route/server-stats.ts";
import { loadedWing } from "../mcrouter-wing.ts";
import { memcachedVersion } from "../memcached-version.ts";
import type { RunningParts } from "../own-snapshot.ts";
import type { Workers } from "../siblings.ts";
import { isOfServers, memcachedStats } from "./memcached-stats.ts";

/** Where the answers come from. */
export interface StatsSources {
  readonly clock: Clock;
  readonly running: () => RunningParts;
  readonly workers: Workers;
}

/** Answers at once where nobody else has to be asked. */
export class StatsCommand implements LocalFacts {
  private readonly sources: StatsSources;

  constructor(sources: StatsSources) {
    this.sources = sources;
  }

  version(): string {
    return memcachedVersion(this.sources.running().pools.backends.values());
  }

  stats(group: string, done: (lines: readonly StatLine[] | null) => void): void {
    const { clock, running, workers } = this.sources;
    const { config, pools } = running();
    const asksServers = isOfServers(group) && (config.mcrouter === null || group !== "");
    workers.snapshot({ hasPeers: group === "conns" }, (snapshot) => {
      // Names that mean other things there have mcrouter's meaning; what only memcached knows is memcached's.
      const isMcrouters = snapshot.mcrouter !== null && group !== "platypus";
      const lines = isMcrouters ? loadedWing().mcrouterStats(group, snapshot) : null;
      if (lines !== null) {
        done(lines);
        return;
      }
      askServers(asksServers ? [...pools.backends.values()] : [], group, clock, (answers) => {
        done(memcachedStats(group, snapshot, answers));
      });
    });
  }

  resetStats(): void {
    this.sources.workers.resetStats();
  }

  serverLines(group: string, done: (answers: readonly (readonly string[])[]) => void): void {
    const { clock, running } = this.sources;
    askServersForLines([...running().pools.backends.values()], group, clock, done);
  }
}
