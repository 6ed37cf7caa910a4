/**
 * The top of the routes if a configuration has `near`: it answers plain gets of hot keys from memory (near-cache.ts), and
 * sees each write with its reply. A get of many keys asks the pool only for the keys that are not in memory.
 *
 *     get, mg without c t h l N R T …   answered from memory, or sent on to renew the copy
 *     gets, other mg                    sent on; a reply with another value takes the copy away
 *     writes, touch, gat, mg with T N E R, flush_all
 *                                       take the copy away before they are sent on, and again when they are answered
 */
import { gatheredReply, isFailure, MetaCode, type Reply, Status } from "../reply.ts";
import { isWrite, KeyList, Operation, type ReplyOwner, type Request } from "../request.ts";
import type { MissFiller } from "../route/fill-route.ts";
import { singleOf } from "../route/multi-get.ts";
import type { Root, SeeTarget } from "../route/route.ts";
import type { Turn } from "../wire/turn.ts";
import type { HotKey } from "./hot-key.ts";
import { MetaRead, metaReadOf } from "./meta-read.ts";
import type { NearCache } from "./near-cache.ts";

const END_BYTES = gatheredReply.end;
/** A key with at least this number of gets is reported to the refreshes only now and then. */
const ENOUGH_GETS = 256;
const NOTE_MS = 250;

export class NearRoute implements Root, ReplyOwner {
  readonly name = "near";
  private readonly child: Root;
  private readonly cache: NearCache;
  private readonly turn: Turn;
  /** Learns of gets that the routes below do not see. `null` if there are no rules. */
  private readonly filler: Pick<MissFiller, "noteGet" | "noteTraced"> | null;

  constructor(child: Root, cache: NearCache, turn: Turn, filler: NearRoute["filler"]) {
    this.child = child;
    this.cache = cache;
    this.turn = turn;
    this.filler = filler;
  }

  route(request: Request): void {
    const { operation, keys } = request;
    if (keys !== null) this.routeMany(request, keys);
    else if (operation === Operation.get) this.routeGet(request);
    else if (operation === Operation.metaGet) this.routeMetaGet(request);
    else if (operation === Operation.gets) this.watch(request);
    else if (isChange(operation)) this.change(request);
    else this.child.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.child, request);
  }

  broadcast(request: Request): void {
    if (request.operation === Operation.flushAll) {
      this.cache.flushed();
      request.push(this);
    }
    this.child.broadcast(request);
  }

  onReply(request: Request, reply: Reply): void {
    const { operation, keys } = request;
    if (keys !== null) {
      if (operation === Operation.get) this.takeMany(request, keys, isFailure(reply.status));
      else this.dropMany(keys);
    } else if (operation === Operation.flushAll) {
      this.cache.flushed();
    } else if (isChange(operation) || (operation === Operation.metaGet && metaReadOf(request) & MetaRead.changes)) {
      this.cache.written(request.chunk, request.keyStart, request.keyEnd);
    } else {
      const hot = this.cache.find(request.chunk, request.keyStart, request.keyEnd);
      if (hot !== null) this.take(hot, request, reply);
    }
    request.complete(reply);
  }

  private routeGet(request: Request): void {
    const nowMs = this.turn.nowMs();
    const hot = this.cache.got(request.chunk, request.keyStart, request.keyEnd, nowMs);
    if (hot !== null) {
      const reply = hot.replyToGet(nowMs);
      if (reply !== null) {
        this.answer(request, hot, reply, nowMs);
        return;
      }
      if (hot.take(request, nowMs)) request.push(this);
    }
    this.child.route(request);
  }

  private routeMetaGet(request: Request): void {
    const asks = metaReadOf(request);
    if (asks & MetaRead.changes) {
      this.change(request);
      return;
    }
    if (asks & MetaRead.asksServer) {
      this.watch(request);
      return;
    }
    const nowMs = this.turn.nowMs();
    const hot = this.cache.got(request.chunk, request.keyStart, request.keyEnd, nowMs);
    if (hot !== null) {
      const hasOpaque = (asks & MetaRead.hasOpaque) !== 0;
      const reply = hot.replyToMeta(request, (asks & MetaRead.asksFlags) !== 0, hasOpaque, nowMs);
      if (reply !== null) {
        this.answer(request, hot, reply, nowMs);
        return;
      }
      const isFiller = (asks & MetaRead.asksValue) !== 0 && hot.take(request, nowMs);
      if (isFiller || hot.hasCopy) request.push(this);
    }
    this.child.route(request);
  }

  /** A read that only a server can answer: if the item has another value by now, the copy is old. */
  private watch(request: Request): void {
    if (this.cache.find(request.chunk, request.keyStart, request.keyEnd)?.hasCopy) request.push(this);
    this.child.route(request);
  }

  private change(request: Request): void {
    this.cache.written(request.chunk, request.keyStart, request.keyEnd);
    request.push(this);
    this.child.route(request);
  }

  private answer(request: Request, hot: HotKey, reply: Reply, nowMs: number): void {
    this.hit(hot, request.chunk, request.keyStart, request.keyEnd, nowMs);
    if (request.span !== null) {
      request.span.set("platypus.near", "hit");
      this.filler?.noteTraced(request.keyText(), request.span);
    }
    request.complete(reply);
  }

  private hit(hot: HotKey, chunk: Buffer, start: number, end: number, nowMs: number): void {
    hot.hits++;
    this.cache.counters.hits++;
    if (this.filler === null || (hot.gets > ENOUGH_GETS && nowMs - hot.notedMs < NOTE_MS)) return;
    hot.notedMs = nowMs;
    this.filler.noteGet(chunk, start, end, true);
  }

  /** A reply from below to a get of a hot key. */
  private take(hot: HotKey, request: Request, reply: Reply): void {
    const { cache } = this;
    if (isFailure(reply.status)) {
      hot.giveBack(request);
    } else if (hot.giveBack(request)) {
      const nowMs = this.turn.nowMs();
      if (request.operation === Operation.metaGet) {
        cache.store(hot, reply.valueEnd - reply.valueStart, nowMs, () => hot.storeMeta(reply));
      } else {
        const chunk = reply.status === Status.found ? reply.chunk : null;
        cache.storeBlock(hot, chunk, reply.start, reply.end - END_BYTES, nowMs);
      }
    } else if (hot.hasCopy && isOther(hot, reply)) {
      cache.drop(hot);
    }
  }

  private routeMany(request: Request, keys: KeyList): void {
    const { cache } = this;
    if (request.operation !== Operation.get) {
      this.dropMany(keys);
      if (isChange(request.operation)) request.push(this);
      this.child.route(request);
      return;
    }
    const nowMs = this.turn.nowMs();
    const { bytes, starts, ends, count } = keys;
    const rest: number[] = [];
    const due: HotKey[] = [];
    for (let i = 0; i < count; i++) {
      const hot = cache.got(bytes, starts[i]!, ends[i]!, nowMs);
      const reply = hot?.replyToGet(nowMs) ?? null;
      if (hot !== null && reply !== null) {
        this.hit(hot, bytes, starts[i]!, ends[i]!, nowMs);
        keys.blocks[i] = reply.chunk;
        keys.blockStarts[i] = reply.start;
        keys.blockEnds[i] = reply.end - END_BYTES;
        continue;
      }
      rest.push(i);
      if (hot !== null) due.push(hot);
    }
    if (rest.length === 0) {
      request.complete(gatheredReply);
      return;
    }
    const sent = rest.length === count ? request : new RestOfGet(request, keys, rest).request;
    let isFiller = false;
    for (const hot of due) if (hot.take(sent, nowMs)) isFiller = true;
    if (isFiller) sent.push(this);
    this.child.route(sent);
  }

  /** A get of many keys, some of which may be hot, has been answered. */
  private takeMany(request: Request, keys: KeyList, hasFailed: boolean): void {
    const { cache } = this;
    const { bytes, starts, ends, blocks, blockStarts, blockEnds, failed } = keys;
    for (let i = 0; i < keys.count; i++) {
      const hot = cache.find(bytes, starts[i]!, ends[i]!);
      if (hot === null || !hot.giveBack(request) || hasFailed || failed?.has(i)) continue;
      cache.storeBlock(hot, blocks[i]!, blockStarts[i]!, blockEnds[i]!, this.turn.nowMs());
    }
  }

  private dropMany({ bytes, starts, ends, count }: KeyList): void {
    for (let i = 0; i < count; i++) this.cache.written(bytes, starts[i]!, ends[i]!);
  }
}

