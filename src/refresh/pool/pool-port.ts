/**
 * The operations that fills and refreshes need from the pool. Keys are strings with one character per byte. Exptimes
 * are memcached's (0: never, up to 30 days: relative, else Unix seconds). Each call rejects with a BackendError if the
 * pool cannot answer.
 *
 * `owner` is the key that selects the server and the connection, `key` is the key that is read or written there. Calls
 * for one owner keep their order, among themselves and with clients' requests for that key. Calls of one turn are sent
 * in one write.
 */

import type { PoolItem, PoolValue, WriteResult } from "../../proxy/reply.ts";

export interface PoolPort {
  /** True if other processes see what is written for `owner`, with its cas. Otherwise there are no leases. */
  isShared(owner: string): boolean;
  /** TTL and cas of the value's item. `null` if there is no item. */
  read(key: string): Promise<PoolItem | null>;
  /** The value as a client's get returns it. `null` on a miss. */
  get(owner: string, key: string): Promise<PoolValue | null>;
  /** Stores if there is no item; otherwise `notStored`. */
  add(owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult>;
  /** Stores only over the item with that cas; otherwise `exists` or `notFound`. */
  cas(owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult>;
  /** Sets the exptime of the value's current item. False if there is no item. */
  touch(key: string, exptime: number): Promise<boolean>;
  /** Deletes only the item with that cas. False if there is another item or none. */
  deleteIf(owner: string, key: string, cas: bigint): Promise<boolean>;
  /** Deletes, as a client's delete does. False if there is no item. */
  delete(key: string): Promise<boolean>;
  /** Stores unconditionally, without waiting for the reply. */
  put(owner: string, key: string, value: Buffer, exptime: number): void;
  /** Deletes, without waiting for the reply. */
  drop(owner: string, key: string): void;
  /**
   * Deletes the value on the servers from which it may still be copied after a change of the pool's servers. `null` or
   * absent while there are none. Never rejects.
   */
  readonly removeFormer?: ((key: string) => Promise<void>) | null;
  /** Called before a client's write of `key` through this process. */
  noteWrite(key: string): void;
  /** Called before a client's flush. */
  noteFlush(): void;
}
