/**
 * Limits the number of fills that begin in one turn of the event loop: the first steps of a fill (lease, read, fetch)
 * cost much more than a miss, and a get of many keys can miss all of them. Further fills begin in the next turns, in
 * order.
 */

/** Maximum number of fills that begin in one turn. */
export const MAX_STARTS_PER_TURN = 4;

export class Starts {
  private waiting: (() => void)[] = [];
  private readonly max: number;
  private left: number;
  private isScheduled = false;
  private readonly next = () => this.begin();

  /** `max` is the maximum number of fills that begin in one turn. */
  constructor(max: number = MAX_STARTS_PER_TURN) {
    this.max = max;
    this.left = max;
  }

  /** Calls `start` once: synchronously while this turn has room, else in a later turn. `start` must not throw. */
  add(start: () => void): void {
    if (!this.isScheduled) {
      this.isScheduled = true;
      setImmediate(this.next);
    }
    if (this.left > 0) {
      this.left--;
      start();
    } else {
      this.waiting.push(start);
    }
  }

  private begin(): void {
    this.isScheduled = false;
    this.left = this.max;
    for (const start of this.waiting.splice(0, this.max)) this.add(start);
    if (this.waiting.length === 0 || this.isScheduled) return;
    this.isScheduled = true;
    setImmediate(this.next);
  }
}
