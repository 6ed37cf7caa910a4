/**
 * Stands above the pool where there are rules. Sees every retrieval going and coming and every write going: a get of a
 * tracked key is noted, a miss of a covered key is filled, a write tells the filler that fetches under way are too old.
 *
 * What is answered: a plain get from the fetched value. gets, gat and gats ask the pool again after the value was
 * stored, so that their flags, cas and exptime are real; within what is left of the key's `fill_timeout`, so that a
 * server that hangs by then does not make a client wait for its time-out a second time.
 */
import type { Clock, Timer } from "../../clock.ts";
import { gatheredReply, isFailure, MetaCode, missReply, type Reply, Status, valueReply } from "../reply.ts";
import { isRetrieval, isWrite, type KeyList, Operation, type ReplyOwner, type Request } from "../request.ts";
import type { Span } from "../tracing.ts";
import { hasMetaFlag, metaFound } from "../wire/meta-line.ts";
import { putBlock, singleOf } from "./multi-get.ts";
import type { Root, Route, SeeTarget } from "./route.ts";

/**
 * How a fill ended for one of those who waited for it. Exactly one of the two is called, once. `leftMs`: how much longer
 * the client may be made to wait.
 */
export interface FillWaiter {
  /** Of the request that waits; null, or none: it is not traced. */
  readonly span?: Span | null;
  /** `reply` is the value as the answer to a plain get of the key, or a miss. It is kept. */
  filled(reply: Reply, leftMs: number): void;
  /** The pool has a newer word than the source: it is to be asked again. */
  askAgain(leftMs: number): void;
}

/** What the proxy needs of fill and refresh; implemented outside of it. */
export interface MissFiller {
  /** A client asked for `chunk[start, end)`. Called for every get, hit or miss: no strings, no look at rules. */
  noteGet(chunk: Buffer, start: number, end: number, isHit: boolean): void;
  /** The same for each key of a get of many, which hit where there is a block. */
  noteGets(keys: KeyList): void;
  /** A traced request hit `key` (one character per byte): what keeps it fresh from now on is for its sake. */
  noteTraced(key: string, span: Span): void;
  /**
   * A client's get of `key` (one character per byte) missed. Returns false if no rule covers the key. Else `waiter` is called
   * once, perhaps before this returns. `hasPoolFailed`: the pool has not reported a miss, but could not answer.
   */
  fill(key: string, waiter: FillWaiter, hasPoolFailed?: boolean): boolean;
  /** A client is about to write `key`: fetches that began before lose. */
  beforeWrite(key: string): void;
  /** The same for every key. */
  beforeFlush(): void;
}

/** Fills the misses of what is below it. */
export class FillRoute implements Root, ReplyOwner {
  readonly name = "fill";
  private readonly child: Root;
  private readonly filler: MissFiller;
  private readonly clock: Clock;

  constructor(child: Root, filler: MissFiller, clock: Clock) {
    this.child = child;
    this.filler = filler;
    this.clock = clock;
  }

