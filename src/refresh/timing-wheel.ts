/**
 * A hierarchical timing wheel (Varghese & Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987): due times with
 * O(1) work to schedule, move and cancel. Entries are small integers, the slots of their owner, so that a million
 * entries are four typed arrays without objects.
 *
 *     level 0   256 slots of one tick          level 1   256 slots of 256 ticks          …
 *
 * After each round of level 0, the next slot of level 1 is spread over it, and likewise for higher levels.
 */

const BITS = 8;
const SLOTS = 1 << BITS;
const LEVELS = 4;
const NONE = -1;

/** Times are in ms of one monotonic clock. */
export class TimingWheel {
  private readonly tickMs: number;
  /** First entry of each slot, level by level. */
  private readonly heads = new Int32Array(LEVELS * SLOTS).fill(NONE);
  private next: Int32Array;
  /**
   * The previous entry, or `NONE − 1 − slot` for the first entry of a slot. `NONE` for entries that are not scheduled.
   */
  private previous: Int32Array;
  private due: Float64Array;
  private now: number;
  private scheduled = 0;

  constructor(tickMs: number, nowMs: number, capacity: number) {
    this.tickMs = tickMs;
    this.now = Math.floor(nowMs / tickMs);
    this.next = new Int32Array(capacity).fill(NONE);
    this.previous = new Int32Array(capacity).fill(NONE);
    this.due = new Float64Array(capacity);
  }

  /** Number of scheduled entries. */
  get size(): number {
    return this.scheduled;
  }

  /** Makes room for entries below `capacity`. */
  grow(capacity: number): void {
    const old = this.next.length;
    this.next = copyInto(new Int32Array(capacity).fill(NONE, old), this.next);
    this.previous = copyInto(new Int32Array(capacity).fill(NONE, old), this.previous);
    this.due = copyInto(new Float64Array(capacity), this.due);
  }

  /**
   * Schedules `entry` to fire at `dueMs`, or moves it. It fires within `advance`, never early and at most one tick
   * late. O(1).
   */
  schedule(entry: number, dueMs: number): void {
    this.cancel(entry);
    this.due[entry] = Math.max(Math.ceil(dueMs / this.tickMs), this.now + 1);
    this.insert(entry);
    this.scheduled++;
  }

  /** Time at which `entry` fires (ms). `null` if it is not scheduled. */
  dueMsOf(entry: number): number | null {
    return this.previous[entry] === NONE ? null : this.due[entry]! * this.tickMs;
  }

  /** Removes `entry`. Does nothing if it is not scheduled. O(1). */
  cancel(entry: number): void {
    if (this.previous[entry] === NONE) return;
    this.unlink(entry);
    this.scheduled--;
  }

  /**
   * Advances the time and fires due entries, at most `limit`; the rest fires in the next call. `fire` may schedule and
   * cancel. Returns the number of fired entries.
   */
  advance(nowMs: number, limit: number, fire: (entry: number) => void): number {
    const target = Math.floor(nowMs / this.tickMs);
    let fired = 0;
    for (;;) {
      const slot = this.now & (SLOTS - 1);
      for (let entry = this.heads[slot]!; entry !== NONE; entry = this.heads[slot]!) {
        if (fired === limit) return fired;
        this.unlink(entry);
        this.scheduled--;
        fired++;
        fire(entry);
      }
      if (this.now >= target) return fired;
      if (this.scheduled === 0) {
        this.now = target;
        return fired;
      }
      this.now++;
      this.cascade();
    }
  }

  private insert(entry: number): void {
    const due = this.due[entry]!;
    const delta = due - this.now;
    let level = 0;
    while (level < LEVELS - 1 && delta >= SLOTS ** (level + 1)) level++;
    // Entries beyond the last level wait in its farthest slot and are placed again from there.
    const at = Math.min(due, this.now + SLOTS ** LEVELS - 1);
    const slot = level * SLOTS + (Math.floor(at / SLOTS ** level) & (SLOTS - 1));
    const first = this.heads[slot]!;
    this.next[entry] = first;
    if (first !== NONE) this.previous[first] = entry;
    this.previous[entry] = NONE - 1 - slot;
    this.heads[slot] = entry;
  }

  private unlink(entry: number): void {
    const previous = this.previous[entry]!;
    const next = this.next[entry]!;
    if (previous < NONE) this.heads[NONE - 1 - previous] = next;
    else this.next[previous] = next;
    if (next !== NONE) this.previous[next] = previous;
    this.previous[entry] = NONE;
  }

  /** After a round of the lower levels, spreads the next slot of the level above. */
  private cascade(): void {
    for (let level = 1; level < LEVELS && this.now % SLOTS ** level === 0; level++) {
      const slot = level * SLOTS + (Math.floor(this.now / SLOTS ** level) & (SLOTS - 1));
      let entry = this.heads[slot]!;
      this.heads[slot] = NONE;
      while (entry !== NONE) {
        const next = this.next[entry]!;
        this.insert(entry);
        entry = next;
      }
    }
  }
}

function copyInto<T extends Int32Array | Float64Array>(target: T, source: T): T {
  target.set(source as never);
  return target;
}
