/**
 * Ch3: mcrouter's default. The owner's index is read off a stream of bits that the key makes, so that a pool of one more
 * member takes about one key in n and moves no other; only the number of members counts, not their names.
 *
 * Source: mcrouter lib/fbi/hash.c (furc_hash), as facts; vectors in test/vectors/mcrouter-hash.json.
 */
import { murmur64, murmur64OfHash } from "./murmur64.ts";
import type { Placement } from "./placement.ts";

const SEED = 4_193_360_111;
/** Bits that one decision is apart from the next; also the bits of the largest pool, 2^23 members. */
const SHIFT = 23;
const MAX_TRIES = 32;

/** The stream: each 64 bits are the hash of the 64 before them. Room for every bit that the tries can ask for. */
const stream = new Int32Array((2 * (MAX_TRIES * (SHIFT + 1) * SHIFT + 2 * SHIFT)) / 32 + 4);
/** Halves of the stream that are known. */
let known = 0;

function bit(at: number): number {
  const half = at >>> 5;
  while (known <= half) {
    murmur64OfHash(stream, known - 2, SEED, known);
    known += 2;
  }
  return (stream[half]! >>> (at & 31)) & 1;
}

/** Index among `count` members of the owner of key bytes; hashes even where there is one member only. */
export function furc(chunk: Buffer, start: number, end: number, count: number): number {
  murmur64(chunk, start, end, SEED, stream, 0);
  known = 2;
  if (count <= 1) return 0;
  let depth = 32 - Math.clz32(count - 1);
  let at = depth;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    while (bit(at) === 0) {
      if (--depth === 0) return 0;
      at = depth;
    }
    at += SHIFT;
    let index = 1;
    for (let i = 1; i < depth; i++) {
      index = (index << 1) | bit(at);
      at += SHIFT;
    }
    if (index < count) return index;
  }
  return 0;
}

/** A hash of the key that `furc` was called with last. */
export function furcKeyHash(): number {
  return (stream[0]! ^ stream[1]!) >>> 0;
}

export class Ch3Placement implements Placement {
  keyHash = 0;
  private readonly count: number;

  constructor(count: number) {
    this.count = count;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const index = furc(chunk, start, end, this.count);
    this.keyHash = furcKeyHash();
    return index;
  }
}
