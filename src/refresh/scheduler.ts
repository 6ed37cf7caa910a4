/**
 * Keeps populated keys fresh while clients ask for them.
 *
 *     tracked ──due──► needed? ──no──► dropped (its item stays until its exptime)
 *        ▲                │ yes
 *        │                ▼
 *        └── re-arm ── refresh (refresher.ts)        failed: retry with backoff, while the item lives
 *
 * Keys that this process did not fill are tracked too once clients ask for them: their TTL shows their freshness.
 * schedule.ts decides when a key is due; this file receives gets and fills, and runs the refreshes.
 */
import type { Clock, Timer } from "../clock.ts";
import { keyHash } from "../proxy/hash/key-bytes-hash.ts";
import type { KeyList } from "../proxy/request.ts";
import type { Span, Tracer } from "../proxy/tracing.ts";
import { AskedRefreshes, endOf, type RefreshEnd } from "./asked-refreshes.ts";
import { FailedKeys, wasAsked } from "./failed-keys.ts";
import { backendMessage, errorCode } from "./fetch.ts";
import type { FillEvents } from "./filler.ts";
import { PickUp } from "./pick-up.ts";
import { freshnessOf } from "./policy.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Stored } from "./populator.ts";
import { digestOf, isFetched, type RefreshOutcome, refreshKey } from "./refresher.ts";
import type { Match, Rule, Rules } from "./rules.ts";
import { Schedule, TICK_MS, type TrackedKey, type TrackingBounds } from "./schedule.ts";
import { type Tracker, unknownItem } from "./tracker.ts";
import { UnsettledWrites } from "./unsettled-writes.ts";

/** Maximum number of keys that are handled in one tick; others wait for the next tick. */
const DUE_PER_TICK = 10_000;
/** A key that is due while it is being refreshed, by this or another process, is checked again after this time (ms). */
const BUSY_MS = 1_000;
/** A key that an operator wants refreshed and whose source has no room is due again after this time (ms). */
const ASKED_AGAIN_MS = 200;
/** A key that no rule covers is not checked again for this time. */
const NOT_COVERED_TICKS = 6_000;
const MAX_ORIGINS = 1_000;

/** Logs failures. A burst of equal failures is logged as one line. */
export interface RefreshLog {
  sourceFailed(rule: Rule, error: unknown, span?: Span | null): void;
  poolFailed(rule: Rule, error: unknown, span?: Span | null): void;
}

export interface SchedulerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
  readonly log: RefreshLog;
  readonly bounds: TrackingBounds;
  readonly unsettled?: UnsettledWrites;
  /** Receives the results of refreshes too. */
  readonly failedKeys?: FailedKeys;
  /** Called when a refresh ends. */
  readonly ended?: (key: string, rule: Rule, end: RefreshEnd) => void;
}

/** The scheduler of a process. */
export class Scheduler implements FillEvents {
  private readonly schedule: Schedule;
  /** The tracker of `schedule`. */
  private readonly tracker: Tracker;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly log: RefreshLog;
  private readonly unsettled: UnsettledWrites;
  private readonly failedKeys: FailedKeys;
  private readonly ended: (key: string, rule: Rule, end: RefreshEnd) => void;
  private readonly pickUp: PickUp;
  private timer: Timer | null = null;
  /** The current tick of the monotonic clock: gets are recorded with this precision. */
  private nowTicks: number;
  private isStopped = false;
  /** Hashes of the keys of one get, valid during a call. */
  private hashes = new Int32Array(64);
  /** Keys that are being refreshed: at most one refresh per key at a time. */
  private readonly busy = new Set<string>();
  /** Keys whose TTL is being read before they are tracked. */
  private readonly lookedAt = new Set<string>();
  /** Tracked keys, or keys in `lookedAt`, whose source has announced another value that no refresh has fetched yet. */
  private readonly changes = new Set<string>();
  private readonly asked = new AskedRefreshes();
  /** `null` if traces are off. */
  tracer: Tracer | null = null;
  /** Keys that a traced request made needed, with its traceparent. */
  private readonly origins = new Map<string, string>();

