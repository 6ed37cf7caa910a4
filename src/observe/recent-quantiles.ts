/**
 * How long things took lately: the quantiles of what was added to a histogram in the last half minute to minute, told from
 * what its counts were before. Nothing is added where things happen.
 */

/** What is told of: counts of buckets, and their upper bounds. */
export interface Counted {
  readonly boundsMs: readonly number[];
  readonly counts: ArrayLike<number>;
}

const PERIOD_MS = 30_000;

interface Snapshots {
  recent: Float64Array;
  older: Float64Array;
}

/** Milliseconds below which `share` (0 … 1) of what was counted since `before` lies; null: nothing was. */
export function quantileSince({ boundsMs, counts }: Counted, before: ArrayLike<number>, share: number): number | null {
  let total = 0;
  for (let bucket = 0; bucket < counts.length; bucket++) total += counts[bucket]! - before[bucket]!;
  if (total <= 0) return null;
  let left = share * total;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    left -= counts[bucket]! - before[bucket]!;
    if (left <= 0) return boundsMs[Math.min(bucket, boundsMs.length - 1)]!;
  }
  return boundsMs.at(-1)!;
}

/** Remembers counts for as long as their histograms are in use. */
export class RecentQuantiles {
  private readonly snapshots = new Map<Counted, Snapshots>();
  private rotatesAtMs = 0;

  /** Of `histogram`, whose first call is what later ones are compared with. */
  of(histogram: Counted, share: number): number | null {
    let known = this.snapshots.get(histogram);
    if (known === undefined) {
      // What was counted before somebody looked counts as lately, the first time.
      const nothing = new Float64Array(histogram.counts.length);
      known = { recent: nothing, older: nothing };
      this.snapshots.set(histogram, known);
    }
    return quantileSince(histogram, known.older, share);
  }

  /** To be called now and then, with all histograms that are in use. */
  rotate(nowMs: number, inUse: ReadonlySet<Counted>): void {
    if (nowMs < this.rotatesAtMs) return;
    this.rotatesAtMs = nowMs + PERIOD_MS;
    for (const [histogram, known] of this.snapshots) {
      if (!inUse.has(histogram)) {
        this.snapshots.delete(histogram);
        continue;
      }
      known.older = known.recent;
      known.recent = Float64Array.from(histogram.counts);
    }
  }
}
