/** A latency histogram with fixed linear buckets: recording is one increment; reading happens after the run. */

const bucketMicros = 5;
const bucketCount = 50_000;

export class LatencyHistogram {
  readonly #buckets = new Uint32Array(bucketCount);
  #count = 0;

  /** Durations above 250 ms go to the last bucket. */
  record(millis: number): void {
    const bucket = Math.floor((millis * 1000) / bucketMicros);
    this.#buckets[bucket < bucketCount ? bucket : bucketCount - 1]! += 1;
    this.#count += 1;
  }

  /** Upper edge, in µs, of the bucket that holds the given fraction (0.99 for p99); 0 if nothing was recorded. */
  percentileMicros(fraction: number): number {
    let left = this.#count * fraction;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return this.#count === 0 ? 0 : (bucket + 1) * bucketMicros;
    }
    return bucketCount * bucketMicros;
  }
}
