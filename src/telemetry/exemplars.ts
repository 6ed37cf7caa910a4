/**
 * Traces of single durations in a histogram: the last traced duration of each bucket. They lead from a slow bucket to a
 * trace.
 *
 * Source: OpenMetrics 1.0, "Exemplars".
 */

/** A traced duration. */
export interface Exemplar {
  /** Index between the bounds for monitoring systems. */
  readonly bucket: number;
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

interface Noted {
  readonly seconds: number;
  readonly span: TracedIds;
  readonly unixMs: number;
}

export class Exemplars {
  /** By bucket. The ids are read when they are shown: their texts are made then. */
  private readonly last: (Noted | null)[];

  constructor(buckets: number) {
    this.last = new Array(buckets).fill(null);
  }

  note(bucket: number, seconds: number, span: TracedIds): void {
    this.last[bucket] = { seconds, span, unixMs: Date.now() };
  }

  read(): Exemplar[] {
    return this.last.flatMap((noted, bucket) => {
      if (noted === null) return [];
      const { seconds, span, unixMs } = noted;
      return [{ bucket, seconds, traceId: span.traceId, spanId: span.spanId, unixSeconds: unixMs / 1000 }];
    });
  }
}

/** The last exemplar of each bucket. */
export function exemplarsByBucket(exemplars: readonly Exemplar[]): ReadonlyMap<number, Exemplar> {
  const byBucket = new Map<number, Exemplar>();
  for (const exemplar of exemplars) {
    const other = byBucket.get(exemplar.bucket);
    if (other === undefined || other.unixSeconds <= exemplar.unixSeconds) byBucket.set(exemplar.bucket, exemplar);
  }
  return byBucket;
}
