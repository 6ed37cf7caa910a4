/**
 * twemproxy's `random`: a random server for each key. Only useful if all servers reach equal items, such as proxies.
 */
import { OnlyPlacement, type Placement } from "./placement.ts";

export class RandomPlacement implements Placement {
  private readonly count: number;
  private readonly random: () => number;
  private readonly hash = new OnlyPlacement();

  /** `random` returns numbers from 0 to less than 1. */
  constructor(count: number, random: () => number) {
    this.count = count;
    this.random = random;
  }

  get keyHash(): number {
    return this.hash.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.hash.locate(chunk, start, end);
    return Math.floor(this.random() * this.count);
  }
}
