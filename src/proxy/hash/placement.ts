/**
 * From key to the member of a pool that owns it. Called for every key on the hot path: nothing is allocated for one.
 */

/** How keys are placed over the members of a pool, servers or routes, which are known by their index. */
export interface Placement {
  /** Index of the member that owns key bytes `chunk[start, end)`; leaves a hash of the key in `keyHash`. */
  locate(chunk: Buffer, start: number, end: number): number;
  /** Of the key located last: an unsigned 32-bit number by which a connection can be chosen. */
  readonly keyHash: number;
}

/** Every key belongs to the only member there is; the hash is for its connections alone. */
export class OnlyPlacement implements Placement {
  keyHash = 0;

  locate(chunk: Buffer, start: number, end: number): number {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ chunk[i]!, 0x01000193);
    this.keyHash = hash >>> 0;
    return 0;
  }
}
