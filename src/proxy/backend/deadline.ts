/**
 * A deadline of a connection. In a busy process, a timer fires before the data that the network has delivered meanwhile
 * is read. So the deadline is checked after that data is read, unless it was cleared or set again by then.
 */
import type { Clock, Timer } from "../../clock.ts";

export class Deadline {
  private readonly clock: Clock;
  private readonly judge: () => void;
  private timer: Timer | null = null;

  /** `judge` is called once for each deadline that has passed. The deadline is no longer set then. */
  constructor(clock: Clock, judge: () => void) {
    this.clock = clock;
    this.judge = judge;
  }

  get isSet(): boolean {
    return this.timer !== null;
  }

  /** Sets the deadline. It must not be set. */
  set(delayMs: number): void {
    const timer = this.clock.setTimer(delayMs, () => {
      setImmediate(() => {
        if (this.timer !== timer) return;
        this.timer = null;
        this.judge();
      });
    });
    this.timer = timer;
  }

  clear(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }
}
