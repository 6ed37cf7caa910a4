/**
 * One command on its way from a client (or from Platypus itself) to a backend and back. All protocols become this form.
 *
 * Whose bytes: while a request is being routed its key and frame lie in the chunk the client's bytes were read into,
 * which is overwritten by the next read. A backend connection that takes a request copies what it sends, and re-points
 * `chunk` and the key at a copy that is good until the request is completed. A route that wants to send a request again,
 * later, calls `retain` before passing it on.
 *
 * Exactly once: whoever holds a request completes it once. Completing walks back through the frames that routes pushed.
 * A backend gets a request once: after a time-out it still stands in that backend's queue, so that who asks again does
 * so with another request (`again`).
 */

import { MetaCode, type Reply, Status } from "./reply.ts";
import type { Span } from "./tracing.ts";

/** What a command does. Retrievals come first, then storage commands, then the rest: see the predicates below. */
export const Operation = {
  get: 1,
  gets: 2,
  gat: 3,
  gats: 4,
  set: 5,
  add: 6,
  replace: 7,
  append: 8,
  prepend: 9,
  cas: 10,
  delete: 11,
  incr: 12,
  decr: 13,
  touch: 14,
  flushAll: 15,
  /** Answered by Platypus itself: version, stats, verbosity, errors. */
  local: 16,
  /** A meta command: the reply is a code, flags and perhaps a value. */
  metaGet: 17,
  metaSet: 18,
  metaDelete: 19,
  /** `version` to a backend: the hello of a connection and the probe of a backend that is down. */
  version: 20,
  metaArithmetic: 21,
  metaDebug: 22,
  /** `stats` to a backend. */
  stats: 23,
  /** `mn`: asked of a new connection, to learn whether the server knows meta commands. */
  metaNoop: 24,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** Room for something by operation. */
export const OPERATION_COUNT = 32;

/** get, gets, gat, gats: answered by VALUE blocks and END. */
export function isRetrieval(operation: Operation): boolean {
  return operation <= Operation.gats;
}

/** 1 for each operation that reads keys. A table, since each request is asked several times. */
const readsKeysTable = Uint8Array.from(
  { length: OPERATION_COUNT },
  (_, operation) => +(operation <= Operation.gats || operation === Operation.metaGet),
);

/** get, gets, gat, gats, mg: answered with values. */
export function readsKeys(operation: Operation): boolean {
  return readsKeysTable[operation] === 1;
}

/** What changes a value by a client's word; touch and gat only change when it ends. */
export function isWrite(operation: Operation): boolean {
  if (operation <= Operation.decr) return operation >= Operation.set;
  return (
    operation === Operation.metaSet || operation === Operation.metaDelete || operation === Operation.metaArithmetic
  );
}

/** Commands of the meta protocol; their requests keep their line for as long as they live. */
export function isMeta(operation: Operation): boolean {
  return operation >= Operation.metaGet && operation <= Operation.metaDebug && operation !== Operation.version;
}

/** The status of a reply; of one to a meta command that of the classic answer that says the same. */
export function classicStatus(operation: Operation, { status, code }: Reply): Status {
  if (status !== Status.meta) return status;
  switch (code) {
    case MetaCode.EN:
    case MetaCode.NF:
      return Status.notFound;
    case MetaCode.NS:
      return Status.notStored;
    case MetaCode.EX:
      return Status.exists;
    default:
      if (operation === Operation.metaDelete) return Status.deleted;
      return operation === Operation.metaSet || operation === Operation.metaArithmetic ? Status.stored : Status.found;
  }
}

/** What of a binary request its answer needs. */
export interface BinaryHeader {
  readonly opcode: number;
  readonly opaque: number;
  /** The usual answer (a miss of a get, success of the others) is withheld. */
  readonly isQuiet: boolean;
  /** The key is returned. */
  readonly hasKey: boolean;
}

/** Gets the reply once every route has seen it. */
export interface ReplyOwner {
  /** `reply` and its bytes are good during this call only, unless `reply.isKept`. Must not throw. */
  onReply(request: Request, reply: Reply): void;
}

/** Wants to know of a delete, by the server that it goes to, whether it fails. */
export interface DeleteWatcher {
  /** `request`, which is retained, is about to be sent to `server` (`host:port` or `unix:path`). */
  watch(request: Request, server: string): void;
}

/**
 * The keys of a retrieval of several keys, and the VALUE blocks (with data and CRLF) that were found for them. The key
 * bytes are a copy of their own; a block is `blocks[i][blockStarts[i], blockEnds[i])`, null while or when missing.
 */
export class KeyList {
  readonly bytes: Buffer;
  readonly starts: number[];
  readonly ends: number[];
  readonly blocks: (Buffer | null)[];
  readonly blockStarts: number[];
  readonly blockEnds: number[];

  constructor(bytes: Buffer, starts: number[], ends: number[]) {
    this.bytes = bytes;
    this.starts = starts;
    this.ends = ends;
    const count = starts.length;
    this.blocks = new Array(count);
    this.blockStarts = new Array(count);
    this.blockEnds = new Array(count);
    // A loop: `fill` is a call into C++.
    for (let i = 0; i < count; i++) {
      this.blocks[i] = null;
      this.blockStarts[i] = 0;
      this.blockEnds[i] = 0;
    }
  }

  get count(): number {
    return this.starts.length;
  }

  /** Points the blocks of `indexes` (null: of all keys) that lie in `reply` at `copy`, which is a copy of it. */
  moveBlocks(indexes: readonly number[] | null, reply: Reply, copy: Reply): void {
    const count = indexes === null ? this.count : indexes.length;
    for (let i = 0; i < count; i++) {
      const index = indexes === null ? i : indexes[i]!;
      if (this.blocks[index] !== reply.chunk) continue;
      this.blocks[index] = copy.chunk;
      this.blockStarts[index]! += copy.start - reply.start;
      this.blockEnds[index]! += copy.start - reply.start;
    }
  }

  /** Indexes of keys that a server could not answer for; `null`: none. */
  failed: Set<number> | null = null;

  /** Nothing is known of the size of the client's values: see client/read-ahead.ts. */
  isUnknown = false;

  /** The buffer in which blocks lie that are good only while the reply is being handled; null: all are kept. */
  borrowed: Buffer | null = null;

  /** Gives the blocks that are only borrowed a copy of their own, so that they outlive the reply. */
  keepBlocks(): void {
    const chunk = this.borrowed;
    if (chunk === null) return;
    this.borrowed = null;
    for (let i = 0; i < this.blocks.length; i++) {
      if (this.blocks[i] !== chunk) continue;
      const copy = Buffer.allocUnsafe(this.blockEnds[i]! - this.blockStarts[i]!);
      chunk.copy(copy, 0, this.blockStarts[i]!, this.blockEnds[i]!);
      this.blocks[i] = copy;
      this.blockStarts[i] = 0;
      this.blockEnds[i] = copy.length;
    }
  }
}

/** A request. All fields are set in one order, so that every request has the same shape. */
export class Request {
  operation: Operation;
  owner: ReplyOwner;
  chunk: Buffer;
  keyStart: number;
  keyEnd: number;
  /** The frame as it was received: command line to `lineEnd` (before any noreply and the line end), then the data. */
  frameStart: number;
  lineEnd: number;
  /** Data block with its CRLF: `[dataStart, frameEnd)`. Without data both are the end of the frame. */
  dataStart: number;
  frameEnd: number;
  /** True: the frame goes to the backend as it is; false: line, CRLF and data are put together again. */
  isVerbatim: boolean;
  /** The answer is withheld from the client. */
  isNoreply: boolean;
  /** Meta `q`: the usual answer is withheld, another one is not. */
  isQuiet: boolean;
  /** It is followed by `mn`, whose answer shows that the data block was not read as commands. */
  isGuarded: boolean;
  /** The frame has a data block. */
  hasData: boolean;
  /** Of a client that speaks binary: what the answer needs of its frame. */
  binary: BinaryHeader | null;
  /** `/region/cluster/` as it stood before the key, for servers that are to be told; null: there was none. */
  routingPrefix: Buffer | null;
  /** Of a delete: who is told of the server that it is sent to; null: nobody. */
  watcher: DeleteWatcher | null;
  /** What the client is answered whatever the reply says; null: the reply. */
  answerInstead: Reply | null;
  /** `chunk` is a buffer of this request's own (large values): it may be kept and sent by reference. */
  isKept: boolean;
  /** Set for retrievals of several keys. */
  keys: KeyList | null;
  /** Of `keys`, the ones that this request asks for, in order; null: all of them. */
  indexes: number[] | null;
  /** gat, gats: exptime as the client gave it. */
  exptime: number;
  /** Null: it is not traced. */
  span: Span | null;
  /** Of a client's request: when it was read, as `Turn.nowMicros`. */
  readMicros: number;
  /** Monotonic ms at which it joined a backend's queue; the time-out runs from here. */
  sentMs: number;
  /** Its owner was already told of a time-out; what still comes for it is discarded. */
  isAbandoned: boolean;
  /** Next in the queue of a client connection. */
  nextOfClient: Request | null;
  /** Next in the queue of a backend connection. */
  nextOfBackend: Request | null;
  /** Of a get: the next in that queue asks in the same command. */
  isFollowed: boolean;
  /** How a backend connection sent it: a `MetaForm`, see wire/meta-form.ts. */
  form: number;
  /** The opaque that its answer must have; 0: none. */
  opaque: number;
  /** The command whose answer must follow its own: a `Marker`, see wire/server-dialect.ts. */
  marker: number;
  /** For the client connection: completed while an earlier one was not; then these are the bytes to send. */
  held: Buffer | null;
  heldStart: number;
  heldEnd: number;
  /** Frames that were pushed; the first has a place of its own, as most requests have no other. */
  private depth: number;
  private firstFrame: ReplyOwner | null;
  private laterFrames: ReplyOwner[] | null;

  constructor(operation: Operation, owner: ReplyOwner, chunk: Buffer) {
    this.operation = operation;
    this.owner = owner;
    this.chunk = chunk;
    this.keyStart = 0;
    this.keyEnd = 0;
    this.frameStart = 0;
    this.lineEnd = 0;
    this.dataStart = 0;
    this.frameEnd = 0;
    this.isVerbatim = true;
    this.isNoreply = false;
    this.isQuiet = false;
    this.isGuarded = false;
    this.hasData = false;
    this.binary = null;
    this.routingPrefix = null;
    this.watcher = null;
    this.answerInstead = null;
    this.isKept = false;
    this.keys = null;
    this.indexes = null;
    this.exptime = 0;
    this.span = null;
    this.readMicros = 0;
    this.sentMs = 0;
    this.isAbandoned = false;
    this.nextOfClient = null;
    this.nextOfBackend = null;
    this.isFollowed = false;
    this.form = 0;
    this.opaque = 0;
    this.marker = 0;
    this.held = null;
    this.heldStart = 0;
    this.heldEnd = 0;
    this.depth = 0;
    this.firstFrame = null;
    this.laterFrames = null;
  }

  /** Has `frame` see the reply before whoever would see it now. */
  push(frame: ReplyOwner): void {
    if (this.depth === 0) {
      this.firstFrame = frame;
    } else {
      this.laterFrames ??= [];
      this.laterFrames[this.depth - 1] = frame;
    }
    this.depth++;
  }

  /** Hands `reply` to the last frame pushed, else to the owner. */
  complete(reply: Reply): void {
    if (this.depth === 0) {
      this.owner.onReply(this, reply);
      return;
    }
    this.depth--;
    const frame = this.depth === 0 ? this.firstFrame! : this.laterFrames![this.depth - 1]!;
    frame.onReply(this, reply);
  }

  /**
   * Makes the request's bytes its own, so that they stay good as long as it lives. To be called while its chunk still
   * holds them: while it is being routed, or (then only the key is left) while its reply is being handled.
   */
  retain(): void {
    if (this.isKept) return;
    const isFrame = this.frameEnd > this.frameStart;
    const start = isFrame ? this.frameStart : this.keyStart;
    const end = isFrame ? this.frameEnd : this.keyEnd;
    const copy = Buffer.allocUnsafe(end - start);
    this.chunk.copy(copy, 0, start, end);
    this.chunk = copy;
    this.keyStart -= start;
    this.keyEnd -= start;
    if (isFrame) {
      this.lineEnd -= start;
      this.dataStart -= start;
      this.frameEnd -= start;
      this.frameStart = 0;
    }
    this.isKept = true;
  }

  /** The bytes of the frame are gone: from now on only the key is known. */
  forgetFrame(): void {
    this.frameStart = 0;
    this.lineEnd = 0;
    this.dataStart = 0;
    this.frameEnd = 0;
  }

  /** A request for the same thing with a life of its own, answered to `owner`. This one must be retained. */
  again(owner: ReplyOwner): Request {
    const copy = new Request(this.operation, owner, this.chunk);
    copy.keyStart = this.keyStart;
    copy.keyEnd = this.keyEnd;
    copy.frameStart = this.frameStart;
    copy.lineEnd = this.lineEnd;
    copy.dataStart = this.dataStart;
    copy.frameEnd = this.frameEnd;
    copy.isVerbatim = this.isVerbatim;
    copy.isQuiet = this.isQuiet;
    copy.isGuarded = this.isGuarded;
    copy.hasData = this.hasData;
    copy.isKept = this.isKept;
    copy.exptime = this.exptime;
    copy.binary = this.binary;
    copy.routingPrefix = this.routingPrefix;
    copy.span = this.span;
    copy.watcher = this.watcher;
    return copy;
  }

  /** The key as a string of one character per byte: for maps, rules and logs, not for the path of a hit. */
  keyText(): string {
    return this.chunk.toString("latin1", this.keyStart, this.keyEnd);
  }
}
