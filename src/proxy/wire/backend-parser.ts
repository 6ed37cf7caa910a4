/**
 * Backend bytes → Reply. The request at the head of the connection's queue determines the expected reply, so most of a
 * reply is compared instead of searched: a VALUE line must have the requested key. Otherwise the connection is out of
 * step, and none of its bytes can be trusted.
 *
 * Source: memcached doc/protocol.txt, "Retrieval command", "Storage commands", "Meta Get", "Statistics" and "Error
 * strings".
 */
import { isFailure, MetaCode, missReply, Reply, Status } from "../reply.ts";
import { isMeta, isRetrieval, OPERATION_COUNT, Operation, type Request } from "../request.ts";
import { CR, copyBytes, equalBytes, LF, readDecimal, SPACE, ZERO } from "./ascii.ts";
import { MetaForm, readMetaForm, wonCas } from "./meta-form.ts";
import { addKey, dropKeyPrefix, isCutByKey, isOfOtherKey } from "./meta-line.ts";
import { findProof, restoreOpaque, UNPROVEN } from "./meta-proof.ts";
import { Marker } from "./server-dialect.ts";
import { mayHoldAnswers } from "./swallowed.ts";

/** The reply continues after the available bytes. Both constants are less than all positions. */
export const INCOMPLETE = -1;
/** The bytes are not a reply to the request: the connection is out of step. */
export const OUT_OF_STEP = -2;

/** Maximum length of a reply line; memcached sends no longer one. */
const MAX_LINE_BYTES = 4096;
/** Maximum size of the reply to `stats`; the largest, `stats sizes`, has about 30,000 short lines. */
const MAX_STATS_BYTES = 4 * 1024 * 1024;

const VALUE = Buffer.from("VALUE ", "latin1");
/** First words of the lines in a reply to `stats`; `detail dump` and `cachedump` have special ones. */
const STAT_WORDS = ["STAT ", "PREFIX ", "ITEM "].map((word) => Buffer.from(word, "latin1"));
const END_LINE = Buffer.from("END\r\n", "latin1");
/** Length of "VALUE", and of END with its line end. */
const VALUE_WORD_BYTES = 5;
const UPPER_E = 0x45;
const UPPER_N = 0x4e;
const UPPER_D = 0x44;
const UPPER_V = 0x56;
const UPPER_A = 0x41;

/** Parses the replies of one connection. Its fields have the result of the last call. */
export class BackendParser {
  /** The last parsed reply. The next call reuses it. */
  readonly reply = new Reply();
  /** After INCOMPLETE: the size of the whole reply. 0 if it is unknown. */
  wantedBytes = 0;
  /** True if a value of the reply may contain other replies: the reply is only right if the next bytes are in step. */
  isSuspect = false;
  /** True if a meta command on this socket has asked for its key. */
  returnsKeys = false;
  /** The cas of an item whose right to recache a touch has won. `null` if it has won none. */
  wonCas: string | null = null;
  /** The request that the next VALUE line belongs to, if it is not the first request: until then all requests miss. */
  private due: Request | null = null;
  /**
   * The chunk in which the reply's END line overwrites the following bytes, and their position. `null` if there is
   * none.
   */
  private borrowed: Buffer | null = null;
  private borrowedAt = 0;
  private readonly maxReplyBytes: number;
  /** The prefix that is removed from the keys in VALUE lines. */
  private readonly prefix: Buffer;

  constructor(maxReplyBytes: number, prefix: Buffer) {
    this.maxReplyBytes = maxReplyBytes;
    this.prefix = prefix;
  }

