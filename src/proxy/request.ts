/**
 * A command on its way from a client (or from Platypus itself) to a backend and back. All protocols use this form.
 *
 * Ownership of bytes: while a request is being routed, its key and frame are in the chunk with the client's bytes,
 * which the next read overwrites. A backend connection copies the bytes that it sends, and points `chunk` and the key
 * to a copy that is valid until the request is completed. A route that wants to send a request again later calls
 * `retain` before it passes the request on.
 *
 * Exactly once: the holder of a request completes it once. Completing it goes back through the frames that routes
 * pushed. A request is sent to a backend only once: after a timeout it stays in that backend's queue; retry with
 * another request (`again`).
 */

import { MetaCode, type Reply, Status } from "./reply.ts";
import type { Span } from "./tracing.ts";
import type { BufferLease } from "./wire/buffer-lease.ts";

/**
 * The operation of a command. Retrievals come first, then storage commands, then the rest: see the predicates below.
 */
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
  /** A meta command: the reply is a code, flags and possibly a value. */
  metaGet: 17,
  metaSet: 18,
  metaDelete: 19,
  /** `version` for a backend: the first command of a connection, and the probe of a dead backend. */
  version: 20,
  metaArithmetic: 21,
  metaDebug: 22,
  /** `stats` for a backend. */
  stats: 23,
  /** `mn`: sent on a new connection, to find out if the server supports meta commands. */
  metaNoop: 24,
} as const;
export type Operation = (typeof Operation)[keyof typeof Operation];

/** Length of an array with index `Operation`. */
export const OPERATION_COUNT = 32;

/** get, gets, gat, gats: answered by VALUE blocks and END. */
export function isRetrieval(operation: Operation): boolean {
  return operation <= Operation.gats;
}

/** 1 for each operation that reads keys. A table, because this is checked several times per request. */
const readsKeysTable = Uint8Array.from(
  { length: OPERATION_COUNT },
  (_, operation) => +(operation <= Operation.gats || operation === Operation.metaGet),
);

/** get, gets, gat, gats, mg: answered with values. */
export function readsKeys(operation: Operation): boolean {
  return readsKeysTable[operation] === 1;
}

/** True for commands that change a value. touch and gat only change its exptime. */
export function isWrite(operation: Operation): boolean {
  if (operation <= Operation.decr) return operation >= Operation.set;
  return (
    operation === Operation.metaSet || operation === Operation.metaDelete || operation === Operation.metaArithmetic
  );
}

/** Commands of the meta protocol. Their requests keep their line for their whole lifetime. */
export function isMeta(operation: Operation): boolean {
  return operation >= Operation.metaGet && operation <= Operation.metaDebug && operation !== Operation.version;
}

/** The status of a reply. For a meta command, the status of the equivalent classic reply. */
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

/** The parts of a binary request that its reply needs. */
export interface BinaryHeader {
  readonly opcode: number;
  readonly opaque: number;
  /** True if the usual reply (a miss of a get, success of other commands) is withheld. */
  readonly isQuiet: boolean;
  /** True if the reply contains the key. */
  readonly hasKey: boolean;
}

/** Gets the reply after all routes have seen it. */
export interface ReplyOwner {
  /** `reply` and its bytes are only valid during this call, unless `reply.isKept`. Must not throw. */
  onReply(request: Request, reply: Reply): void;
}

/** A client, from the view of fills. */
export interface FillClient {
  /** A key for which the client waits is being filled. */
  fillBegins(): void;
}

/** The owner of requests whose replies are ignored. */
export const noOwner: ReplyOwner = { onReply: () => {} };

/** Observes a delete at its server, to learn if it fails. */
export interface DeleteWatcher {
  /** `request`, which is retained, is about to be sent to `server` (`host:port` or `unix:path`). */
  watch(request: Request, server: string): void;
}

/**
 * The keys of a retrieval of several keys, and the VALUE blocks (with data and CRLF) that were found. The key bytes are
 * a copy; a block is `blocks[i][blockStarts[i], blockEnds[i])`, and `null` if not found (yet).
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

  /** The bytes of `reply` are now at `start` of `chunk`: moves the blocks of `indexes` (`null`: all keys) there. */
  moveBlocks(indexes: readonly number[] | null, reply: Reply, chunk: Buffer, start: number): void {
    const count = indexes === null ? this.count : indexes.length;
    const shift = start - reply.start;
    for (let i = 0; i < count; i++) {
      const index = indexes === null ? i : indexes[i]!;
      if (this.blocks[index] !== reply.chunk) continue;
      this.blocks[index] = chunk;
      this.blockStarts[index]! += shift;
      this.blockEnds[index]! += shift;
    }
  }

  /** Indexes of keys that a server could not answer. `null` if there are none. */
  failed: Set<number> | null = null;

  /** True if the size of the client's values is unknown: see client/read-ahead.ts. */
  isUnknown = false;

  /** Buffers whose blocks are only valid while the reply is being handled. `null` if all blocks may be kept. */
  borrowed: Buffer[] | null = null;

  /** Marks the blocks in `chunk` as valid only while the reply is being handled. */
  borrow(chunk: Buffer): void {
    if (this.borrowed === null) this.borrowed = [chunk];
    else this.borrowed.push(chunk);
  }

  /** Copies the borrowed blocks, so that they outlive the reply. */
  keepBlocks(): void {
    const { borrowed } = this;
    if (borrowed === null) return;
    this.borrowed = null;
    for (let i = 0; i < this.blocks.length; i++) {
      const chunk = this.blocks[i];
      if (chunk === null || chunk === undefined || !borrowed.includes(chunk)) continue;
      const copy = Buffer.allocUnsafe(this.blockEnds[i]! - this.blockStarts[i]!);
      chunk.copy(copy, 0, this.blockStarts[i]!, this.blockEnds[i]!);
      this.blocks[i] = copy;
      this.blockStarts[i] = 0;
      this.blockEnds[i] = copy.length;
    }
  }
}

