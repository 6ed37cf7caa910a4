/**
 * Client bytes in the classic text protocol → Request. A line is judged here as memcached 1.6 judges it, so that what
 * reaches a backend has an answer of known form; the bytes themselves are forwarded as they came.
 *
 * Sources: memcached doc/protocol.txt; for error texts and for what counts as malformed, the behaviour of 1.6.18
 * (proto_text.c), which the tests ask again.
 */
import { fixedReply, type Reply, Status } from "../reply.ts";
import { KeyList, Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, equalBytes, LF, SPACE, skipSpaces, tokenEnd, ZERO } from "./ascii.ts";

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

/** Longest key on its way to a server, with the pool's prefix, in bytes. */
const MAX_KEY_BYTES = 250;
/** Keys up to this length are legal whatever the prefix. */
const SHORT_KEY_BYTES = 50;
/** A line that is longer and has not ended can only be a get of many keys; memcached closes on any other. */
const MAX_LINE_BYTES = 2048;
/** A server must never see more than MAX_LINE_BYTES of a line without its end, a prefix included. */
const MAX_FORWARDED_LINE_BYTES = MAX_LINE_BYTES - MAX_KEY_BYTES;
/** Longest line of a get: some 1,000 keys of the greatest length. */
const MAX_GET_LINE_BYTES = 256 * 1024;
/** memcached looks at this many words of a line (MAX_TOKENS, one of them the terminator). */
const MAX_TOKENS = 24;
const MAX_INT32 = 0x7fffffff;
/** Longer words are no numbers of 64 bits, whatever zeros they begin with. */
const MAX_NUMBER_BYTES = 400;
const NUL = 0;
const PLUS = 0x2b;
const MINUS = 0x2d;

