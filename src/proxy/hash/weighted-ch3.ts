/**
 * mcrouter's WeightedCh3: Ch3, but a member with weight 0.7 refuses three tenths of its keys, which are placed again
 * with a counter appended. Source: mcrouter lib/WeightedCh3HashFunc.cpp, as facts.
 */
import { furc, furcKeyHash } from "./ch3.ts";
import type { Placement } from "./placement.ts";
import { spooky32 } from "./spooky.ts";

const SEED = 0xface2014;
const MAX_TRIES = 32;
const MAX_COUNTER_DIGITS = 2;
const ZERO = 0x30;
const DEFAULT_WEIGHT = 0.5;

export class WeightedCh3Placement implements Placement {
  keyHash = 0;
  private readonly count: number;
  /** Upper bound of accepted hashes, by member. */
  private readonly bounds: Float64Array;
  private scratch = Buffer.alloc(512);

  /** `weights` are from 0 to 1. Members without a weight have 0.5. */
  constructor(count: number, weights: readonly number[]) {
    this.count = count;
    this.bounds = Float64Array.from({ length: count }, (_, i) =>
      Math.trunc((weights[i] ?? DEFAULT_WEIGHT) * 0xffffffff),
    );
  }

  locate(chunk: Buffer, start: number, end: number): number {
    let index = furc(chunk, start, end, this.count);
    this.keyHash = furcKeyHash();
    if (spooky32(chunk, start, end, SEED) < this.bounds[index]!) return index;
    const length = end - start;
    if (this.scratch.length < length + MAX_COUNTER_DIGITS) this.scratch = Buffer.alloc(length + MAX_COUNTER_DIGITS);
    chunk.copy(this.scratch, 0, start, end);
    for (let counter = 0; counter < MAX_TRIES - 1; counter++) {
      const retryEnd = this.writeCounter(counter, length);
      index = furc(this.scratch, 0, retryEnd, this.count);
      if (spooky32(this.scratch, 0, retryEnd, SEED) < this.bounds[index]!) break;
    }
    return index;
  }

  /** Writes the counter in decimal after the key, lowest digit first. Returns the end. */
  private writeCounter(counter: number, at: number): number {
    let end = at;
    let rest = counter;
    do {
      this.scratch[end++] = ZERO + (rest % 10);
      rest = Math.floor(rest / 10);
    } while (rest > 0);
    return end;
  }
}
