/**
 * The places and the rate of a source, and the calls that wait for them. Fills go before refreshes. A refresh uses any
 * place that fills leave free, and at most half of the rate. If the queue is full, a fill replaces the newest refresh.
 */
import { type Aged, AgeList } from "../age-list.ts";
import type { Clock, Timer } from "../clock.ts";
import { SourceError } from "../errors.ts";
import { TokenBucket } from "./token-bucket.ts";

/** A client waits for a fill, but not for a refresh. */
export type Priority = "fill" | "refresh";

export interface QueueLimits {
  /** Maximum number of calls that wait for a place. */
  readonly queue: number;
  /** Maximum number of calls per second. 0 means no limit. */
  readonly ratePerSecond: number;
  /** Maximum time that a call waits for its place (ms). */
  readonly patienceMs: number;
}

interface Waiting extends Aged<Waiting> {
  readonly priority: Priority;
  readonly start: () => void;
  readonly refuse: (error: SourceError) => void;
  timer: Timer | null;
}

export class FetchQueue {
  /** Number of places in use. */
  running = 0;
  /** Number of calls that got no place. */
  overloaded = 0;
  /** Maximum number of places in use. */
  private readonly places: () => number;
  private readonly limits: QueueLimits;
  private readonly clock: Clock;
  private readonly name: string;
  /** `null` if there is no limit. A refresh needs a token of both buckets. */
  private readonly rate: TokenBucket | null;
  private readonly refreshRate: TokenBucket | null;
  /** Created once, so that a refusal is cheap. */
  private readonly full: SourceError;
  private readonly fills = new AgeList<Waiting>();
  private readonly refreshes = new AgeList<Waiting>();
  /** Timer for the next token. */
  private rateTimer: Timer | null = null;
  private rateTimerMs = 0;

  /** `name` is the source's. */
  constructor(name: string, places: () => number, limits: QueueLimits, clock: Clock) {
    this.name = name;
    this.places = places;
    this.limits = limits;
    this.clock = clock;
    const { ratePerSecond } = limits;
    this.rate = ratePerSecond === 0 ? null : new TokenBucket(ratePerSecond, clock.nowMs());
    this.refreshRate = ratePerSecond === 0 ? null : new TokenBucket(ratePerSecond / 2, clock.nowMs());
    this.full = new SourceError("SOURCE_OVERLOADED", `source ${name}: ${limits.queue} fetches are waiting already`);
  }

  /** Number of calls that wait for a place. */
  get waiting(): number {
    return this.fills.count + this.refreshes.count;
  }

  /** Returns the reason if there is no room for a fill beside `admitted` calls that come later, else `null`. */
  refusalOf(admitted: number): SourceError | null {
    const isFree = this.fills.count === 0 && this.tokenWaitMs("fill") === 0;
    const free = isFree ? Math.max(0, this.places() - this.running) : 0;
    if (admitted + this.fills.count < free + this.limits.queue) return null;
    this.overloaded++;
    return this.full;
  }

  /** True if there is room for a refresh beside `admitted` calls of refreshes that are waiting or come later. */
  hasRoomForRefresh(admitted: number): boolean {
    if (this.limits.queue === 0) return this.hasPlace() && this.tokenWaitMs("refresh") === 0;
    // Half of the maximum waiting time: fills may arrive in between.
    const rateMs = this.refreshRate?.waitMs(this.clock.nowMs(), admitted + 1) ?? 0;
    return rateMs <= this.limits.patienceMs / 2 && this.waiting < this.limits.queue;
  }

  /** Resolves with a place, which the caller must `leave`. Rejects with a SourceError if there is none in time. */
  async enter(priority: Priority): Promise<void> {
    const queue = priority === "fill" ? this.fills : this.refreshes;
    if (queue.count === 0 && this.hasPlace() && this.tokenWaitMs(priority) === 0) {
      this.occupy(priority);
      return;
    }
    if (this.waiting >= this.limits.queue) {
      const last = priority === "fill" ? this.refreshes.newest : null;
      if (last === null) {
        this.overloaded++;
        throw this.full;
      }
      this.refreshes.remove(last);
      this.refuse(last, this.noPlace("a fill took its place in the queue"));
    }
    await new Promise<void>((resolve, reject) => {
      const waiting: Waiting = {
        priority,
        start: resolve,
        refuse: reject,
        timer: null,
        older: null,
        newer: null,
      };
      const { patienceMs } = this.limits;
      waiting.timer = this.clock.setTimer(patienceMs, () => {
        waiting.timer = null;
        queue.remove(waiting);
        this.refuse(waiting, this.noPlace(`no place within ${patienceMs} ms`));
      });
      queue.add(waiting);
      this.startNext();
    });
  }

  /** Frees a place. */
  leave(): void {
    this.running--;
    this.startNext();
  }

  /** Refuses all calls that wait. `error` is called for each. */
  refuseAll(error: () => SourceError): void {
    for (const queue of [this.fills, this.refreshes]) {
      for (let { oldest } = queue; oldest !== null; oldest = queue.oldest) {
        queue.remove(oldest);
        this.refuse(oldest, error());
      }
    }
  }

  private refuse(waiting: Waiting, error: SourceError): void {
    if (waiting.timer !== null) this.clock.clearTimer(waiting.timer);
    waiting.refuse(error);
  }

  private noPlace(why: string): SourceError {
    this.overloaded++;
    return new SourceError("SOURCE_OVERLOADED", `source ${this.name}: ${why}`);
  }

  private hasPlace(): boolean {
    return this.running < this.places();
  }

  /** Time until the rate allows another call (ms). */
  private tokenWaitMs(priority: Priority): number {
    const nowMs = this.clock.nowMs();
    const wait = this.rate?.waitMs(nowMs) ?? 0;
    return priority === "fill" ? wait : Math.max(wait, this.refreshRate?.waitMs(nowMs) ?? 0);
  }

  private occupy(priority: Priority): void {
    this.running++;
    this.rate?.take();
    if (priority === "refresh") this.refreshRate?.take();
  }

  private startNext(): void {
    let waitMs = Number.POSITIVE_INFINITY;
    for (const queue of [this.fills, this.refreshes]) {
      for (let next = queue.oldest; next !== null && this.hasPlace(); next = queue.oldest) {
        const tokenMs = this.tokenWaitMs(next.priority);
        if (tokenMs > 0) {
          waitMs = Math.min(waitMs, tokenMs);
          break;
        }
        queue.remove(next);
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
