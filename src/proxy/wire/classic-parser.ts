/**
 * Client bytes in the text protocol → Request: classic commands here, meta commands by meta-parser.ts. A line is judged here as memcached 1.6 judges it, so that what
 * reaches a backend has an answer of known form; the bytes themselves are forwarded as they came.
 *
 * Sources: memcached doc/protocol.txt; for error texts and for what counts as malformed, the behaviour of 1.6.18
 * (proto_text.c), which the tests ask again.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";
import { KeyList, Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, equalBytes, LF, SPACE, skipSpaces, tokenEnd, ZERO } from "./ascii.ts";
import { CommandLine } from "./command-line.ts";
import { type MetaParsed, parseMetaLine, parseMetaSet } from "./meta-parser.ts";

/** What a call of `parse` found. */
export const Parsed = {
  /** `request` is to be routed. */
  request: 1,
  /** `answer` is the reply, and nothing is to be routed; null: none is due (noreply). */
  answer: 2,
  /** A frame goes on behind what was read; see `wantedBytes`. */
  incomplete: 3,
  /** The connection is to be closed when all earlier requests have been answered. */
  close: 4,
  /** `words` is a command that the connection carries out itself: version, stats. */
  local: 5,
} as const;
export type Parsed = (typeof Parsed)[keyof typeof Parsed];

/** Keys up to this length are legal whatever the prefix. */
const SHORT_KEY_BYTES = 50;
/** A line that is longer and has not ended can only be a get of many keys; memcached closes on any other. */
const MAX_LINE_BYTES = 2048;
/** A server must never see more than MAX_LINE_BYTES of a line without its end, a prefix included. */
const MAX_FORWARDED_LINE_BYTES = MAX_LINE_BYTES - MAX_KEY_BYTES;
/** Longest line of a get: some 1,000 keys of the greatest length. */
const MAX_GET_LINE_BYTES = 256 * 1024;
const MAX_INT32 = 0x7fffffff;

const answers = {
  error: fixedReply(Status.clientError, "ERROR"),
  badFormat: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format"),
  badChunk: fixedReply(Status.clientError, "CLIENT_ERROR bad data chunk"),
  badExptime: fixedReply(Status.clientError, "CLIENT_ERROR invalid exptime argument"),
  badDelete: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
  flushRefused: fixedReply(Status.clientError, "CLIENT_ERROR flush_all not allowed"),
  noShutdown: fixedReply(Status.clientError, "ERROR: shutdown not enabled"),
  ok: fixedReply(Status.ok, "OK"),
  metaNoop: fixedReply(Status.ok, "MN"),
} as const;

/** The answer to what only a server can do, and must not be done to all of them by way of one. */
export const notHere = fixedReply(
  Status.clientError,
  "CLIENT_ERROR not available through a proxy, ask the memcached server itself",
);

/** The answer to a value over the bound. */
export const tooLarge = fixedReply(Status.serverError, "SERVER_ERROR object too large for cache");

/** How the rest of a line is to be read. */
const Kind = {
  retrieval: 1,
  storage: 2,
  delete: 3,
  keyed: 4,
  flushAll: 5,
  verbosity: 6,
  quit: 7,
  local: 8,
  shutdown: 9,
  ofBackendOnly: 10,
  meta: 11,
  metaSet: 12,
  metaNoop: 13,
} as const;
type Kind = (typeof Kind)[keyof typeof Kind];

interface Verb {
  readonly name: Buffer;
  readonly kind: Kind;
  readonly operation: Operation;
  /** Words of a storage line, with the command and without noreply. */
  readonly words: number;
}

function verb(name: string, kind: Kind, operation: Operation = Operation.local, words = 0): Verb {
  return { name: Buffer.from(name, "latin1"), kind, operation, words };
}

