/**
 * Gathers fetches of several keys into one call of a source.
 *
 *     fetch ─► gathering (`wait`, at most `max` keys) ─► waits for a place, still open ─► one call ─► a result per key
 *                                                                                           │ fails
 *                                                                                           └► its halves, once
 *
 * Fills and refreshes gather separately, and so do keys that cannot share a call. A batch takes one place of the source.
 * Each key keeps its own timeout; the call is aborted when no key waits for it. A batch of one key is a plain fetch.
 *
 * Source: DataLoader; the batch refreshes follow sturdyc.
 */
import type { Clock, Timer } from "../clock.ts";
import { SourceError } from "../errors.ts";
import type { Span } from "../proxy/tracing.ts";
import type { Priority } from "./fetch-queue.ts";
import type { Batching, Captures, FetchContext, FetchResult } from "./source.ts";

/** A batch of fills waits again while keys still come, or are known to come: at most this many times in all. */
const MAX_WAITS = 10;
/** … and until this share of the timeout is over. */
const MAX_SHARE = 0.25;

/** The parts of a limiter that batches use. */
export interface BatchMeans {
  readonly clock: Clock;
  /** Timeout of a key (ms). */
  readonly timeoutMs: number;
  /** Number of fills that were admitted and have not come yet. */
  expectedFills(): number;
  timeoutError(): SourceError;
  /** Makes one call of the source once it has a place. `null` if no key needs it any more. */
  call<T>(call: Call<T>): Promise<T | null>;
  /** A fetch of a single key. */
  fetchOne(context: FetchContext): Promise<FetchResult>;
  /** Counts a further call of the source for a batch that is split. */
  countCall(): void;
}

/** A call of a source. */
export interface Call<T> {
  readonly priority: Priority;
  /** A key of the call. The circuit breaker refuses some keys early. */
  readonly firstKey: string;
  /** Called when the call has a place. `null` if no key needs it any more. */
  start(): StartedCall | null;
  ask(): Promise<T>;
  /** Aborts `ask`. */
  readonly abort: AbortController;
}

interface StartedCall {
  readonly keys: readonly string[];
  readonly deadlineMs: number;
  /** Span of a traced key. `null` if there is none. */
  readonly span: Span | null;
}

/** One key of a batch. */
interface Ask {
  readonly key: string;
  readonly captures: Captures;
  readonly tag: string | null;
  readonly deadlineMs: number;
  readonly resolve: (result: FetchResult) => void;
  readonly reject: (error: unknown) => void;
  timer: Timer | null;
}

interface Batch {
  readonly group: string;
  readonly priority: Priority;
  readonly abort: AbortController;
  /** Keys that wait for their result. */
  readonly asks: Set<Ask>;
  timer: Timer | null;
  waits: number;
  /** Time of the latest key. */
  grownMs: number;
}

export class Batches {
  private readonly batching: Batching;
  private readonly means: BatchMeans;
  /** Batches that accept keys, by group. */
  private readonly open = new Map<string, Batch>();

  constructor(batching: Batching, means: BatchMeans) {
    this.batching = batching;
    this.means = means;
  }

  /** Fetches a key together with others. Throws a SourceError. */
  fetch(captures: Captures, priority: Priority, tag: string | null, deadlineMs: number): Promise<FetchResult> {
    const { clock } = this.means;
    const group = `${priority} ${this.batching.groupOf(captures)}`;
    const batch = this.open.get(group) ?? this.begin(group, priority);
    return new Promise((resolve, reject) => {
      const key = captures.cacheKey ?? captures.key;
      const ask: Ask = { key, captures, tag, deadlineMs, resolve, reject, timer: null };
      ask.timer = clock.setTimer(Math.max(1, deadlineMs - clock.nowMs()), () => {
        ask.timer = null;
        const error = this.means.timeoutError();
        this.end(batch, ask, error);
        if (batch.asks.size > 0) return;
        // Later keys need another batch.
        this.close(batch);
        batch.abort.abort(error);
      });
      batch.asks.add(ask);
      batch.grownMs = clock.nowMs();
      if (batch.asks.size < this.batching.maxKeys) return;
      this.close(batch);
      if (batch.timer !== null) this.depart(batch);
    });
  }

  private begin(group: string, priority: Priority): Batch {
    const abort = new AbortController();
    const batch: Batch = { group, priority, abort, asks: new Set(), timer: null, waits: 0, grownMs: 0 };
    this.open.set(group, batch);
    this.wait(batch);
    return batch;
  }

