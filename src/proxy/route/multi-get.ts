/**
 * Sends the keys of a retrieval of many keys on the ways that they take through the tree, and joins the replies in the
 * order of the keys. Keys whose ways end on one backend connection share a command.
 *
 *     get a b c d      server 0 ◄─ get a c        a c ─┐
 *                      server 1 ◄─ get b d        b d ─┴► a b c d END
 *
 * A route that only selects the next route, or that passes most replies on, is passed before anything is sent, key by
 * key (`Route.passKey`), or with all keys at once if they take the same way (`Route.passesAlike`). A route that sends each key to all of its children gets its keys together (`Route.fanOut`).
 * Other routes get a separate request for each key. So does a watching route for the keys whose replies it does not pass
 * on: a failover route sends only the failed keys on.
 *
 * A failed key is left out of the reply: an error between VALUE lines would put clients out of step.
 */
import { gatheredReply, isFailure, missReply, type Reply, Status } from "../reply.ts";
import { type KeyList, Operation, type ReplyOwner, Request } from "../request.ts";
import { copyBytes } from "../wire/ascii.ts";
import { BufferLease } from "../wire/buffer-lease.ts";
import { isNoreplyKeyOf } from "../wire/meta-form.ts";
import { Fan, type FanOut, type FanOwner } from "./fan-out.ts";
import { resultOf } from "./result.ts";
import type { Route } from "./route.ts";

/**
 * Maximum number of keys in a gat, each with the maximum length of key and prefix, plus verb and exptime: memcached
 * closes a connection after 2 KiB of an incomplete line other than get and gets.
 */
const MAX_GAT_KEYS = 7;
/** Copies of larger parts are in leased buffers: a new buffer of this size is not in Node's pool. */
const LEAST_LEASED_BYTES = 4 * 1024;

/** Destinations of keys: a lane is a backend connection. */
export interface Lanes {
  /** False if each key must be requested by a separate command. */
  mayShare(lane: number): boolean;
  lane(chunk: Buffer, start: number, end: number): number;
  /** `lane` of each key, in `lanes`. Absent if it would not be faster than `lane`. */
  lanesOf?(keys: KeyList, lanes: Uint32Array): void;
  sendTo(lane: number, request: Request): void;
}

/** A route that sees the replies to the keys that it has passed on. */
export interface KeyWatcher extends ReplyOwner {
  /**
   * Handles `reply`, the reply to each of `count` keys: a failure, a miss, or a value. Returns true if it is passed on
   * unchanged, as values must be. Returns false, and has no effect, if each key needs `onReply`.
   */
  passesBack(request: Request, reply: Reply, count: number): boolean;
}

/** The route that receives all keys. */
type First = Pick<Route, "route" | "passKey" | "passesAlike" | "fanOut" | "lanes">;

/**
 * Sends the keys of `request`, which are `keys`, to `first`. Completes the request once, synchronously or after the last
 * reply. `countsKeys`: backends count each key as a request. Returns the number of commands that ask for the keys, except
 * separate requests.
 */
export function routeKeys(request: Request, keys: KeyList, first: First, countsKeys: boolean): number {
  return new ManyKeys(request, keys, null).send(first, countsKeys);
}

/** Keys that share a command. */
class Part implements ReplyOwner {
  readonly request: Request;
  readonly indexes: number[] = [];
  readonly lanes: Lanes;
  readonly lane: number;
  readonly maxKeys: number;
  /** The outermost first. */
  readonly watchers: readonly KeyWatcher[];
  private readonly whole: ManyKeys;

  constructor(whole: ManyKeys, lanes: Lanes, lane: number, maxKeys: number, watchers: readonly KeyWatcher[]) {
    this.whole = whole;
    this.lanes = lanes;
    this.lane = lane;
    this.maxKeys = maxKeys;
    this.watchers = watchers;
    const { request, keys } = whole;
    const own = new Request(request.operation, this, keys.bytes);
    own.isKept = true;
    own.keys = keys;
    own.indexes = this.indexes;
    own.exptime = request.exptime;
    own.span = request.span;
    this.request = own;
  }

  onReply(_request: Request, reply: Reply): void {
    this.whole.partReplied(this, reply);
  }

