/**
 * The pool port over a pool, with memcached's meta commands on the connection that the key's client requests use, so
 * that all of them keep their order. Its requests resolve promises: this is not the path of a hit.
 *
 * Source: memcached doc/protocol.txt, "Meta Get", "Meta Set", "Meta Delete".
 */
import { BackendError } from "../../errors.ts";
import {
  isFailure,
  notSupported,
  type PoolItem,
  type PoolValue,
  type Reply,
  Status,
  type WriteResult,
} from "../../proxy/reply.ts";
import { Operation, type Request } from "../../proxy/request.ts";
import { isText, keyedRequest, type Words } from "../../proxy/route/keyed-request.ts";
import type { PoolRoute } from "../../proxy/route/pool-route.ts";
import { replyLine } from "../../proxy/wire/meta-line.ts";
import type { ReadMarks } from "./read-marks.ts";

const CODE_BYTES = 2;

/** An item with everything that a copy of it needs. */
export interface WholeItem extends PoolValue {
  /** −1 if it never expires. */
  readonly ttlSeconds: number;
}

/** The PoolPort over a pool. */
export class RoutedPoolPort {
  /** See `PoolPort`. A reload sets it. */
  removeFormer: ((key: string) => Promise<void>) | null = null;
  private readonly route: PoolRoute;
  private readonly prefix: string;

  private readonly marks: ReadMarks | null;

  /**
   * `prefix` precedes each key on the servers. `marks` belong to refreshes that may be in progress through a routing
   * tree.
   */
  constructor(route: PoolRoute, prefix: string, marks: ReadMarks | null = null) {
    this.route = route;
    this.prefix = prefix;
    this.marks = marks;
  }

  isShared(owner: string): boolean {
    return this.route.backendOf(Buffer.from(owner, "latin1")).speaksMeta;
  }

  async read(key: string): Promise<PoolItem | null> {
    const answer =
      (await this.ask(Operation.metaGet, key, key, { verb: "mg", rest: "t c" })) ??
      (await this.ask(Operation.metaGet, key, key, { verb: "mg", rest: "c" }));
    if (answer?.code !== "HD") return null;
    const ttl = answer.flag("t");
    return { ttlSeconds: ttl === null ? null : Number(ttl), cas: answer.cas() };
  }

  get(owner: string, key: string): Promise<PoolValue | null> {
    // Use classic get: a meta get may win the right to recache, which this process would not use. A key that is not
    // text has no classic form.
    if (!isText(key)) return this.getByMeta(owner, key);
    return this.send(Operation.get, owner, key, { verb: "get", rest: "" }, (reply) => {
      if (reply.status === Status.missing) return null;
      if (reply.status !== Status.found) throw failureOf(reply);
      return { value: Buffer.from(reply.chunk.subarray(reply.valueStart, reply.valueEnd)), flags: reply.flags };
    });
  }

  add(owner: string, key: string, value: Buffer, exptime: number): Promise<WriteResult> {
    return this.write(owner, key, `ME T${exptime} F0`, value);
  }

  cas(owner: string, key: string, value: Buffer, exptime: number, cas: bigint): Promise<WriteResult> {
    return this.write(owner, key, `C${cas} T${exptime} F0`, value);
  }

  /** The whole item. `null` if there is none, if it is stale, or if the servers do not support meta commands. */
  item(key: string): Promise<WholeItem | null> {
    return this.send(Operation.metaGet, key, key, { verb: "mg", rest: "v f t" }, (reply) => {
      if (reply === notSupported) return null;
      if (reply.status !== Status.meta) throw failureOf(reply);
      const answer = new MetaAnswer(reply);
      if (answer.code !== "VA" || answer.flag("X") !== null) return null;
      const value = Buffer.from(reply.chunk.subarray(reply.valueStart, reply.valueEnd));
      return { value, flags: Number(answer.flag("f") ?? 0), ttlSeconds: Number(answer.flag("t") ?? -1) };
    });
  }

  /** Like `add`, with client flags. */
  addItem(key: string, { value, flags }: WholeItem, exptime: number): Promise<WriteResult> {
    return this.write(key, key, `ME T${exptime} F${flags >>> 0}`, value);
  }

  /** Deletes the value. Resolves when the server has executed that. */
  async remove(key: string): Promise<void> {
    await this.ask(Operation.metaDelete, key, key, { verb: "md", rest: "" });
  }

  async touch(key: string, exptime: number): Promise<boolean> {
    return (await this.ask(Operation.metaGet, key, key, { verb: "mg", rest: `T${exptime}` }))?.code === "HD";
  }

  async deleteIf(owner: string, key: string, cas: bigint): Promise<boolean> {
    return (await this.ask(Operation.metaDelete, owner, key, { verb: "md", rest: `C${cas}` }))?.code === "HD";
  }