/** All commands; the common ones first, because a line is compared with one after the other. */
const verbs: readonly Verb[] = [
  verb("get", Kind.retrieval, Operation.get),
  verb("set", Kind.storage, Operation.set, 5),
  verb("gets", Kind.retrieval, Operation.gets),
  verb("delete", Kind.delete, Operation.delete),
  verb("add", Kind.storage, Operation.add, 5),
  verb("incr", Kind.keyed, Operation.incr),
  verb("decr", Kind.keyed, Operation.decr),
  verb("touch", Kind.keyed, Operation.touch),
  verb("cas", Kind.storage, Operation.cas, 6),
  verb("gat", Kind.retrieval, Operation.gat),
  verb("gats", Kind.retrieval, Operation.gats),
  verb("replace", Kind.storage, Operation.replace, 5),
  verb("append", Kind.storage, Operation.append, 5),
  verb("prepend", Kind.storage, Operation.prepend, 5),
  verb("mg", Kind.meta, Operation.metaGet),
  verb("mn", Kind.metaNoop),
  verb("ms", Kind.metaSet, Operation.metaSet),
  verb("md", Kind.meta, Operation.metaDelete),
  verb("ma", Kind.meta, Operation.metaArithmetic),
  verb("me", Kind.meta, Operation.metaDebug),
  verb("version", Kind.local),
  verb("stats", Kind.local),
  verb("quit", Kind.quit),
  verb("flush_all", Kind.flushAll, Operation.flushAll),
  verb("verbosity", Kind.verbosity),
  verb("bget", Kind.retrieval, Operation.get),
  verb("shutdown", Kind.shutdown),
  ...["watch", "lru", "lru_crawler", "slabs", "cache_memlimit", "extstore", "refresh_certs"].map((name) =>
    verb(name, Kind.ofBackendOnly),
  ),
];
const NOREPLY = Buffer.from("noreply", "latin1");
const HTTP = Buffer.from("HTTP/", "latin1");

function findVerb(chunk: Buffer, start: number, end: number): Verb | null {
  for (const verb of verbs) {
    const { name } = verb;
    if (name[0] === chunk[start] && name.length === end - start && equalBytes(name, 0, name.length, chunk, start))
      return verb;
  }
  return null;
}

/** Limits and permissions that decide what a line means. */
export interface ClassicLimits {
  readonly maxValueBytes: number;
  readonly isFlushAllAllowed: boolean;
  /** Put before every key on its way to a server, where key and prefix together must be a legal key. */
  readonly prefix: string;
}

const nobody: ReplyOwner = { onReply: () => {} };

/** Parses the commands of all connections of a listener; the result of the last call stands in its fields. */
export class ClassicParser {
  request: Request | null = null;
  answer: Reply | null = null;
  /** Of a local command: its words, its name first. */
  words: string[] = [];
  /** Position behind what was parsed. */
  next = 0;
  /** Bytes behind `next` that belong to a refused value and are to be thrown away when they come. */
  swallowBytes = 0;
  /** Text commands have no frame of their own form to be answered in, and none is the last one but `quit`. */
  readonly header = null;
  readonly isLast = false;
  /** After `incomplete`: length of the whole frame, 0 while it is not known. */
  wantedBytes = 0;
  private owner: ReplyOwner = nobody;
  private readonly limits: () => ClassicLimits;
  private readonly line = new CommandLine();

  /** `limits` is asked for every command that they matter to, so that they may change. */
  constructor(limits: () => ClassicLimits) {
    this.limits = limits;
  }

  /** Parses one command at `start`, where at least one byte is; its request will belong to `owner`. */
  parse(owner: ReplyOwner, chunk: Buffer, start: number, end: number, isKept: boolean): Parsed {
    this.owner = owner;
    // `get <key>\r\n`, by far the most common line, without looking for its end first.
    if (
      end - start > 6 &&
      chunk[start] === 0x67 &&
      chunk[start + 1] === 0x65 &&
      chunk[start + 2] === 0x74 &&
      chunk[start + 3] === SPACE
    ) {
      const keyStart = start + 4;
      let i = keyStart;
      while (i < end && chunk[i]! > SPACE) i++;
      if (chunk[i] === SPACE && i < end && i > keyStart) {
        const isParsed = this.parseKeys(chunk, start, i, end);
        if (isParsed) return Parsed.request;
      }
      if (i + 1 < end && chunk[i] === CR && chunk[i + 1] === LF && i > keyStart && this.isLegal(i - keyStart)) {
        const request = new Request(Operation.get, this.owner, chunk);
        request.keyStart = keyStart;
        request.keyEnd = i;
        request.frameStart = start;
        request.lineEnd = i;
        request.dataStart = i + 2;
        request.frameEnd = i + 2;
        request.isKept = isKept;
        this.request = request;
        this.next = i + 2;
        return Parsed.request;
      }
    }
    return this.parseAny(chunk, start, end, isKept);
  }

