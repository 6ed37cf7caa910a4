/**
 * mcrouter's Rendezvous and WeightedRendezvous: each member has a score for a key, computed from the hashes of its tag
 * and of the key; the highest score wins. The time is proportional to the number of members.
 *
 * Source: mcrouter lib/RendezvousHashFunc.cpp and WeightedRendezvousHashFunc.cpp, as facts; the mixing of two hashes is
 * CityHash's Hash128to64.
 */
import { murmur64 } from "./murmur64.ts";
import type { Placement } from "./placement.ts";
import { multiplyHigh, toDouble } from "./uint64.ts";

const TAG_SEED = 4_193_360_111;
const KEY_SEED = 2_718_281_828;
const MUL_LOW = 0xeb382d69 | 0;
const MUL_HIGH = 0x9ddfea08 | 0;

/** Hashes of the tags (low half and high half), of the key, and of the score. */
class Scores {
  readonly count: number;
  private readonly tags: Int32Array;
  private readonly key = new Int32Array(2);
  low = 0;
  high = 0;

  constructor(tags: readonly Buffer[]) {
    this.count = tags.length;
    this.tags = new Int32Array(2 * tags.length);
    for (const [i, tag] of tags.entries()) murmur64(tag, 0, tag.length, TAG_SEED, this.tags, 2 * i);
  }

  get keyHash(): number {
    return (this.key[0]! ^ this.key[1]!) >>> 0;
  }

  hashKey(chunk: Buffer, start: number, end: number): void {
    murmur64(chunk, start, end, KEY_SEED, this.key, 0);
  }

  /** Stores the score of a member for the last hashed key in `low` and `high`. */
  score(member: number): void {
    const tagLow = this.tags[2 * member]!;
    const tagHigh = this.tags[2 * member + 1]!;
    let low = this.key[0]! ^ tagLow;
    let high = this.key[1]! ^ tagHigh;
    high = (multiplyHigh(low, MUL_LOW) + Math.imul(low, MUL_HIGH) + Math.imul(high, MUL_LOW)) | 0;
    low = Math.imul(low, MUL_LOW);
    low = tagLow ^ low ^ (high >>> 15);
    high = tagHigh ^ high;
    high = (multiplyHigh(low, MUL_LOW) + Math.imul(low, MUL_HIGH) + Math.imul(high, MUL_LOW)) | 0;
    low = Math.imul(low, MUL_LOW);
    low ^= high >>> 15;
    this.high = (multiplyHigh(low, MUL_LOW) + Math.imul(low, MUL_HIGH) + Math.imul(high, MUL_LOW)) | 0;
    this.low = Math.imul(low, MUL_LOW);
  }
}

abstract class ScoredPlacement implements Placement {
  protected readonly scores: Scores;

  constructor(tags: readonly Buffer[]) {
    this.scores = new Scores(tags);
  }

  get keyHash(): number {
    return this.scores.keyHash;
  }

  abstract locate(chunk: Buffer, start: number, end: number): number;

  /** All members, the one with the greatest score first; of equal scores, the last member first. */
  ranked(chunk: Buffer, start: number, end: number): readonly number[] {
    const { scores } = this;
    scores.hashKey(chunk, start, end);
    const ranking = Array.from({ length: scores.count }, (_, member) => ({ member, score: this.scoreOf(member) }));
    return ranking.sort((a, b) => b.score - a.score || b.member - a.member).map(({ member }) => member);
  }

  /** The score of a member for the key that was hashed last. */
  protected abstract scoreOf(member: number): number;
}

/** If scores are equal, the last member wins. */
export class RendezvousPlacement extends ScoredPlacement {
  locate(chunk: Buffer, start: number, end: number): number {
    this.scores.hashKey(chunk, start, end);
    let best = -1;
    let index = 0;
    for (let i = 0; i < this.scores.count; i++) {
      const score = this.scoreOf(i);
      if (score < best) continue;
      best = score;
      index = i;
    }
    return index;
  }

  protected override scoreOf(member: number): number {
    const { scores } = this;
    scores.score(member);
    return toDouble(scores.low, scores.high);
  }
}

/** If scores are equal, the first member wins. */
export class WeightedRendezvousPlacement extends ScoredPlacement {
  private readonly weights: readonly number[];

  /** One weight per tag. */
  constructor(tags: readonly Buffer[], weights: readonly number[]) {
    super(tags);
    this.weights = weights;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.scores.hashKey(chunk, start, end);
    let best = 0;
    let index = 0;
    for (let i = 0; i < this.scores.count; i++) {
      const score = this.scoreOf(i);
      if (score <= best) continue;
      best = score;
      index = i;
    }
    return index;
  }

  protected override scoreOf(member: number): number {
    const { scores } = this;
    scores.score(member);
    // The low 53 bits as a fraction.
    const fraction = ((scores.high & 0x1fffff) * 2 ** 32 + (scores.low >>> 0)) / 2 ** 53;
    return this.weights[member]! * (1 / -Math.log(fraction));
  }
}
