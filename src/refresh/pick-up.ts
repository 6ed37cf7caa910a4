/**
 * Which hits of untracked keys are worth a look at the item's TTL, so that after a restart, or in a new process, keys
 * that are still asked for are kept fresh before they end. Bounded on purpose: a key's second hit at the earliest, no
 * more than a tenth of all gets and `rate` a second, and a key that was looked at not again for a while.
 *
 * The second hit is told by a filter of two generations: a bit for each of 2^20 hash values, forgotten after one to two
 * periods. Two keys that share a bit make one look too early, no more.
 */

const BITS = 1 << 20;
const PERIOD_TICKS = 300;
/** Looks that may be saved up in quiet moments. */
const MAX_CREDIT = 100;
const SHARE_OF_GETS = 0.1;
/** Keys looked at lately; past the bound the oldest are forgotten. */
const MAX_LOOKED_AT = 200_000;

export class PickUp {
  /** Looks a second. */
  rate: number;
  private readonly tickMs: number;
  private recent = new Uint8Array(BITS / 8);
  private older = new Uint8Array(BITS / 8);
  private periodEnds = 0;
  private lastTicks = 0;
  private timeCredit = 0;
  private getCredit = 0;
  /** Hash of a key → ticks until which it is not looked at again. */
  private readonly lookedAt = new Map<number, number>();

  /** `tickMs`: length of the ticks that times are given in. */
  constructor(rate: number, tickMs: number) {
    this.rate = rate;
    this.tickMs = tickMs;
  }

  /** A hit of an untracked key with this hash. True: look at its item now. */
  isDue(hash: number, ticks: number): boolean {
    this.getCredit = Math.min(MAX_CREDIT, this.getCredit + SHARE_OF_GETS);
    if (ticks !== this.lastTicks) this.passTime(ticks);
    const bit = hash & (BITS - 1);
    const mask = 1 << (bit & 7);
    const byte = bit >>> 3;
    if (((this.recent[byte]! | this.older[byte]!) & mask) === 0) {
      this.recent[byte]! |= mask;
      return false;
    }
    this.recent[byte]! |= mask;
    if (this.getCredit < 1 || this.timeCredit < 1) return false;
    const until = this.lookedAt.get(hash);
    if (until !== undefined && until > ticks) return false;
    this.getCredit--;
    this.timeCredit--;
    return true;
  }

  /** The key is not to be looked at again before then. */
  rest(hash: number, untilTicks: number): void {
    this.lookedAt.delete(hash);
    this.lookedAt.set(hash, untilTicks);
    if (this.lookedAt.size > MAX_LOOKED_AT) this.lookedAt.delete(this.lookedAt.keys().next().value!);
  }

  private passTime(ticks: number): void {
    const credit = this.timeCredit + ((ticks - this.lastTicks) * this.tickMs * this.rate) / 1000;
    // What is saved up is a second's worth.
    this.timeCredit = this.rate === 0 ? 0 : Math.min(Math.max(1, this.rate), credit);
    this.lastTicks = ticks;
    if (ticks < this.periodEnds) return;
    this.periodEnds = ticks + PERIOD_TICKS;
    const { older } = this;
    this.older = this.recent;
    this.recent = older.fill(0);
  }
}
