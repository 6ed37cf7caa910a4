/**
 * What something was half a minute to a minute ago, to tell what has happened since.
 */

const PERIOD_MS = 30_000;

/** Remembers two of the values that it is given. */
export class Earlier<Value> {
  private recent: Value | null = null;
  private older: Value | null = null;
  private rotatesAtMs = 0;

  /** What `now` is to be compared with; null: there is nothing that is old enough, so that all of it counts as lately. */
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
