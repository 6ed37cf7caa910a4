/**
 * The clients' commands `stats`, `version` and `config get cluster`: for all workers, with numbers from the servers.
 */
import type { Clock } from "../../clock.ts";
import type { ClusterAnswer } from "../../proxy/client/cluster-answer.ts";
import type { LocalFacts, StatLine } from "../../proxy/client/local-commands.ts";
import type { Reply } from "../../proxy/reply.ts";
import { askServers, askServersForLines } from "../../proxy/route/server-stats.ts";
import { loadedWing } from "../mcrouter-wing.ts";
import { memcachedVersion } from "../memcached-version.ts";
import type { RunningParts } from "../own-snapshot.ts";
import type { Workers } from "../siblings.ts";
import { isOfServers, memcachedStats } from "./memcached-stats.ts";

/** Dependencies of the replies. */
export interface StatsSources {
  readonly clock: Clock;
  readonly running: () => RunningParts;
  readonly workers: Workers;
  readonly cluster: ClusterAnswer;
}

/** Replies synchronously if no other process or server must be asked. */
export class StatsCommand implements LocalFacts {
  private readonly sources: StatsSources;

  constructor(sources: StatsSources) {
    this.sources = sources;
  }

  version(): string {
    return memcachedVersion(this.sources.running().pools.backends.values());
  }

  cluster(): Reply | null {
    const { advertise } = this.sources.running().config.server;
    return advertise.length === 0 ? null : this.sources.cluster.replyOf(advertise);
  }

  stats(group: string, done: (lines: readonly StatLine[] | null) => void): void {
    const { clock, running, workers } = this.sources;
    const { config, pools } = running();
    const asksServers = isOfServers(group) && (config.mcrouter === null || group !== "");
    workers.snapshot({ hasPeers: group === "conns" }, (snapshot) => {
      // Names that both programs use have mcrouter's meaning; names that only memcached has keep memcached's.
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