  /**
   * Parses one reply to `request` from `chunk[start, end)`. Returns the position after it and fills `reply`; or returns
   * INCOMPLETE or OUT_OF_STEP.
   */
  parse(request: Request, chunk: Buffer, start: number, end: number, isKept: boolean): number {
    const reply = this.reply;
    reply.chunk = chunk;
    reply.start = start;
    reply.isKept = isKept;
    // Only replies with a value set it: reset the last reply's position.
    reply.valueStart = 0;
    reply.valueEnd = 0;
    this.wantedBytes = 0;
    this.isSuspect = false;
    this.wonCas = null;
    this.borrowed = null;
    if (this.due !== null && this.due !== request) return this.miss(start);
    this.due = null;
    if (request.form !== MetaForm.none) return this.parseMetaForm(request, start, end);
    if (isRetrieval(request.operation)) {
      if (request.keys !== null) return this.parseValues(request, start, end);
      return request.isFollowed ? this.parseSharedValue(request, start, end) : this.parseValue(request, start, end);
    }
    if (isMeta(request.operation)) return this.parseMeta(request, start, end);
    if (request.operation === Operation.stats) return this.parseStats(request, start, end);
    return this.behindMarker(request, this.parseLine(request, start, end), end);
  }

  /** `VALUE key flags bytes [cas]`, data and `END`, or `END` alone, or an error line. */
  private parseValue(request: Request, start: number, end: number): number {
    const reply = this.reply;
    const chunk = reply.chunk;
    if (chunk[start] === UPPER_E) return this.parseEnd(request, start, end, Status.missing);
    if (chunk[start] !== UPPER_V) return this.parseLine(request, start, end);
    const nameEnd = start + 6 + this.prefix.length + request.keyEnd - request.keyStart;
    // The shortest rest of the line is " 0 0\r\n".
    if (nameEnd + 6 > end) return this.parsePartOfBlock(start, end);
    if (!this.isName(start, nameEnd, request.chunk, request.keyStart)) return OUT_OF_STEP;
    const blockEnd = this.parseBlock(nameEnd, start, start, end);
    if (blockEnd < 0) return blockEnd;
    if (blockEnd + 5 > end) {
      this.wantedBytes = blockEnd + 5 - start;
      return INCOMPLETE;
    }
    const next = this.parseEnd(request, blockEnd, end, Status.found);
    if (next >= 0 && reply.status === Status.found && this.prefix.length > 0) reply.start = this.dropPrefix(start);
    return next;
  }

  /**
   * Like `parseValue`, for a get whose command continues with keys of later requests (`Request.isFollowed`). Their
   * VALUE lines, the END line, and an error that answers all of them are not consumed: the returned position may be
   * `start`.
   */
  private parseSharedValue(request: Request, start: number, end: number): number {
    const { reply } = this;
    const { chunk } = reply;
    if (chunk[start] !== UPPER_V) {
      const next = this.parseEnd(request, start, end, Status.missing);
      return next < 0 ? next : start;
    }
    let nameEnd = start + 6;
    while (nameEnd < end && chunk[nameEnd] !== SPACE) nameEnd++;
    if (nameEnd >= end) return this.parsePartOfBlock(start, end);
    if (!this.isNameAt(request.chunk, request.keyStart, request.keyEnd, start, nameEnd)) {
      this.due = this.laterNamed(request, start, nameEnd);
      return this.due === null ? OUT_OF_STEP : this.miss(start);
    }
    const blockEnd = this.parseBlock(nameEnd, start, start, end);
    if (blockEnd < 0) return blockEnd;
    if (blockEnd + VALUE_WORD_BYTES > end) {
      this.wantedBytes = blockEnd + VALUE_WORD_BYTES - start;
      return INCOMPLETE;
    }
    if (chunk[blockEnd] === UPPER_V) {
      if (!equalBytes(VALUE, 0, VALUE_WORD_BYTES, chunk, blockEnd)) return OUT_OF_STEP;
      copyBytes(END_LINE, 0, END_LINE.length, chunk, blockEnd);
      this.borrowed = chunk;
      this.borrowedAt = blockEnd;
      reply.isKept = false;
      reply.status = Status.found;
      reply.end = blockEnd + END_LINE.length;
    } else {
      const next = this.parseEnd(request, blockEnd, end, Status.found);
      if (next < 0) return next;
    }
    if (reply.status === Status.found && this.prefix.length > 0) reply.start = this.dropPrefix(start);
    return blockEnd;
  }