  /** True if a key of the lane `lane` can join this part. */
  takes(lanes: Lanes, lane: number, watchers: readonly KeyWatcher[]): boolean {
    if (this.lane !== lane || this.lanes !== lanes || this.indexes.length >= this.maxKeys) return false;
    return isSame(this.watchers, watchers);
  }
}

function isSame(some: readonly KeyWatcher[], others: readonly KeyWatcher[]): boolean {
  if (some === others) return true;
  if (some.length !== others.length) return false;
  for (let i = 0; i < some.length; i++) if (some[i] !== others[i]) return false;
  return true;
}

const noWatchers: readonly KeyWatcher[] = [];
/** The lane of each key of the request that is being divided. */
let lanesOfKeys = new Uint32Array(128);

/** Maximum number of keys in a command. */
function mostKeys(operation: Operation): number {
  return operation === Operation.gat || operation === Operation.gats ? MAX_GAT_KEYS : Number.POSITIVE_INFINITY;
}

class ManyKeys implements ReplyOwner, FanOwner {
  readonly request: Request;
  readonly keys: KeyList;
  /** The fan that asks for the keys. `null` if the client does. */
  private readonly fan: Fan | null;
  /** Watchers that see the replies to all keys. */
  private watchersOfAll = noWatchers;
  /** Keys that are requested separately. `null` if there are none. */
  private singles: Map<Request, number> | null = null;
  /** Replies to wait for. One is for `send`, so that synchronous replies do not complete the request early. */
  private due = 1;
  private hasFound = false;
  /** Leases of buffers with blocks. `null` if there are none. */
  private leases: BufferLease[] | null = null;

  constructor(request: Request, keys: KeyList, fan: Fan | null) {
    this.request = request;
    this.keys = keys;
    this.fan = fan;
  }

  /** Returns the number of parts, with those of fans. */
  send(first: First, countsKeys: boolean): number {
    const { request, keys } = this;
    const parts: Part[] = [];
    const fans: Fan[] = [];
    const watchers: KeyWatcher[] = [];
    const top = this.passAll(first, watchers);
    if (watchers.length > 0) this.watchersOfAll = [...watchers];
    if (top.passKey !== undefined || top.lanes === undefined) this.sendEach(top, watchers, parts, fans);
    else this.divide(top.lanes, parts);
    this.due += parts.length + fans.length;
    for (const { request: sent, indexes, lanes, lane } of parts) {
      if (countsKeys) sent.weight = indexes.length;
      lanes.sendTo(lane, sent);
    }
    let commands = parts.length;
    for (const fan of fans) {
      fan.begin(keys);
      for (const child of fan.fanOut.children) {
        commands += new ManyKeys(request, fan.branch(), fan).send(child, countsKeys);
      }
    }
    this.answered();
    return commands;
  }

  /** Adds all keys to the parts of `lanes`. */
  private divide(lanes: Lanes, parts: Part[]): void {
    const { keys, watchersOfAll } = this;
    const { bytes, starts, ends, count } = keys;
    if (lanes.lanesOf === undefined) {
      for (let i = 0; i < count; i++) {
        this.addToPart(parts, i, lanes, lanes.lane(bytes, starts[i]!, ends[i]!), watchersOfAll);
      }
      return;
    }
    if (lanesOfKeys.length < count) lanesOfKeys = new Uint32Array(count);
    lanes.lanesOf(keys, lanesOfKeys);
    for (let i = 0; i < count; i++) this.addToPart(parts, i, lanes, lanesOfKeys[i]!, watchersOfAll);
  }

  /** Passes each key through the routes from `top` on. `watchers` has `watchersOfAll`. */
  private sendEach(top: First, watchers: KeyWatcher[], parts: Part[], fans: Fan[]): void {
    const { request, keys, watchersOfAll } = this;
    let probe: Request | null = null;
    const { bytes, starts, ends, count } = keys;
    for (let i = 0; i < count; i++) {
      // Setting the length of an array is a call into V8's runtime.
      if (watchers.length > watchersOfAll.length) watchers.length = watchersOfAll.length;
      let route = top;
      if (route.passKey !== undefined) {
        probe ??= singleOf(request, keys, 0, this);
        probe.keyStart = starts[i]!;
        probe.keyEnd = ends[i]!;
        for (let next: Route | null; route.passKey !== undefined; route = next) {
          next = route.passKey(probe, watchers, 1);
          if (next === null) break;
        }
      }
      const { lanes, fanOut } = route;
      if (fanOut !== undefined) {
        this.addToFan(fans, i, fanOut, watchers);
      } else if (lanes === undefined) {
        route.route(this.single(i, watchers, watchers.length));
      } else {
        const own = watchers.length === watchersOfAll.length ? watchersOfAll : watchers;
        this.addToPart(parts, i, lanes, lanes.lane(bytes, starts[i]!, ends[i]!), own);
      }
    }
  }

