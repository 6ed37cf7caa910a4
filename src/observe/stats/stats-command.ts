/**
 * `stats` and `version` as clients ask for them: of all workers, with what the servers have to say.
 */
import type { Clock } from "../../clock.ts";
import type { SelfReport } from "../../mcrouter/report/self-report.ts";
import type { LocalFacts, StatLine } from "../../proxy/client/local-commands.ts";
import { askServers, askServersForLines, type ServerStats } from "../../proxy/route/server-stats.ts";
import { memcachedVersion } from "../memcached-version.ts";
import type { ProcessFacts } from "../own-snapshot.ts";
import type { RunningParts } from "../running-parts.ts";
import type { Siblings } from "../siblings.ts";
import { isOfServers, statLines } from "./memcached-stats.ts";
import { mergeWorkers } from "./worker-stats.ts";

/** Where the answers come from. */
export interface StatsSources {
  readonly clock: Clock;
  readonly running: () => RunningParts;
  readonly facts: ProcessFacts;
  /** `null` without a mcrouter configuration. */
  readonly selfReport: SelfReport | null;
  /** Null: there are no other workers. */
  readonly siblings: Siblings | null;
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
    const { siblings } = this.sources;
    if (siblings === null) {
      this.withServers(group, done);
      return;
    }
    siblings.ask({ kind: "stats", group }, (values) => {
      const all = (values as (readonly StatLine[] | null)[]).filter((lines) => lines !== null);
      const merged = mergeWorkers(group, all);
      if (!this.asksServers(group)) {
        done(all.length === 0 ? null : merged);
        return;
      }
      const sums = new Map(group === "" ? merged : []);
      this.withServers(group, (lines) => {
        done(lines?.map(([name, value]) => [name, sums.get(name) ?? value] as const) ?? null);
      });
    });
  }

  resetStats(): void {
    const { siblings, facts } = this.sources;
    if (siblings === null) facts.reset();
    else siblings.ask({ kind: "resetStats" }, () => {});
  }

  serverLines(group: string, done: (answers: readonly (readonly string[])[]) => void): void {
    const { clock, running } = this.sources;
    askServersForLines([...running().pools.backends.values()], group, clock, done);
  }

  /** What this process has to say of `stats GROUP`, `servers` being what they have said of it. */
  own(group: string, servers: readonly ServerStats[]): readonly StatLine[] | null {
    const { facts, selfReport } = this.sources;
    // Names that mean other things there have mcrouter's meaning; what only memcached knows is memcached's.
    const lines = group === "platypus" ? null : (selfReport?.statLines(group) ?? null);
    return lines ?? statLines(group, facts.stats(), servers);
  }

  /** Whether the servers have something to say of a group. */
  private asksServers(group: string): boolean {
    return isOfServers(group) && (this.sources.running().config.mcrouter === null || group !== "");
  }

  private withServers(group: string, done: (lines: readonly StatLine[] | null) => void): void {
    const { clock, running } = this.sources;
    const asked = this.asksServers(group) ? [...running().pools.backends.values()] : [];
    askServers(asked, group, clock, (answers) => done(this.own(group, answers)));
  }
}
