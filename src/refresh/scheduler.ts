/**
 * Keeps populated keys fresh for as long as clients ask for them.
 *
 *     tracked ──due──► needed? ──no──► dropped (its item is left to its exptime)
 *        ▲                │ yes
 *        │                ▼
 *        │        read TTL and cas ── gone ─► dropped (the next get fills it)
 *        │                │  fresher than expected: another process was here
 *        │◄── re-arm ─────┤
 *        │                ▼
 *        └── re-arm ── fetch, write with that cas        failed: again with back-off, while the item lives
 */
import type { Clock, Timer } from "../clock.ts";
import type { FetchResult } from "../sources/source.ts";
import type { FillEvents } from "./filler.ts";
import { dueIn, exptimeOf, freshnessOf, isRefreshedElsewhere, retryIn } from "./policy.ts";
import type { PoolPort } from "./pool-port.ts";
import type { Match, Rule, Rules } from "./rules.ts";
import { TimingWheel } from "./timing-wheel.ts";
import { keyHash, Tracker } from "./tracker.ts";

const TICK_MS = 100;
/** Keys that may fall due in one tick; more of them wait for the next. */
const DUE_PER_TICK = 10_000;
/** A key that falls due while it is being refreshed is looked at again after this time. */
const BUSY_MS = 1_000;

/** Tells of what went wrong; a burst of one failure is one line. */
export interface RefreshLog {
  sourceFailed(rule: Rule, error: unknown): void;
  poolFailed(rule: Rule, error: unknown): void;
}

export interface SchedulerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  /** 0 ≤ x < 1, for jitter. */
  readonly random: () => number;
  readonly log: RefreshLog;
  readonly maxKeys: number;
}

/** The one scheduler of a process. */
export class Scheduler implements FillEvents {
  private rules: Rules;
  private port: PoolPort;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly log: RefreshLog;
  private readonly tracker: Tracker;
  private readonly wheel: TimingWheel;
  private timer: Timer | null = null;
  /** The tick of the monotonic clock that runs: gets are noted with this precision. */
  private nowTicks: number;
  private isStopped = false;
  /** Keys that are being refreshed: a key is refreshed by one at a time. */
  private readonly busy = new Set<string>();

  constructor(options: SchedulerOptions) {
    this.rules = options.rules;
    this.port = options.port;
    this.clock = options.clock;
    this.random = options.random;
    this.log = options.log;
    this.wheel = new TimingWheel(TICK_MS, this.clock.nowMs(), Tracker.firstCapacity);
    this.tracker = new Tracker(options.maxKeys, (capacity) => this.wheel.grow(capacity), options.random);
    this.nowTicks = Math.floor(this.clock.nowMs() / TICK_MS);
  }

  /** Keys that are kept fresh. */
  get tracked(): number {
    return this.tracker.size;
  }

  /** Refreshes under way. */
  get inFlight(): number {
    return this.busy.size;
  }

  got(chunk: Buffer, start: number, end: number): void {
    if (this.tracker.size > 0) this.tracker.noteGet(keyHash(chunk, start, end), this.nowTicks);
  }

  populated(key: string, rule: Rule): void {
    const index = this.indexOf(key, rule);
    if (index < 0 || this.isStopped) return;
    if (this.timer === null) this.resume();
    const slot = this.tracker.track(key, index, this.nowTicks, (evicted) => this.drop(evicted));
    this.arm(slot, dueIn(rule.config.ttlMs, rule.config, this.random()));
  }

  /**
   * Rules and pool of a new configuration. Keys go on under the rule of the same name, with its times from their next
   * refresh on; keys whose rule is gone or off, or does not cover them any more, are not tracked any more.
   */
  replace(rules: Rules, port: PoolPort): void {
    const before = this.rules;
    this.rules = rules;
    this.port = port;
    for (const slot of [...this.tracker.slots()]) {
      const index = this.indexOf(this.tracker.key(slot)!, before.list[this.tracker.rule(slot)]!);
      if (index < 0) this.drop(slot);
      else this.tracker.setRule(slot, index);
    }
  }