  constructor(options: SchedulerOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.log = options.log;
    this.unsettled = options.unsettled ?? new UnsettledWrites(options.clock);
    this.failedKeys = options.failedKeys ?? new FailedKeys(options.random);
    this.ended = options.ended ?? (() => {});
    this.schedule = new Schedule({ ...options, dropped: (key) => this.forget(key) });
    this.tracker = this.schedule.tracker;
    this.pickUp = new PickUp(options.bounds.pickUpRate, TICK_MS);
    this.nowTicks = this.schedule.ticks();
  }

  /** Number of tracked keys. */
  get tracked(): number {
    return this.tracker.size;
  }

  trackedByRule(): Map<Rule, number> {
    return this.schedule.trackedByRule();
  }

  mostNeeded(ruleName: string, count: number): TrackedKey[] {
    return this.schedule.mostNeeded(ruleName, count);
  }

  /** The state of a key. `null` if it is not tracked. */
  stateOf(key: string): ReturnType<Schedule["stateOf"]> {
    return this.schedule.stateOf(key);
  }

  /** Number of refreshes in progress. */
  get inFlight(): number {
    return this.busy.size;
  }

  /**
   * The source has announced another value for `key`: it is refreshed soon, if it is needed. A refresh in progress may
   * have fetched the old value, so another one follows.
   */
  changed(key: string): void {
    if (this.isStopped) return;
    const slot = this.tracker.find(key);
    if (slot < 0 && !this.busy.has(key) && !this.lookedAt.has(key)) return;
    this.changes.add(key);
    if (slot >= 0 && !this.busy.has(key)) this.schedule.arm(slot, 0);
  }

  /** Tracked keys with the names of their rules. */
  keys(): Iterable<readonly [key: string, rule: string]> {
    return this.schedule.keys();
  }

  /**
   * Refreshes a tracked key, whether or not it is due or needed, as soon as its source has room. Calls `ended` once, later;
   * synchronously if the key is not tracked.
   */
  refreshNow(key: string, ended: (end: RefreshEnd) => void): void {
    const slot = this.tracker.find(key);
    if (slot < 0 || this.isStopped) {
      ended("gone");
      return;
    }
    this.asked.add(key, ended);
    if (!this.busy.has(key)) this.schedule.arm(slot, 0);
  }

  untrack(key: string): void {
    const slot = this.tracker.find(key);
    if (slot >= 0) this.schedule.drop(slot);
  }

  isTracked(key: string): boolean {
    return this.tracker.find(key) >= 0;
  }

  got(chunk: Buffer, start: number, end: number, isHit: boolean): void {
    const hash = keyHash(chunk, start, end);
    if (this.tracker.size > 0 && this.tracker.noteGet(hash, this.nowTicks)) return;
    this.gotUntracked(hash, chunk, start, end, isHit);
  }

  gotAll({ bytes, starts, ends, blocks }: KeyList): void {
    const count = blocks.length;
    if (this.hashes.length < count) this.hashes = new Int32Array(count * 2);
    const { hashes, tracker } = this;
    for (let i = 0; i < count; i++) hashes[i] = keyHash(bytes, starts[i]!, ends[i]!);
    const isTracked = tracker.noteGets(hashes, count, this.nowTicks);
    for (let i = 0; i < count; i++) {
      if (isTracked[i] === 0) this.gotUntracked(hashes[i]!, bytes, starts[i]!, ends[i]!, blocks[i] !== null);
    }
  }

  private gotUntracked(hash: number, chunk: Buffer, start: number, end: number, isHit: boolean): void {
    // Without keys, no tick updates the time.
    if (this.timer === null) this.nowTicks = this.schedule.ticks();
    if (isHit && this.pickUp.isDue(hash, this.nowTicks)) this.lookAt(chunk.toString("latin1", start, end), hash);
  }

