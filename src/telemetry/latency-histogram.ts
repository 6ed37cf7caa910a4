/**
 * Durations of what happens a hundred thousand times a second: four buckets to each doubling, found by counting leading
 * zeros. A quantile is at most a quarter above the truth, from a microsecond to half an hour, in under a kilobyte.
 *
 *     µs    0  1  2  3  4  5  6  7  8 10 12 14 16 20 24 28 32 …      (lower bounds of the buckets)
 *
 * What is shown to others has two buckets to a doubling: fewer numbers, at bounds that are bounds of these too.
 */
import type { Durations } from "./durations.ts";
import { plainNumbers } from "./plain-numbers.ts";

/** Buckets to a doubling, as a power of two. */
const SUB_BITS = 2;
const SUBS = 1 << SUB_BITS;
const LAST_DOUBLING = 30;
const BUCKETS = (LAST_DOUBLING - SUB_BITS + 2) * SUBS;

/** Shown bounds: 64 µs, 96 µs, 128 µs … 33.6 s. */
const FIRST_SHOWN_DOUBLING = 6;
const LAST_SHOWN_DOUBLING = 25;

const shownBoundsMicros = Array.from({ length: (LAST_SHOWN_DOUBLING - FIRST_SHOWN_DOUBLING) * 2 + 1 }, (_, i) => {
  const doubling = FIRST_SHOWN_DOUBLING + (i >> 1);
  return i % 2 === 0 ? 2 ** doubling : 1.5 * 2 ** doubling;
});
export const shownBoundsSeconds = shownBoundsMicros.map((micros) => micros / 1e6);

function bucketOf(micros: number): number {
  if (micros < SUBS) return Math.max(0, micros);
  const doubling = 31 - Math.clz32(micros);
  return ((doubling - SUB_BITS) << SUB_BITS) + (micros >> (doubling - SUB_BITS));
}

/** What is counted in the bucket is at least this and less than that of the next. */
function lowerBoundMicros(bucket: number): number {
  if (bucket < SUBS) return bucket;
  const shift = (bucket >> SUB_BITS) - 1;
  return (SUBS + (bucket & (SUBS - 1))) * 2 ** shift;
}

const bucketBoundsMicros = Array.from({ length: BUCKETS }, (_, bucket) => lowerBoundMicros(bucket + 1));
/** Upper bounds of the buckets. */
export const latencyBoundsMs: readonly number[] = bucketBoundsMicros.map((micros) => micros / 1000);
/** Bucket → which of the shown ones it lies in. */
const shownBucket = bucketBoundsMicros.map((bound) => {
  const at = shownBoundsMicros.findIndex((shown) => bound <= shown);
  return at < 0 ? shownBoundsMicros.length : at;
});

export class LatencyHistogram {
  count = 0;
  /** By bucket. */
  readonly counts = new Float64Array(BUCKETS);
  private sumMicros = 0;

  /** Whole microseconds. */
  add(micros: number): void {
    this.counts[bucketOf(micros)]!++;
    this.count++;
    this.sumMicros += micros;
  }

  read(): Durations {
    const { counts, count, sumMicros } = this;
    return { scale: "fine", counts: plainNumbers(counts), count, sumSeconds: sumMicros / 1e6, maxMs: 0 };
  }
}

/** Counts by bucket → counts between the shown bounds, and one behind the last. */
export function shownCounts(counts: readonly number[]): number[] {
  const shown = new Array<number>(shownBoundsSeconds.length + 1).fill(0);
  for (const [bucket, count] of counts.entries()) shown[shownBucket[bucket]!]! += count;
  return shown;
}