  /** Passes the routes that treat all keys alike. Returns the route behind them, which gets each key. */
  private passAll(first: First, watchers: KeyWatcher[]): First {
    let route = first;
    while (route.passesAlike) {
      const next = route.passKey!(this.request, watchers, this.keys.count);
      if (next === null) break;
      route = next;
    }
    return route;
  }

  private addToPart(parts: Part[], index: number, lanes: Lanes, lane: number, watchers: readonly KeyWatcher[]): void {
    // Within a line, the key would be read as the word `noreply`.
    const isAlone = isNoreplyKeyOf(this.keys, index);
    let at = isAlone ? parts.length : 0;
    while (at < parts.length && !parts[at]!.takes(lanes, lane, watchers)) at++;
    if (at === parts.length) {
      const maxKeys = lanes.mayShare(lane) && !isAlone ? mostKeys(this.request.operation) : 1;
      parts.push(new Part(this, lanes, lane, maxKeys, watchers === this.watchersOfAll ? watchers : [...watchers]));
    }
    parts[at]!.indexes.push(index);
  }

  private addToFan(fans: Fan[], index: number, fanOut: FanOut, watchers: readonly KeyWatcher[]): void {
    let fan = fans.find((each) => each.fanOut === fanOut && isSame(each.watchers, watchers));
    if (fan === undefined) {
      fan = new Fan(this, fanOut, [...watchers]);
      fans.push(fan);
    }
    fan.indexes.push(index);
  }

  partReplied({ request: sent, indexes, watchers }: Part, reply: Reply): void {
    const { keys } = this;
    if (isFailure(reply.status)) {
      // A part that failed half-way counts as having no values.
      for (const index of indexes) keys.blocks[index] = null;
      this.passBack(sent, indexes, watchers, reply);
    } else {
      if (watchers.length > 0 || this.fan !== null) this.passBackAll(sent, indexes, watchers, reply);
      if (reply.status === Status.found && this.fan === null) this.keepBlocks(indexes, reply);
    }
    this.answered();
  }

  /** The reply to a request of one key. */
  onReply(single: Request, reply: Reply): void {
    const singles = this.singles!;
    const index = singles.get(single)!;
    singles.delete(single);
    if (reply.status !== Status.found) {
      this.notFound([index], reply);
    } else if (this.fan === null) {
      putBlock(this.keys, index, reply);
      this.hasFound = true;
    } else {
      setBlock(this.keys, index, reply);
      this.fan.found(this.keys, [index], reply);
    }
    this.answered();
  }

  fanFound({ indexes: ofGet, watchers, keys: found }: Fan, indexes: readonly number[]): void {
    const { keys, fan } = this;
    const own = indexes.map((index) => ofGet[index]!);
    for (const [i, index] of own.entries()) {
      keys.blocks[index] = found.blocks[indexes[i]!]!;
      keys.blockStarts[index] = found.blockStarts[indexes[i]!]!;
      keys.blockEnds[index] = found.blockEnds[indexes[i]!]!;
    }
    passValuesBack(this.request, watchers, gatheredReply, own.length);
    if (fan === null) this.hasFound = true;
    else fan.found(keys, own, gatheredReply);
  }

  fanNotFound({ indexes: ofGet, watchers }: Fan, indexes: readonly number[], reply: Reply): void {
    const own = indexes.map((index) => ofGet[index]!);
    this.passBack(this.request, own, watchers, reply);
  }

  fanEnded(): void {
    this.answered();
  }

