/**
 * Client bytes in the text protocol → Request: classic commands here, meta commands in meta-parser.ts. Lines are
 * accepted or refused as in memcached 1.6. Accepted lines become canonical: other forms are rewritten from the parsed
 * values, so that all servers read an equal command, with the data block at an equal place.
 *
 * Sources: memcached doc/protocol.txt; for error texts and malformed lines, the behaviour of 1.6.18 (proto_text.c), and
 * of 1.6.45 (proto_parser.c) if a server of 1.6.40 or later is connected. The tests compare with both.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";
import { KeyList, noOwner, Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, equalBytes, LF, SPACE, skipSpaces, tokenEnd, ZERO } from "./ascii.ts";
import { CommandLine } from "./command-line.ts";
import { type MetaParsed, parseMetaLine, parseMetaSet } from "./meta-parser.ts";
import { keyAfter, writtenRequest } from "./written-frame.ts";

/** Result of `parse`. */
export const Parsed = {
  /** Route `request`. */
  request: 1,
  /** Reply with `answer`, and route nothing. `null` if there is no reply (noreply). */
  answer: 2,
  /** A frame continues after the available bytes; see `wantedBytes`. */
  incomplete: 3,
  /** Close the connection after all earlier requests have been answered. */
  close: 4,
  /** `words` is a command that the connection executes itself: version, stats. */
  local: 5,
} as const;
export type Parsed = (typeof Parsed)[keyof typeof Parsed];

/** Keys up to this length are valid with any prefix. */
const SHORT_KEY_BYTES = 50;
/** A longer incomplete line can only be a get of many keys. For other lines memcached closes the connection. */
const MAX_LINE_BYTES = 2048;
/** A server must never get more than MAX_LINE_BYTES of an incomplete line, including a prefix. */
const MAX_FORWARDED_LINE_BYTES = MAX_LINE_BYTES - MAX_KEY_BYTES;
/** Maximum length of a get: about 1,000 keys of maximum length. */
const MAX_GET_LINE_BYTES = 256 * 1024;
const MAX_INT32 = 0x7fffffff;
/** memcached 1.6.40 and later do not search for a command in a shorter line, including its end. */
const SHORTEST_CURRENT_BYTES = 4;
/** Number of words in the shortest storage line, including the command. */
const STORAGE_WORDS = 5;
const MINUS = 0x2d;

const answers = {
  error: fixedReply(Status.clientError, "ERROR"),
  malformed: fixedReply(Status.clientError, "CLIENT_ERROR malformed request"),
  badFormat: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format"),
  badKey: fixedReply(Status.clientError, "CLIENT_ERROR bad key"),
  badChunk: fixedReply(Status.clientError, "CLIENT_ERROR bad data chunk"),
  badExptime: fixedReply(Status.clientError, "CLIENT_ERROR invalid exptime argument"),
  badDelta: fixedReply(Status.clientError, "CLIENT_ERROR invalid numeric delta argument"),
  badDelete: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]"),
  flushRefused: fixedReply(Status.clientError, "CLIENT_ERROR flush_all not allowed"),
  flushDisabled: fixedReply(Status.localError, "SERVER_ERROR Command disabled"),
  noShutdown: fixedReply(Status.clientError, "ERROR: shutdown not enabled"),
  noShutdownNow: fixedReply(Status.serverError, "SERVER_ERROR: shutdown not enabled"),
  ok: fixedReply(Status.ok, "OK"),
  metaNoop: fixedReply(Status.ok, "MN"),
} as const;

/** The reply to a command for a single server, which must not be sent to all servers. */
export const notHere = fixedReply(
  Status.clientError,
  "CLIENT_ERROR not available through a proxy, ask the memcached server itself",
);

/** The reply to a value over the limit. */
export const tooLarge = fixedReply(Status.serverError, "SERVER_ERROR object too large for cache");

/** The way in which the rest of a line is parsed. */
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
  cluster: 14,
} as const;
type Kind = (typeof Kind)[keyof typeof Kind];

interface Verb {
  readonly name: Buffer;
  readonly kind: Kind;
  readonly operation: Operation;
  /** Number of words in a storage line, including the command, without noreply. */
  readonly words: number;
}

function verb(name: string, kind: Kind, operation: Operation = Operation.local, words = 0): Verb {
  return { name: Buffer.from(name, "latin1"), kind, operation, words };
}

/** All commands, common ones first: a line is compared with one after another. */
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
  verb("config", Kind.cluster),
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

