/**
 * The counts of a histogram as plain data, for sending to another process, adding, display, and comparison with earlier
 * counts.
 */
import { type Exemplar, exemplarsByBucket } from "./exemplars.ts";
import { bucketBoundsMs, quantileMs as quantileMsOf } from "./histogram.ts";
import { latencyBoundsMs, shownBoundsSeconds, shownCounts } from "./latency-histogram.ts";

/** Durations since the start. */
export interface Durations {
  /** The set of buckets: that of `LatencyHistogram` (fine) or of `Histogram` (coarse). */
  readonly scale: "fine" | "coarse";
  /** By bucket. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
  /** The maximum duration. 0 on the fine scale, which does not record it. */
  readonly maxMs: number;
  /** Traced durations. Absent if there are none. */
  readonly exemplars?: readonly Exemplar[];
}

/** Counts by duration for monitoring systems. */
export interface BucketCounts {
  /** Ascending upper bounds in seconds. There is one more count than there are bounds. */
  readonly boundsSeconds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
  /** Traced durations by bucket. */
  readonly exemplars: ReadonlyMap<number, Exemplar>;
}

const coarseBoundsSeconds = bucketBoundsMs.map((ms) => ms / 1000);

/** The counts between the bounds for monitoring systems. */
export function shownBuckets({ scale, counts, count, sumSeconds, exemplars = [] }: Durations): BucketCounts {
  return {
    boundsSeconds: scale === "coarse" ? coarseBoundsSeconds : shownBoundsSeconds,
    counts: scale === "coarse" ? counts : shownCounts(counts),
    count,
    sumSeconds,
    exemplars: exemplarsByBucket(exemplars),
  };
}

/** Adds two histograms with one scale. */
export function durationsTogether(one: Durations, other: Durations): Durations {
  return {
    scale: one.scale,
    counts: one.counts.map((count, bucket) => count + other.counts[bucket]!),
    count: one.count + other.count,
    sumSeconds: one.sumSeconds + other.sumSeconds,
    maxMs: Math.max(one.maxMs, other.maxMs),
    ...exemplarsTogether(one, other),
  };
}

/** The durations of `all` without those of `part`, which are among them. */
export function durationsWithout(all: Durations, part: Durations): Durations {
  return {
    ...all,
    counts: all.counts.map((count, bucket) => count - part.counts[bucket]!),
    count: all.count - part.count,
    sumSeconds: all.sumSeconds - part.sumSeconds,
  };
}

function exemplarsTogether({ exemplars: some = [] }: Durations, { exemplars: others = [] }: Durations) {
  if (some.length + others.length === 0) return null;
  return { exemplars: [...exemplarsByBucket([...some, ...others]).values()] };
}

/** As `quantileMs` of histogram.ts. */
export function quantileMs(durations: Durations, share: number): number {
  return quantileMsOf({ ...durations, boundsMs: boundsMsOf(durations) }, share);
}

/**
 * Quantile `share` (0 … 1) of the durations since `before`, in ms: interpolated within its bucket, as Prometheus'
 * histogram_quantile does. `null` if there were none.
 */
export function quantileSince(now: Durations, before: Durations | null, share: number): number | null {
  const boundsMs = boundsMsOf(now);
  // A worker that ends takes its counts away.
  const counts = now.counts.map((count, bucket) => Math.max(0, count - (before?.counts[bucket] ?? 0)));
  let left = share * counts.reduce((sum, count) => sum + count, 0);
  if (left <= 0) return null;
  for (const [bucket, count] of counts.entries()) {
    if (left > count || count === 0) {
      left -= count;
      continue;
    }
    const upper = boundsMs[bucket];
    if (upper === undefined) break;
    const lower = boundsMs[bucket - 1] ?? 0;
    return lower + (upper - lower) * (left / count);
  }
  return boundsMs.at(-1)!;
}

function boundsMsOf({ scale }: Durations): readonly number[] {
  return scale === "fine" ? latencyBoundsMs : bucketBoundsMs;
}
