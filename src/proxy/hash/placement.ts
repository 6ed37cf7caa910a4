/**
 * Key → owner among the members of a pool. Called for each key on the hot path: it allocates nothing.
 */

/** Placement of keys over the members of a pool (servers or routes), which are identified by their index. */
export interface Placement {
  /** Index of the member that owns key bytes `chunk[start, end)`. Stores a hash of the key in `keyHash`. */
  locate(chunk: Buffer, start: number, end: number): number;
  /**
   * `locate` of each key `chunk[starts[i], ends[i])`, in `owners`. `keyHash` is unchanged. Absent if it would not be
   * faster than `locate`.
   */
  locateAll?(chunk: Buffer, starts: readonly number[], ends: readonly number[], owners: Uint32Array): void;
  /** Hash of the last located key: an unsigned 32-bit number that selects a connection. */
  readonly keyHash: number;
}

/** All keys belong to the only member; the hash only selects a connection. */
export class OnlyPlacement implements Placement {
  keyHash = 0;

  locate(chunk: Buffer, start: number, end: number): number {
    let hash = 0x811c9dc5;
    for (let i = start; i < end; i++) hash = Math.imul(hash ^ chunk[i]!, 0x01000193);
    this.keyHash = hash >>> 0;
    return 0;
  }
}