  /** `rule` and `port` may be of an earlier configuration: then nothing about the value is remembered. */
  populated(key: string, rule: Rule, stored: Stored, port: PoolPort = this.schedule.port): void {
    const slot = this.track(key, rule);
    if (slot < 0) return;
    const { cas, value, tag } = stored;
    if (cas !== null && this.schedule.isCurrent(slot, rule, port))
      this.tracker.remember(slot, { cas, digest: digestOf(value), tag });
    this.schedule.settle(slot, rule, stored);
  }

  traced(key: string, traceparent: string): void {
    this.origins.delete(key);
    this.origins.set(key, traceparent);
    if (this.origins.size > MAX_ORIGINS) this.origins.delete(this.origins.keys().next().value!);
  }

  /** Applies the rules and the pool of a new configuration: see `Schedule.replace`. */
  replace(rules: Rules, port: PoolPort, bounds: TrackingBounds): void {
    this.pickUp.rate = bounds.pickUpRate;
    this.schedule.replace(rules, port, bounds.maxTrackedKeys);
  }

  /** Stops all refreshes. */
  stop(): void {
    this.isStopped = true;
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
    this.asked.endAll((key) => this.busy.has(key));
  }

  /** Drops tracked keys of about this size, the least needed first. Returns the number of bytes that this frees. */
  shed(bytes: number): number {
    return this.schedule.shed(bytes);
  }

  /** Slot of a key that clients need now. −1 if the rule tracks no keys. */
  private track(key: string, rule: Rule): number {
    const index = this.schedule.indexOf(key, rule);
    if (index < 0 || this.isStopped) return -1;
    if (this.timer === null) this.resume();
    return this.schedule.track(key, index, this.nowTicks);
  }

  /** Reads the freshness of an untracked key that clients ask for. */
  private lookAt(key: string, hash: number): void {
    const match = this.schedule.rules.match(key);
    if (match === null || match.rule.config.mode !== "on" || this.isStopped) {
      this.pickUp.rest(hash, this.nowTicks + NOT_COVERED_TICKS);
      return;
    }
    const { rule } = match;
    this.pickUp.rest(hash, this.nowTicks + rule.config.ttlMs / 2 / TICK_MS);
    const { port } = this.schedule;
    this.lookedAt.add(key);
    port
      .read(key)
      .then((item) => {
        // The key may have been filled meanwhile, which gives better data. An item of another pool does not count.
        if (item === null || item.ttlSeconds === null || this.tracker.find(key) >= 0 || port !== this.schedule.port)
          return;
        const slot = this.track(key, rule);
        if (slot < 0) return;
        const { config } = this.schedule.ruleOf(slot);
        rule.counters.pickedUp++;
        this.tracker.remember(slot, unknownItem(item.cas));
        this.schedule.settle(slot, rule, { ttlMs: freshnessOf(item.ttlSeconds, config), staleMs: config.staleMs });
        if (this.changes.has(key)) this.schedule.arm(slot, 0);
      })
      .catch((error: unknown) => this.log.poolFailed(rule, error))
      .finally(() => {
        this.lookedAt.delete(key);
        this.forgetChange(key);
      });
  }

  /** Continues after a time without keys, which the wheel passes in one step. */
  private resume(): void {
    const nowMs = this.clock.nowMs();
    this.nowTicks = Math.floor(nowMs / TICK_MS);
    this.schedule.wheel.advance(nowMs, 0, () => {});
    this.timer = this.setTimer();
  }

  private setTimer(): Timer {
    return this.clock.setTimer(TICK_MS, () => {
      this.timer = null;
      this.tick();
    });
  }

  private tick(): void {
    const nowMs = this.clock.nowMs();
    this.nowTicks = Math.floor(nowMs / TICK_MS);
    this.schedule.wheel.advance(nowMs, DUE_PER_TICK, (slot) => this.fallDue(slot));
    if (this.tracker.size > 0 && !this.isStopped) this.timer ??= this.setTimer();
  }