  route(request: Request): void {
    if (isRetrieval(request.operation) || request.operation === Operation.metaGet) request.push(this);
    else if (isWrite(request.operation)) this.filler.beforeWrite(request.keyText());
    this.child.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.child, request);
  }

  broadcast(request: Request): void {
    if (request.operation === Operation.flushAll) this.filler.beforeFlush();
    this.child.broadcast(request);
  }

  onReply(request: Request, reply: Reply): void {
    const { keys } = request;
    if (keys !== null) {
      this.fillMissing(request, keys, reply);
    } else if (reply.status === Status.clientError) {
      request.complete(reply);
    } else if (isHit(reply)) {
      this.filler.noteGet(request.chunk, request.keyStart, request.keyEnd, true);
      if (request.span !== null) this.filler.noteTraced(request.keyText(), request.span);
      request.complete(reply);
    } else if (request.operation === Operation.metaGet && isNotFilled(request)) {
      request.complete(reply);
    } else {
      this.filler.noteGet(request.chunk, request.keyStart, request.keyEnd, false);
      request.retain();
      const waiter = new Waiter(request, this.child, this.clock, (answer) => request.complete(answer));
      if (!this.filler.fill(request.keyText(), waiter, isFailure(reply.status))) request.complete(reply);
    }
  }

  private fillMissing(request: Request, keys: KeyList, reply: Reply): void {
    if (reply.status === Status.clientError) {
      request.complete(reply);
      return;
    }
    this.filler.noteGets(keys);
    if (keys.blocks.every((block) => block !== null)) {
      request.complete(gatheredReply);
      return;
    }
    // One for this loop, so that fills that end at once do not complete the request before the others have begun.
    let due = 1;
    const done = () => {
      if (--due === 0) request.complete(keys.blocks.some((block) => block !== null) ? gatheredReply : missReply);
    };
    for (let i = 0; i < keys.count; i++) {
      if (keys.blocks[i] !== null) continue;
      const single = singleOf(request, keys, i, request.owner);
      const waiter = new Waiter(single, this.child, this.clock, (answer) => {
        if (answer.status === Status.found) putBlock(keys, i, answer);
        done();
      });
      // Counted before: the waiter may be told before `fill` returns.
      due++;
      const hasPoolFailed = isFailure(reply.status) || keys.failed?.has(i);
      if (!this.filler.fill(single.keyText(), waiter, hasPoolFailed)) due--;
    }
    if (due > 1) keys.keepBlocks();
    done();
  }
}

/** A value, or for a meta get without `v` the word that there is one. */
function isHit(reply: Reply): boolean {
  return reply.status === Status.found || (reply.status === Status.meta && reply.code !== MetaCode.EN);
}

/** With N (vivify) or R (recache) a client wins the right to fill, and does. A binary touch asks for no value. */
export function isNotFilled(request: Request): boolean {
  if (request.binary !== null) return !hasMetaFlag(request, "v");
  return hasMetaFlag(request, "N") || hasMetaFlag(request, "R");
}

const NO_CAS = 0n;

/** Waits for the value of one key, `request` being a retrieval of that key alone, retained. */
class Waiter implements FillWaiter, ReplyOwner {
  private readonly request: Request;
  private readonly child: Route;
  private readonly clock: Clock;
  private readonly answer: (reply: Reply) => void;
  private fetched: Reply | null = null;
  /** Set while the second answer is awaited. */
  private timer: Timer | null = null;

  constructor(request: Request, child: Route, clock: Clock, answer: (reply: Reply) => void) {
    this.request = request;
    this.child = child;
    this.clock = clock;
    this.answer = answer;
  }

  get span(): Span | null {
    return this.request.span;
  }

  filled(reply: Reply, leftMs: number): void {
    if (this.request.operation === Operation.get || reply.status !== Status.found) {
      this.answer(reply);
      return;
    }
    this.fetched = reply;
    this.askAgain(leftMs);
  }

  askAgain(leftMs: number): void {
    this.timer = this.clock.setTimer(leftMs, () => {
      this.timer = null;
      this.second(missReply);
    });
    this.child.route(this.request.again(this));
  }

  onReply(_request: Request, reply: Reply): void {
    // Too late: the client was answered.
    if (this.timer === null) return;
    this.clock.clearTimer(this.timer);
    this.timer = null;
    this.second(reply);
  }

  /** The second answer; the fetched value where the pool could not store it. */
  private second(reply: Reply): void {
    if (isHit(reply) || this.fetched === null) this.answer(reply);
    else this.answer(this.made(this.fetched));
  }

  /** The answer made of the fetched value. Its cas is 0, which no item has: a write with it never succeeds. */
  private made(fetched: Reply): Reply {
    const value = fetched.chunk.subarray(fetched.valueStart, fetched.valueEnd);
    switch (this.request.operation) {
      case Operation.gets:
      case Operation.gats:
        return valueReply(this.request.keyText(), value, 0, NO_CAS);
      case Operation.metaGet:
        return metaFound(this.request, value, 0, NO_CAS)!;
      default:
        return fetched;
    }
  }
}