/** Limits and permissions that affect the meaning of a line. */
export interface ClassicLimits {
  readonly maxValueBytes: number;
  readonly isFlushAllAllowed: boolean;
  /** Precedes each key on a server. Key and prefix together must be a valid key. */
  readonly prefix: string;
  /**
   * True if failures have mcrouter's texts. Also a key that is too long gets mcrouter's text: then its data is never
   * read as commands.
   */
  readonly hasMcrouterWords?: boolean;
  /** Addresses in the answer to `config get cluster`. Empty or absent: the command is unknown. */
  readonly advertise?: readonly unknown[];
}

const CRLF = Buffer.from("\r\n", "latin1");
const NOTHING = Buffer.alloc(0);

/** Parses the commands of all connections of a listener. Its fields have the result of the last call. */
export class ClassicParser {
  request: Request | null = null;
  answer: Reply | null = null;
  /** For a local command: its words, starting with its name. */
  words: string[] = [];
  /** Position after the parsed bytes. */
  next = 0;
  /** Number of bytes after `next` that belong to a refused value and must be skipped. */
  swallowBytes = 0;
  /** Replies to text commands have no header, and only `quit` ends a connection. */
  readonly header = null;
  readonly isLast = false;
  /** After `incomplete`: length of the whole frame. 0 if it is unknown. */
  wantedBytes = 0;
  private owner: ReplyOwner = noOwner;
  private readonly limits: () => ClassicLimits;
  private readonly isCurrent: () => boolean;
  private readonly line = new CommandLine();
  /** For `parseKeys`, which fills them anew for each line: arrays that grow cost more than copies of the right size. */
  private readonly starts: number[] = [];
  private readonly ends: number[] = [];

  /**
   * `limits` is called for each command that needs it, so that limits may change. `isCurrent` is called for unusual
   * lines: true if they are parsed as in memcached 1.6.40 and later, which read numbers strictly and skip the data of a
   * refused line.
   */
  constructor(limits: () => ClassicLimits, isCurrent: () => boolean = () => false) {
    this.limits = limits;
    this.isCurrent = isCurrent;
  }