/** True if `reply` has another value than the copy of `hot`, or is a miss. */
function isOther(hot: HotKey, reply: Reply): boolean {
  const { status, code } = reply;
  // The reply to an `mg` that asks for no value.
  if (status === Status.meta && code === MetaCode.HD) return false;
  if (status !== Status.found && code !== MetaCode.VA) return true;
  return !hot.hasValue(reply.chunk, reply.valueStart, reply.valueEnd);
}

/** True for commands that change an item or its exptime. */
function isChange(operation: Operation): boolean {
  return (
    isWrite(operation) || operation === Operation.touch || operation === Operation.gat || operation === Operation.gats
  );
}

/** A get of the keys that are not in memory. Completes the whole get with its reply. */
class RestOfGet implements ReplyOwner {
  readonly request: Request;
  private readonly whole: Request;
  private readonly keys: KeyList;
  /** Indexes in `keys`. */
  private readonly rest: readonly number[];

  constructor(whole: Request, keys: KeyList, rest: readonly number[]) {
    this.whole = whole;
    this.keys = keys;
    this.rest = rest;
    const request = singleOf(whole, keys, rest[0]!, this);
    const starts = rest.map((i) => keys.starts[i]!);
    const ends = rest.map((i) => keys.ends[i]!);
    request.keys = new KeyList(keys.bytes, starts, ends);
    this.request = request;
  }

  onReply(request: Request, reply: Reply): void {
    const { keys, whole } = this;
    const { blocks, blockStarts, blockEnds, borrowed } = request.keys!;
    for (const [at, i] of this.rest.entries()) {
      keys.blocks[i] = blocks[at]!;
      keys.blockStarts[i] = blockStarts[at]!;
      keys.blockEnds[i] = blockEnds[at]!;
    }
    keys.borrowed = borrowed;
    whole.complete(reply.status === Status.clientError ? reply : gatheredReply);
  }
}
