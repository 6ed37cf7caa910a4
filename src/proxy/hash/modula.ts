/**
 * twemproxy's `modula`: the hash modulo the sum of the weights. The servers are in the order of their names, shorter
 * ones first: twemproxy sorts its servers when it reads them. One more server moves most keys.
 */

import type { RingMember } from "./ketama.ts";
import type { KeyHash } from "./key-hash.ts";
import type { Placement } from "./placement.ts";

export class ModulaPlacement implements Placement {
  keyHash = 0;
  private readonly hash: KeyHash;
  /** Members in the order of their names, and the cumulative sums of the weights. */
  private readonly members: readonly number[];
  private readonly bounds: readonly number[];
  private readonly total: number;

  constructor(members: readonly RingMember[], hash: KeyHash) {
    this.hash = hash;
    const labels = members.map(({ label }) => Buffer.from(label));
    this.members = labels
      .map((_, i) => i)
      .sort((i, j) => labels[i]!.length - labels[j]!.length || Buffer.compare(labels[i]!, labels[j]!));
    let total = 0;
    this.bounds = this.members.map((member) => {
      total += members[member]!.weight;
      return total;
    });
    this.total = total;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.keyHash = this.hash(chunk, start, end);
    const place = this.keyHash % this.total;
    let at = 0;
    while (place >= this.bounds[at]!) at++;
    return this.members[at]!;
  }
}