  /**
   * `get <key> <key> …\r\n` with one blank between its keys, the first of them ending at `firstEnd`, in one pass. False: it
   * is another line, or not whole, and nothing has been done.
   */
  private parseKeys(chunk: Buffer, start: number, firstEnd: number, end: number): boolean {
    const from = start + 3;
    const starts = [1];
    const ends = [firstEnd - from];
    let keyStart = firstEnd + 1;
    let i = keyStart;
    for (;;) {
      while (i < end && chunk[i]! > SPACE) i++;
      if (i >= end || i === keyStart) return false;
      starts.push(keyStart - from);
      ends.push(i - from);
      if (chunk[i] !== SPACE) break;
      keyStart = ++i;
    }
    if (chunk[i] !== CR || i + 1 >= end || chunk[i + 1] !== LF || i - start > MAX_FORWARDED_LINE_BYTES) return false;
    for (let key = 0; key < starts.length; key++) if (!this.isLegal(ends[key]! - starts[key]!)) return false;
    const request = new Request(Operation.get, this.owner, chunk);
    request.keyStart = start + 4;
    request.keyEnd = firstEnd;
    request.frameStart = start;
    request.lineEnd = i;
    request.dataStart = i + 2;
    request.frameEnd = i + 2;
    const bytes = Buffer.allocUnsafe(i - from);
    chunk.copy(bytes, 0, from, i);
    request.keys = new KeyList(bytes, starts, ends);
    this.request = request;
    this.next = i + 2;
    return true;
  }

  private parseAny(chunk: Buffer, start: number, end: number, isKept: boolean): Parsed {
    let lineFeed = start;
    while (lineFeed < end && chunk[lineFeed] !== LF) lineFeed++;
    if (lineFeed === end) return this.unfinishedLine(chunk, start, end);
    const { line } = this;
    line.read(chunk, start, lineFeed, isKept);
    this.next = line.next;
    this.swallowBytes = 0;
    if (line.count === 0 || line.wordLength(0) < 2) return this.refuse(answers.error);
    const verb = findVerb(chunk, line.wordStart(0), line.wordEnd(0));
    const isLong = line.end - start > MAX_FORWARDED_LINE_BYTES;
    if (isLong && verb !== null && verb.kind !== Kind.retrieval) return Parsed.close;
    switch (verb?.kind) {
      case Kind.retrieval:
        return this.parseRetrieval(verb.operation, isLong);
      case Kind.storage:
        return this.parseStorage(verb, end);
      case Kind.delete:
        return this.parseDelete();
      case Kind.keyed:
        return this.parseKeyed(verb.operation);
      case Kind.flushAll:
        return this.parseFlushAll();
      case Kind.verbosity:
        return this.parseVerbosity();
      case Kind.quit:
        return Parsed.close;
      case Kind.local:
        this.words = line.texts();
        return Parsed.local;
      case Kind.shutdown:
        return this.refuse(answers.noShutdown);
      case Kind.meta:
        return this.takeMeta(parseMetaLine(verb.operation, line, this.owner, this.limits()));
      case Kind.metaSet:
        return this.takeMeta(parseMetaSet(line, end, this.owner, this.limits()));
      case Kind.metaNoop:
        return this.refuse(answers.metaNoop);
      case Kind.ofBackendOnly:
        return this.refuse(notHere);
      case undefined:
        return this.refuseUnknown();
      default:
        return assertNever(verb!.kind as never);
    }
  }

  private takeMeta(parsed: MetaParsed): Parsed {
    switch (parsed.type) {
      case "request":
        this.request = parsed.request;
        this.next = parsed.next;
        return Parsed.request;
      case "answer":
        this.swallowBytes = parsed.swallowBytes;
        return this.refuse(parsed.answer);
      case "oversize":
        this.swallowBytes = parsed.swallowBytes;
        this.request = parsed.request;
        this.request.answerInstead = tooLarge;
        return Parsed.request;
      case "incomplete":
        this.wantedBytes = parsed.wantedBytes;
        return Parsed.incomplete;
    }
  }

  private refuseUnknown(): Parsed {
    const { line } = this;
    const last = line.count - 1;
    // A browser or a health check that speaks HTTP: memcached closes.
    const isHttp =
      line.wordLength(last) >= HTTP.length && equalBytes(HTTP, 0, HTTP.length, line.chunk, line.wordStart(last));
    return isHttp ? Parsed.close : this.refuse(answers.error);
  }