  /**
   * The first of the later requests in the command of `request` that the VALUE line at `at` answers. `null` if there is
   * none.
   */
  private laterNamed(request: Request, at: number, nameEnd: number): Request | null {
    for (let each = request; each.isFollowed; ) {
      each = each.nextOfBackend!;
      if (this.isNameOf(each, at, nameEnd)) return each;
    }
    return null;
  }

  private isNameOf({ chunk, keyStart, keyEnd, keys, indexes }: Request, at: number, nameEnd: number): boolean {
    if (keys === null) return this.isNameAt(chunk, keyStart, keyEnd, at, nameEnd);
    return indexes!.some((i) => this.isNameAt(keys.bytes, keys.starts[i]!, keys.ends[i]!, at, nameEnd));
  }

  private isNameAt(keyChunk: Buffer, keyStart: number, keyEnd: number, at: number, nameEnd: number): boolean {
    const nameBytes = this.prefix.length + keyEnd - keyStart;
    return nameEnd - at - 6 === nameBytes && this.isName(at, nameEnd, keyChunk, keyStart);
  }

  /** A miss that consumes no bytes. */
  private miss(start: number): number {
    const { reply } = this;
    reply.status = missReply.status;
    reply.chunk = missReply.chunk;
    reply.start = missReply.start;
    reply.end = missReply.end;
    reply.isKept = true;
    return start;
  }

  /** Forgets the state of expected replies: the next replies come from another socket. */
  reset(): void {
    this.due = null;
    this.borrowed = null;
    this.returnsKeys = false;
  }

  /** True if the bytes after the reply's value are not its own END line, so that no code may keep the reply. */
  get isBorrowing(): boolean {
    return this.borrowed !== null;
  }

  /**
   * Call after the reply is handled: a reply that is not the last of its command has its END line where the next reply
   * begins, which starts with VALUE.
   */
  giveBack(): void {
    const { borrowed } = this;
    if (borrowed === null) return;
    this.borrowed = null;
    copyBytes(VALUE, 0, VALUE_WORD_BYTES, borrowed, this.borrowedAt);
  }

  /**
   * Like `parseValue`, for several keys: each VALUE line must have one of the remaining keys, in order. In a command
   * that continues with keys of later requests, the first VALUE line of a later request ends the reply.
   */
  private parseValues(request: Request, start: number, end: number): number {
    const { reply } = this;
    const { chunk } = reply;
    const keys = request.keys!;
    const { indexes } = request;
    const asked = indexes === null ? keys.count : indexes.length;
    let next = 0;
    let at = start;
    let found: Status = Status.missing;
    while (next < asked || !request.isFollowed) {
      if (at >= end) return INCOMPLETE;
      if (chunk[at] !== UPPER_V) {
        const last = this.parseEnd(request, at, end, found);
        if (last >= 0 && this.prefix.length > 0 && !request.isAbandoned) this.dropPrefixes(request);
        return last >= 0 && request.isFollowed ? at : last;
      }
      let index = -1;
      let nameEnd = end;
      if (next < asked) {
        // Usually it is the next key, and its end need not be searched.
        const due = indexes === null ? next : indexes[next]!;
        const keyStart = keys.starts[due]!;
        nameEnd = at + 6 + this.prefix.length + keys.ends[due]! - keyStart;
        if (nameEnd < end && this.isName(at, nameEnd, keys.bytes, keyStart)) {
          index = due;
          next++;
        }
      }
      if (index < 0) {
        nameEnd = at + 6;
        while (nameEnd < end && chunk[nameEnd] !== SPACE) nameEnd++;
        if (nameEnd >= end) return this.parsePartOfBlock(at, end);
      }
      while (index < 0 && next < asked) {
        const due = indexes === null ? next : indexes[next]!;
        next++;
        if (this.isNameAt(keys.bytes, keys.starts[due]!, keys.ends[due]!, at, nameEnd)) index = due;
      }
      if (index < 0) {
        this.due = this.laterNamed(request, at, nameEnd);
        if (this.due === null) return OUT_OF_STEP;
        break;
      }
      const blockEnd = this.parseBlock(nameEnd, at, start, end);
      if (blockEnd < 0) return blockEnd;
      // After a timeout, the list belongs to the owner: do not write to it.
      if (!request.isAbandoned) {
        keys.blocks[index] = chunk;
        keys.blockStarts[index] = at;
        keys.blockEnds[index] = blockEnd;
      }
      found = Status.found;
      at = blockEnd;
    }
    reply.status = found;
    reply.end = at;
    if (this.prefix.length > 0 && !request.isAbandoned) this.dropPrefixes(request);
    return at;
  }

