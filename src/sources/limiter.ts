/**
 * The limits of a source: concurrency, rate, queue, a timeout that holds even if the source ignores its signal, and a
 * circuit breaker.
 *
 *     fetch ─► batch of keys ─► breaker ─► place and rate? ──no──► queue (at most half of the timeout)
 *             (batches.ts)                      │ yes               (fetch-queue.ts)
 *                                               ▼
 *                                            source ─► retry after a pause, if a retry may help and time is left
 *
 * A batch counts once: for the places, the rate and the breaker.
 */
import type { Clock } from "../clock.ts";
import { SourceError, type SourceErrorCode } from "../errors.ts";
import { Histogram } from "../telemetry/histogram.ts";
import { AdaptiveConcurrency } from "./adaptive-concurrency.ts";
import { Batches, type Call } from "./batches.ts";
import { Breaker, type BreakerLimits, type BreakerState } from "./breaker.ts";
import { FetchQueue, type Priority } from "./fetch-queue.ts";
import type { Batching, Captures, FetchContext, FetchResult, Source } from "./source.ts";

export interface Limits extends BreakerLimits {
  /** Timeout of a fetch, including its time in the queue (ms). */
  readonly timeoutMs: number;
  /** Maximum number of calls in flight. "auto": as many as the source can take, by its latency. */
  readonly concurrency: number | "auto";
  /** Maximum number of calls that wait for a place. */
  readonly queue: number;
  /** Maximum number of calls per second. 0 means no limit. */
  readonly ratePerSecond: number;
  /** Maximum number of retries of a failed call. */
  readonly retries: number;
}

/** Counters since the start. */
export interface SourceCounters {
  /** Calls of the source. */
  fetches: number;
  /** Keys in these calls. */
  keys: number;
  failed: number;
  retried: number;
  /** Calls that were not started: no place in time, or the queue was full. */
  overloaded: number;
  /** Calls that were not started: the breaker was open. */
  leftAlone: number;
  /** Total time of all ended calls (ms). */
  fetchMs: number;
}

/** Failures by code, since the start. */
type FailureCounts = Map<SourceErrorCode, number>;

/** Failures that are faults of the source, not of the requested key. */
const FAULTS: ReadonlySet<SourceErrorCode> = new Set([
  "SOURCE_TIMEOUT",
  "SOURCE_UNREACHABLE",
  "SOURCE_STATUS",
  "SOURCE_FAILED",
]);
const FIRST_PAUSE_MS = 25;
/** Refreshes are started at this interval (ms): those in progress must last until the next start. */
const REFRESH_INTERVAL_MS = 100;
/** Weight of the latest call in the typical latency. */
const LATENCY_WEIGHT = 0.1;

/** A source with its limits. */
export class Limiter {
  readonly name: string;
  readonly failures: FailureCounts = new Map();
  /** Of these, the answers with an unexpected HTTP status, by status. */
  readonly statuses = new Map<number, number>();
  /** Message of the latest failure. `null` if the latest call succeeded, or there was none. */
  lastError: string | null = null;
  /** Durations of ended calls. */
  readonly latency = new Histogram();
  private readonly counts = { fetches: 0, keys: 0, failed: 0, retried: 0, leftAlone: 0, fetchMs: 0 };
  private readonly source: Source;
  private readonly limits: Limits;
  private readonly clock: Clock;
  private readonly breaker: Breaker;
  private readonly queue: FetchQueue;
  /** `null` if the number of places is fixed. */
  private readonly adaptive: AdaptiveConcurrency | null;
  /** `null` if the source fetches one key per call. */
  private batches: Batches | null = null;
  private keysPerCall = 1;
  /** Resolves when it is known if the source has batches. `null` before the first fetch and after a failure. */
  private learning: Promise<void> | null = null;
  /** Fills that were admitted and whose fetch has not started yet. */
  private admitted = 0;
  /** Refreshes that were admitted and have not ended. */
  private refreshing = 0;
  /** Latency of a typical call (ms). 0 before the first call ended. */
  private typicalMs = 0;
  /** Created once, so that a refusal is cheap. */
  private readonly open: SourceError;
  /** Fetches that were started and have no result yet. */
  private asked = 0;
  /** Called when the last fetch ends. */
  private onIdle = () => {};

