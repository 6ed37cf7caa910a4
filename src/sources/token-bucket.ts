/** A token bucket: limits a rate per second, with a short burst. */

/** The burst is a tenth of a second's tokens. */
const BURST_SECONDS = 0.1;

export class TokenBucket {
  private readonly perMs: number;
  private readonly most: number;
  private tokens: number;
  private lastMs: number;

  /** `rate` is the number of tokens per second, above 0. */
  constructor(rate: number, nowMs: number) {
    this.perMs = rate / 1000;
    this.most = Math.max(1, rate * BURST_SECONDS);
    this.tokens = this.most;
    this.lastMs = nowMs;
  }

  /**
   * Time until a token is available (ms); 0 if one is available. With `count`, the time until that many tokens have
   * been available.
   */
  waitMs(nowMs: number, count = 1): number {
    this.tokens = Math.min(this.most, this.tokens + (nowMs - this.lastMs) * this.perMs);
    this.lastMs = nowMs;
    // Tolerate rounding, so that a timer that fires in time finds its token.
    return this.tokens >= count - 1e-9 ? 0 : (count - this.tokens) / this.perMs;
  }

  /** Takes a token. `waitMs` must have returned 0. */
  take(): void {
    this.tokens--;
  }
}
