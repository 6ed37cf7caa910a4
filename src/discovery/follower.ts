/**
 * Follows the list of one pool.
 *
 *     look ─► failed or empty           the last list stays
 *          ─► the same list             nothing
 *          ─► more than half is gone    counts if the next look finds the same
 *          ─► another list              used, kept on disk, reported
 *
 * One look at a time. The place is asked at the interval, or watched if it reports changes itself, and asked at once
 * when a connection to a server was lost.
 */
import type { Clock, Timer } from "../clock.ts";
import { reachesListener } from "../config/address.ts";
import {
  addressText,
  type DiscoveryConfig,
  type ListenAddress,
  type PoolConfig,
  type PoolServer,
} from "../config/config.ts";
import type { Log } from "../telemetry/log.ts";
import type { Discoverer, FoundServers } from "./discoverer.ts";
import type { KeptLists } from "./kept-lists.ts";
import { changeOf, serverText } from "./server-list.ts";

/** Minimum time between two looks because of lost connections (ms). */
const MIN_GAP_MS = 1_000;
/** The interval is shortened by up to this share, so that processes do not look at the same time. */
const JITTER = 0.1;

/** Numbers of one pool, for reports. */
export interface DiscoveryState {
  readonly pool: string;
  /** What is followed, as in the configuration. */
  readonly place: string;
  /** Addresses of the servers in the list in use. */
  readonly addresses: readonly string[];
  /** Number of servers in the list in use. */
  readonly servers: number;
  /** Seconds since the last answer. */
  readonly ageSeconds: number;
  readonly changes: number;
  readonly failures: number;
  /** Reason why the last look failed. `null` if it succeeded. */
  readonly error: string | null;
}

export interface FollowerOptions {
  readonly pool: PoolConfig;
  readonly discoverer: Discoverer;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Addresses of this process, which are not allowed as servers. */
  readonly own: () => readonly ListenAddress[];
  /** The follower of this pool before a reload. `null` if there was none. */
  readonly before: Follower | null;
  /** `null` if lists are not kept on disk. */
  readonly kept: KeptLists | null;
  /** Another list is in use. Not called for the first look. */
  readonly changed: () => void;
}

export class Follower {
  /** The pool of the latest configuration. */
  pool: PoolConfig;
  private readonly options: FollowerOptions;
  private readonly discovery: DiscoveryConfig;
  /** The last list that was found or read from disk. `null` if absent. */
  private list: readonly PoolServer[] | null = null;
  /** The list of another place before a reload, until there is an answer. */
  private readonly former: readonly PoolServer[] | null;
  /** A list that must be found again before it counts. */
  private doubted: string | null = null;
  private looking: Promise<void> | null = null;
  private isLookDue = false;
  private timer: Timer | null = null;
  private unwatch: (() => void) | null = null;
  private isStopped = false;
  private hasBegun = false;
  private answeredMs: number;
  private lookedMs = Number.NEGATIVE_INFINITY;
  private changes = 0;
  private failures = 0;
  private error: string | null = null;

  /** `pool` has a discovery. */
  constructor(options: FollowerOptions) {
    this.options = options;
    this.pool = options.pool;
    this.discovery = options.pool.discovery!;
    this.answeredMs = options.clock.nowMs();
    const { before } = options;
    const isSamePlace = before !== null && before.discovery.text === this.discovery.text;
    this.list = isSamePlace ? before.list : null;
    this.former = before?.list ?? null;
  }

  /**
   * The list in use: found, kept on disk, from another place before a reload, or that of the configuration. Empty if no
   * list is known yet.
   */
  get servers(): readonly PoolServer[] {
    return this.list ?? this.former ?? this.pool.servers;
  }

  get state(): DiscoveryState {
    const { changes, failures, error } = this;
    // A place that reports changes itself is not asked as long as there are none.
    const isCurrent = this.unwatch !== null && error === null;
    const ageSeconds = isCurrent ? 0 : Math.floor((this.options.clock.nowMs() - this.answeredMs) / 1000);
    const { servers } = this;
    const addresses = servers.map(({ address }) => addressText(address));
    const { text: place } = this.discovery;
    return { pool: this.pool.name, place, addresses, servers: servers.length, ageSeconds, changes, failures, error };
  }

  /** Looks for the first time. Resolves when there is an answer, or none. */
  async begin(): Promise<void> {
    const { kept, log } = this.options;
    const own = this.list === null ? ((await kept?.read(this.pool.name, this.discovery)) ?? null) : null;
    this.list ??= own;
    if (own !== null) log.debug("pool", `${this.title}: ${countText(own.length)} kept from an earlier run`);
    await this.look();
    if (this.isStopped) return;
    this.hasBegun = true;
    this.unwatch = this.options.discoverer.watch?.(() => this.lookSoon()) ?? null;
  }

  /** From now on, changes are reported: the pools are built with `servers`. */
  announce(): void {
    this.hasBegun = true;
  }

