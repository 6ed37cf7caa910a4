/**
 * mcrouter's ConstShard: a key contains its owner's index between its first two colons (`user:3:name`). A key without
 * an index, or with an index above the number of members, is placed by Ch3. Source: mcrouter routes/ShardHashFunc.cpp,
 * as facts.
 */
import { furc, furcKeyHash } from "./ch3.ts";
import type { Placement } from "./placement.ts";

const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;

export class ConstShardPlacement implements Placement {
  keyHash = 0;
  private readonly count: number;

  constructor(count: number) {
    this.count = count;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const byHash = furc(chunk, start, end, this.count);
    this.keyHash = furcKeyHash();
    const named = shardOf(chunk, start, end, this.count);
    return named < 0 ? byHash : named;
  }
}

/** Negative if the key names none of `count` shards. */
function shardOf(chunk: Buffer, start: number, end: number, count: number): number {
  let i = start;
  while (i < end && chunk[i] !== COLON) i++;
  const from = i + 1;
  let shard = 0;
  for (i = from; i < end; i++) {
    const byte = chunk[i]!;
    if (byte === COLON) return i === from ? -1 : shard;
    if (byte < ZERO || byte > NINE) return -1;
    shard = shard * 10 + byte - ZERO;
    if (shard >= count) return -1;
  }
  return -1;
}
