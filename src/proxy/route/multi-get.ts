/**
 * A retrieval of many keys becomes one command per backend connection, and the answers are put back in the order of the
 * keys. A part that fails leaves its keys out: an error between VALUE lines would put clients out of step.
 *
 *     get a b c d      server 0 ◄─ get a c        a c ─┐
 *                      server 1 ◄─ get b d        b d ─┴► a b c d END
 *
 * memcached closes a connection on which it has read 2 KiB of a line other than get and gets without its end: a gat of
 * many keys becomes several.
 */
import { gatheredReply, isFailure, missReply, type Reply, Status } from "../reply.ts";
import { type KeyList, Operation, type ReplyOwner, Request } from "../request.ts";
import { isNoreplyKeyOf } from "../wire/meta-form.ts";

/** Keys of one gat, each with the longest there is of blank and prefix; verb and exptime go beside them. */
const MAX_GAT_KEYS = 7;

/** Where keys go: lanes are backend connections. */
export interface Lanes {
  /** False: each key is to be asked for by a command of its own. */
  mayShare(lane: number): boolean;
  lane(chunk: Buffer, start: number, end: number): number;
  sendTo(lane: number, request: Request): void;
}

/** Sends the parts of `request`, whose keys are `keys`, and completes it when all have been answered. */
export function splitRetrieval(request: Request, keys: KeyList, lanes: Lanes): void {
  const parts: Request[] = [];
  const laneOf: number[] = [];
  const gather = new Gather(request, keys);
  const isTouch = request.operation === Operation.gat || request.operation === Operation.gats;
  const most = isTouch ? MAX_GAT_KEYS : Number.POSITIVE_INFINITY;
  const maxKeys: number[] = [];
  for (let i = 0; i < keys.count; i++) {
    const lane = lanes.lane(keys.bytes, keys.starts[i]!, keys.ends[i]!);
    // Its place in a line would be taken for the end of that line.
    const isAlone = isNoreplyKeyOf(keys, i);
    let at = isAlone ? laneOf.length : 0;
    while (at < laneOf.length && (laneOf[at] !== lane || parts[at]!.indexes!.length >= maxKeys[at]!)) at++;
    let part = parts[at];
    if (part === undefined) {
      part = new Request(request.operation, gather, keys.bytes);
      part.isKept = true;
      part.keys = keys;
      part.indexes = [];
      part.exptime = request.exptime;
      part.span = request.span;
      parts.push(part);
      laneOf.push(lane);
      maxKeys.push(lanes.mayShare(lane) && !isAlone ? most : 1);
    }
    part.indexes!.push(i);
  }
  gather.due = parts.length;
  for (let i = 0; i < parts.length; i++) lanes.sendTo(laneOf[i]!, parts[i]!);
}

/** Collects the answers to the parts. */
class Gather implements ReplyOwner {
  due = 0;
  private readonly request: Request;
  private readonly keys: KeyList;
  private hasFound = false;

  constructor(request: Request, keys: KeyList) {
    this.request = request;
    this.keys = keys;
  }

  onReply(part: Request, reply: Reply): void {
    this.due--;
    if (isFailure(reply.status)) forgetBlocks(this.keys, part.indexes!);
    else if (reply.status === Status.found) {
      this.hasFound = true;
      // The blocks lie in the read buffer: the last part's may stay there, they are handled before the next read.
      if (!reply.isKept) {
        if (this.due > 0) this.keys.moveBlocks(part.indexes!, reply, reply.copy());
        else this.keys.borrowed = reply.chunk;
      }
    }
    if (this.due === 0) this.request.complete(this.hasFound ? gatheredReply : missReply);
  }
}

/**
 * The keys of a retrieval asked for one by one, each by a request of its own, where they do not all go the same way. A key
 * that fails is left out.
 */
export class GatherKeys implements ReplyOwner {
  private readonly request: Request;
  private readonly keys: KeyList;
  private readonly indexes = new Map<Request, number>();
  /** One for the loop of `send`, so that answers that come at once do not complete the request early. */
  private due = 1;

  constructor(request: Request, keys: KeyList) {
    this.request = request;
    this.keys = keys;
  }

  /** Calls `route` for each key. Completes the request when all have been answered. */
  send(route: (single: Request) => void): void {
    for (let i = 0; i < this.keys.count; i++) {
      const single = singleOf(this.request, this.keys, i, this);
      this.indexes.set(single, i);
      this.due++;
      route(single);
    }
    this.answered();
  }

  onReply(single: Request, reply: Reply): void {
    const index = this.indexes.get(single)!;
    if (reply.status === Status.found) putBlock(this.keys, index, reply);
    else if (isFailure(reply.status)) forgetBlocks(this.keys, [index]);
    this.answered();
  }

  private answered(): void {
    if (--this.due > 0) return;
    this.request.complete(this.keys.blocks.some((block) => block !== null) ? gatheredReply : missReply);
  }
}

/** A retrieval of key `index` of `keys` alone. */
export function singleOf(request: Request, keys: KeyList, index: number, owner: ReplyOwner): Request {
  const single = new Request(request.operation, owner, keys.bytes);
  single.keyStart = keys.starts[index]!;
  single.keyEnd = keys.ends[index]!;
  single.isKept = true;
  single.exptime = request.exptime;
  single.span = request.span;
  return single;
}

/** The VALUE block of a reply to a get of one key becomes the block of key `index`. */
export function putBlock(keys: KeyList, index: number, answer: Reply): void {
  const kept = answer.copy();
  keys.blocks[index] = kept.chunk;
  keys.blockStarts[index] = kept.start;
  keys.blockEnds[index] = kept.end - END_BYTES;
}

const END_BYTES = "END\r\n".length;

/** A part that failed half-way has no values at all. */
function forgetBlocks(keys: KeyList, indexes: readonly number[]): void {
  keys.failed ??= new Set();
  for (const index of indexes) {
    keys.blocks[index] = null;
    keys.failed.add(index);
  }
}
