/**
 * Closes connections whose first step does not happen in time: a TLS handshake, a first byte. All have the same
 * timeout, so they are due in the order of arrival, and one timer serves all of them.
 */
import type { Clock, Timer } from "./clock.ts";

export interface FirstStepOptions<Connection> {
  readonly clock: Clock;
  /** Maximum time until the first step (ms). 0 disables the limit. Read again at each check. */
  readonly timeoutMs: () => number;
  /** True if the first step was done. */
  readonly isDone: (connection: Connection) => boolean;
  /** Called once with a late connection, which has been removed before. */
  readonly close: (connection: Connection) => void;
}

export class FirstStep<Connection> {
  private readonly options: FirstStepOptions<Connection>;
  /** Arrival times (monotonic ms), in order. */
  private readonly waiting = new Map<Connection, number>();
  private timer: Timer | null = null;

  constructor(options: FirstStepOptions<Connection>) {
    this.options = options;
  }

  add(connection: Connection): void {
    const { clock, timeoutMs } = this.options;
    this.waiting.set(connection, clock.nowMs());
    if (this.timer === null && timeoutMs() > 0) this.setTimer(timeoutMs());
  }

  /** Removes a connection that has closed, or has done its first step. */
  delete(connection: Connection): void {
    this.waiting.delete(connection);
  }

  /** Stops closing connections. */
  stop(): void {
    this.waiting.clear();
    if (this.timer !== null) this.options.clock.clearTimer(this.timer);
    this.timer = null;
  }

  private setTimer(delayMs: number): void {
    this.timer = this.options.clock.setTimer(delayMs, () => {
      this.timer = null;
      this.look();
    });
  }

  private look(): void {
    const { clock, timeoutMs, isDone, close } = this.options;
    const limitMs = timeoutMs();
    for (const [connection, sinceMs] of this.waiting) {
      if (!isDone(connection)) {
        // A reload has disabled the limit. The next connection sets the timer again.
        if (limitMs === 0) return;
        const leftMs = sinceMs + limitMs - clock.nowMs();
        if (leftMs > 0) {
          this.setTimer(leftMs);
          return;
        }
      }
      this.waiting.delete(connection);
      if (!isDone(connection)) close(connection);
    }
  }
}
