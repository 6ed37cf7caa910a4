/**
 * The pool port over a tree of routes in which a key is not on one server of one pool. Values are stored by a plain
 * `set` that takes the route of a client's set, so that all places in the tree get it. There is no cas and no lease: a
 * write through this process wins over an earlier fetch, but a write through another process may be overwritten.
 *
 * Keys that one pool stores alone, as they are, use that pool's port.
 */
import { BackendError } from "../../errors.ts";
import { isFailure, type PoolItem, type PoolValue, type Reply, type WriteResult } from "../../proxy/reply.ts";
import { noOwner, Operation, type Request } from "../../proxy/request.ts";
import { deleteOf, getOf, keyedRequest, type RoutedKey, storeOf } from "../../proxy/route/keyed-request.ts";
import { isHit, resultOf } from "../../proxy/route/result.ts";
import type { Route } from "../../proxy/route/route.ts";
import { storedValue } from "../../proxy/route/stored-value.ts";
import type { PoolPort } from "./pool-port.ts";
import { ReadMarks } from "./read-marks.ts";

/** The port of the pool that alone stores a key, as it is. `null` if the key goes through the tree. */
export type PlainPortOf = (key: string) => PoolPort | null;

/** The PoolPort over a tree. */
export class TreePoolPort implements PoolPort {
  private root: Route;
  private plainOf: PlainPortOf;
  private readonly marks: ReadMarks;

  constructor(root: Route, plainOf: PlainPortOf, marks = new ReadMarks()) {
    this.root = root;
    this.plainOf = plainOf;
    this.marks = marks;
  }

  /**
   * Sets the tree after a reload. Operations in progress use the new tree: the connections of the old one may be
   * closed.
   */
  replaceRoot(root: Route, plainOf: PlainPortOf): void {
    this.root = root;
    this.plainOf = plainOf;
  }

  isShared(owner: string): boolean {
    return this.plainOf(owner)?.isShared(owner) ?? false;
  }

  async removeFormer(key: string): Promise<void> {
    await this.plainOf(key)?.removeFormer?.(key);
  }

  noteWrite(key: string): void {
    this.marks.noteWrite(key);
  }

  noteFlush(): void {
    this.marks.noteFlush();
  }

  async read(key: string): Promise<PoolItem | null> {
    const plain = this.plainOf(key);
    if (plain !== null) return plain.read(key);
    const cas = this.marks.mark(key);
    const isThere = await this.ask(
      keyedRequest(Operation.metaGet, key, { verb: "mg", rest: "" }, "", noOwner),
      (request, reply) => isHit(resultOf(request, reply)),
    );
    if (isThere) return { ttlSeconds: null, cas };
    this.marks.take(key, cas);
    return null;
  }

  async get(owner: string, key: string): Promise<PoolValue | null> {
    const plain = this.plainOf(owner);
    return plain !== null
      ? plain.get(owner, key)
      : this.ask(getOf(plainKey(key), noOwner), (_request, reply) => storedValue(reply));
  }

  add(owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    const plain = this.plainOf(owner);
    return plain !== null ? plain.add(owner, key, value, exptime) : this.set(key, value, exptime);
  }

  async cas(owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult> {
    const plain = this.plainOf(owner);
    if (plain !== null) return plain.cas(owner, key, value, exptime, cas);
    return this.marks.take(key, cas) ? this.set(key, value, exptime) : { result: "exists" };
  }

  async touch(key: string, exptime: number): Promise<boolean> {
    const plain = this.plainOf(key);
    if (plain !== null) return plain.touch(key, exptime);
    const words = { verb: "mg", rest: `T${exptime}` };
    return this.ask(keyedRequest(Operation.metaGet, key, words, "", noOwner), (request, reply) =>
      isHit(resultOf(request, reply)),
    );
  }

  async deleteIf(owner: string, key: string, cas: bigint): Promise<boolean> {
    const plain = this.plainOf(owner);
    if (plain !== null) return plain.deleteIf(owner, key, cas);
    if (!this.marks.take(key, cas)) return false;
    return this.ask(deleteOf(plainKey(key), noOwner), (request, reply) => isHit(resultOf(request, reply)));
  }

  async delete(key: string): Promise<boolean> {
    const plain = this.plainOf(key);
    if (plain !== null) return plain.delete(key);
    return this.ask(deleteOf(plainKey(key), noOwner), (request, reply) => isHit(resultOf(request, reply)));
  }

  put(owner: string, key: string, value: Buffer, exptime: number): void {
    this.plainOf(owner)?.put(owner, key, value, exptime);
  }

  drop(owner: string, key: string): void {
    this.plainOf(owner)?.drop(owner, key);
  }

  private async set(key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    return this.ask(
      storeOf("set", plainKey(key), { value, flags: 0 }, exptime, noOwner),
      (request, reply): WriteResult =>
        resultOf(request, reply) === "stored" ? { result: "stored", cas: null } : { result: "notStored" },
    );
  }

  /** Rejects with a BackendError if the tree's reply is a failure. */
  private ask<T>(request: Request, read: (request: Request, reply: Reply) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      request.owner = {
        onReply: (_request, reply) => {
          if (isFailure(reply.status)) {
            reject(new BackendError(reply.chunk.toString("latin1", reply.start, reply.end - 2)));
          } else {
            resolve(read(request, reply));
          }
        },
      };
      this.root.route(request);
    });
  }
}

/** A client's key. The root removes its routing prefix, if there is one. */
function plainKey(text: string): RoutedKey {
  return { text, routingPrefix: null, bucketKey: null };
}