  async delete(key: string): Promise<boolean> {
    const answer = await this.ask(Operation.metaDelete, key, key, { verb: "md", rest: "" });
    if (answer !== null) return answer.code === "HD";
    return this.send(Operation.delete, key, key, { verb: "delete", rest: "" }, (reply) => {
      if (reply.status === Status.deleted) return true;
      if (reply.status !== Status.notFound) throw failureOf(reply);
      return false;
    });
  }

  put(owner: string, key: string, value: Buffer, exptime: number): void {
    this.write(owner, key, `T${exptime} F0`, value).catch(() => {});
  }

  drop(owner: string, key: string): void {
    this.ask(Operation.metaDelete, owner, key, { verb: "md", rest: "" }).catch(() => {});
  }

  noteWrite(key: string): void {
    this.marks?.noteWrite(key);
  }

  noteFlush(): void {
    this.marks?.noteFlush();
  }

  private async getByMeta(owner: string, key: string): Promise<PoolValue | null> {
    return this.send(Operation.metaGet, owner, key, { verb: "mg", rest: "v f" }, (reply) => {
      if (reply.status !== Status.meta) throw failureOf(reply);
      const answer = new MetaAnswer(reply);
      if (answer.code !== "VA") return null;
      const value = Buffer.from(reply.chunk.subarray(reply.valueStart, reply.valueEnd));
      return { value, flags: Number(answer.flag("f") ?? 0) };
    });
  }

  private async write(owner: string, key: string, flags: string, value: Buffer): Promise<WriteResult> {
    const words = { verb: "ms", rest: `${value.length} ${flags}`, value };
    const answer =
      (await this.ask(Operation.metaSet, owner, key, { ...words, rest: `${words.rest} c` })) ??
      (await this.ask(Operation.metaSet, owner, key, words));
    switch (answer?.code) {
      case "HD": {
        const cas = answer.flag("c");
        return { result: "stored", cas: cas === null ? null : BigInt(cas) };
      }
      case "NS":
        return { result: "notStored" };
      case "EX":
        return { result: "exists" };
      case "NF":
        return { result: "notFound" };
      default:
        throw new BackendError(`unexpected answer ${answer?.code} to a meta set`);
    }
  }

  /** Sends a meta command. `null` if the servers do not support meta commands. */
  private ask(operation: Operation, owner: string, key: string, words: Words): Promise<MetaAnswer | null> {
    return this.send(operation, owner, key, words, (reply) => {
      if (reply.status === Status.meta) return new MetaAnswer(reply);
      if (reply === notSupported) return null;
      throw failureOf(reply);
    });
  }

  /** Sends `verb key rest` and its data before it returns. `read` copies what it needs from the reply, or throws. */
  private send<T>(
    operation: Operation,
    owner: string,
    key: string,
    words: Words,
    read: (reply: Reply) => T,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const onReply = (_request: Request, reply: Reply) => {
        try {
          resolve(read(reply));
        } catch (error) {
          reject(error);
        }
      };
      const request = keyedRequest(operation, key, words, this.prefix, { onReply });
      if (owner === key) this.route.route(request);
      else this.route.routeAs(Buffer.from(owner, "latin1"), request);
    });
  }
}

/** Code and flags of a meta reply without a key, copied from the reply. */
class MetaAnswer {
  private readonly line: string;

  constructor(reply: Reply) {
    this.line = replyLine(reply);
  }

  get code(): string {
    return this.line.slice(0, CODE_BYTES);
  }

  /** The value of a flag. `null` if the reply does not have the flag. */
  flag(letter: string): string | null {
    const before = this.line.indexOf(` ${letter}`);
    if (before < 0) return null;
    const end = this.line.indexOf(" ", before + 1);
    return this.line.slice(before + 2, end < 0 ? this.line.length : end);
  }

  /** Throws a BackendError if the reply has no cas. */
  cas(): bigint {
    const flag = this.flag("c");
    if (flag === null) throw new BackendError("the server returned no cas");
    return BigInt(flag);
  }
}

/** Failures after which the server has certainly not executed the request. */
const REFUSALS: ReadonlySet<Status> = new Set([
  Status.clientError,
  Status.connectTimeout,
  Status.connectError,
  Status.tko,
  Status.overloaded,
  Status.localError,
]);

/**
 * After a timeout or a lost connection the server may still execute the request. So may a server behind a proxy that
 * failed.
 */
function failureOf(reply: Reply): BackendError {
  const text = textOf(reply);
  const isRefused =
    REFUSALS.has(reply.status) || (reply.status === Status.serverError && /too large|out of memory/i.test(text));
  return new BackendError(text, { isRefused });
}

/** The first line of a reply. */
function textOf(reply: Reply): string {
  const end = reply.chunk.indexOf("\r", reply.start);
  return reply.chunk.toString("latin1", reply.start, isFailure(reply.status) || end < 0 ? reply.end - 2 : end);
}
