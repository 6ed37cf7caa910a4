/**
 * Splits a retrieval of many keys into one command per backend connection, and joins the replies in the order of the
 * keys. A failed part leaves its keys out: an error between VALUE lines would put clients out of step.
 *
 *     get a b c d      server 0 ◄─ get a c        a c ─┐
 *                      server 1 ◄─ get b d        b d ─┴► a b c d END
 *
 * memcached closes a connection after 2 KiB of an incomplete line other than get and gets: so a gat of many keys
 * becomes several commands.
 */
import { gatheredReply, isFailure, missReply, type Reply, Status } from "../reply.ts";
import { type KeyList, Operation, type ReplyOwner, Request } from "../request.ts";
import { isNoreplyKeyOf } from "../wire/meta-form.ts";

/** Maximum number of keys in a gat, each with the maximum length of key and prefix, plus verb and exptime. */
const MAX_GAT_KEYS = 7;

/** Destinations of keys: a lane is a backend connection. */
export interface Lanes {
  /** False if each key must be requested by a separate command. */
  mayShare(lane: number): boolean;
  lane(chunk: Buffer, start: number, end: number): number;
  sendTo(lane: number, request: Request): void;
}

/** Sends the parts of `request`, whose keys are `keys`, and completes it after the last reply. */
export function splitRetrieval(request: Request, keys: KeyList, lanes: Lanes): void {
  const parts: Request[] = [];
  const laneOf: number[] = [];
  const gather = new Gather(request, keys);
  const isTouch = request.operation === Operation.gat || request.operation === Operation.gats;
  const most = isTouch ? MAX_GAT_KEYS : Number.POSITIVE_INFINITY;
  const maxKeys: number[] = [];
  for (let i = 0; i < keys.count; i++) {
    const lane = lanes.lane(keys.bytes, keys.starts[i]!, keys.ends[i]!);
    // Within a line, the key would be read as the word `noreply`.
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

/** Collects the replies to the parts. */
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
      // The blocks are in the read buffer. Those of the last part may stay there: they are handled before the next
      // read.
      if (!reply.isKept) {
        if (this.due > 0) this.keys.moveBlocks(part.indexes!, reply, reply.copy());
        else this.keys.borrowed = reply.chunk;
      }
    }
    if (this.due === 0) this.request.complete(this.hasFound ? gatheredReply : missReply);
  }
}

/**
 * Requests the keys of a retrieval one by one, each with a separate request, if they take different ways through the
 * tree. A failed key is left out.
 */
export class GatherKeys implements ReplyOwner {
  private readonly request: Request;
  private readonly keys: KeyList;
  private readonly indexes = new Map<Request, number>();
  /** One for the loop of `send`, so that synchronous replies do not complete the request early. */
  private due = 1;

  constructor(request: Request, keys: KeyList) {
    this.request = request;
    this.keys = keys;
  }

  /** Calls `route` for each key. Completes the request after the last reply. */
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

/** A retrieval of only key `index` of `keys`. */
export function singleOf(request: Request, keys: KeyList, index: number, owner: ReplyOwner): Request {
  const single = new Request(request.operation, owner, keys.bytes);
  single.keyStart = keys.starts[index]!;
  single.keyEnd = keys.ends[index]!;
  single.isKept = true;
  single.exptime = request.exptime;
  single.span = request.span;
  return single;
}

/** Stores the VALUE block of a reply to a get of one key as the block of key `index`. */
export function putBlock(keys: KeyList, index: number, answer: Reply): void {
  const kept = answer.copy();
  keys.blocks[index] = kept.chunk;
  keys.blockStarts[index] = kept.start;
  keys.blockEnds[index] = kept.end - END_BYTES;
}

const END_BYTES = "END\r\n".length;

/** A part that failed half-way counts as having no values. */
function forgetBlocks(keys: KeyList, indexes: readonly number[]): void {
  keys.failed ??= new Set();
  for (const index of indexes) {
    keys.blocks[index] = null;
    keys.failed.add(index);
  }
}