  /** Looks now, or after the look in progress. At most once in a second. */
  lookSoon(): void {
    if (this.isStopped) return;
    const waitMs = this.lookedMs + MIN_GAP_MS - this.options.clock.nowMs();
    if (waitMs <= 0) void this.look();
    else this.arm(waitMs);
  }

  stop(): void {
    this.isStopped = true;
    this.disarm();
    this.unwatch?.();
  }

  private get title(): string {
    return `pool ${this.pool.name}, ${this.discovery.text}`;
  }

  /** One look at a time: another one that is asked for meanwhile follows. */
  private look(): Promise<void> {
    if (this.looking !== null) {
      this.isLookDue = true;
      return this.looking;
    }
    this.disarm();
    this.lookedMs = this.options.clock.nowMs();
    this.looking = this.lookOnce().finally(() => {
      this.looking = null;
      if (this.isStopped) return;
      const mustAsk = this.options.discoverer.watch === null || this.error !== null || this.doubted !== null;
      if (this.isLookDue) this.arm(MIN_GAP_MS);
      else if (mustAsk) this.arm(this.discovery.intervalMs * (1 - this.options.random() * JITTER));
      this.isLookDue = false;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    let found: FoundServers;
    try {
      found = await this.options.discoverer.look(this.servers);
      this.check(found.servers);
    } catch (error) {
      if (!this.isStopped) this.failed(error as Error);
      return;
    }
    if (!this.isStopped) this.take(found);
  }

  private check(servers: readonly PoolServer[]): void {
    if (servers.length === 0) throw new Error("the list is empty");
    const own = this.options.own();
    const loop = servers.find(({ address }) => own.some((listen) => reachesListener(address, listen)));
    if (loop !== undefined) throw new Error(`${addressText(loop.address)} is one of Platypus' own addresses`);
  }

  private failed({ message }: Error): void {
    this.failures++;
    this.doubted = null;
    if (this.error !== message) {
      const { length } = this.servers;
      const rest = length === 0 ? "no server is known" : `the last list of ${countText(length)} stays`;
      this.options.log.warn("pool", `${this.title}: ${message}; ${rest}`);
    }
    this.error = message;
  }

  private take({ servers, isDoubtful }: FoundServers): void {
    const { clock, log } = this.options;
    this.answeredMs = clock.nowMs();
    if (this.error !== null) log.info("pool", `${this.title}: answers again`);
    this.error = null;
    const text = textOf(servers);
    if (text === textOf(this.list ?? [])) {
      this.doubted = null;
      return;
    }
    if (this.isLoss(servers, isDoubtful) && this.doubted !== text) {
      this.doubted = text;
      const { removed } = changeOf(this.pool, this.servers, servers);
      const reason = isDoubtful
        ? "the list is older than the one in use"
        : `${removed.length} of ${countText(this.servers.length)} are gone`;
      log.warn("pool", `${this.title}: ${reason}; the list stays until the next look finds the same`);
      return;
    }
    this.doubted = null;
    this.use(servers);
  }

  /** True if more than half of the servers in use are gone. The servers of the configuration are no list that was found. */
  private isLoss(servers: readonly PoolServer[], isDoubtful: boolean): boolean {
    if (this.list === null) return false;
    const now = new Set(servers.map(serverText));
    const left = this.list.filter((server) => !now.has(serverText(server))).length;
    return isDoubtful || left > this.list.length / 2;
  }

  private use(servers: readonly PoolServer[]): void {
    const { log, kept, changed } = this.options;
    const before = this.servers;
    this.list = servers;
    const { added, removed, movedShare } = changeOf(this.pool, before, servers);
    const isChange = added.length > 0 || removed.length > 0;
    if (isChange) {
      const moved = before.length === 0 ? "" : `; ${(movedShare * 100).toFixed(1)} % of the keys moved`;
      log.info(
        "pool",
        `${this.title}: ${countText(servers.length)}; added ${listText(added)}; removed ${listText(removed)}${moved}`,
      );
    }
    kept?.write(this.pool.name, this.discovery, servers).catch((error: Error) => {
      log.warn("pool", `${this.title}: the list cannot be kept: ${error.message}`);
    });
    if (isChange && this.hasBegun) {
      this.changes++;
      changed();
    }
  }

  private arm(delayMs: number): void {
    this.disarm();
    this.timer = this.options.clock.setTimer(delayMs, () => {
      this.timer = null;
      void this.look();
    });
  }

  private disarm(): void {
    if (this.timer !== null) this.options.clock.clearTimer(this.timer);
    this.timer = null;
  }
}

function textOf(servers: readonly PoolServer[]): string {
  return servers.map(serverText).join("\n");
}

function countText(count: number): string {
  return `${count} server${count === 1 ? "" : "s"}`;
}

function listText(texts: readonly string[]): string {
  return texts.length === 0 ? "none" : texts.join(", ");
}