  /** Keeps the blocks of a part until the request has been answered. Those of the last part are handled in place. */
  private keepBlocks(indexes: readonly number[], reply: Reply): void {
    const { keys } = this;
    this.hasFound = true;
    if (reply.isKept) return;
    if (this.due === 1) {
      keys.borrow(reply.chunk);
      return;
    }
    const { chunk, start, end, lease } = reply;
    if (end - start < LEAST_LEASED_BYTES) {
      keys.moveBlocks(indexes, reply, Buffer.from(chunk.subarray(start, end)), 0);
    } else if (lease !== null) {
      lease.retain();
      this.hold(lease, chunk);
    } else {
      const own = BufferLease.take(end - start);
      copyBytes(chunk, start, end, own.buffer, 0);
      keys.moveBlocks(indexes, reply, own.buffer, 0);
      this.hold(own, own.buffer);
    }
  }

  /** Holds `lease`, whose buffer `chunk` has blocks, until the request has been answered. */
  private hold(lease: BufferLease, chunk: Buffer): void {
    this.leases ??= [];
    this.leases.push(lease);
    this.keys.borrow(chunk);
  }

  /** Passes the values and the misses of a part back through its watchers, to the fan if there is one. */
  private passBackAll(sent: Request, indexes: readonly number[], watchers: readonly KeyWatcher[], reply: Reply): void {
    const { blocks } = this.keys;
    const missing: number[] = [];
    for (const index of indexes) if (blocks[index] === null) missing.push(index);
    const found = indexes.length - missing.length;
    if (found > 0) passValuesBack(sent, watchers, reply, found);
    if (found > 0 && this.fan !== null) {
      this.fan.found(this.keys, found === indexes.length ? indexes : indexes.filter((i) => blocks[i] !== null), reply);
    }
    if (missing.length > 0) this.passBack(sent, missing, watchers, missReply);
  }

  /** Passes `reply`, a miss or a failure of each key, back through the watchers. */
  private passBack(sent: Request, indexes: readonly number[], watchers: readonly KeyWatcher[], reply: Reply): void {
    let at = watchers.length - 1;
    while (at >= 0 && watchers[at]!.passesBack(sent, reply, indexes.length)) at--;
    if (at >= 0) {
      const kept = reply.copy();
      for (const index of indexes) watchers[at]!.onReply(this.single(index, watchers, at), kept);
    } else {
      this.notFound(indexes, reply);
    }
  }

  /** `reply`, a miss or a failure, is the reply to each of these keys. */
  private notFound(indexes: readonly number[], reply: Reply): void {
    if (this.fan !== null) {
      this.fan.notFound(indexes, reply, resultOf(this.request, reply));
    } else if (isFailure(reply.status)) {
      this.keys.failed ??= new Set();
      for (const index of indexes) this.keys.failed.add(index);
    }
  }

  /** A separate request for a key, whose reply the first `count` watchers see. */
  private single(index: number, watchers: readonly KeyWatcher[], count: number): Request {
    const single = singleOf(this.request, this.keys, index, this);
    for (let i = 0; i < count; i++) single.push(watchers[i]!);
    this.singles ??= new Map();
    this.singles.set(single, index);
    this.due++;
    return single;
  }

  private answered(): void {
    if (--this.due > 0 || this.fan !== null) return;
    this.request.complete(this.hasFound ? gatheredReply : missReply);
    if (this.leases !== null) for (const lease of this.leases) lease.release();
  }
}

function passValuesBack(sent: Request, watchers: readonly KeyWatcher[], reply: Reply, count: number): void {
  for (let at = watchers.length - 1; at >= 0; at--) watchers[at]!.passesBack(sent, reply, count);
}

/** A retrieval of only key `index` of `keys`. */
export function singleOf(request: Request, keys: KeyList, index: number, owner: ReplyOwner): Request {
  const single = new Request(request.operation, owner, keys.bytes);
  single.keyStart = keys.starts[index]!;
  single.keyEnd = keys.ends[index]!;
  single.isKept = true;
  single.clientAddress = request.clientAddress;
  single.exptime = request.exptime;
  single.span = request.span;
  single.client = request.client;
  return single;
}

/** Stores the VALUE block of a reply to a get of one key as the block of key `index`. */
export function putBlock(keys: KeyList, index: number, answer: Reply): void {
  setBlock(keys, index, answer.copy());
}

function setBlock(keys: KeyList, index: number, { chunk, start, end }: Reply): void {
  keys.blocks[index] = chunk;
  keys.blockStarts[index] = start;
  keys.blockEnds[index] = end - END_BYTES;
}

const END_BYTES = "END\r\n".length;