  /** True if the line at `at` has `VALUE`, the prefix, the key from `keyStart` up to `nameEnd`, and a space. */
  private isName(at: number, nameEnd: number, keyChunk: Buffer, keyStart: number): boolean {
    const chunk = this.reply.chunk;
    const prefixBytes = this.prefix.length;
    const nameStart = at + 6 + prefixBytes;
    if (chunk[nameEnd] !== SPACE || !equalBytes(VALUE, 0, VALUE.length, chunk, at)) return false;
    if (prefixBytes > 0 && !equalBytes(this.prefix, 0, prefixBytes, chunk, at + 6)) return false;
    return equalBytes(chunk, nameStart, nameEnd, keyChunk, keyStart);
  }

  /** Removes the prefix from the complete VALUE line at `at` by moving `VALUE` to the key. Returns the new start. */
  private dropPrefix(at: number): number {
    const start = at + this.prefix.length;
    VALUE.copy(this.reply.chunk, start);
    return start;
  }

  /**
   * Other parts of the retrieval may have blocks of an incomplete reply in this chunk: only handle the keys of this
   * request.
   */
  private dropPrefixes(request: Request): void {
    const keys = request.keys!;
    const { indexes } = request;
    const count = indexes === null ? keys.count : indexes.length;
    for (let i = 0; i < count; i++) {
      const index = indexes === null ? i : indexes[i]!;
      if (keys.blocks[index] === this.reply.chunk) keys.blockStarts[index] = this.dropPrefix(keys.blockStarts[index]!);
    }
  }

  /**
   * Parses the VALUE line at `at`, whose name ends at `nameEnd`, with its data and CRLF. Returns the position after it;
   * INCOMPLETE with `wantedBytes` counted from `start`; or OUT_OF_STEP for a malformed line.
   */
  private parseBlock(nameEnd: number, at: number, start: number, end: number): number {
    const reply = this.reply;
    const chunk = reply.chunk;
    let i = nameEnd + 1;
    let flags = 0;
    let byte = chunk[i]!;
    while (byte >= ZERO && byte <= ZERO + 9 && i < end) {
      flags = flags * 10 + byte - ZERO;
      byte = chunk[++i]!;
    }
    if (i >= end) return this.parsePartOfBlock(at, end);
    if (byte !== SPACE || i === nameEnd + 1) return OUT_OF_STEP;
    let length = 0;
    const lengthStart = ++i;
    byte = chunk[i]!;
    while (byte >= ZERO && byte <= ZERO + 9 && i < end) {
      length = length * 10 + byte - ZERO;
      byte = chunk[++i]!;
    }
    if (i < end && byte === SPACE) {
      // The cas.
      byte = chunk[++i]!;
      while (byte >= ZERO && byte <= ZERO + 9 && i < end) byte = chunk[++i]!;
    }
    if (i + 1 >= end) return this.parsePartOfBlock(at, end);
    if (chunk[i] !== CR || chunk[i + 1] !== LF || i === lengthStart || length > this.maxReplyBytes) return OUT_OF_STEP;
    const valueStart = i + 2;
    const valueEnd = valueStart + length;
    if (valueEnd + 2 > end) {
      // 5: at least the END line follows.
      this.wantedBytes = valueEnd + 2 + 5 - start;
      return INCOMPLETE;
    }
    if (chunk[valueEnd] !== CR || chunk[valueEnd + 1] !== LF) return OUT_OF_STEP;
    reply.flags = flags;
    reply.valueStart = valueStart;
    reply.valueEnd = valueEnd;
    this.isSuspect ||= mayHoldAnswers(chunk, valueStart, valueEnd, this.returnsKeys);
    return valueEnd + 2;
  }

