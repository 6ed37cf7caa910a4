/**
 * The counts of a histogram as plain data: what they are told of in another process, added up, shown and compared with what
 * they were before.
 */
import { bucketBoundsMs, quantileMs as quantileMsOf } from "./histogram.ts";
import { latencyBoundsMs, shownBoundsSeconds, shownCounts } from "./latency-histogram.ts";

/** What was counted since the start. */
export interface Durations {
  /** Whose buckets they are: those of `LatencyHistogram` (fine) or of `Histogram` (coarse). */
  readonly scale: "fine" | "coarse";
  /** By bucket. */
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
  /** The greatest of a coarse scale; a fine one does not keep it: 0. */
  readonly maxMs: number;
}

/** Counts by duration, as monitoring systems are given them. */
export interface BucketCounts {
  /** Upper bounds in seconds, rising; there is one more count than there are bounds. */
  readonly boundsSeconds: readonly number[];
  readonly counts: readonly number[];
  readonly count: number;
  readonly sumSeconds: number;
}

const coarseBoundsSeconds = bucketBoundsMs.map((ms) => ms / 1000);

/** As it is shown. */
export function shownBuckets({ scale, counts, count, sumSeconds }: Durations): BucketCounts {
  if (scale === "coarse") return { boundsSeconds: coarseBoundsSeconds, counts, count, sumSeconds };
  return { boundsSeconds: shownBoundsSeconds, counts: shownCounts(counts), count, sumSeconds };
}

/** Of two histograms of one scale. */
export function durationsTogether(one: Durations, other: Durations): Durations {
  return {
    scale: one.scale,
    counts: one.counts.map((count, bucket) => count + other.counts[bucket]!),
    count: one.count + other.count,
    sumSeconds: one.sumSeconds + other.sumSeconds,
    maxMs: Math.max(one.maxMs, other.maxMs),
  };
}

/** The bound below which `share` (0 … 1) of all are, in ms; the greatest seen where that is behind the last bound. 0: none. */
export function quantileMs(durations: Durations, share: number): number {
  return quantileMsOf({ ...durations, boundsMs: boundsMsOf(durations) }, share);
}

/** Milliseconds below which `share` (0 … 1) of what was counted since `before` lies; null: nothing was. */
export function quantileSince(now: Durations, before: Durations | null, share: number): number | null {
  const boundsMs = boundsMsOf(now);
  // A worker that has ended takes its counts along.
  const counts = now.counts.map((count, bucket) => Math.max(0, count - (before?.counts[bucket] ?? 0)));
  let left = share * counts.reduce((sum, count) => sum + count, 0);
  if (left <= 0) return null;
  for (const [bucket, count] of counts.entries()) {
    left -= count;
    if (left <= 0) return boundsMs[Math.min(bucket, boundsMs.length - 1)]!;
  }
  return boundsMs.at(-1)!;
}

function boundsMsOf({ scale }: Durations): readonly number[] {
  return scale === "fine" ? latencyBoundsMs : bucketBoundsMs;
}