  /** Parses one command at `start`. At least one byte must be available. Its request will belong to `owner`. */
  parse(owner: ReplyOwner, chunk: Buffer, start: number, end: number, isKept: boolean): Parsed {
    this.owner = owner;
    // `get <key>\r\n`, the most common line, without a search for its end.
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
   * Parses `get <key> <key> …\r\n` with single blanks between keys, in one pass; the first key ends at `firstEnd`.
   * False if the line has another form or is incomplete; then nothing has changed.
   */
  private parseKeys(chunk: Buffer, start: number, firstEnd: number, end: number): boolean {
    const from = start + 3;
    const last = Math.min(end, start + MAX_FORWARDED_LINE_BYTES + 1);
    const { starts, ends } = this;
    starts[0] = 1;
    ends[0] = firstEnd - from;
    let count = 1;
    let keyStart = firstEnd + 1;
    let i = keyStart;
    for (;;) {
      while (i < last && chunk[i]! > SPACE) i++;
      if (i >= last || i === keyStart) return false;
      starts[count] = keyStart - from;
      ends[count] = i - from;
      count++;
      if (chunk[i] !== SPACE) break;
      keyStart = ++i;
    }
    if (chunk[i] !== CR || i + 1 >= end || chunk[i + 1] !== LF) return false;
    for (let key = 0; key < count; key++) if (!this.isLegal(ends[key]! - starts[key]!)) return false;
    const request = new Request(Operation.get, this.owner, chunk);
    request.keyStart = start + 4;
    request.keyEnd = firstEnd;
    request.frameStart = start;
    request.lineEnd = i;
    request.dataStart = i + 2;
    request.frameEnd = i + 2;
    const bytes = Buffer.allocUnsafe(i - from);
    chunk.copy(bytes, 0, from, i);
    request.keys = new KeyList(bytes, starts.slice(0, count), ends.slice(0, count));
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
    if (line.count === 0 || line.wordLength(0) < 2) return this.refuseUnknown();
    const verb = findVerb(chunk, line.wordStart(0), line.wordEnd(0));
    switch (verb?.kind) {
      case Kind.retrieval:
        return this.parseRetrieval(verb.operation);
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
      case Kind.cluster:
        if ((this.limits().advertise?.length ?? 0) === 0) return this.refuseUnknown();
        this.words = line.texts();
        return Parsed.local;
      case Kind.shutdown:
        return this.refuseShutdown();
      case Kind.meta:
        return this.takeMeta(parseMetaLine(verb.operation, line, this.owner, this.limits(), this.isCurrent));
      case Kind.metaSet:
        return this.takeMeta(parseMetaSet(line, end, this.owner, this.limits(), this.isCurrent));
      case Kind.metaNoop:
        return this.refuse(answers.metaNoop);
      case Kind.ofBackendOnly:
        return this.refuse(this.isBadSlabs() ? answers.badFormat : notHere);
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

  /** memcached 1.6.40 and later do not reply to an unknown command that ends in `noreply`. */
  private refuseUnknown(): Parsed {
    const { line } = this;
    const isShort = line.next - line.start < SHORTEST_CURRENT_BYTES;
    if (isShort && this.isCurrent()) return this.refuse(answers.badFormat);
    if (line.count === 0) return this.refuse(answers.error);
    if (this.isNoreply && this.isCurrent()) return this.refuse(null);
    const last = line.count - 1;
    // A browser or a health check over HTTP: memcached closes.
    const isHttp =
      line.wordLength(0) > 1 &&
      line.wordLength(last) >= HTTP.length &&
      equalBytes(HTTP, 0, HTTP.length, line.chunk, line.wordStart(last));
    return isHttp ? Parsed.close : this.refuse(answers.error);
  }

  private refuseShutdown(): Parsed {
    if (!this.isCurrent()) return this.refuse(answers.noShutdown);
    return this.refuse(this.isNoreply ? null : answers.noShutdownNow);
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

  /** `slabs` concerns single servers, but an invalid line gets a server's reply. */
  private isBadSlabs(): boolean {
    const { line } = this;
    if (line.count < 3 || line.text(0) !== "slabs" || line.text(1) !== "automove") return false;
    return !line.isUint64(2);
  }

  private refuse(answer: Reply | null): Parsed {
    // mcrouter has no ERROR.
    this.answer = answer === answers.error && this.limits().hasMcrouterWords ? answers.malformed : answer;
    return Parsed.answer;
  }

  private isKeyLegal(): boolean {
    return this.isLegal(this.line.wordLength(1));
  }

  private isLegal(keyBytes: number): boolean {
    return keyBytes <= SHORT_KEY_BYTES || keyBytes <= MAX_KEY_BYTES - this.limits().prefix.length;
  }

  /** The reply to a line with too few words. */
  private tooShort(): Parsed {
    return this.refuse(this.isCurrent() ? answers.badFormat : answers.error);
  }

  /**
   * A request with the line up to `words` as its frame, without noreply; `data` begins after the line. `isCanonical`:
   * the words can be sent to a server unchanged; otherwise `rewritten` returns them.
   */
  private take(operation: Operation, words: number, isNoreply: boolean, isCanonical: boolean, dataBytes = 0): Request {
    const { line } = this;
    const request = new Request(operation, this.owner, line.chunk);
    request.isNoreply = isNoreply;
    request.keyStart = line.wordStart(1);
    request.keyEnd = line.wordEnd(1);
    request.frameStart = line.start;
    request.lineEnd = line.wordEnd(words - 1);
    request.dataStart = line.next;
    request.frameEnd = line.next + dataBytes;
    request.hasData = dataBytes > 0;
    request.isVerbatim = line.count === words;
    request.isKept = line.isKept;
    if (!isCanonical || !line.isPlain) this.rewrite(request, words);
    this.request = request;
    return request;
  }

  /** Builds a new frame for the request, with single blanks and canonical numbers. */
  private rewrite(request: Request, words: number): void {
    const { line } = this;
    const { operation } = request;
    const texts = Array.from({ length: words }, (_, index) => {
      if (index < 2) return line.text(index);
      if (operation === Operation.incr || operation === Operation.decr || index === 5)
        return String(line.unsigned(index));
      if (operation === Operation.touch || index >= 3) return String(line.int32(index));
      return String(line.uint32(index));
    });
    const head = Buffer.from(`${texts.join(" ")}\r\n`, "latin1");
    const data = request.hasData ? line.chunk.subarray(request.dataStart, request.frameEnd) : NOTHING;
    request.chunk = Buffer.concat([head, data]);
    request.keyStart = texts[0]!.length + 1;
    request.keyEnd = request.keyStart + line.wordLength(1);
    request.frameStart = 0;
    request.lineEnd = head.length - CRLF.length;
    request.dataStart = head.length;
    request.frameEnd = head.length + data.length;
    request.isVerbatim = true;
    request.isKept = true;
  }

  /** A retrieval keeps its keys. Its line is always rebuilt for the servers of the keys. */
  private parseRetrieval(operation: Operation): Parsed {
    const { line } = this;
    const { chunk } = line;
    const isTouch = operation === Operation.gat || operation === Operation.gats;
    if (line.count < 2 || (isTouch && line.count < 3 && this.isCurrent())) return this.tooShort();
    const exptime = isTouch ? this.int32(1) : 0;
    if (Number.isNaN(exptime)) return this.refuse(answers.badExptime);
    const from = line.wordEnd(isTouch ? 1 : 0);
    const starts: number[] = [];
    const ends: number[] = [];
    for (let i = skipSpaces(chunk, from, line.end); i < line.end; i = skipSpaces(chunk, i, line.end)) {
      const keyEnd = tokenEnd(chunk, i, line.end);
      if (!this.isLegal(keyEnd - i)) return this.refuse(this.badKey);
      starts.push(i - from);
      ends.push(keyEnd - from);
      i = keyEnd;
    }
    if (starts.length === 0) return this.refuse(endReply);
    const request = new Request(operation, this.owner, chunk);
    request.exptime = exptime;
    request.keyStart = from + starts[0]!;
    request.keyEnd = from + ends[0]!;
    request.isKept = line.isKept;
    this.request = request;
    if (starts.length > 1) {
      const bytes = Buffer.allocUnsafe(line.end - from);
      chunk.copy(bytes, 0, from, line.end);
      request.keys = new KeyList(bytes, starts, ends);
    }
    return Parsed.request;
  }

  private parseStorage(verb: Verb, end: number): Parsed {
    const { operation, words } = verb;
    const { line } = this;
    // memcached 1.6.40 and later ignore extra words; earlier versions refuse the line.
    if (line.count < words || (line.count > words + 1 && !this.isCurrent())) return this.refuseStorage();
    const { isNoreply } = this;
    const bad = isNoreply ? null : answers.badFormat;
    if (!this.isKeyLegal()) return this.refuseKeyOfData(bad);
    const flags = line.uint32(2);
    const exptime = line.int32(3);
    const length = this.int32(4);
    if (Number.isNaN(flags) || Number.isNaN(exptime)) return this.refuseData(bad);
    if (!isDataLength(length)) return this.refuseData(bad);
    if (operation === Operation.cas && !this.isUint64(5)) return this.refuseData(bad);
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
    const isCanonical =
      line.isCanonical(2) &&
      flags === line.integer(2) &&
      line.isCanonical(3) &&
      exptime === line.integer(3) &&
      line.isCanonical(4) &&
      length === line.integer(4) &&
      (operation !== Operation.cas || (line.isCanonical(5) && line.chunk[line.wordStart(5)] !== MINUS));
    this.take(operation, words, isNoreply, isCanonical, length + 2);
    return Parsed.request;
  }

  /** Refuses a storage line with the wrong number of words. */
  private refuseStorage(): Parsed {
    if (!this.isCurrent()) return this.refuse(answers.error);
    return this.line.count < STORAGE_WORDS ? this.refuse(answers.badFormat) : this.refuseData(answers.badFormat);
  }

  /**
   * Refuses a storage line. Its data is not read as commands, unless memcached itself does so. memcached 1.6.40 and
   * later read the length before they see a `noreply`.
   */
  private refuseData(answer: Reply | null): Parsed {
    if (!this.isCurrent()) return this.refuse(answer);
    const length = this.line.int32(4);
    if (isDataLength(length)) this.swallowBytes = length + 2;
    return this.refuse(isDataLength(this.int32(4)) ? answer : answers.badFormat);
  }

  /** Refuses a storage line because of its key. `bad` is memcached's reply. */
  private refuseKeyOfData(bad: Reply | null): Parsed {
    if (!this.limits().hasMcrouterWords) return this.refuseData(bad);
    const length = this.line.int32(4);
    if (isDataLength(length)) this.swallowBytes = length + 2;
    return this.refuse(bad === null ? null : answers.badKey);
  }

  private get badKey(): Reply {
    return this.limits().hasMcrouterWords ? answers.badKey : answers.badFormat;
  }

  /** A 32-bit number, read as strictly as by the servers. NaN if it is invalid. */
  private int32(index: number): number {
    const { line } = this;
    const value = line.int32(index);
    if (line.isCanonical(index) && value === line.integer(index)) return value;
    return this.isCurrent() && !(line.isStrict(index) && value === line.integer(index)) ? Number.NaN : value;
  }

  /** True for an unsigned 64-bit number, read as strictly as by the servers. */
  private isUint64(index: number): boolean {
    const { line } = this;
    if (!line.isUint64(index)) return false;
    const isSigned = line.chunk[line.wordStart(index)] === MINUS;
    return (line.isStrict(index) && !isSigned) || !this.isCurrent();
  }

  /**
   * Skips a value over the limit as it arrives. As in memcached, a `set` deletes the old value, so that clients do not
   * read a value that its writer believes replaced: the delete is the request, `tooLarge` its reply.
   */
  private refuseValue(operation: Operation, length: number, isNoreply: boolean): Parsed {
    this.swallowBytes = length + 2;
    if (operation !== Operation.set) return this.refuse(isNoreply ? null : tooLarge);
    const place = keyAfter("delete", this.line.wordLength(1));
    const request = writtenRequest(Operation.delete, this.owner, `delete ${this.line.text(1)}`, null, place);
    request.isNoreply = isNoreply;
    request.answerInstead = tooLarge;
    this.request = request;
    return Parsed.request;
  }

  private parseDelete(): Parsed {
    const { line } = this;
    if (line.count < 2) return this.tooShort();
    // With two words the second is a key, whatever its name.
    const isNoreply = line.count > 2 && this.isNoreply;
    if (line.count > 2 && !this.isCurrent()) {
      if (line.count > 4) return this.refuse(answers.error);
      const isZero = line.wordLength(2) === 1 && line.chunk[line.wordStart(2)] === ZERO;
      const isValid = (line.count === 3 && (isZero || isNoreply)) || (line.count === 4 && isZero && isNoreply);
      if (!isValid) return this.refuse(isNoreply ? null : answers.badDelete);
    }
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : this.badKey);
    this.take(Operation.delete, 2, isNoreply, true);
    return Parsed.request;
  }

  /** incr, decr, touch: a key and a number. */
  private parseKeyed(operation: Operation): Parsed {
    const { line } = this;
    if (line.count < 3) return this.tooShort();
    const { isNoreply } = this;
    if (line.count > 4 && !this.isCurrent()) return this.refuse(answers.error);
    if (!this.isKeyLegal()) return this.refuse(isNoreply ? null : this.badKey);
    // In `incr k noreply`, the last word is also the number, and the reply is withheld.
    if (operation === Operation.touch) {
      const exptime = this.int32(2);
      if (Number.isNaN(exptime)) return this.refuse(isNoreply ? null : answers.badExptime);
      this.take(operation, 3, isNoreply, line.isCanonical(2) && exptime === line.integer(2));
    } else {
      if (!this.isUint64(2)) return this.refuse(isNoreply ? null : answers.badDelta);
      this.take(operation, 3, isNoreply, line.isCanonical(2) && line.chunk[line.wordStart(2)] !== MINUS);
    }
    return Parsed.request;
  }

  private parseFlushAll(): Parsed {
    const { line, isNoreply } = this;
    if (line.count > 3 && !this.isCurrent()) return this.refuse(answers.error);
    const { isFlushAllAllowed, hasMcrouterWords } = this.limits();
    if (!isFlushAllAllowed) {
      const refusal = hasMcrouterWords ? answers.flushDisabled : answers.flushRefused;
      return this.refuse(isNoreply ? null : refusal);
    }
    if (line.count !== (isNoreply ? 2 : 1) && Number.isNaN(line.int32(1))) {
      return this.refuse(isNoreply ? null : answers.badExptime);
    }
    const exptime = line.count > (isNoreply ? 2 : 1) ? ` ${line.int32(1)}` : "";
    const request = writtenRequest(Operation.flushAll, this.owner, `flush_all${exptime}`);
    request.isNoreply = isNoreply;
    this.request = request;
    return Parsed.request;
  }

  private parseVerbosity(): Parsed {
    const { line, isNoreply } = this;
    if (this.isCurrent()) {
      if (line.count < 2) return this.refuse(answers.badFormat);
    } else if (line.count !== 2 && line.count !== 3) {
      return this.refuse(answers.error);
    }
    return this.refuse(isNoreply ? null : line.isUint64(1) ? answers.ok : answers.badFormat);
  }
}

function isDataLength(length: number): boolean {
  return length >= 0 && length <= MAX_INT32 - 2;
}

const endReply = fixedReply(Status.missing, "END");

function assertNever(value: never): never {
  throw new Error(`unexpected ${String(value)}`);
}
