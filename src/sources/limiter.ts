/**
 * The limits of a source: concurrency, rate, queue, a timeout that holds even if the source ignores its signal, and a
 * circuit breaker.
 *
 *     fetch ─► breaker ─► place and rate? ──no──► queue (at most half of the timeout)
 *                              │ yes
 *                              ▼
 *                           source ─► retry after a pause, if a retry may help and time is left
 *
 * Fills go before refreshes. Refreshes use at most half of the places and of the rate. If the queue is full, a fill
 * replaces the newest refresh.
 */
import type { Clock, Timer } from "../clock.ts";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { Histogram } from "../telemetry/histogram.ts";
import { Breaker, type BreakerLimits, type BreakerState } from "./breaker.ts";
import type { Captures, FetchContext, FetchResult, Source } from "./source.ts";
import { TokenBucket } from "./token-bucket.ts";

/** A client waits for a fill, but not for a refresh. */
export type Priority = "fill" | "refresh";

export interface Limits extends BreakerLimits {
  /** Timeout of a fetch, including its time in the queue (ms). */
  readonly timeoutMs: number;
  readonly concurrency: number;
  /** Maximum number of fetches that wait for a place. */
  readonly queue: number;
  /** Maximum number of fetches per second. 0 means no limit. */
  readonly ratePerSecond: number;
  /** Maximum number of retries of a failed fetch. */
  readonly retries: number;
}

/** Counters since the start. */
export interface SourceCounters {
  fetches: number;
  failed: number;
  retried: number;
  /** Fetches that were not started: no place in time, or the queue was full. */
  overloaded: number;
  /** Fetches that were not started: the breaker was open. */
  leftAlone: number;
  /** Total time of all ended fetches (ms). */
  fetchMs: number;
}

/** Failures by code, since the start. */
type FailureCounts = Map<SourceErrorCode, number>;

interface Waiting {
  readonly priority: Priority;
  readonly start: () => void;
  readonly refuse: (error: SourceError) => void;
  timer: Timer | null;
}

/** Failures that are faults of the source, not of the requested key. */
const FAULTS: ReadonlySet<SourceErrorCode> = new Set([
  "SOURCE_TIMEOUT",
  "SOURCE_UNREACHABLE",
  "SOURCE_STATUS",
  "SOURCE_FAILED",
]);
const FIRST_PAUSE_MS = 25;

/** A source with its limits. */
export class Limiter {
  readonly name: string;
  readonly counters: SourceCounters = {
    fetches: 0,
    failed: 0,
    retried: 0,
    overloaded: 0,
    leftAlone: 0,
    fetchMs: 0,
  };
  readonly failures: FailureCounts = new Map();
  /** Durations of ended fetches. */
  readonly latency = new Histogram();
  private readonly source: Source;
  private readonly limits: Limits;
  private readonly clock: Clock;
  private readonly breaker: Breaker;
  /** `null` if there is no limit. A refresh needs a token of both buckets. */
  private readonly rate: TokenBucket | null;
  private readonly refreshRate: TokenBucket | null;
  private running = 0;
  private runningRefreshes = 0;
  /** Fills that were admitted and whose fetch has not started yet. */
  private admitted = 0;
  /** Created once, so that a refusal is cheap. */
  private readonly full: SourceError;
  private readonly open: SourceError;
  /** Fetches that were started and have no result yet. */
  private asked = 0;
  /** Called when the last fetch ends. */
  private onIdle = () => {};
  private readonly fills: Waiting[] = [];
  private readonly refreshes: Waiting[] = [];
  /** Timer for the next token. */
  private rateTimer: Timer | null = null;
  private rateTimerMs = 0;

  constructor(source: Source, limits: Limits, clock: Clock) {
    this.name = source.name;
    this.source = source;
    this.limits = limits;
    this.clock = clock;
    this.breaker = new Breaker(limits, clock);
    const { ratePerSecond } = limits;
    this.rate = ratePerSecond === 0 ? null : new TokenBucket(ratePerSecond, clock.nowMs());
    this.refreshRate = ratePerSecond === 0 ? null : new TokenBucket(ratePerSecond / 2, clock.nowMs());
    this.full = new SourceError(
      "SOURCE_OVERLOADED",
      `source ${source.name}: ${limits.queue} fetches are waiting already`,
    );
    this.open = new SourceError("SOURCE_LEFT_ALONE", `source ${source.name}: left alone for a while after failures`);
  }

  /** Timeout of a fetch, including its time in the queue (ms). */
  get timeoutMs(): number {
    return this.limits.timeoutMs;
  }

  /** Number of fetches in flight, including timed-out fetches whose source has not ended. */
  get inFlight(): number {
    return this.running;
  }

  /** Number of fetches that wait for a place. */
  get waiting(): number {
    return this.fills.length + this.refreshes.length;
  }