const answers = {
  error: fixedReply(Status.clientError, "ERROR"),
  badFormat: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format"),
  badChunk: fixedReply(Status.clientError, "CLIENT_ERROR bad data chunk"),
  badExptime: fixedReply(Status.clientError, "CLIENT_ERROR invalid exptime argument"),
  badDelete: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
  flushRefused: fixedReply(Status.clientError, "CLIENT_ERROR flush_all not allowed"),
  noShutdown: fixedReply(Status.clientError, "ERROR: shutdown not enabled"),
  notHere: fixedReply(
    Status.clientError,
    "CLIENT_ERROR not available through a proxy, ask the memcached server itself",
  ),
  ok: fixedReply(Status.ok, "OK"),
} as const;

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
  /** After `incomplete`: length of the whole frame, 0 while it is not known. */
  wantedBytes = 0;
  private owner: ReplyOwner = nobody;
  private readonly limits: () => ClassicLimits;
  private readonly starts = new Int32Array(MAX_TOKENS);
  private readonly ends = new Int32Array(MAX_TOKENS);
  private count = 0;

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

  private parseAny(chunk: Buffer, start: number, end: number, isKept: boolean): Parsed {
    let lineFeed = start;
    while (lineFeed < end && chunk[lineFeed] !== LF) lineFeed++;
    if (lineFeed === end) return this.unfinishedLine(chunk, start, end);
    this.next = lineFeed + 1;
    this.swallowBytes = 0;
    let lineEnd = lineFeed - start > 1 && chunk[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
    // To memcached a NUL ends the line: what is forwarded must be put together without the rest.
    let hasNul = false;
    for (let i = start; i < lineEnd; i++) {
      if (chunk[i] !== NUL) continue;
      lineEnd = i;
      hasNul = true;
    }
    this.split(chunk, start, lineEnd);
    if (this.count === 0 || this.ends[0]! - this.starts[0]! < 2) return this.refuse(answers.error);
    const verb = findVerb(chunk, this.starts[0]!, this.ends[0]!);
    if (lineEnd - start > MAX_FORWARDED_LINE_BYTES && verb !== null && verb.kind !== Kind.retrieval) return Parsed.close;
    switch (verb?.kind) {
      case Kind.retrieval:
        return this.parseRetrieval(verb.operation, chunk, start, lineEnd, isKept, hasNul);
      case Kind.storage:
        return this.parseStorage(verb, chunk, start, end, lineEnd, isKept, hasNul);
      case Kind.delete:
        return this.parseDelete(chunk, start, lineEnd, isKept, hasNul);
      case Kind.keyed:
        return this.parseKeyed(verb.operation, chunk, start, lineEnd, isKept, hasNul);
      case Kind.flushAll:
        return this.parseFlushAll(chunk, start, lineEnd, isKept);
      case Kind.verbosity:
        return this.parseVerbosity(chunk);
      case Kind.quit:
        return Parsed.close;
      case Kind.local:
        this.words = [];
        for (let i = 0; i < this.count; i++) this.words.push(chunk.toString("latin1", this.starts[i], this.ends[i]));
        return Parsed.local;
      case Kind.shutdown:
        return this.refuse(answers.noShutdown);
      case Kind.ofBackendOnly:
        return this.refuse(answers.notHere);
      case undefined:
        return this.refuseUnknown(chunk);
      default:
        return assertNever(verb!.kind as never);
    }
  }

  private refuseUnknown(chunk: Buffer): Parsed {
    const last = this.starts[this.count - 1]!;
    // A browser or a health check that speaks HTTP: memcached closes.
    const isHttp = this.ends[this.count - 1]! - last >= HTTP.length && equalBytes(HTTP, 0, HTTP.length, chunk, last);
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

  /** Finds the words of a line; of more than memcached looks at, the first ones. */
  private split(chunk: Buffer, start: number, lineEnd: number): void {
    let count = 0;
    let i = start;
    while (i < lineEnd && count < MAX_TOKENS) {
      if (chunk[i] === SPACE) {
        i++;
        continue;
      }
      this.starts[count] = i;
      while (i < lineEnd && chunk[i] !== SPACE) i++;
      this.ends[count++] = i;
    }
    this.count = count;
  }

  /** True when the last word is `noreply`. */
  private endsInNoreply(chunk: Buffer): boolean {
    const last = this.count - 1;
    const start = this.starts[last]!;
    return this.ends[last]! - start === NOREPLY.length && equalBytes(NOREPLY, 0, NOREPLY.length, chunk, start);
  }

  private refuse(answer: Reply | null): Parsed {
    this.answer = answer;
    return Parsed.answer;
  }

  private isKeyLegal(): boolean {
    return this.isLegal(this.ends[1]! - this.starts[1]!);
  }

  private isLegal(keyBytes: number): boolean {
    return keyBytes <= SHORT_KEY_BYTES || keyBytes <= MAX_KEY_BYTES - this.limits().prefix.length;
  }

  /** A request whose frame is the line; of a noreply it is what stands before that word. */
  private take(
    operation: Operation,
    chunk: Buffer,
    start: number,
    lineEnd: number,
    isKept: boolean,
    isCut: boolean,
  ): Request {
    const request = new Request(operation, this.owner, chunk);
    request.isNoreply = this.count > 1 && this.endsInNoreply(chunk);
    request.keyStart = this.starts[1]!;
    request.keyEnd = this.ends[1]!;
    request.frameStart = start;
    request.lineEnd = request.isNoreply ? this.ends[this.count - 2]! : lineEnd;
    request.dataStart = this.next;
    request.frameEnd = this.next;
    request.isVerbatim = !request.isNoreply && !isCut;
    request.isKept = isKept;
    this.request = request;
    return request;
  }

  private parseRetrieval(
    operation: Operation,
    chunk: Buffer,
    start: number,
    lineEnd: number,
    isKept: boolean,
    isCut: boolean,
  ): Parsed {
    const isTouch = operation === Operation.gat || operation === Operation.gats;
    if (this.count < 2) return this.refuse(answers.error);
    let exptime = 0;
    if (isTouch) {
      exptime = readExptime(chunk, this.starts[1]!, this.ends[1]!);
      if (Number.isNaN(exptime)) return this.refuse(answers.badExptime);
    }
    const from = isTouch ? this.ends[1]! : this.ends[0]!;
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = skipSpaces(chunk, from, lineEnd); i < lineEnd; i = skipSpaces(chunk, i, lineEnd)) {
      const keyEnd = tokenEnd(chunk, i, lineEnd);
      if (!this.isLegal(keyEnd - i)) return this.refuse(answers.badFormat);
      starts.push(i - from);
      ends.push(keyEnd - from);
      i = keyEnd;
    }
    if (starts.length === 0) return this.refuse(endReply);
    const request = this.take(operation, chunk, start, lineEnd, isKept, isCut);
    // A key may be called noreply; retrievals have no such word.
    request.isNoreply = false;
    request.isVerbatim = !isCut;
    request.lineEnd = lineEnd;
    request.exptime = exptime;
    request.keyStart = from + starts[0]!;
    request.keyEnd = from + ends[0]!;
    if (starts.length > 1) {
      const bytes = Buffer.allocUnsafe(lineEnd - from);
      chunk.copy(bytes, 0, from, lineEnd);
      request.keys = new KeyList(bytes, starts, ends);
    } else if (lineEnd - start > MAX_FORWARDED_LINE_BYTES) {
      // Blanks: it is sent on without them.
      request.forgetFrame();
    }
    return Parsed.request;
  }

  private parseStorage(
    verb: Verb,
    chunk: Buffer,
    start: number,
    end: number,
    lineEnd: number,
    isKept: boolean,
    isCut: boolean,
  ): Parsed {
    const { operation, words } = verb;
    if (this.count !== words && this.count !== words + 1) return this.refuse(answers.error);
    const isNoreply = this.endsInNoreply(chunk);
    const bad = isNoreply ? null : answers.badFormat;
    if (!this.isKeyLegal()) return this.refuse(bad);
    const { starts, ends } = this;
    if (!isUint64(chunk, starts[2]!, ends[2]!)) return this.refuse(bad);
    const exptime = readExptime(chunk, starts[3]!, ends[3]!);
    if (Number.isNaN(exptime)) return this.refuse(bad);
    const length = readInteger(chunk, starts[4]!, ends[4]!);
    if (!(length >= 0 && length <= MAX_INT32 - 2)) return this.refuse(bad);
    if (operation === Operation.cas && !isUint64(chunk, starts[5]!, ends[5]!)) return this.refuse(bad);
    const dataStart = this.next;
    if (length > this.limits().maxValueBytes) return this.refuseValue(operation, length, chunk, isNoreply);
    const frameEnd = dataStart + length + 2;
    if (frameEnd > end) {
      this.wantedBytes = frameEnd - start;
      return Parsed.incomplete;
    }
    this.next = frameEnd;
    if (chunk[frameEnd - 2] !== CR || chunk[frameEnd - 1] !== LF)
      return this.refuse(isNoreply ? null : answers.badChunk);
    const request = this.take(operation, chunk, start, lineEnd, isKept, isCut);
    request.dataStart = dataStart;
    request.frameEnd = frameEnd;
    request.hasData = true;
    if (exptime !== readInteger(chunk, starts[3]!, ends[3]!)) this.replaceExptime(request, exptime);
    return Parsed.request;
  }

  /** A server that refused the exptime would take the value for commands: it is sent the number it would have read. */
  private replaceExptime(request: Request, exptime: number): void {
    const { chunk, frameStart, frameEnd } = request;
    const from = this.starts[3]!;
    const to = this.ends[3]!;
    const word = Buffer.from(String(exptime), "latin1");
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
  private refuseValue(operation: Operation, length: number, chunk: Buffer, isNoreply: boolean): Parsed {
    this.swallowBytes = length + 2;
    if (operation !== Operation.set) return this.refuse(isNoreply ? null : tooLarge);
    const line = Buffer.concat([
      Buffer.from("delete ", "latin1"),
      chunk.subarray(this.starts[1], this.ends[1]),
      Buffer.from("\r\n", "latin1"),
    ]);
    const request = new Request(Operation.delete, this.owner, line);
    request.keyStart = 7;
    request.keyEnd = line.length - 2;
    request.lineEnd = line.length - 2;
    request.dataStart = line.length;
    request.frameEnd = line.length;
    request.isKept = true;
    request.isNoreply = isNoreply;
    request.answerInstead = tooLarge;
    this.request = request;
    return Parsed.request;
  }

  private parseDelete(chunk: Buffer, start: number, lineEnd: number, isKept: boolean, isCut: boolean): Parsed {
    if (this.count < 2 || this.count > 4) return this.refuse(answers.error);
    const isNoreply = this.endsInNoreply(chunk);
    if (this.count > 2) {
      const isZero = this.ends[2]! - this.starts[2]! === 1 && chunk[this.starts[2]!] === ZERO;
      const isValid = (this.count === 3 && (isZero || isNoreply)) || (this.count === 4 && isZero && isNoreply);
      if (!isValid) return this.refuse(isNoreply ? null : answers.badDelete);
    }
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : answers.badFormat);
    const request = this.take(Operation.delete, chunk, start, lineEnd, isKept, isCut);
    if (this.count === 2 && isNoreply) {
      // A key of that name.
      request.isNoreply = false;
      request.lineEnd = lineEnd;
    }
    return Parsed.request;
  }

  /** incr, decr, touch: a key and a number, which the backend judges. */
  private parseKeyed(
    operation: Operation,
    chunk: Buffer,
    start: number,
    lineEnd: number,
    isKept: boolean,
    isCut: boolean,
  ): Parsed {
    if (this.count !== 3 && this.count !== 4) return this.refuse(answers.error);
    const isNoreply = this.endsInNoreply(chunk);
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : answers.badFormat);
    // `incr k noreply`: the word stands for the number too, and the answer to that is withheld.
    if (isNoreply && this.count === 3) return this.refuse(null);
    this.take(operation, chunk, start, lineEnd, isKept, isCut);
    return Parsed.request;
  }

  private parseFlushAll(chunk: Buffer, start: number, lineEnd: number, isKept: boolean): Parsed {
    if (this.count > 3) return this.refuse(answers.error);
    const isNoreply = this.endsInNoreply(chunk);
    if (!this.limits().isFlushAllAllowed) return this.refuse(isNoreply ? null : answers.flushRefused);
    if (this.count !== (isNoreply ? 2 : 1)) {
      const delay = readExptime(chunk, this.starts[1]!, this.ends[1]!);
      if (Number.isNaN(delay)) return this.refuse(isNoreply ? null : answers.badExptime);
    }
    const request = this.take(Operation.flushAll, chunk, start, lineEnd, isKept, true);
    request.keyStart = this.ends[0]!;
    request.keyEnd = this.ends[0]!;
    return Parsed.request;
  }

  private parseVerbosity(chunk: Buffer): Parsed {
    if (this.count !== 2 && this.count !== 3) return this.refuse(answers.error);
    const isNoreply = this.endsInNoreply(chunk);
    const isLevel = isUint64(chunk, this.starts[1]!, this.ends[1]!);
    return this.refuse(isNoreply ? null : isLevel ? answers.ok : answers.badFormat);
  }
}

