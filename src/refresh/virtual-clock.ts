/** A clock whose time advances from timer to timer without waiting: timers in a binary heap. */
import type { Clock, Timer } from "../clock.ts";

interface VirtualTimer {
  readonly dueMs: number;
  readonly sequence: number;
  /** `null` if the timer was cleared. */
  run: (() => void) | null;
}

export class VirtualClock implements Clock {
  private now = 0;
  private readonly startUnixSeconds: number;
  private readonly heap: VirtualTimer[] = [];
  private sequence = 0;

  constructor(startUnixSeconds: number) {
    this.startUnixSeconds = startUnixSeconds;
  }

  nowMs(): number {
    return this.now;
  }

  unixSeconds(): number {
    return this.startUnixSeconds + Math.floor(this.now / 1000);
  }

  setTimer(delayMs: number, run: () => void): Timer {
    const timer: VirtualTimer = { dueMs: this.now + Math.max(0, delayMs), sequence: this.sequence++, run };
    this.push(timer);
    return timer as unknown as Timer;
  }

  clearTimer(timer: Timer): void {
    (timer as unknown as VirtualTimer).run = null;
  }

  /** Due time of the next timer. Infinity if absent. */
  get nextMs(): number {
    while (this.heap.length > 0 && this.heap[0]!.run === null) this.pop();
    return this.heap[0]?.dueMs ?? Number.POSITIVE_INFINITY;
  }

  /** Fires the next timer and advances the time to it. */
  fireNext(): void {
    const timer = this.pop()!;
    this.now = Math.max(this.now, timer.dueMs);
    timer.run?.();
  }

  /** Advances the time to `ms`, before which no timer is due. */
  passTo(ms: number): void {
    this.now = ms;
  }

  private push(timer: VirtualTimer): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(timer);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(timer, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  private pop(): VirtualTimer | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: VirtualTimer, b: VirtualTimer): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.sequence < b.sequence);
}