  /** Called if the VALUE line for the key is incomplete: a line that has ended is another line. */
  private parsePartOfBlock(at: number, end: number): number {
    return this.findLineEnd(at, end) === INCOMPLETE ? INCOMPLETE : OUT_OF_STEP;
  }

  private parseEnd(request: Request, at: number, end: number, status: Status): number {
    const chunk = this.reply.chunk;
    if (at + 5 > end) {
      // ERROR is as long as END with its line end.
      return INCOMPLETE;
    }
    if (chunk[at] !== UPPER_E || chunk[at + 1] !== UPPER_N) return this.parseLine(request, at, end);
    if (chunk[at + 2] !== UPPER_D || chunk[at + 3] !== CR || chunk[at + 4] !== LF) return OUT_OF_STEP;
    this.reply.status = status;
    this.reply.end = at + 5;
    return at + 5;
  }

  private parseMeta(request: Request, start: number, end: number): number {
    const reply = this.reply;
    const chunk = reply.chunk;
    if (isCutByKey(request, this.prefix, chunk, start, end)) return OUT_OF_STEP;
    const mayBeValue = request.operation === Operation.metaGet || request.operation === Operation.metaArithmetic;
    const next = this.behindMarker(request, this.parseMetaAnswer(request, mayBeValue, start, end), end);
    if (next < 0 || reply.status !== Status.meta) return next;
    const lineEnd = reply.code === MetaCode.VA ? reply.valueStart : reply.end;
    const proof = findProof(request, reply, lineEnd, this.prefix);
    if (proof === UNPROVEN || isOfOtherKey(request, this.prefix, chunk, start)) return OUT_OF_STEP;
    if (!restoreOpaque(request, reply, proof)) return OUT_OF_STEP;
    if (this.prefix.length > 0) dropKeyPrefix(request, reply, this.prefix);
    addKey(request, reply, lineEnd);
    return next;
  }

  /** The reply to a classic command that was sent in a meta form. */
  private parseMetaForm(request: Request, start: number, end: number): number {
    const { reply } = this;
    const mayBeValue = request.form === MetaForm.get || request.form === MetaForm.count;
    const next = this.parseMetaAnswer(request, mayBeValue, start, end);
    if (next < 0 || reply.status !== Status.meta) return next;
    const lineEnd = reply.code === MetaCode.VA ? reply.valueStart : reply.end;
    if (request.form === MetaForm.touch) this.wonCas = wonCas(reply, lineEnd);
    return readMetaForm(request, reply, lineEnd) ? next : OUT_OF_STEP;
  }

  private parseMetaAnswer(request: Request, mayBeValue: boolean, start: number, end: number): number {
    const { chunk } = this.reply;
    const isValue = chunk[start] === UPPER_V && chunk[start + 1] === UPPER_A && chunk[start + 2] === SPACE;
    return isValue && mayBeValue ? this.parseMetaValue(start, end) : this.parseLine(request, start, end);
  }

  /**
   * Position after the marker's reply, which follows the reply that ends at `next`. Without a marker, returns `next`.
   */
  private behindMarker(request: Request, next: number, end: number): number {
    if (next < 0 || request.marker === Marker.none) return next;
    if (request.marker === Marker.version) return this.behindVersion(next, end);
    const stop = next + META_NOOP_ANSWER.length;
    const length = Math.min(stop, end) - next;
    if (!equalBytes(META_NOOP_ANSWER, 0, length, this.reply.chunk, next)) return OUT_OF_STEP;
    return stop > end ? INCOMPLETE : stop;
  }

  private behindVersion(next: number, end: number): number {
    const { chunk } = this.reply;
    if (!equalBytes(VERSION, 0, Math.min(VERSION.length, end - next), chunk, next)) return OUT_OF_STEP;
    return this.findLineEnd(next, end);
  }