  private unfinishedLine(chunk: Buffer, start: number, end: number): Parsed {
    this.wantedBytes = 0;
    if (end - start <= MAX_LINE_BYTES) return Parsed.incomplete;
    const first = skipSpaces(chunk, start, end);
    const verb = findVerb(chunk, first, tokenEnd(chunk, first, end));
    const isGet = verb?.kind === Kind.retrieval && first - start <= 100 && end - start <= MAX_GET_LINE_BYTES;
    return isGet ? Parsed.incomplete : Parsed.close;
  }

  private get isNoreply(): boolean {
    return this.line.isWord(this.line.count - 1, NOREPLY);
  }

  private refuse(answer: Reply | null): Parsed {
    this.answer = answer;
    return Parsed.answer;
  }

  private isKeyLegal(): boolean {
    return this.isLegal(this.line.wordLength(1));
  }

  private isLegal(keyBytes: number): boolean {
    return keyBytes <= SHORT_KEY_BYTES || keyBytes <= MAX_KEY_BYTES - this.limits().prefix.length;
  }

  /** A request whose frame is the line; of a noreply it is what stands before that word. */
  private take(operation: Operation, isNoreply: boolean): Request {
    const { line } = this;
    const request = new Request(operation, this.owner, line.chunk);
    request.isNoreply = isNoreply;
    request.keyStart = line.wordStart(1);
    request.keyEnd = line.wordEnd(1);
    request.frameStart = line.start;
    request.lineEnd = isNoreply ? line.wordEnd(line.count - 2) : line.end;
    request.dataStart = this.next;
    request.frameEnd = this.next;
    request.isVerbatim = !isNoreply && !line.isCut;
    request.isKept = line.isKept;
    this.request = request;
    return request;
  }

