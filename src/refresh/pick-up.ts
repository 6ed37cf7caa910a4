/**
 * Selects the hits of untracked keys after which the item's TTL is read. After a restart, or in a new process, this keeps
 * requested keys fresh before they expire. The number of reads is limited: not before a key's second hit, at most a tenth
 * of all gets and `rate` per second, and no repeated reads of a key within some time.
 *
 * A filter of two generations detects the second hit: one bit for each of 2^20 hash values, cleared after one to two
 * periods. Two keys that share a bit only cause a read that is too early.
 */

const BITS = 1 << 20;
const PERIOD_TICKS = 300;
/** Maximum number of unused reads that can be saved for later. */
const MAX_CREDIT = 100;
const SHARE_OF_GETS = 0.1;
/** Keys that were read recently. Over the limit, this share of the oldest is forgotten. */
const MAX_LOOKED_AT = 200_000;
const FORGOTTEN_SHARE = 1 / 16;

export class PickUp {
  /** Maximum number of reads per second. */
  rate: number;
  private readonly tickMs: number;
  private recent = new Uint8Array(BITS / 8);
  private older = new Uint8Array(BITS / 8);
  private periodEnds = 0;
  private lastTicks = 0;
  private timeCredit = 0;
  private getCredit = 0;
  /** Hash of a key → tick until which the key is not read again. */
  private readonly lookedAt = new Map<number, number>();

  /** `tickMs` is the length of a tick, the unit of times. */
  constructor(rate: number, tickMs: number) {
    this.rate = rate;
    this.tickMs = tickMs;
  }

  /** Records a hit of an untracked key with this hash. True if its item should be read now. */
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

  /** The key is not read again before this tick. */
  rest(hash: number, untilTicks: number): void {
    this.lookedAt.delete(hash);
    this.lookedAt.set(hash, untilTicks);
    if (this.lookedAt.size > MAX_LOOKED_AT) this.forgetOldest();
  }

  /** Many at once: finding the oldest key of a Map takes long (age-list.ts), and a list needs much more memory. */
  private forgetOldest(): void {
    let left = MAX_LOOKED_AT * FORGOTTEN_SHARE;
    for (const hash of this.lookedAt.keys()) {
      if (left-- <= 0) return;
      this.lookedAt.delete(hash);
    }
  }

  private passTime(ticks: number): void {
    const credit = this.timeCredit + ((ticks - this.lastTicks) * this.tickMs * this.rate) / 1000;
    // At most a second's reads are saved.
    this.timeCredit = this.rate === 0 ? 0 : Math.min(Math.max(1, this.rate), credit);
    this.lastTicks = ticks;
    if (ticks < this.periodEnds) return;
    this.periodEnds = ticks + PERIOD_TICKS;
    const { older } = this;
    this.older = this.recent;
    this.recent = older.fill(0);
  }
}