const endReply = fixedReply(Status.missing, "END");

function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}

/**
 * The number in `[start, end)` as C's strtol reads it: after blanks and a sign, up to the end or a blank. NaN when there
 * is none; beyond 2^53 only as exact as a double.
 */
function readInteger(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && isBlank(chunk[i]!)) i++;
  const isNegative = chunk[i] === MINUS;
  if (isNegative || chunk[i] === PLUS) i++;
  const first = i;
  let value = 0;
  while (i < end && chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) value = value * 10 + chunk[i++]! - ZERO;
  if (i === first || (i < end && !isBlank(chunk[i]!))) return Number.NaN;
  return isNegative ? -value : value;
}

/** An exptime as memcached's safe_strtol reads it: a number of 64 bits, of which the low 32 count. NaN: none. */
function readExptime(chunk: Buffer, start: number, end: number): number {
  const value = readInteger(chunk, start, end);
  if (value >= -MAX_INT32 - 1 && value <= MAX_INT32) return value;
  if (Number.isNaN(value) || end - start > MAX_NUMBER_BYTES) return Number.NaN;
  const exact = exactInteger(chunk, start, end);
  return exact === BigInt.asIntN(64, exact) ? Number(BigInt.asIntN(32, exact)) : Number.NaN;
}

/** A number that `readInteger` could read, with all its digits. */
function exactInteger(chunk: Buffer, start: number, end: number): bigint {
  const word = chunk.toString("latin1", start, end).trim();
  // "12\t34" is 12.
  return BigInt(word.split(/\s/)[0]!.replace("+", ""));
}

/** True for what memcached's safe_strtoul and safe_strtoull take: up to 2^64 − 1. */
function isUint64(chunk: Buffer, start: number, end: number): boolean {
  const value = readInteger(chunk, start, end);
  if (value >= 0 && value <= Number.MAX_SAFE_INTEGER) return true;
  if (Number.isNaN(value) || end - start > MAX_NUMBER_BYTES) return false;
  const exact = exactInteger(chunk, start, end);
  // strtoul turns −n into 2^64 − n; memcached refuses that where its top bit makes it look negative.
  return exact > 0n ? exact < 1n << 64n : exact < -(1n << 63n) && exact > -(1n << 64n);
}

function assertNever(value: never): never {
  throw new Error(`unexpected ${String(value)}`);
}