  private parseRetrieval(operation: Operation, isLong: boolean): Parsed {
    const { line } = this;
    const { chunk } = line;
    const isTouch = operation === Operation.gat || operation === Operation.gats;
    if (line.count < 2) return this.refuse(answers.error);
    const exptime = isTouch ? line.int32(1) : 0;
    if (Number.isNaN(exptime)) return this.refuse(answers.badExptime);
    const from = line.wordEnd(isTouch ? 1 : 0);
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = skipSpaces(chunk, from, line.end); i < line.end; i = skipSpaces(chunk, i, line.end)) {
      const keyEnd = tokenEnd(chunk, i, line.end);
      if (!this.isLegal(keyEnd - i)) return this.refuse(answers.badFormat);
      starts.push(i - from);
      ends.push(keyEnd - from);
      i = keyEnd;
    }
    if (starts.length === 0) return this.refuse(endReply);
    const request = this.take(operation, false);
    request.exptime = exptime;
    request.keyStart = from + starts[0]!;
    request.keyEnd = from + ends[0]!;
    if (starts.length > 1) {
      const bytes = Buffer.allocUnsafe(line.end - from);
      chunk.copy(bytes, 0, from, line.end);
      request.keys = new KeyList(bytes, starts, ends);
    } else if (isLong) {
      // Blanks: it is sent on without them.
      request.forgetFrame();
    }
    return Parsed.request;
  }

  private parseStorage(verb: Verb, end: number): Parsed {
    const { operation, words } = verb;
    const { line } = this;
    if (line.count !== words && line.count !== words + 1) return this.refuse(answers.error);
    const { isNoreply } = this;
    const bad = isNoreply ? null : answers.badFormat;
    if (!this.isKeyLegal()) return this.refuse(bad);
    const flags = line.uint32(2);
    const exptime = line.int32(3);
    const length = line.int32(4);
    if (Number.isNaN(flags) || Number.isNaN(exptime)) return this.refuse(bad);
    if (!(length >= 0 && length <= MAX_INT32 - 2)) return this.refuse(bad);
    if (operation === Operation.cas && !line.isUint64(5)) return this.refuse(bad);
    if (length > this.limits().maxValueBytes) return this.refuseValue(operation, length, isNoreply);
    const frameEnd = line.next + length + 2;
    if (frameEnd > end) {
      this.wantedBytes = frameEnd - line.start;
      return Parsed.incomplete;
    }
    this.next = frameEnd;
    if (line.chunk[frameEnd - 2] !== CR || line.chunk[frameEnd - 1] !== LF) {
      return this.refuse(isNoreply ? null : answers.badChunk);
    }
    const request = this.take(operation, isNoreply);
    request.dataStart = line.next;
    request.frameEnd = frameEnd;
    request.hasData = true;
    // A server that refused a number would take the value for commands: it is sent what this one was read as.
    if (exptime !== line.integer(3)) this.replaceWord(request, 3, exptime);
    if (flags !== line.integer(2)) this.replaceWord(request, 2, flags);
    return Parsed.request;
  }

  /** Puts a number in the place of word `index` of the request's line; words before it must not have been replaced. */
  private replaceWord(request: Request, index: number, value: number): void {
    const { chunk, frameStart, frameEnd } = request;
    // Behind an earlier replacement the frame lies in a buffer of its own, from 0 on.
    const base = this.line.start - frameStart;
    const from = this.line.wordStart(index) - base;
    const to = this.line.wordEnd(index) - base;
    const word = Buffer.from(String(value), "latin1");
    request.chunk = Buffer.concat([chunk.subarray(frameStart, from), word, chunk.subarray(to, frameEnd)]);
    request.isKept = true;
    request.keyStart -= frameStart;
    request.keyEnd -= frameStart;
    const shift = word.length - (to - from) - frameStart;
    request.lineEnd += shift;
    request.dataStart += shift;
    request.frameEnd += shift;
    request.frameStart = 0;
  }

  /**
   * A value over the bound is thrown away as it comes. As memcached, a `set` takes the old value with it, so that nobody
   * goes on reading what its client believes replaced: that delete is the request, `tooLarge` its answer.
   */
  private refuseValue(operation: Operation, length: number, isNoreply: boolean): Parsed {
    this.swallowBytes = length + 2;
    if (operation !== Operation.set) return this.refuse(isNoreply ? null : tooLarge);
    const frame = Buffer.from(`delete ${this.line.text(1)}\r\n`, "latin1");
    const request = new Request(Operation.delete, this.owner, frame);
    request.keyStart = 7;
    request.keyEnd = frame.length - 2;
    request.lineEnd = frame.length - 2;
    request.dataStart = frame.length;
    request.frameEnd = frame.length;
    request.isKept = true;
    request.isNoreply = isNoreply;
    request.answerInstead = tooLarge;
    this.request = request;
    return Parsed.request;
  }

  private parseDelete(): Parsed {
    const { line } = this;
    if (line.count < 2 || line.count > 4) return this.refuse(answers.error);
    // With two words the second is a key, whatever its name.
    const isNoreply = line.count > 2 && this.isNoreply;
    if (line.count > 2) {
      const isZero = line.wordLength(2) === 1 && line.chunk[line.wordStart(2)] === ZERO;
      const isValid = (line.count === 3 && (isZero || isNoreply)) || (line.count === 4 && isZero && isNoreply);
      if (!isValid) return this.refuse(isNoreply ? null : answers.badDelete);
    }
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : answers.badFormat);
    this.take(Operation.delete, isNoreply);
    return Parsed.request;
  }

  /** incr, decr, touch: a key and a number, which the backend judges. */
  private parseKeyed(operation: Operation): Parsed {
    const { line, isNoreply } = this;
    if (line.count !== 3 && line.count !== 4) return this.refuse(answers.error);
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : answers.badFormat);
    // `incr k noreply`: the word stands for the number too, and the answer to that is withheld. Sent on without a
    // noreply behind it, it would have a server answer nothing, and the replies behind it reach the wrong requests.
    if (isNoreply && line.isWord(2, NOREPLY)) return this.refuse(null);
    this.take(operation, isNoreply);
    return Parsed.request;
  }

  private parseFlushAll(): Parsed {
    const { line, isNoreply } = this;
    if (line.count > 3) return this.refuse(answers.error);
    if (!this.limits().isFlushAllAllowed) return this.refuse(isNoreply ? null : answers.flushRefused);
    if (line.count !== (isNoreply ? 2 : 1) && Number.isNaN(line.int32(1))) {
      return this.refuse(isNoreply ? null : answers.badExptime);
    }
    const request = this.take(Operation.flushAll, isNoreply);
    request.isVerbatim = false;
    request.keyStart = line.wordEnd(0);
    request.keyEnd = line.wordEnd(0);
    return Parsed.request;
  }

  private parseVerbosity(): Parsed {
    const { line, isNoreply } = this;
    if (line.count !== 2 && line.count !== 3) return this.refuse(answers.error);
    return this.refuse(isNoreply ? null : line.isUint64(1) ? answers.ok : answers.badFormat);
  }
}

const endReply = fixedReply(Status.missing, "END");

function assertNever(value: never): never {
  throw new Error(`unexpected ${String(value)}`);
}
