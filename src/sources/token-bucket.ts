/**
 * So many a second and no more, with room for a short burst: a token bucket.
 */

/** A tenth of a second's worth may come at once. */
const BURST_SECONDS = 0.1;

export class TokenBucket {
  private readonly perMs: number;
  private readonly most: number;
  private tokens: number;
  private lastMs: number;

  /** `rate`: tokens a second, above 0. */
  constructor(rate: number, nowMs: number) {
    this.perMs = rate / 1000;
    this.most = Math.max(1, rate * BURST_SECONDS);
    this.tokens = this.most;
    this.lastMs = nowMs;
  }

  /** Ms until there is a token; 0: there is one. With a `count`: until that many will have been there. */
  waitMs(nowMs: number, count = 1): number {
    this.tokens = Math.min(this.most, this.tokens + (nowMs - this.lastMs) * this.perMs);
    this.lastMs = nowMs;
    // A hair less counts as one, so that a timer that fires in time finds it.
    return this.tokens >= count - 1e-9 ? 0 : (count - this.tokens) / this.perMs;
  }

  /** Takes one, which `waitMs` has said is there. */
  take(): void {
    this.tokens--;
  }
}
