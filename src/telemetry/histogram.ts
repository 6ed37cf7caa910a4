/** A histogram of durations: counts in fixed buckets, cheap to add to and to read. */
import type { Durations } from "./durations.ts";
import { Exemplars, type TracedIds } from "./exemplars.ts";
import { plainNumbers } from "./plain-numbers.ts";

/** Upper bounds in ms. Longer durations are counted after the last bound. */
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
  /** `null` until a duration was traced. */
  private exemplars: Exemplars | null = null;

  /** `bounds` are the ascending upper bounds of the buckets. */
  constructor(bounds: readonly number[] = bucketBoundsMs) {
    this.boundsMs = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  add(ms: number): void {
    this.counts[this.bucketOf(ms)]!++;
    this.count++;
    this.sumMs += ms;
    if (ms > this.maxMs) this.maxMs = ms;
  }

  /** Says that a duration, which was added, belongs to a sampled span. */
  mark(ms: number, span: TracedIds): void {
    this.exemplars ??= new Exemplars(this.counts.length);
    this.exemplars.note(this.bucketOf(ms), ms / 1000, span);
  }

  /** Requires the default bounds. */
  read(): Durations {
    const { counts, count, sumMs, maxMs, exemplars } = this;
    const traced = exemplars === null ? null : { exemplars: exemplars.read() };
    return { scale: "coarse", counts: plainNumbers(counts), count, sumSeconds: sumMs / 1000, maxMs, ...traced };
  }

  quantileMs(share: number): number {
    return quantileMs(this, share);
  }

  private bucketOf(ms: number): number {
    const { boundsMs: bounds } = this;
    let bucket = 0;
    while (bucket < bounds.length && ms > bounds[bucket]!) bucket++;
    return bucket;
  }
}

interface Counted {
  readonly boundsMs: readonly number[];
  readonly counts: ArrayLike<number>;
  readonly count: number;
  readonly maxMs: number;
}

/**
 * The upper bound of the bucket with quantile `share` (0 … 1); after the last bound, the maximum. 0 if there are no
 * durations.
 */
export function quantileMs({ boundsMs, counts, count, maxMs }: Counted, share: number): number {
  let left = share * count;
  for (const [bucket, bound] of boundsMs.entries()) {
    left -= counts[bucket]!;
    if (left <= 0) return Math.min(bound, maxMs);
  }
  return maxMs;
}
