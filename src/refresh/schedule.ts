/**
 * The due times of tracked keys: the tracker's slots, the timing wheel, and the rule of each key.
 *
 *     track ─► settle (fresh for its ttl, due a little earlier) ─► due ─┬─► settle, after a refresh
 *                                                                      ├─► retry with backoff, after a failed refresh
 *                                                                      ├─► defer, if the source has no room
 *                                                                      └─► drop: not needed, or no rule covers it any more
 *
 * This file decides when a key is due; the scheduler does the work. A slot is valid until its key is dropped.
 */
import type { Clock } from "../clock.ts";
import type { ServerConfig } from "../config/config.ts";
import { dueIn, longestTtlMs, retryIn } from "./policy.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import { isSameOrigin, type Rule, type Rules } from "./rules.ts";
import { TimingWheel } from "./timing-wheel.ts";
import { Tracker } from "./tracker.ts";

/** Length of a tick, the tracker's unit of time (ms). */
export const TICK_MS = 100;
/** A key whose source has no room is due again after a part of its ttl, within these bounds (ms). */
const LEAST_DEFER_MS = 1_000;
const MOST_DEFER_MS = 10_000;
/** Memory of a tracked key, including its name (bench/micro/tracked-keys.ts). */
const TRACKED_KEY_BYTES = 160;
/** Maximum number of keys that are examined for a list of keys. */
const MAX_LOOKS = 100_000;

/** A tracked key, for display. */
export interface TrackedKey {
  /** One character per byte. */
  readonly key: string;
  /** At most 255. */
  readonly gets: number;
  /** Time since the last get. */
  readonly lastGetMs: number;
  /** Time until its ttl ends. Negative if it has ended. */
  readonly freshMs: number;
  /** Number of consecutive failed refreshes. */
  readonly failures: number;
}

/** Settings of `[server]` that limit tracking. */
export type TrackingBounds = Pick<ServerConfig, "maxTrackedKeys" | "pickUpRate">;

export interface ScheduleOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
  readonly bounds: TrackingBounds;
  /** Called with a key that is about to be dropped. */
  dropped(key: string): void;
}

export class Schedule {
  rules: Rules;
  port: PoolPort;
  readonly tracker: Tracker;
  readonly wheel: TimingWheel;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly dropped: (key: string) => void;
  /** Tick at which each slot is due at the latest. */
  private latestDue = new Uint32Array(Tracker.firstCapacity);

  constructor({ rules, port, clock, random, bounds, dropped }: ScheduleOptions) {
    this.rules = rules;
    this.port = port;
    this.clock = clock;
    this.random = random;
    this.dropped = dropped;
    this.wheel = new TimingWheel(TICK_MS, clock.nowMs(), Tracker.firstCapacity);
    this.tracker = new Tracker(bounds.maxTrackedKeys, (capacity) => this.grow(capacity), random);
  }

  private grow(capacity: number): void {
    this.wheel.grow(capacity);
    const larger = new Uint32Array(capacity);
    larger.set(this.latestDue);
    this.latestDue = larger;
  }

  /** Time that a key is late (ms): since it fell due by its value's own TTL, without the jitter that makes it earlier. */
  latenessOf(slot: number): number {
    return Math.max(0, this.clock.nowMs() - this.latestDue[slot]! * TICK_MS);
  }

  /** The current tick. */
  ticks(): number {
    return Math.floor(this.clock.nowMs() / TICK_MS);
  }

  /** Number of tracked keys of each rule. */
  trackedByRule(): Map<Rule, number> {
    return new Map(this.rules.list.map((rule, index) => [rule, this.tracker.countOf(index)]));
  }

  /** Tracked keys with the names of their rules. */
  *keys(): Iterable<readonly [key: string, rule: string]> {
    for (const slot of this.tracker.slots()) yield [this.tracker.key(slot)!, this.ruleOf(slot).config.name];
  }

  /** The most requested keys of a rule, among the examined keys: with very many keys, not all are examined. */
  mostNeeded(ruleName: string, count: number): TrackedKey[] {
    const index = this.rules.list.findIndex(({ config }) => config.name === ruleName);
    const nowMs = this.clock.nowMs();
    const found: TrackedKey[] = [];
    let looks = 0;
    for (const slot of this.tracker.slots()) {
      if (++looks > MAX_LOOKS) break;
      if (this.tracker.rule(slot) !== index) continue;
      found.push(this.trackedAt(slot, nowMs));
    }
    return found.sort((a, b) => b.gets - a.gets || a.lastGetMs - b.lastGetMs).slice(0, count);
  }

  /** `dueMs`: time until its next refresh; `null` while it is refreshed. `null` for a key that is not tracked. */
  stateOf(key: string): (TrackedKey & { readonly dueMs: number | null }) | null {
    const slot = this.tracker.find(key);
    if (slot < 0) return null;
    const nowMs = this.clock.nowMs();
    const dueMs = this.wheel.dueMsOf(slot);
    return { ...this.trackedAt(slot, nowMs), dueMs: dueMs === null ? null : dueMs - nowMs };
  }

  private trackedAt(slot: number, nowMs: number): TrackedKey {
    return {
      key: this.tracker.key(slot)!,
      gets: this.tracker.getCount(slot),
      lastGetMs: Math.max(0, nowMs - this.tracker.lastGet(slot) * TICK_MS),
      freshMs: this.tracker.freshUntilTicks(slot) * TICK_MS - nowMs,
      failures: this.tracker.failureCount(slot),
    };
  }

