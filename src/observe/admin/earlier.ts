/** Keeps a value that is 30 to 60 seconds old, for comparison with the current value. */

const PERIOD_MS = 30_000;

/** Keeps two of the given values. */
export class Earlier<Value> {
  private recent: Value | null = null;
  private older: Value | null = null;
  private rotatesAtMs = 0;

  /** The value to compare with `now`. `null` if no value is old enough. */
  before(nowMs: number, now: Value): Value | null {
    const { older } = this;
    if (nowMs >= this.rotatesAtMs) {
      this.rotatesAtMs = nowMs + PERIOD_MS;
      this.older = this.recent;
      this.recent = now;
    }
    return older;
  }
}