  private fallDue(slot: number): void {
    const key = this.tracker.key(slot)!;
    const rule = this.schedule.ruleOf(slot);
    const { config, counters, source, timings } = rule;
    const isAsked = this.asked.has(key);
    const idleMs = this.clock.nowMs() - this.tracker.lastGet(slot) * TICK_MS;
    const isNeeded = idleMs <= config.expiryMs && this.tracker.getCount(slot) >= config.refreshAfterGets;
    if (!isNeeded && !isAsked) {
      counters.dropped++;
      this.schedule.drop(slot);
      return;
    }
    if (this.busy.has(key)) {
      this.schedule.arm(slot, BUSY_MS);
      return;
    }
    const match = this.schedule.rules.match(key);
    if (match === null || match.rule !== rule) {
      this.schedule.drop(slot);
      return;
    }
    // A value that must no longer be served is handled despite the source's limits: it is deleted if they prevent a
    // fetch.
    const isOver = config.isSourceTtl && this.tracker.staleUntilTicks(slot) * TICK_MS <= this.clock.nowMs();
    const isAdmitted = source.admitRefresh();
    if (!isAdmitted && !isOver) {
      if (isAsked) this.schedule.arm(slot, ASKED_AGAIN_MS * (0.5 + this.random()));
      else this.schedule.defer(slot, rule);
      return;
    }
    counters.due++;
    const lagMs = this.schedule.latenessOf(slot);
    timings.lag.add(lagMs);
    this.busy.add(key);
    const work: Work = {
      key,
      rule,
      port: this.schedule.port,
      isAnnounced: this.changes.delete(key),
      isAsked,
      span: null,
    };
    this.refresh(work, slot, match)
      .catch((error: unknown) => {
        this.log.poolFailed(rule, error, work.span);
        this.schedule.retry(key);
        if (work.isAnnounced) this.changes.add(key);
        this.ended(key, rule, "failed");
        this.asked.end(key, "failed");
      })
      .finally(() => {
        if (isAdmitted) source.endRefresh();
        this.busy.delete(key);
        this.forgetChange(key);
        this.refreshAgain(key);
      });
    if (work.span !== null) timings.lag.mark(lagMs, work.span);
  }

  /** For a key whose refresh was asked for while another refresh was in progress. */
  private refreshAgain(key: string): void {
    if (!this.asked.has(key)) return;
    const slot = this.tracker.find(key);
    if (slot < 0 || this.isStopped) this.asked.end(key, "gone");
    else this.schedule.arm(slot, 0);
  }

  private async refresh(work: Work, slot: number, match: Match): Promise<void> {
    const { tracker, clock, unsettled } = this;
    const { key, rule, port, isAnnounced, isAsked } = work;
    const nowTicks = clock.nowMs() / TICK_MS;
    const before = {
      known: tracker.knownItem(slot),
      expectedMs: (tracker.freshUntilTicks(slot) - nowTicks) * TICK_MS,
      isServable: tracker.staleUntilTicks(slot) > nowTicks,
      isForced: isAnnounced || isAsked,
      isWanted: () => {
        const now = tracker.find(key);
        return now >= 0 && this.schedule.isCurrent(now, rule, port);
      },
    };
    const span = this.beginSpan(key, rule);
    work.span = span;
    try {
      // The cas that was read only belongs to this pool, even if a reload changes the pool meanwhile.
      const outcome = await refreshKey(key, match, before, {
        port,
        portNow: () => this.schedule.port,
        clock,
        unsettled,
        span,
      });
      span?.set("platypus.result", outcome.type);
      if (outcome.type === "failed") span?.fail(errorCode(outcome.error));
      this.take(work, outcome, span);
    } catch (error) {
      span?.fail(errorCode(error), backendMessage(error));
      throw error;
    } finally {
      span?.end();
    }
  }

  /** Span of a key that a traced request made needed, or that is sampled itself. `null` if it is not traced. */
  private beginSpan(key: string, { config }: Rule): Span | null {
    const { tracer } = this;
    if (tracer === null) return null;
    const origin = this.origins.get(key) ?? null;
    if (origin === null && !tracer.samples()) return null;
    const span = tracer.beginRefresh(origin);
    span.about(key, config.name);
    return span;
  }