  /** A meta `VA <bytes> <flags>*`, its data and CRLF. */
  private parseMetaValue(start: number, end: number): number {
    const reply = this.reply;
    const chunk = reply.chunk;
    const lineEnd = this.findLineEnd(start, end);
    if (lineEnd < 0) return lineEnd;
    let i = start + 3;
    while (i < lineEnd && chunk[i] !== SPACE && chunk[i] !== CR) i++;
    const length = readDecimal(chunk, start + 3, i);
    if (length < 0 || length > this.maxReplyBytes) return OUT_OF_STEP;
    const total = lineEnd + length + 2;
    if (total > end) {
      this.wantedBytes = total - start;
      return INCOMPLETE;
    }
    if (chunk[total - 2] !== CR || chunk[total - 1] !== LF) return OUT_OF_STEP;
    reply.status = Status.meta;
    reply.code = MetaCode.VA;
    reply.valueStart = lineEnd;
    reply.valueEnd = total - 2;
    reply.end = total;
    this.isSuspect = mayHoldAnswers(chunk, lineEnd, total - 2, this.returnsKeys);
    return total;
  }

  /** `STAT` lines (or those of `detail dump` and `cachedump`) and END; or OK, or an error line. */
  private parseStats(request: Request, start: number, end: number): number {
    const { reply } = this;
    const { chunk } = reply;
    let at = start;
    while (at < end) {
      const lineEnd = this.findLineEnd(at, end);
      if (lineEnd < 0) return lineEnd;
      if (isLine(END_LINE, chunk, at, lineEnd) && lineEnd - at === END_LINE.length) {
        reply.status = Status.ok;
        reply.end = lineEnd;
        return lineEnd;
      }
      if (!STAT_WORDS.some((word) => isLine(word, chunk, at, lineEnd))) {
        return at === start ? this.parseLine(request, start, end) : OUT_OF_STEP;
      }
      at = lineEnd;
      if (at - start > MAX_STATS_BYTES) return OUT_OF_STEP;
    }
    return INCOMPLETE;
  }

  /** A reply of one line. */
  private parseLine(request: Request, start: number, end: number): number {
    const reply = this.reply;
    const lineEnd = this.findLineEnd(start, end);
    if (lineEnd < 0) return lineEnd;
    const status = lineStatus(request, reply.chunk, start, lineEnd);
    if (status === null) return OUT_OF_STEP;
    reply.status = status;
    reply.code = status === Status.meta ? (reply.chunk[start]! << 8) | reply.chunk[start + 1]! : 0;
    reply.start = start;
    reply.end = lineEnd;
    return lineEnd;
  }

  /**
   * Position after the CR LF of the line at `start`; INCOMPLETE; or OUT_OF_STEP if the line is too long or ends
   * differently.
   */
  private findLineEnd(start: number, end: number): number {
    const chunk = this.reply.chunk;
    for (let i = start; i < end; i++) {
      // A client that searches for CR LF would read the next reply as the rest of this one.
      if (chunk[i] === LF) return i > start && chunk[i - 1] === CR ? i + 1 : OUT_OF_STEP;
    }
    return end - start > MAX_LINE_BYTES ? OUT_OF_STEP : INCOMPLETE;
  }
}

/** True if the line `chunk[start, end)` begins with `bytes`. */
function isLine(bytes: Buffer, chunk: Buffer, start: number, end: number): boolean {
  return end - start >= bytes.length && equalBytes(bytes, 0, bytes.length, chunk, start);
}

/** Reply lines, or their beginnings → status. */
const LINES: readonly (readonly [string, Status])[] = [
  ["STORED\r\n", Status.stored],
  ["NOT_STORED\r\n", Status.notStored],
  ["EXISTS\r\n", Status.exists],
  ["NOT_FOUND\r\n", Status.notFound],
  ["DELETED\r\n", Status.deleted],
  ["TOUCHED\r\n", Status.touched],
  ["OK\r\n", Status.ok],
  ["ERROR", Status.clientError],
  ["CLIENT_ERROR", Status.clientError],
  ["SERVER_ERROR", Status.serverError],
];
const lines = LINES.map(([text, status]) => ({ bytes: Buffer.from(text, "latin1"), status }));
const VERSION = Buffer.from("VERSION ", "latin1");
const META_NOOP_ANSWER = Buffer.from("MN\r\n", "latin1");

