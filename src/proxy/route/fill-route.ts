/**
 * The route above the pool if there are rules. It sees each retrieval with its reply, and each write: a get of a
 * tracked key is recorded, a miss of a covered key is filled, and a write tells the filler that fetches in progress are
 * too old.
 *
 * A plain get is answered with the fetched value. gets, gat and gats ask the pool again after the value is stored, so
 * that their flags, cas and exptime are real. They only wait for the rest of the key's `fill_timeout`, so that a server
 * that hangs by then does not delay the client by a second timeout.
 */
import type { Clock, Timer } from "../../clock.ts";
import { gatheredReply, isFailure, MetaCode, missReply, type Reply, Status, valueReply } from "../reply.ts";
import { isRetrieval, isWrite, type KeyList, Operation, type ReplyOwner, type Request } from "../request.ts";
import type { Span } from "../tracing.ts";
import { hasMetaFlag, metaFound } from "../wire/meta-line.ts";
import { putBlock, singleOf } from "./multi-get.ts";
import type { Root, Route, SeeTarget } from "./route.ts";

/**
 * Receives the result of a fill for a waiting client. Exactly one of the two functions is called, once. `leftMs` is the
 * time for which the client may still wait.
 */
export interface FillWaiter {
  /** Span of the waiting request. `null` or absent if it is not traced. */
  readonly span?: Span | null;
  /** `reply` is the value as the reply to a plain get of the key, or a miss. It may be kept. */
  filled(reply: Reply, leftMs: number): void;
  /** The pool has a newer value than the source: ask the pool again. */
  askAgain(leftMs: number): void;
}

/** The operations of fill and refresh that the proxy needs; implemented outside of the proxy. */
export interface MissFiller {
  /**
   * A client asked for `chunk[start, end)`. Called for each get, hit or miss: it creates no strings and does not
   * evaluate rules.
   */
  noteGet(chunk: Buffer, start: number, end: number, isHit: boolean): void;
  /** Like `noteGet` for each key of a get of many; a key with a block is a hit. */
  noteGets(keys: KeyList): void;
  /** A traced request hit `key` (one character per byte): later refreshes of the key link to it. */
  noteTraced(key: string, span: Span): void;
  /**
   * A client's get of `key` (one character per byte) missed. Returns false if no rule covers the key. Otherwise
   * `waiter` is called once, possibly synchronously. `hasPoolFailed`: the pool has not reported a miss, but could not
   * answer.
   */
  fill(key: string, waiter: FillWaiter, hasPoolFailed?: boolean): boolean;
  /** Called before a client's write of `key`: the results of earlier fetches become invalid. */
  beforeWrite(key: string): void;
  /** Called before a client's flush. */
  beforeFlush(): void;
}

/** Fills the misses of the routes below. */
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
      const { client } = request;
      const waiter = new Waiter(request, this.child, this.clock, (answer) => request.complete(answer));
      if (this.filler.fill(request.keyText(), waiter, isFailure(reply.status))) client?.fillBegins();
      else request.complete(reply);
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
    // One for this loop, so that fills that end synchronously do not complete the request before the others have begun.
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
      // Count first: the waiter may be called before `fill` returns.
      due++;
      const hasPoolFailed = isFailure(reply.status) || keys.failed?.has(i);
      if (this.filler.fill(single.keyText(), waiter, hasPoolFailed)) request.client?.fillBegins();
      else due--;
    }
    if (due > 1) keys.keepBlocks();
    done();
  }
}

/** True for a value, and for a meta get without `v` if the reply says that there is a value. */
function isHit(reply: Reply): boolean {
  return reply.status === Status.found || (reply.status === Status.meta && reply.code !== MetaCode.EN);
}

/**
 * True if the client fills itself: with N (vivify) or R (recache) it wins the right to fill. A binary touch asks for no
 * value.
 */
export function isNotFilled(request: Request): boolean {
  if (request.binary !== null) return !hasMetaFlag(request, "v");
  return hasMetaFlag(request, "N") || hasMetaFlag(request, "R");
}

const NO_CAS = 0n;

/** Waits for the value of one key. `request` is a retained retrieval of that key only. */
class Waiter implements FillWaiter, ReplyOwner {
  private readonly request: Request;
  private readonly child: Route;
  private readonly clock: Clock;
  private readonly answer: (reply: Reply) => void;
  private fetched: Reply | null = null;
  /** Set while the second reply is awaited. */
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
    // Too late: the client has been answered.
    if (this.timer === null) return;
    this.clock.clearTimer(this.timer);
    this.timer = null;
    this.second(reply);
  }

  /** Handles the second reply. If the pool could not store the value, the reply is made from the fetched value. */
  private second(reply: Reply): void {
    if (isHit(reply) || this.fetched === null) this.answer(reply);
    else this.answer(this.made(this.fetched));
  }

  /** The reply made from the fetched value. Its cas is 0, which no item has: a write with it never succeeds. */
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
