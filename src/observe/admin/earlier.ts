/** Keeps a value of half a minute to a minute ago, so that the current one can be compared with it. */

const PERIOD_MS = 30_000;

/** Keeps two of the values that it is given. */
export class Earlier<Value> {
  private recent: Value | null = null;
  private older: Value | null = null;
  private rotatesAtMs = 0;

  /** The value that `now` is to be compared with; `null` if no value is old enough. */
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