/** A request. All fields are set in one order, so that all requests have one hidden class. */
export class Request {
  operation: Operation;
  owner: ReplyOwner;
  chunk: Buffer;
  keyStart: number;
  keyEnd: number;
  /** The frame as received: the command line up to `lineEnd` (before any noreply and the line end), then the data. */
  frameStart: number;
  lineEnd: number;
  /** Data block with its CRLF: `[dataStart, frameEnd)`. Without data, both are the end of the frame. */
  dataStart: number;
  frameEnd: number;
  /** True if the frame is sent to the backend unchanged. False if it is rebuilt from line, CRLF and data. */
  isVerbatim: boolean;
  /** True if the reply is withheld from the client. */
  isNoreply: boolean;
  /** Meta `q`: the usual reply is withheld, other replies are not. */
  isQuiet: boolean;
  /** True if `mn` follows it; the reply to `mn` shows that the data block was not read as commands. */
  isGuarded: boolean;
  /** True if the frame has a data block. */
  hasData: boolean;
  /** For a client with the binary protocol: the parts of its frame that the reply needs. */
  binary: BinaryHeader | null;
  /** `/region/cluster/` from before the key, for servers that must get it. `null` if there was none. */
  routingPrefix: Buffer | null;
  /** The key whose bucket selects the server, in routes that place buckets. `null`: its own key. */
  bucketKey: Buffer | null;
  /** IP address of the client, if routes need it. `null` if it is unknown. */
  clientAddress: string | null;
  /** For a delete: the observer of its server. `null` if absent. */
  watcher: DeleteWatcher | null;
  /** The reply to the client, whatever the actual reply. `null` uses the actual reply. */
  answerInstead: Reply | null;
  /** True if `chunk` is a buffer of this request only (large values): it may be kept and sent by reference. */
  isKept: boolean;
  /** Set for retrievals of several keys. */
  keys: KeyList | null;
  /** The indexes in `keys` that this request asks for, in order. `null` for all keys. */
  indexes: number[] | null;
  /** Number of requests that a backend counts it as. */
  weight: number;
  /** gat, gats: the client's exptime. */
  exptime: number;
  /** `null` if it is not traced. */
  span: Span | null;
  /** The client that waits for the reply. `null` if no client does. */
  client: FillClient | null;
  /** For a client's request: the time when it was read, as `Turn.nowMicros`. */
  readMicros: number;
  /** Monotonic time when it joined a backend's queue (ms); the timeout starts here. */
  sentMs: number;
  /** True if its owner got a timeout; a late reply is discarded. */
  isAbandoned: boolean;
  /** Next in the queue of a client connection. */
  nextOfClient: Request | null;
  /** Next in the queue of a backend connection. */
  nextOfBackend: Request | null;
  /** For a get: the next request in that queue shares the command. */
  isFollowed: boolean;
  /** The form in which a backend connection sent it: a `MetaForm`, see wire/meta-form.ts. */
  form: number;
  /** The opaque that the reply must have. 0 if absent. */
  opaque: number;
  /** The command whose reply must follow: a `Marker`, see wire/server-dialect.ts. */
  marker: number;
  /** For the client connection: the bytes to send, if it completed before an earlier request. */
  held: Buffer | null;
  heldStart: number;
  heldEnd: number;
  /** Lease of `held`. `null` if the reply is not held, or if its bytes are never overwritten. */
  heldLease: BufferLease | null;
  /** Pushed frames. The first has a separate field, because most requests have only one. */
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
    this.bucketKey = null;
    this.clientAddress = null;
    this.watcher = null;
    this.answerInstead = null;
    this.isKept = false;
    this.keys = null;
    this.indexes = null;
    this.weight = 1;
    this.exptime = 0;
    this.span = null;
    this.client = null;
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
    this.heldLease = null;
    this.depth = 0;
    this.firstFrame = null;
    this.laterFrames = null;
  }

  /** Lets `frame` see the reply before the current receiver. */
  push(frame: ReplyOwner): void {
    if (this.depth === 0) {
      this.firstFrame = frame;
    } else {
      this.laterFrames ??= [];
      this.laterFrames[this.depth - 1] = frame;
    }
    this.depth++;
  }

  /** Passes `reply` to the last pushed frame, else to the owner. */
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
   * Copies the request's bytes, so that they stay valid for its whole lifetime. Call it while the chunk still has them:
   * while the request is being routed, or (only the key then) while its reply is being handled.
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

  /** The bytes of the frame are gone: only the key remains. */
  forgetFrame(): void {
    this.frameStart = 0;
    this.lineEnd = 0;
    this.dataStart = 0;
    this.frameEnd = 0;
  }

  /** A new request with equal content, answered to `owner`. This request must be retained. */
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
    copy.bucketKey = this.bucketKey;
    copy.clientAddress = this.clientAddress;
    copy.span = this.span;
    copy.client = this.client;
    copy.watcher = this.watcher;
    return copy;
  }

  /** The key as a string with one character per byte: for maps, rules and logs, not for the path of a hit. */
  keyText(): string {
    return this.chunk.toString("latin1", this.keyStart, this.keyEnd);
  }
}
