/**
 * What fill and refresh need of the pool. Keys are strings of one character per byte; exptimes as memcached takes them
 * (0: never, up to 30 days from now, else unix seconds). Every call rejects with a BackendError when the pool cannot
 * answer.
 */

import type { PoolItem, WriteResult } from "../proxy/reply.ts";

export interface PoolPort {
  /** TTL and cas of an item, not its value; null: none. */
  read(key: string): Promise<PoolItem | null>;
  /** Stores where there is nothing; `notStored` where there is. */
  add(key: string, value: Buffer, exptime: number): Promise<WriteResult>;
  /** Stores only over the item of that cas; else `exists` or `notFound`. */
  cas(key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult>;
  /** Deletes only the item of that cas; false: it was another one, or none. */
  deleteIf(key: string, cas: bigint): Promise<boolean>;
}
