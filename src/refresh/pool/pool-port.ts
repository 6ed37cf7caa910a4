/**
 * What fill and refresh need of the pool. Keys are strings of one character per byte; exptimes as memcached takes them
 * (0: never, up to 30 days from now, else unix seconds). Every call rejects with a BackendError when the pool cannot
 * answer.
 *
 * `owner` is the key whose server and connection are meant, `key` the one that is read or written there. Calls for one
 * owner keep their order, among themselves and with clients' requests for that key; those made in one turn leave in one
 * write.
 */

import type { PoolItem, PoolValue, WriteResult } from "../../proxy/reply.ts";

export interface PoolPort {
  /** Whether other processes see what is written for `owner` here, with its cas: without that there are no leases. */
  isShared(owner: string): boolean;
  /** TTL and cas of the value's own item; null: none. */
  read(key: string): Promise<PoolItem | null>;
  /** The value as a client's get sees it; null: none. */
  get(owner: string, key: string): Promise<PoolValue | null>;
  /** Stores where there is nothing; `notStored` where there is. */
  add(owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult>;
  /** Stores only over the item of that cas; else `exists` or `notFound`. */
  cas(owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult>;
  /** Gives the value's own item a new exptime, whichever item that is by then; false: there is none. */
  touch(key: string, exptime: number): Promise<boolean>;
  /** Deletes only the item of that cas; false: it was another one, or none. */
  deleteIf(owner: string, key: string, cas: bigint): Promise<boolean>;
  /** Stores whatever there is; nobody waits for the answer. */
  put(owner: string, key: string, value: Buffer, exptime: number): void;
  /** Deletes; nobody waits for the answer. */
  drop(owner: string, key: string): void;
  /** A client is about to write `key` through this process. */
  noteWrite(key: string): void;
  /** The same for every key. */
  noteFlush(): void;
}
