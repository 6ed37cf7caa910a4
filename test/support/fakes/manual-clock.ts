/** A clock that stands still until a test moves it. */

import type { Clock, Timer } from "../../../src/clock.ts";
import { settled } from "./settled.ts";

/** As often as the wheel of a scheduler turns. */
const TICK_MS = 100;

interface ManualTimer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Starts at 0 ms and, by the wall, at 1,700,000,000 s; both advance together. */
export class ManualClock implements Clock {
  #nowMs = 0;
  /** In the order they were set. */
  readonly #timers = new Set<ManualTimer>();

  nowMs(): number {
    return this.#nowMs;
  }

  /** Timers that are set. */
  get timerCount(): number {
    return this.#timers.size;
  }

  unixSeconds(): number {
    return 1_700_000_000 + Math.floor(this.#nowMs / 1000);
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer: ManualTimer = { dueMs: this.#nowMs + delayMs, run };
    this.#timers.add(timer);
    return timer;
  }

  clearTimer(timer: Timer): void {
    this.#timers.delete(timer as ManualTimer);
  }

  /** Moves on by `ms`, firing what falls due on the way in due order; timers set meanwhile included. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let next = this.#next(endMs); next !== undefined; next = this.#next(endMs)) {
      this.#timers.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.run();
    }
    this.#nowMs = endMs;
  }

  /** Passes `ms` in ticks of 100 ms. What hangs on a tick is done before the next one. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= TICK_MS) {
      this.advance(Math.min(left, TICK_MS));
      await settled();
    }
  }

  #next(endMs: number): ManualTimer | undefined {
    const due = [...this.#timers].filter((timer) => timer.dueMs <= endMs);
    return due.sort((a, b) => a.dueMs - b.dueMs)[0];
  }
}