  private wait(batch: Batch): void {
    const { waitMs, refreshWaitMs } = this.batching;
    const ms = batch.priority === "fill" ? waitMs : refreshWaitMs;
    batch.waits++;
    if (ms > 0) batch.timer = this.means.clock.setTimer(ms, () => this.waited(batch));
    else batch.timer = setImmediate(() => this.waited(batch));
  }

  private waited(batch: Batch): void {
    if (batch.timer === null) return;
    // The fills of one get, or of pipelined gets, begin in several turns, and their leases come from several servers.
    const isGrowing = this.means.clock.nowMs() - batch.grownMs < this.batching.waitMs / 2;
    const isExpecting = batch.priority === "fill" && (isGrowing || this.means.expectedFills() > 0);
    const isEarly = batch.waits < MAX_WAITS && batch.waits * this.batching.waitMs < this.means.timeoutMs * MAX_SHARE;
    if (isExpecting && isEarly) this.wait(batch);
    else this.depart(batch);
  }

  /** The batch accepts no more keys. */
  private close(batch: Batch): void {
    if (this.open.get(batch.group) === batch) this.open.delete(batch.group);
  }

  private depart(batch: Batch): void {
    // A timer of 0 ms cannot be cleared by the clock; `waited` finds it gone.
    if (batch.timer !== null) this.means.clock.clearTimer(batch.timer);
    batch.timer = null;
    void this.run(batch);
  }

  /** Never rejects: each key gets its result or its error. */
  private async run(batch: Batch): Promise<void> {
    const { means } = this;
    let asks: readonly Ask[] = [];
    try {
      const [first] = batch.asks;
      if (first === undefined) {
        this.close(batch);
        return;
      }
      const results = await means.call({
        priority: batch.priority,
        firstKey: first.key,
        start: () => {
          this.close(batch);
          asks = [...batch.asks];
          if (asks.length === 0) return null;
          const span = asks.find(({ captures }) => captures.span)?.captures.span ?? null;
          return { keys: asks.map(({ key }) => key), deadlineMs: Math.max(...asks.map((ask) => ask.deadlineMs)), span };
        },
        ask: () => this.ask(asks.map((each) => contextOf(each, batch))),
        abort: batch.abort,
      });
      for (const [i, result] of (results ?? []).entries()) this.end(batch, asks[i]!, result);
    } catch (error) {
      this.close(batch);
      for (const each of batch.asks) this.end(batch, each, error);
    }
  }

  private end(batch: Batch, ask: Ask, result: FetchResult | unknown): void {
    if (!batch.asks.delete(ask)) return;
    if (ask.timer !== null) this.means.clock.clearTimer(ask.timer);
    if (isResult(result)) ask.resolve(result);
    else ask.reject(result);
  }

  /** One result per context. Throws if all keys failed with the call. */
  private async ask(contexts: readonly FetchContext[]): Promise<readonly (FetchResult | Error)[]> {
    if (contexts.length === 1) return [await this.means.fetchOne(contexts[0]!)];
    try {
      return await this.batching.fetchMany(contexts);
    } catch (error) {
      if (!mayDependOnKeys(error) || contexts[0]!.signal.aborted) throw error;
      return this.askHalves(contexts);
    }
  }

  /** One bad key must not fail the others: asks for each half, one after the other, in the batch's place. */
  private async askHalves(contexts: readonly FetchContext[]): Promise<readonly (FetchResult | Error)[]> {
    const middle = Math.ceil(contexts.length / 2);
    const results: (FetchResult | Error)[] = [];
    let failure: unknown;
    let failed = 0;
    for (const half of [contexts.slice(0, middle), contexts.slice(middle)]) {
      this.means.countCall();
      try {
        if (half.length === 1) results.push(await this.means.fetchOne(half[0]!));
        else results.push(...(await this.batching.fetchMany(half)));
      } catch (error) {
        failure = error;
        failed++;
        const shown = error instanceof Error ? error : new Error(String(error));
        results.push(...half.map(() => shown));
      }
    }
    if (failed === 2) throw failure;
    return results;
  }
}

function contextOf({ captures, tag }: Ask, { priority, abort }: Batch): FetchContext {
  return { ...captures, tag, priority, signal: abort.signal };
}

function isResult(result: unknown): result is FetchResult {
  return typeof result === "object" && result !== null && !(result instanceof Error) && "type" in result;
}

/** False for failures that are the same for each part of a batch: the source was not reached, was busy or too slow. */
function mayDependOnKeys(error: unknown): boolean {
  if (!(error instanceof SourceError)) return true;
  return !error.isTransient && error.code !== "SOURCE_UNREACHABLE" && error.code !== "SOURCE_TIMEOUT";
}
