/**
 * A histogram of frequent durations, up to 100,000 per second. Each doubling has four buckets, found by counting
 * leading zeros. A quantile is at most a quarter off, from a microsecond to half an hour, in under a kilobyte.
 *
 *     µs    0  1  2  3  4  5  6  7  8 10 12 14 16 20 24 28 32 …      (lower bounds of the buckets)
 *
 * Monitoring systems get two buckets per doubling: fewer numbers, with bounds that are bounds of these buckets too.
 */
import type { Durations } from "./durations.ts";
import { Exemplars, type TracedIds } from "./exemplars.ts";
import { plainNumbers } from "./plain-numbers.ts";

/** Number of buckets per doubling, as a power of two. */
const SUB_BITS = 2;
const SUBS = 1 << SUB_BITS;
const LAST_DOUBLING = 30;
const BUCKETS = (LAST_DOUBLING - SUB_BITS + 2) * SUBS;

/** Bounds for monitoring systems: 64 µs, 96 µs, 128 µs … 33.6 s. */
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

/** Lower bound of the bucket, inclusive. The next bucket's lower bound is the exclusive upper bound. */
function lowerBoundMicros(bucket: number): number {
  if (bucket < SUBS) return bucket;
  const shift = (bucket >> SUB_BITS) - 1;
  return (SUBS + (bucket & (SUBS - 1))) * 2 ** shift;
}

const bucketBoundsMicros = Array.from({ length: BUCKETS }, (_, bucket) => lowerBoundMicros(bucket + 1));
/** Upper bounds of the buckets. */
export const latencyBoundsMs: readonly number[] = bucketBoundsMicros.map((micros) => micros / 1000);
/** Bucket → bucket for monitoring systems. */
const shownBucket = bucketBoundsMicros.map((bound) => {
  const at = shownBoundsMicros.findIndex((shown) => bound <= shown);
  return at < 0 ? shownBoundsMicros.length : at;
});

export class LatencyHistogram {
  count = 0;
  readonly counts = new Float64Array(BUCKETS);
  private sumMicros = 0;
  /** `null` until a duration was traced. */
  private exemplars: Exemplars | null = null;

  /** Adds a duration in whole microseconds. */
  add(micros: number): void {
    this.counts[bucketOf(micros)]!++;
    this.count++;
    this.sumMicros += micros;
  }

  /** Says that a duration, which was added, belongs to a sampled span. */
  mark(micros: number, span: TracedIds): void {
    this.exemplars ??= new Exemplars(shownBoundsSeconds.length + 1);
    this.exemplars.note(shownBucket[bucketOf(micros)]!, micros / 1e6, span);
  }

  read(): Durations {
    const { counts, count, sumMicros, exemplars } = this;
    const traced = exemplars === null ? null : { exemplars: exemplars.read() };
    return { scale: "fine", counts: plainNumbers(counts), count, sumSeconds: sumMicros / 1e6, maxMs: 0, ...traced };
  }
}

/** Counts by bucket → counts between the bounds for monitoring systems, and one after the last bound. */
export function shownCounts(counts: readonly number[]): number[] {
  const shown = new Array<number>(shownBoundsSeconds.length + 1).fill(0);
  for (const [bucket, count] of counts.entries()) shown[shownBucket[bucket]!]! += count;
  return shown;
}