  private take(work: Work, outcome: RefreshOutcome, span: Span | null): void {
    const { key, rule, port } = work;
    const { counters } = rule;
    const end = endOf(outcome);
    this.ended(key, rule, end);
    if (work.isAsked) this.asked.end(key, end);
    const isAnswer = outcome.type !== "failed" || wasAsked(outcome.error);
    // Count the failure even if the key is not tracked any more.
    if (outcome.type === "failed" && isAnswer) {
      counters.refreshFailed++;
      this.failedKeys.add(key, outcome.error, rule.config, this.clock.nowMs());
      this.log.sourceFailed(rule, outcome.error, span);
    } else if (outcome.type === "stored") {
      if (outcome.isUnchanged) counters.unchanged++;
      else counters.refreshed++;
      this.failedKeys.delete(key);
    }
    const slot = this.tracker.find(key);
    // After a reload the key may belong to another rule, which has its own times for it.
    if (slot < 0 || this.tracker.rule(slot) !== this.schedule.indexOf(key, rule)) {
      if (slot >= 0 && this.changes.has(key)) this.schedule.arm(slot, 0);
      return;
    }
    if (port === this.schedule.port) this.settleOutcome(slot, work, outcome, isAnswer);
    else {
      // The result is about another pool.
      this.tracker.forgetItem(slot);
      this.schedule.arm(slot, BUSY_MS * (1 + this.random()));
    }
    // Announced during the refresh, which may have fetched the old value.
    if (this.changes.has(key)) this.schedule.arm(slot, 0);
    else if (work.isAnnounced && !isFetched(outcome)) this.changes.add(key);
  }

  private settleOutcome(
    slot: number,
    { key, rule, port, isAnnounced }: Work,
    outcome: RefreshOutcome,
    isAnswer: boolean,
  ): void {
    const { counters, config } = this.schedule.ruleOf(slot);
    switch (outcome.type) {
      case "gone":
        counters.dropped++;
        this.schedule.drop(slot);
        break;
      case "busy":
        this.schedule.arm(slot, BUSY_MS * (1 + this.random()));
        break;
      case "failed":
      case "notThere":
        if (isAnswer) this.schedule.retry(key);
        else this.schedule.defer(slot, this.schedule.ruleOf(slot));
        break;
      case "fresh":
        if (this.tracker.knownItem(slot)?.cas !== outcome.cas) this.tracker.remember(slot, unknownItem(outcome.cas));
        this.schedule.settle(slot, rule, { ttlMs: outcome.freshMs, staleMs: config.staleMs });
        // The other process may have fetched the value before the change.
        if (isAnnounced) this.schedule.arm(slot, BUSY_MS);
        break;
      case "kept":
        this.tracker.forgetItem(slot);
        this.schedule.settle(slot, rule, outcome);
        break;
      case "stored":
        if (outcome.known === null || !this.schedule.isCurrent(slot, rule, port)) this.tracker.forgetItem(slot);
        else this.tracker.remember(slot, outcome.known);
        this.schedule.settle(slot, rule, outcome);
        break;
    }
  }

  /** Forgets the data about a key outside of its schedule: the key is about to be dropped. */
  private forget(key: string): void {
    if (this.origins.size > 0) this.origins.delete(key);
    this.changes.delete(key);
    // The refresh in progress still ends.
    if (!this.busy.has(key)) this.asked.end(key, "gone");
  }

  /** Forgets an announced change of a key that is neither tracked nor about to be. */
  private forgetChange(key: string): void {
    if (this.tracker.find(key) >= 0 || this.busy.has(key) || this.lookedAt.has(key)) return;
    this.changes.delete(key);
  }
}

/** A refresh in progress. */
interface Work {
  readonly key: string;
  /** The rule at its start; `port` too is from its start. */
  readonly rule: Rule;
  readonly port: PoolPort;
  /** True if the source has announced another value: then an item that another process wrote is not fresh enough. */
  readonly isAnnounced: boolean;
  /** True if the refresh was asked for (`refreshNow`). */
  readonly isAsked: boolean;
  /** `null` if it is not traced, or not yet. */
  span: Span | null;
}
