/**
 * Ch3: mcrouter's default placement. The owner's index derives from a stream of bits that the key generates. One more
 * member takes about one key in n and moves no other key. Only the number of members counts, not their names.
 *
 * Source: mcrouter lib/fbi/hash.c (furc_hash), as facts; vectors in test/vectors/mcrouter-hash.json.
 */
import { murmur64, murmur64OfHash } from "./murmur64.ts";
import type { Placement } from "./placement.ts";

const SEED = 4_193_360_111;
/** Distance of the bits for consecutive decisions; also the number of bits of the largest pool, 2^23 members. */
const SHIFT = 23;
const MAX_TRIES = 32;

/** The stream: each 64 bits are the hash of the 64 bits before. It has room for all bits that the tries may need. */
const stream = new Int32Array((2 * (MAX_TRIES * (SHIFT + 1) * SHIFT + 2 * SHIFT)) / 32 + 4);
/** Number of known halves of the stream. */
let known = 0;

function bit(at: number): number {
  const half = at >>> 5;
  while (known <= half) {
    murmur64OfHash(stream, known - 2, SEED, known);
    known += 2;
  }
  return (stream[half]! >>> (at & 31)) & 1;
}

/** Index of the owner of key bytes among `count` members. Computes the hash even for a single member. */
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

/** A hash of the key in the last call of `furc`. */
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
