/** How often something took how long: counts in fixed buckets, cheap to add to and to read. */
import type { BucketCounts } from "./latency-histogram.ts";

/** Upper bounds in ms; what is longer is counted behind the last. */
export const bucketBoundsMs: readonly number[] = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000,
];

export class Histogram {
  /** One more than there are bounds. */
  readonly counts: Float64Array;
  readonly boundsMs: readonly number[];
  count = 0;
  sumMs = 0;
  maxMs = 0;

  /** `bounds`: upper bounds of the buckets, rising. */
  constructor(bounds: readonly number[] = bucketBoundsMs) {
    this.boundsMs = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  add(ms: number): void {
    const { boundsMs: bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && ms > bounds[bucket]!) bucket++;
    this.counts[bucket]!++;
    this.count++;
    this.sumMs += ms;
    if (ms > this.maxMs) this.maxMs = ms;
  }

  read(): BucketCounts {
    const boundsSeconds = this.boundsMs.map((ms) => ms / 1000);
    return { boundsSeconds, counts: [...this.counts], count: this.count, sumSeconds: this.sumMs / 1000 };
  }

  /** The bound below which `share` (0 … 1) of all are; the greatest seen where that is behind the last bound. 0: none. */
  quantileMs(share: number): number {
    let left = share * this.count;
    for (const [bucket, bound] of this.boundsMs.entries()) {
      left -= this.counts[bucket]!;
      if (left <= 0) return Math.min(bound, this.maxMs);
    }
    return this.maxMs;
  }
}
