/**
 * Traces of single durations in a histogram: the last traced duration of each bucket. They lead from a slow bucket to a
 * trace.
 *
 * Source: OpenMetrics 1.0, "Exemplars".
 */

/** A traced duration. */
export interface Exemplar {
  readonly seconds: number;
  readonly traceId: string;
  readonly spanId: string;
  /** Time at which the duration ended. */
  readonly unixSeconds: number;
}

/** The ids of a sampled span. */
export interface TracedIds {
  readonly traceId: string;
  readonly spanId: string;
}

export class Exemplars {
  private readonly boundsSeconds: readonly number[];
  /** By bucket between the bounds for monitoring systems. */
  private readonly last = new Map<number, Exemplar>();

  constructor(boundsSeconds: readonly number[]) {
    this.boundsSeconds = boundsSeconds;
  }

  note(seconds: number, { traceId, spanId }: TracedIds): void {
    const bucket = bucketOf(this.boundsSeconds, seconds);
    this.last.set(bucket, { seconds, traceId, spanId, unixSeconds: Date.now() / 1000 });
  }

  read(): Exemplar[] {
    return [...this.last.values()];
  }
}

/** The last exemplar of each bucket. */
export function exemplarsByBucket(
  exemplars: readonly Exemplar[],
  boundsSeconds: readonly number[],
): ReadonlyMap<number, Exemplar> {
  const byBucket = new Map<number, Exemplar>();
  for (const exemplar of exemplars) {
    const bucket = bucketOf(boundsSeconds, exemplar.seconds);
    const other = byBucket.get(bucket);
    if (other === undefined || other.unixSeconds <= exemplar.unixSeconds) byBucket.set(bucket, exemplar);
  }
  return byBucket;
}

/** Index of the first bound that is not below `seconds`. */
function bucketOf(boundsSeconds: readonly number[], seconds: number): number {
  const at = boundsSeconds.findIndex((bound) => seconds <= bound);
  return at < 0 ? boundsSeconds.length : at;
}
