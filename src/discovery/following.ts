/**
 * The followed lists of all pools of a process. The configuration of the process is the one that was loaded, with the
 * lists in place of the servers of these pools; a change of a list is a reload of that configuration.
 */
import type { Clock } from "../clock.ts";
import type { Config, ListenAddress, PoolConfig } from "../config/config.ts";
import { withServers } from "../config/native-placement.ts";
import type { Log } from "../telemetry/log.ts";
import type { Discoverer } from "./discoverer.ts";
import { type DiscoveryState, Follower } from "./follower.ts";
import { KeptLists } from "./kept-lists.ts";

/** Maximum time that a start or a reload waits for the first answers (ms). */
const FIRST_ANSWER_MS = 2_000;

export interface FollowingOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** The list of a pool has changed. */
  readonly changed: (pool: string) => void;
}

export class Following {
  private readonly options: FollowingOptions;
  /** By the name of the pool. */
  private readonly followers = new Map<
    string,
    { readonly identity: string; readonly follower: Follower; readonly discoverer: Discoverer }
  >();

  private own: readonly ListenAddress[] = [];

  constructor(options: FollowingOptions) {
    this.options = options;
  }

  /**
   * Follows the pools of `config`, and no others. Resolves when new ones have their first list, or do not get it in
   * time.
   */
  async follow(config: Config): Promise<void> {
    const { stateFolder } = config.server;
    this.own = config.server.listen;
    const wanted = new Map(
      config.pools.flatMap((pool) =>
        pool.discovery === null ? [] : [[pool.name, identityOf(pool, stateFolder)] as const],
      ),
    );
    const left = new Map<string, Follower>();
    for (const [name, { identity, follower }] of this.followers) {
      if (wanted.get(name) === identity) continue;
      follower.stop();
      this.followers.delete(name);
      left.set(name, follower);
    }
    if (wanted.size === 0) return;
    const { createDiscoverer } = await import("./discoverer.ts");
    const begun: Promise<void>[] = [];
    const { clock, random, log, changed } = this.options;
    for (const pool of config.pools) {
      const identity = wanted.get(pool.name);
      if (identity === undefined) continue;
      const known = this.followers.get(pool.name);
      if (known !== undefined) {
        known.follower.pool = pool;
        continue;
      }
      const discoverer = createDiscoverer(pool.discovery!, pool.tls);
      const kept = stateFolder === null ? null : new KeptLists(stateFolder);
      const own = () => this.own;
      const follower = new Follower({
        pool,
        discoverer,
        clock,
        random,
        log,
        own,
        before: left.get(pool.name) ?? null,
        kept,
        changed: () => changed(pool.name),
      });
      this.followers.set(pool.name, { identity, follower, discoverer });
      begun.push(follower.begin());
    }
    if (begun.length === 0) return;
    await Promise.race([Promise.all(begun), new Promise<void>((resolve) => clock.setTimer(FIRST_ANSWER_MS, resolve))]);
    for (const { follower } of this.followers.values()) follower.announce();
  }

  /** `config` with the followed lists. */
  applied(config: Config): Config {
    if (this.followers.size === 0) return config;
    const pools = config.pools.map((pool) => {
      const follower = this.followers.get(pool.name)?.follower;
      return follower === undefined ? pool : withServers(pool, follower.servers);
    });
    return { ...config, pools };
  }

  /** A connection to a server of the pool was lost: the list may have changed. */
  lost(pool: string): void {
    const following = this.followers.get(pool);
    // A file that changes is reported by its watch, when it is complete.
    if (following?.discoverer.watch === null) following.follower.lookSoon();
  }

  /** Another process has found a change: a file is complete by now. */
  look(pool: string): void {
    this.followers.get(pool)?.follower.lookSoon();
  }

  /** One entry for each followed pool. */
  get states(): readonly DiscoveryState[] {
    return [...this.followers.values()].map(({ follower }) => follower.state);
  }

  stop(): void {
    for (const { follower } of this.followers.values()) follower.stop();
    this.followers.clear();
  }
}

/** Equal for pools whose list can be followed on. */
function identityOf({ discovery, tls }: PoolConfig, stateFolder: string | null): string {
  return JSON.stringify([discovery, tls, stateFolder]);
}