  get breakerState(): BreakerState {
    return this.breaker.state;
  }

  /** Number of times the breaker opened. */
  get breakerOpened(): number {
    return this.breaker.opened;
  }

  /** True if a refresh that starts now would be in flight soon. */
  get hasRoomForRefresh(): boolean {
    if (!this.breaker.takesRefreshes) return false;
    if (this.limits.queue === 0) return this.hasPlace("refresh") && this.tokenWaitMs("refresh") === 0;
    // Half of the maximum waiting time: fills may arrive in between.
    const rateMs = this.refreshRate?.waitMs(this.clock.nowMs(), this.refreshes.length + 1) ?? 0;
    if (rateMs > this.patienceMs / 2) return false;
    return this.refreshes.length < Math.max(1, this.limits.concurrency / 2) && this.waiting < this.limits.queue;
  }

  /**
   * Reserves a place for a later fill of `key`. Returns `null`, and the caller must call `endAdmission` once, just
   * before `fetch` or instead of it. Otherwise returns the reason why the source accepts no more fills.
   */
  admitFill(key: string): SourceError | null {
    const { breaker } = this;
    if (!breaker.mayEnter(key, false) || (breaker.state === "half open" && this.admitted > 0)) return this.leftAlone();
    const isFree = this.fills.length === 0 && this.tokenWaitMs("fill") === 0;
    const free = isFree ? Math.max(0, this.limits.concurrency - this.running) : 0;
    if (this.admitted + this.fills.length >= free + this.limits.queue) {
      this.counters.overloaded++;
      return this.full;
    }
    this.admitted++;
    return null;
  }

  /** Releases the reservation of `admitFill`. */
  endAdmission(): void {
    this.admitted--;
  }

  /** Describes the requests that the source would make. */
  describe(context: FetchContext): string[] {
    return this.source.describe?.(context) ?? [];
  }

