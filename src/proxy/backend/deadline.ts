/**
 * A deadline of a connection. A timer of a process that was busy comes before what the network has brought meanwhile, so
 * that it is judged when that has been read, unless it was cleared or set anew until then.
 */
import type { Clock, Timer } from "../../clock.ts";

export class Deadline {
  private readonly clock: Clock;
  private readonly judge: () => void;
  private timer: Timer | null = null;

  /** `judge` is called once for each time it was set and has passed; it is not set any more then. */
  constructor(clock: Clock, judge: () => void) {
    this.clock = clock;
    this.judge = judge;
  }

  get isSet(): boolean {
    return this.timer !== null;
  }

  /** Only while it is not set. */
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