/** By operation: possible codes of a reply without a value. */
const codesOf = new Map<Operation, readonly number[]>([
  [Operation.metaGet, [MetaCode.HD, MetaCode.EN]],
  [Operation.metaSet, [MetaCode.HD, MetaCode.NS, MetaCode.EX, MetaCode.NF]],
  [Operation.metaDelete, [MetaCode.HD, MetaCode.NF, MetaCode.EX]],
  [Operation.metaArithmetic, [MetaCode.HD, MetaCode.NF, MetaCode.NS, MetaCode.EX]],
  [Operation.metaDebug, [MetaCode.ME, MetaCode.EN]],
  [Operation.metaNoop, [MetaCode.MN]],
]);

/** By operation: possible statuses, as a set of bits. Any other reply means that the connection is out of step. */
const answersTo = new Uint32Array(OPERATION_COUNT);
const STORAGE_ANSWERS = bits(Status.stored, Status.notStored, Status.exists, Status.notFound);
for (let operation: number = Operation.set; operation <= Operation.cas; operation++) {
  answersTo[operation] = STORAGE_ANSWERS;
}
answersTo[Operation.delete] = bits(Status.deleted, Status.notFound);
answersTo[Operation.incr] = bits(Status.notFound);
answersTo[Operation.decr] = bits(Status.notFound);
answersTo[Operation.touch] = bits(Status.touched, Status.notFound);
answersTo[Operation.flushAll] = bits(Status.ok);
answersTo[Operation.stats] = bits(Status.ok);

function bits(...statuses: Status[]): number {
  return statuses.reduce((set, status) => set | (1 << status), 0);
}

/** By `MetaForm`: the meta command that replaces the classic one. */
const operationsOfForms: readonly Operation[] = [
  Operation.local,
  Operation.metaSet,
  Operation.metaDelete,
  Operation.metaArithmetic,
  Operation.metaGet,
  Operation.metaGet,
];

/** The only error that identifies its command. */
const NON_NUMERIC = Buffer.from("CLIENT_ERROR cannot increment or decrement non-numeric value", "latin1");
const counts: ReadonlySet<Operation> = new Set([Operation.incr, Operation.decr, Operation.metaArithmetic]);

function isOfCount(chunk: Buffer, start: number, end: number): boolean {
  return end - start > NON_NUMERIC.length && equalBytes(NON_NUMERIC, 0, NON_NUMERIC.length, chunk, start);
}

function lineStatus(request: Request, chunk: Buffer, start: number, end: number): Status | null {
  const operation = request.form === MetaForm.none ? request.operation : operationsOfForms[request.form]!;
  for (const { bytes, status } of lines) {
    if (bytes[0] === chunk[start] && end - start >= bytes.length && equalBytes(bytes, 0, bytes.length, chunk, start)) {
      if (isFailure(status)) return isOfCount(chunk, start, end) && !counts.has(operation) ? null : status;
      return ((answersTo[operation]! >> status) & 1) === 1 ? status : null;
    }
  }
  switch (operation) {
    case Operation.incr:
    case Operation.decr:
      return readDigits(chunk, start, end) ? Status.number : null;
    case Operation.version:
      return end - start > VERSION.length && equalBytes(VERSION, 0, VERSION.length, chunk, start) ? Status.ok : null;
    default: {
      const isCode = codesOf.get(operation)?.includes((chunk[start]! << 8) | chunk[start + 1]!) ?? false;
      return isCode && (chunk[start + 2] === SPACE || chunk[start + 2] === CR) ? Status.meta : null;
    }
  }
}

/** True for a line that only has digits (memcached pads a shorter decr result with spaces) and its CR LF. */
function readDigits(chunk: Buffer, start: number, end: number): boolean {
  let i = start;
  while (i < end && chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) i++;
  const digits = i - start;
  while (i < end && chunk[i] === SPACE) i++;
  return digits > 0 && i === end - 2;
}