  constructor(source: Source, limits: Limits, clock: Clock) {
    this.name = source.name;
    this.source = source;
    this.limits = limits;
    this.clock = clock;
    this.breaker = new Breaker(limits, clock);
    this.adaptive = limits.concurrency === "auto" ? new AdaptiveConcurrency() : null;
    const { queue, ratePerSecond, timeoutMs } = limits;
    // A call that starts late keeps at least half of the timeout, so that it is not in vain.
    const queueLimits = { queue, ratePerSecond, patienceMs: timeoutMs / 2 };
    this.queue = new FetchQueue(source.name, () => this.places, queueLimits, clock);
    this.open = new SourceError("SOURCE_LEFT_ALONE", `source ${source.name}: left alone for a while after failures`);
    this.useBatches(source.batching ?? null);
  }

  get counters(): SourceCounters {
    return { ...this.counts, overloaded: this.queue.overloaded };
  }

  /** Timeout of a fetch, including its time in the queue (ms). */
  get timeoutMs(): number {
    return this.limits.timeoutMs;
  }

  /** Number of calls in flight, including timed-out calls whose source has not ended. */
  get inFlight(): number {
    return this.queue.running;
  }

  /** Number of calls that wait for a place. */
  get waiting(): number {
    return this.queue.waiting;
  }

  /** Maximum number of calls in flight now. */
  get places(): number {
    const { concurrency } = this.limits;
    return concurrency === "auto" ? this.adaptive!.places : concurrency;
  }

  get breakerState(): BreakerState {
    return this.breaker.state;
  }

  /** Number of times the breaker opened. */
  get breakerOpened(): number {
    return this.breaker.opened;
  }

  /** An operator closes the circuit breaker. */
  closeBreaker(): void {
    this.breaker.close();
  }

  /** True if a refresh that starts now would be in flight soon. */
  get hasRoomForRefresh(): boolean {
    if (!this.breaker.takesRefreshes) return false;
    const { places, keysPerCall } = this;
    // As many as the source can take until the next refreshes start, so that its places stay in use.
    const soon = this.typicalMs === 0 ? 0 : (places * REFRESH_INTERVAL_MS) / this.typicalMs;
    const most = places + Math.max(places / 2, soon);
    if (this.refreshing >= most * keysPerCall) return false;
    return this.queue.hasRoomForRefresh(Math.floor(this.refreshing / keysPerCall));
  }

  /** Reserves room for a refresh. If true, the caller must call `endRefresh` once, after the refresh has ended. */
  admitRefresh(): boolean {
    if (!this.hasRoomForRefresh) return false;
    this.refreshing++;
    return true;
  }

  endRefresh(): void {
    this.refreshing--;
  }

  /**
   * Reserves a place for a later fill of `key`. Returns `null`, and the caller must call `endAdmission` once, just
   * before `fetch` or instead of it. Otherwise returns the reason why the source accepts no more fills.
   */
  admitFill(key: string): SourceError | null {
    const { breaker, keysPerCall } = this;
    if (!breaker.mayEnter(key, false) || (breaker.state === "half open" && this.admitted > 0)) return this.leftAlone();
    const refusal = this.queue.refusalOf(Math.floor(this.admitted / keysPerCall));
    if (refusal === null) this.admitted++;
    return refusal;
  }

  /** Releases the reservation of `admitFill`. */
  endAdmission(): void {
    this.admitted--;
  }

  /** Describes the calls for several keys that are fetched together, one line per call. */
  async describeMany(contexts: readonly FetchContext[]): Promise<string[]> {
    const batching = this.source.batching ?? (await this.source.loadBatching?.()) ?? null;
    if (batching === null) return contexts.flatMap((context) => this.describe(context));
    const groups = Map.groupBy(contexts, (context) => batching.groupOf(context));
    return [...groups.values()].flatMap((group) => {
      const calls = Math.ceil(group.length / batching.maxKeys);
      return Array.from({ length: calls }, (_, i) =>
        group.slice(i * batching.maxKeys, (i + 1) * batching.maxKeys),
      ).flatMap((each) => (each.length === 1 ? this.describe(each[0]!) : batching.describe(each)));
    });
  }