  /** No more refreshes. */
  stop(): void {
    this.isStopped = true;
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  /** Where the rule of that name stands now, if it covers `key` and is on; else −1. `rule` may be of another configuration. */
  private indexOf(key: string, rule: Rule): number {
    const index = this.rules.list.indexOf(rule);
    if (index >= 0) return index;
    const now = this.rules.match(key)?.rule.config;
    if (now?.name !== rule.config.name || now.mode !== "on") return -1;
    return this.rules.list.findIndex(({ config }) => config === now);
  }

  /** Goes on after a time with no keys, which the wheel takes in one step. */
  private resume(): void {
    const nowMs = this.clock.nowMs();
    this.nowTicks = Math.floor(nowMs / TICK_MS);
    this.wheel.advance(nowMs, 0, () => {});
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
    this.wheel.advance(nowMs, DUE_PER_TICK, (slot) => this.fallDue(slot));
    if (this.tracker.size > 0 && !this.isStopped) this.timer ??= this.setTimer();
  }

  private fallDue(slot: number): void {
    const key = this.tracker.key(slot)!;
    const rule = this.rules.list[this.tracker.rule(slot)]!;
    const idleMs = this.clock.nowMs() - this.tracker.lastGet(slot) * TICK_MS;
    if (idleMs > rule.config.expiryMs) {
      rule.counters.dropped++;
      this.drop(slot);
      return;
    }
    const match = this.rules.match(key);
    if (this.busy.has(key)) {
      this.arm(slot, BUSY_MS);
      return;
    }
    if (match === null || match.rule !== rule) {
      this.drop(slot);
      return;
    }
    this.busy.add(key);
    this.refresh(key, match)
      .catch((error: unknown) => {
        this.log.poolFailed(rule, error);
        this.retry(key, rule);
      })
      .finally(() => this.busy.delete(key));
  }

  private async refresh(key: string, match: Match): Promise<void> {
    const { rule } = match;
    // The cas read is good for this pool only, whatever a new configuration brings meanwhile.
    const port = this.port;
    const item = await port.read(key);
    if (item === null) {
      this.forget(key, rule);
      return;
    }
    if (isRefreshedElsewhere(item.ttlSeconds, rule.config)) {
      this.settle(key, rule, freshnessOf(item.ttlSeconds, rule.config));
      return;
    }
    let result: FetchResult;
    try {
      result = await rule.source.fetch(match.captures, "refresh");
    } catch (error) {
      rule.counters.refreshFailed++;
      this.log.sourceFailed(rule, error);
      this.retry(key, rule);
      return;
    }
    if (result.type === "value") {
      const exptime = exptimeOf(rule.config.ttlMs, this.clock.unixSeconds());
      const written = await port.cas(key, key, result.value, exptime, item.cas);
      if (written.result === "stored") rule.counters.refreshed++;
      if (written.result === "notFound") this.forget(key, rule);
      else this.settle(key, rule, rule.config.ttlMs);
    } else if (rule.config.notFound === "keep") {
      this.retry(key, rule);
    } else if (await port.deleteIf(key, key, item.cas)) {
      this.forget(key, rule);
    } else {
      this.settle(key, rule, rule.config.ttlMs);
    }
  }

  private retry(key: string, rule: Rule): void {
    const slot = this.tracker.find(key);
    if (slot < 0) return;
    const failures = this.tracker.failureCount(slot) + 1;
    this.tracker.setFailureCount(slot, failures);
    this.arm(slot, Math.min(retryIn(failures, this.random()), rule.config.ttlMs));
  }

  /**
   * The key is well for `freshnessMs`. Where the cas differed that is for the sake of a client's word, or of another
   * process' refresh: it stands until the key is due again.
   */
  private settle(key: string, rule: Rule, freshnessMs: number): void {
    const slot = this.tracker.find(key);
    if (slot < 0) return;
    this.tracker.setFailureCount(slot, 0);
    this.arm(slot, dueIn(freshnessMs, rule.config, this.random()));
  }

  private arm(slot: number, delayMs: number): void {
    this.wheel.schedule(slot, this.clock.nowMs() + delayMs);
  }

  private forget(key: string, rule: Rule): void {
    const slot = this.tracker.find(key);
    if (slot < 0) return;
    rule.counters.dropped++;
    this.drop(slot);
  }

  private drop(slot: number): void {
    this.wheel.cancel(slot);
    this.tracker.remove(slot);
  }
}
