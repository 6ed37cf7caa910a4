/**
 * Finds the number of calls in flight that a source can take, from the latency of its calls (`concurrency = "auto"`).
 *
 *     limit' = limit × gradient + √limit      gradient = 1.5 × lowest latency ÷ present latency, from 0.5 to 1
 *
 * While the source is not loaded, the gradient is 1 and the limit grows. When calls begin to queue inside the source,
 * latency rises and the limit falls. Timeouts, refused connections and 503 reduce the limit at once. Now and then, the
 * limit falls for a moment, so that the lowest latency is measured again: the source may have become slower or faster.
 *
 * Source: the gradient of Netflix concurrency-limits (Gradient2Limit); the measurement of the lowest latency follows
 * Envoy's adaptive concurrency filter.
 */

export const MIN_PLACES = 4;
export const MAX_PLACES = 512;
const FIRST_PLACES = 16;
/** A window has at least this many calls, and at least as many as the limit. */
const WINDOW_CALLS = 20;
/** Latency may rise by this factor before the limit falls. */
const TOLERANCE = 1.5;
/** Weight of the latest window in the limit. */
const SMOOTHING = 0.3;
const BACKOFF = 0.8;
/** Number of windows between two measurements of the lowest latency. */
const WINDOWS_PER_MEASUREMENT = 60;
/** Share of the limit during a measurement. */
const MEASUREMENT_SHARE = 0.25;

export class AdaptiveConcurrency {
  private limit = FIRST_PLACES;
  /** Lowest mean latency of a window (ms). `null` before the first window. */
  private lowestMs: number | null = null;
  private windows = 0;
  private isMeasuring = false;
  /** The current window: calls, the sum of their latencies, the most calls in flight, and whether a call was refused. */
  private calls = 0;
  private sumMs = 0;
  private mostRunning = 0;
  private hasBackedOff = false;

  /** Number of calls that may be in flight now. */
  get places(): number {
    const share = this.isMeasuring ? MEASUREMENT_SHARE : 1;
    return Math.max(MIN_PLACES, Math.floor(this.limit * share));
  }

  /**
   * Records the end of a call. `running`: calls in flight at that time, this call included. `isOverload`: the source did
   * not answer in time, was not reached, or refused because of its load.
   */
  ended(latencyMs: number, running: number, isOverload: boolean): void {
    if (isOverload) {
      // Calls that were in flight together fail together: they count once.
      if (!this.hasBackedOff) this.limit = Math.max(MIN_PLACES, this.limit * BACKOFF);
      this.hasBackedOff = true;
    } else {
      this.sumMs += latencyMs;
    }
    this.calls++;
    this.mostRunning = Math.max(this.mostRunning, running);
    if (this.calls >= Math.max(WINDOW_CALLS, this.places)) this.endWindow();
  }

  private endWindow(): void {
    const { hasBackedOff, mostRunning } = this;
    const meanMs = this.sumMs / this.calls;
    this.calls = 0;
    this.sumMs = 0;
    this.mostRunning = 0;
    this.hasBackedOff = false;
    if (hasBackedOff) return;
    this.windows++;
    if (this.isMeasuring) {
      this.lowestMs = meanMs;
      this.isMeasuring = false;
      return;
    }
    this.lowestMs = Math.min(this.lowestMs ?? meanMs, meanMs);
    const gradient = Math.min(1, Math.max(0.5, (TOLERANCE * this.lowestMs) / Math.max(meanMs, 0.1)));
    const next = this.limit * gradient + Math.sqrt(this.limit);
    // A limit that is not reached says nothing about the source.
    if (next < this.limit || mostRunning * 2 > this.limit) {
      this.limit = Math.min(MAX_PLACES, Math.max(MIN_PLACES, this.limit + (next - this.limit) * SMOOTHING));
    }
    this.isMeasuring = this.windows % WINDOWS_PER_MEASUREMENT === 0;
  }
}