  /** Describes the calls for one key, one line per call. */
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
      const deadlineMs = this.clock.nowMs() + this.limits.timeoutMs;
      if (this.source.loadBatching !== undefined) await this.learnBatching();
      if (this.batches !== null) return await this.batches.fetch(captures, priority, tag, deadlineMs);
      const abort = new AbortController();
      const key = captures.cacheKey ?? captures.key;
      const result = await this.call({
        priority,
        firstKey: key,
        start: () => ({ keys: [key], deadlineMs, span: captures.span ?? null }),
        ask: () => this.source.fetch({ ...captures, tag, priority, signal: abort.signal }),
        abort,
      });
      return result!;
    } finally {
      this.asked--;
      if (this.isIdle) this.onIdle();
    }
  }

  private async learnBatching(): Promise<void> {
    this.learning ??= this.source.loadBatching!().then(
      (batching) => this.useBatches(batching),
      () => {
        // The fetch itself reports the failure.
        this.learning = null;
      },
    );
    await this.learning;
  }

  private useBatches(batching: Batching | null): void {
    if (batching === null) return;
    this.keysPerCall = batching.maxKeys;
    this.batches = new Batches(batching, {
      clock: this.clock,
      timeoutMs: this.limits.timeoutMs,
      expectedFills: () => this.admitted,
      timeoutError: () => this.timeoutError(),
      call: (call) => this.call(call),
      fetchOne: (context) => this.source.fetch(context),
      countCall: () => {
        this.counts.fetches++;
      },
    });
  }

  private get isIdle(): boolean {
    return this.asked === 0 && this.queue.running === 0;
  }

  private async call<T>({ priority, firstKey, start, ask, abort }: Call<T>): Promise<T | null> {
    const isRefresh = priority === "refresh";
    if (!this.breaker.mayEnter(firstKey, isRefresh)) throw this.leftAlone();
    await this.queue.enter(priority);
    const started = start();
    if (started === null || !this.breaker.tryEnter(firstKey, isRefresh)) {
      this.leave();
      if (started === null) return null;
      throw this.leftAlone();
    }
    const { keys, deadlineMs, span } = started;
    const startMs = this.clock.nowMs();
    this.counts.fetches++;
    this.counts.keys += keys.length;
    let isOverload = false;
    try {
      const result = await this.attempt(ask, abort, deadlineMs);
      this.breaker.succeeded(keys);
      this.lastError = null;
      return result;
    } catch (error) {
      isOverload = error instanceof SourceError && (error.code === "SOURCE_TIMEOUT" || mayHelp(error));
      this.judge(firstKey, error);
      throw error;
    } finally {
      const tookMs = this.clock.nowMs() - startMs;
      this.counts.fetchMs += tookMs;
      this.latency.add(tookMs);
      if (span !== null) this.latency.mark(tookMs, span);
      this.typicalMs += this.typicalMs === 0 ? tookMs : (tookMs - this.typicalMs) * LATENCY_WEIGHT;
      this.adaptive?.ended(tookMs, this.queue.running, isOverload);
    }
  }

  /** The place becomes free when the source's operation ends, even if this is after the timeout. */
  private attempt<T>(ask: () => Promise<T>, abort: AbortController, deadlineMs: number): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.clock.setTimer(Math.max(1, deadlineMs - this.clock.nowMs()), () => {
        const error = this.timeoutError();
        reject(error);
        abort.abort(error);
      });
      const asking = this.askWithRetries(ask, abort.signal, deadlineMs).finally(() => {
        this.clock.clearTimer(timer);
        this.leave();
      });
      asking.then(resolve, reject);
    });
  }

  private async askWithRetries<T>(ask: () => Promise<T>, signal: AbortSignal, deadlineMs: number): Promise<T> {
    for (let retry = 0; ; retry++) {
      try {
        return await ask();
      } catch (error) {
        const pauseMs = FIRST_PAUSE_MS * 2 ** retry;
        const isInTime = this.clock.nowMs() + pauseMs < deadlineMs && !signal.aborted;
        if (retry >= this.limits.retries || !isInTime || !mayHelp(error)) throw error;
        this.counts.retried++;
        await new Promise<void>((resolve) => this.clock.setTimer(pauseMs, resolve));
        if (signal.aborted) throw error;
      }
    }
  }

  private judge(key: string, error: unknown): void {
    this.counts.failed++;
    this.lastError = error instanceof Error ? error.message : String(error);
    const code = error instanceof SourceError ? error.code : "SOURCE_FAILED";
    this.failures.set(code, (this.failures.get(code) ?? 0) + 1);
    const status = error instanceof SourceError ? error.status : null;
    if (status !== null) this.statuses.set(status, (this.statuses.get(status) ?? 0) + 1);
    if (!FAULTS.has(code)) this.breaker.cancelled(key);
    else if (this.breaker.failed(key)) this.queue.refuseAll(() => this.leftAlone());
  }

  private timeoutError(): SourceError {
    return new SourceError("SOURCE_TIMEOUT", `source ${this.name}: no answer within ${this.limits.timeoutMs} ms`);
  }

  private leftAlone(): SourceError {
    this.counts.leftAlone++;
    return this.open;
  }

  private leave(): void {
    this.queue.leave();
    if (this.isIdle) this.onIdle();
  }
}

/** True if a retry may succeed: the server was unreachable or busy. Other failures are permanent. */
function mayHelp(error: unknown): boolean {
  return error instanceof SourceError && (error.code === "SOURCE_UNREACHABLE" || error.isTransient);
}
