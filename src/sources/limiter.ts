/**
 * The bounds around a source: so many fetches at once, so many waiting, and a time-out that holds even where the source
 * does not listen to its signal. Fills go before refreshes: refreshes take at most half of the places, and where the queue
 * is full the refresh that came last makes room for a fill.
 */
import type { Clock } from "../clock.ts";
import { SourceError } from "../errors.ts";
import type { Captures, FetchResult, Source } from "./source.ts";

/** A fill has somebody waiting; a refresh has not. */
export type Priority = "fill" | "refresh";

export interface Limits {
  readonly timeoutMs: number;
  readonly concurrency: number;
  /** Fetches that may wait for a place. */
  readonly queue: number;
}

interface Waiting {
  readonly priority: Priority;
  readonly start: () => void;
  readonly refuse: (error: SourceError) => void;
}

/** A source behind its bounds. */
export class Limiter {
  readonly name: string;
  private readonly source: Source;
  private readonly limits: Limits;
  private readonly clock: Clock;
  private running = 0;
  /** Called when the last fetch has ended. */
  private onIdle = () => {};
  private runningRefreshes = 0;
  private readonly fills: Waiting[] = [];
  private readonly refreshes: Waiting[] = [];

  constructor(source: Source, limits: Limits, clock: Clock) {
    this.name = source.name;
    this.source = source;
    this.limits = limits;
    this.clock = clock;
  }

  /** How long a fetch may take, its wait for a place included. */
  get timeoutMs(): number {
    return this.limits.timeoutMs;
  }

  /** Fetches under way. */
  get inFlight(): number {
    return this.running;
  }

  /** Closes the source once nobody is fetching from it or waiting to: it left the configuration. */
  async retire(): Promise<void> {
    if (this.running > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.onIdle = resolve;
      await promise;
    }
    await this.source.close();
  }

  /** Fetches once a place is free. Throws a SourceError: the source's, a time-out, or SOURCE_OVERLOADED at once. */
  async fetch(captures: Captures, priority: Priority): Promise<FetchResult> {
    await this.enter(priority);
    try {
      return await this.fetchInTime(captures);
    } finally {
      this.leave(priority);
    }
  }

  private async fetchInTime(captures: Captures): Promise<FetchResult> {
    const { timeoutMs } = this.limits;
    const abort = new AbortController();
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = this.clock.setTimer(timeoutMs, () => {
      const error = new SourceError("SOURCE_TIMEOUT", `source ${this.name}: no answer within ${timeoutMs} ms`);
      reject(error);
      abort.abort(error);
    });
    try {
      return await Promise.race([this.source.fetch({ ...captures, signal: abort.signal }), late]);
    } finally {
      this.clock.clearTimer(timer);
    }
  }

  private async enter(priority: Priority): Promise<void> {
    if (this.hasPlace(priority)) {
      this.occupy(priority);
      return;
    }
    if (this.fills.length + this.refreshes.length >= this.limits.queue) {
      const last = priority === "fill" ? this.refreshes.pop() : undefined;
      if (last === undefined) throw this.overloaded();
      last.refuse(this.overloaded());
    }
    await new Promise<void>((resolve, reject) => {
      (priority === "fill" ? this.fills : this.refreshes).push({ priority, start: resolve, refuse: reject });
    });
  }

  private overloaded(): SourceError {
    return new SourceError(
      "SOURCE_OVERLOADED",
      `source ${this.name}: ${this.limits.queue} fetches are waiting already`,
    );
  }

  private hasPlace(priority: Priority): boolean {
    if (this.running >= this.limits.concurrency) return false;
    return priority === "fill" || this.runningRefreshes < Math.max(1, Math.floor(this.limits.concurrency / 2));
  }

  private occupy(priority: Priority): void {
    this.running++;
    if (priority === "refresh") this.runningRefreshes++;
  }

  private leave(priority: Priority): void {
    this.running--;
    if (priority === "refresh") this.runningRefreshes--;
    for (const queue of [this.fills, this.refreshes]) {
      while (queue.length > 0 && this.hasPlace(queue[0]!.priority)) {
        const next = queue.shift()!;
        this.occupy(next.priority);
        next.start();
      }
    }
    if (this.running === 0) this.onIdle();
  }
}