  /** Closes the source, which has left the configuration, when no fetch is in flight or queued. */
  async retire(): Promise<void> {
    if (!this.isIdle) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.onIdle = resolve;
      await promise;
    }
    await this.source.close();
  }

  /**
   * Fetches once a place is free. Throws a SourceError: the source's error, a timeout, or a refusal without a request.
   */
  async fetch(captures: Captures, priority: Priority, tag: string | null): Promise<FetchResult> {
    this.asked++;
    try {
      return await this.fetchInTime(captures, priority, tag);
    } finally {
      this.asked--;
      if (this.isIdle) this.onIdle();
    }
  }

  /**
   * Maximum waiting time: a fetch that starts late keeps at least half of the timeout, so that its request is not in
   * vain.
   */
  private get patienceMs(): number {
    return this.limits.timeoutMs / 2;
  }

  private get isIdle(): boolean {
    return this.asked === 0 && this.running === 0;
  }

  private async fetchInTime(captures: Captures, priority: Priority, tag: string | null): Promise<FetchResult> {
    const deadlineMs = this.clock.nowMs() + this.limits.timeoutMs;
    const key = captures.cacheKey ?? captures.key;
    await this.enter(key, priority);
    if (!this.breaker.tryEnter(key, priority === "refresh")) {
      this.leave(priority);
      throw this.leftAlone();
    }
    const startMs = this.clock.nowMs();
    this.counters.fetches++;
    try {
      const result = await this.attempt(captures, priority, tag, deadlineMs);
      this.breaker.succeeded(key);
      return result;
    } catch (error) {
      this.judge(key, error);
      throw error;
    } finally {
      const tookMs = this.clock.nowMs() - startMs;
      this.counters.fetchMs += tookMs;
      this.latency.add(tookMs);
    }
  }

  /** The place becomes free when the source's operation ends, even if this is after the timeout. */
  private async attempt(
    captures: Captures,
    priority: Priority,
    tag: string | null,
    deadlineMs: number,
  ): Promise<FetchResult> {
    const abort = new AbortController();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = this.clock.setTimer(Math.max(1, deadlineMs - this.clock.nowMs()), () => {
      const { timeoutMs } = this.limits;
      const error = new SourceError("SOURCE_TIMEOUT", `source ${this.name}: no answer within ${timeoutMs} ms`);
      reject(error);
      abort.abort(error);
    });
    const asking = this.askWithRetries({ ...captures, tag, priority, signal: abort.signal }, deadlineMs).finally(() =>
      this.leave(priority),
    );
    try {
      return await Promise.race([asking, late]);
    } finally {
      this.clock.clearTimer(timer);
      // After the timeout, no caller waits for this promise.
      asking.catch(() => {});
    }
  }

  private async askWithRetries(context: FetchContext, deadlineMs: number): Promise<FetchResult> {
    for (let retry = 0; ; retry++) {
      try {
        return await this.source.fetch(context);
      } catch (error) {
        const pauseMs = FIRST_PAUSE_MS * 2 ** retry;
        const isInTime = this.clock.nowMs() + pauseMs < deadlineMs && !context.signal.aborted;
        if (retry >= this.limits.retries || !isInTime || !mayHelp(error)) throw error;
        this.counters.retried++;
        await new Promise<void>((resolve) => this.clock.setTimer(pauseMs, resolve));
        if (context.signal.aborted) throw error;
      }
    }
  }

  private judge(key: string, error: unknown): void {
    this.counters.failed++;
    const code = error instanceof SourceError ? error.code : "SOURCE_FAILED";
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    if (!FAULTS.has(code)) {
      this.breaker.cancelled(key);
    } else if (this.breaker.failed(key)) {
      for (const waiting of [...this.fills.splice(0), ...this.refreshes.splice(0)]) {
        this.refuse(waiting, this.leftAlone());
      }
    }
  }

  private async enter(key: string, priority: Priority): Promise<void> {
    if (!this.breaker.mayEnter(key, priority === "refresh")) throw this.leftAlone();
    const queue = priority === "fill" ? this.fills : this.refreshes;
    if (queue.length === 0 && this.hasPlace(priority) && this.tokenWaitMs(priority) === 0) {
      this.occupy(priority);
      return;
    }
    if (this.waiting >= this.limits.queue) {
      const last = priority === "fill" ? this.refreshes.pop() : undefined;
      if (last === undefined) {
        this.counters.overloaded++;
        throw this.full;
      }
      this.refuse(last, this.overloaded("a fill took its place in the queue"));
    }
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = { priority, start: resolve, refuse: reject, timer: null };
      const { patienceMs } = this;
      waiting.timer = this.clock.setTimer(patienceMs, () => {
        waiting.timer = null;
        queue.splice(queue.indexOf(waiting), 1);
        this.refuse(waiting, this.overloaded(`no place within ${patienceMs} ms`));
      });
      queue.push(waiting);
      this.startNext();
    });
  }

  private refuse(waiting: Waiting, error: SourceError): void {
    if (waiting.timer !== null) this.clock.clearTimer(waiting.timer);
    waiting.refuse(error);
  }

  private overloaded(why: string): SourceError {
    this.counters.overloaded++;
    return new SourceError("SOURCE_OVERLOADED", `source ${this.name}: ${why}`);
  }

  private leftAlone(): SourceError {
    this.counters.leftAlone++;
    return this.open;
  }

  private hasPlace(priority: Priority): boolean {
    if (this.running >= this.limits.concurrency) return false;
    return priority === "fill" || this.runningRefreshes < Math.max(1, Math.floor(this.limits.concurrency / 2));
  }

  /** Time until the rate allows another fetch (ms). */
  private tokenWaitMs(priority: Priority): number {
    const nowMs = this.clock.nowMs();
    const wait = this.rate?.waitMs(nowMs) ?? 0;
    return priority === "fill" ? wait : Math.max(wait, this.refreshRate?.waitMs(nowMs) ?? 0);
  }

  private occupy(priority: Priority): void {
    this.running++;
    this.rate?.take();
    if (priority === "fill") return;
    this.runningRefreshes++;
    this.refreshRate?.take();
  }

  private leave(priority: Priority): void {
    this.running--;
    if (priority === "refresh") this.runningRefreshes--;
    this.startNext();
    if (this.isIdle) this.onIdle();
  }

  private startNext(): void {
    let waitMs = Number.POSITIVE_INFINITY;
    for (const queue of [this.fills, this.refreshes]) {
      while (queue.length > 0 && this.hasPlace(queue[0]!.priority)) {
        const tokenMs = this.tokenWaitMs(queue[0]!.priority);
        if (tokenMs > 0) {
          waitMs = Math.min(waitMs, tokenMs);
          break;
        }
        const next = queue.shift()!;
        if (next.timer !== null) this.clock.clearTimer(next.timer);
        this.occupy(next.priority);
        next.start();
      }
    }
    if (waitMs === Number.POSITIVE_INFINITY) return;
    const atMs = this.clock.nowMs() + Math.ceil(waitMs);
    if (this.rateTimer !== null) {
      // A fill may get its token before the refresh for which the timer is set.
      if (this.rateTimerMs <= atMs) return;
      this.clock.clearTimer(this.rateTimer);
    }
    this.rateTimerMs = atMs;
    this.rateTimer = this.clock.setTimer(Math.ceil(waitMs), () => {
      this.rateTimer = null;
      this.startNext();
    });
  }
}

/** True if a retry may succeed: the server was unreachable or busy. Other failures are permanent. */
function mayHelp(error: unknown): boolean {
  return error instanceof SourceError && (error.code === "SOURCE_UNREACHABLE" || error.isTransient);
}