  /**
   * Applies the rules and the pool of a new configuration. Keys stay under the rule with their rule's name; its times
   * apply from their next refresh on. Keys whose rule is gone or off, or does not cover them any more, are dropped.
   */
  replace(rules: Rules, port: PoolPort, maxKeys: number): void {
    this.tracker.maxKeys = maxKeys;
    const before = this.rules;
    const isSamePool = port === this.port;
    this.rules = rules;
    this.port = port;
    for (const slot of [...this.tracker.slots()]) {
      const old = before.list[this.tracker.rule(slot)]!;
      const index = this.indexOf(this.tracker.key(slot)!, old);
      if (index < 0) {
        this.drop(slot);
        continue;
      }
      this.tracker.setRule(slot, index);
      // The tag of another source or rule may mean another value for this one. And a cas of other servers is a number
      // that may occur again.
      if (!isSamePool || !isSameOrigin(old, rules.list[index]!)) this.tracker.forgetItem(slot);
    }
  }

  /** Drops the least needed keys until about `bytes` are free. Returns the number of bytes that this frees. */
  shed(bytes: number): number {
    const count = Math.min(this.tracker.size, Math.ceil(bytes / TRACKED_KEY_BYTES));
    this.tracker.evictMany(count, (slot) => this.drop(slot));
    return count * TRACKED_KEY_BYTES;
  }

  /**
   * The slot of `key` under the rule at `index`, requested at `nowTicks`. The caller must settle it. May drop another
   * key.
   */
  track(key: string, index: number, nowTicks: number): number {
    return this.tracker.track(key, index, nowTicks, (evicted) => this.drop(evicted));
  }

  /** The current rule of a tracked key. */
  ruleOf(slot: number): Rule {
    return this.rules.list[this.tracker.rule(slot)]!;
  }

  /**
   * False if a reload has changed the source or the destination of the key's values since an operation began with
   * `rule` and `port`.
   */
  isCurrent(slot: number, rule: Rule, port: PoolPort): boolean {
    return port === this.port && isSameOrigin(rule, this.ruleOf(slot));
  }

  /** Index of the rule with that name if it covers `key` and is on; else −1. `rule` may be of another configuration. */
  indexOf(key: string, rule: Rule): number {
    const index = this.rules.list.indexOf(rule);
    if (index >= 0) return index;
    const now = this.rules.match(key)?.rule.config;
    if (now?.name !== rule.config.name || now.mode !== "on") return -1;
    return this.rules.list.findIndex(({ config }) => config === now);
  }

  /**
   * The source has no room for a refresh. A backlog drains at the source's pace; many keys are spread over a longer
   * time.
   */
  defer(slot: number, { config, counters }: Rule): void {
    counters.deferred++;
    const longestMs = Math.min(config.ttlMs / 4, MOST_DEFER_MS);
    const leastMs = Math.min(config.ttlMs / 16, LEAST_DEFER_MS);
    this.arm(slot, leastMs + this.random() * (longestMs - leastMs));
  }

  /** The refresh of `key` failed: it is due again after a backoff. */
  retry(key: string): void {
    const slot = this.tracker.find(key);
    if (slot < 0) return;
    const rule = this.ruleOf(slot);
    const failures = this.tracker.failureCount(slot) + 1;
    this.tracker.setFailureCount(slot, failures);
    // At the latest when a stale value must no longer be served.
    const leftMs = this.tracker.staleUntilTicks(slot) * TICK_MS - this.clock.nowMs();
    const delayMs = Math.min(retryIn(failures, this.random()), rule.config.ttlMs);
    this.arm(slot, leftMs > 0 ? Math.min(delayMs, leftMs + TICK_MS) : delayMs);
  }

  /**
   * The key's value is fresh for that time by `rule`. If a reload has changed the rule, at most as long as the new rule
   * allows.
   */
  settle(slot: number, rule: Rule, said: { ttlMs: number; staleMs: number }): void {
    const now = this.ruleOf(slot);
    const { config } = now;
    const isSame = isSameOrigin(rule, now);
    const ttlMs = isSame ? said.ttlMs : Math.min(said.ttlMs, longestTtlMs(config));
    const staleMs = isSame ? said.staleMs : Math.min(said.staleMs, config.staleMs);
    this.tracker.setFailureCount(slot, 0);
    const freshUntil = this.clock.nowMs() + ttlMs;
    this.tracker.setTimes(slot, freshUntil / TICK_MS, (freshUntil + staleMs) / TICK_MS);
    this.latestDue[slot] = Math.ceil((this.clock.nowMs() + dueIn(ttlMs, config, 0)) / TICK_MS);
    this.arm(slot, dueIn(ttlMs, config, this.random()));
  }

  /** Makes the slot due after `delayMs`. */
  arm(slot: number, delayMs: number): void {
    this.wheel.schedule(slot, this.clock.nowMs() + delayMs);
  }

  /** Stops tracking the key. */
  drop(slot: number): void {
    this.dropped(this.tracker.key(slot)!);
    this.wheel.cancel(slot);
    this.tracker.remove(slot);
  }
}
