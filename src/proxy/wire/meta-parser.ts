/**
 * Meta command lines → Request. Servers decide which flags exist: known and unknown flags are forwarded in canonical
 * form. This file reads the parts that routing and order need: the key (decoded if it is base64), the length of a data
 * block, and `q`. `q` is removed so that the server always replies; the usual reply is then withheld from the client.
 *
 * Source: memcached doc/protocol.txt, "Meta Commands"; malformed lines follow memcached 1.6.18 and 1.6.45.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";
import { Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, LF, ZERO } from "./ascii.ts";
import { decodeBase64 } from "./base64.ts";
import type { CommandLine } from "./command-line.ts";
import { keyAfter, writtenRequest } from "./written-frame.ts";

const MAX_INT32 = 0x7fffffff;
/**
 * Number of words in a line with the maximum number of flags in memcached (MFLAG_MAX_OPT_LENGTH, including the
 * terminator).
 */
const MAX_FLAGGED_WORDS = 19;
const BASE64_FLAG = 0x62;
const QUIET_FLAG = 0x71;
const KEY_LETTER = "k";
const MINUS = 0x2d;
/**
 * A server must never get more than 2 KiB of an incomplete line, including the prefix and the opaque that Platypus
 * adds.
 */
const MAX_LINE_BYTES = 2048 - MAX_KEY_BYTES - 32;
const CRLF = Buffer.from("\r\n", "latin1");
const NOTHING = Buffer.alloc(0);

const answers = {
  error: fixedReply(Status.clientError, "ERROR"),
  badFormat: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format"),
  badChunk: fixedReply(Status.clientError, "CLIENT_ERROR bad data chunk"),
  badKey: fixedReply(Status.clientError, "CLIENT_ERROR error decoding key"),
  badFlag: fixedReply(Status.clientError, "CLIENT_ERROR invalid or duplicate flag"),
  doubleFlag: fixedReply(Status.clientError, "CLIENT_ERROR duplicate flag"),
  unknownFlag: fixedReply(Status.clientError, "CLIENT_ERROR invalid flag"),
  manyFlags: fixedReply(Status.clientError, "CLIENT_ERROR options flags too long"),
  manyGetFlags: fixedReply(Status.clientError, "CLIENT_ERROR options flags are too long"),
} as const;

/** The result of a meta line. */
export type MetaParsed =
  | { readonly type: "request"; readonly request: Request; readonly next: number }
  /** The reply, and the number of bytes after the line that must be skipped. */
  | { readonly type: "answer"; readonly answer: Reply; readonly swallowBytes: number }
  /** A delete in place of a value that is too large, and the number of its bytes that must be skipped. */
  | { readonly type: "oversize"; readonly request: Request; readonly swallowBytes: number }
  | { readonly type: "incomplete"; readonly wantedBytes: number };

/** `prefix` is added to base64 keys here, because servers decode them; to other keys when they are written. */
export interface MetaLimits {
  readonly maxValueBytes: number;
  readonly prefix: string;
}

/** Parses `mg`, `md`, `ma` or `me`. `isCurrent`: see ClassicParser. */
export function parseMetaLine(
  operation: Operation,
  line: CommandLine,
  owner: ReplyOwner,
  limits: MetaLimits,
  isCurrent: () => boolean,
): MetaParsed {
  const isDebug = operation === Operation.metaDebug;
  if (line.count < 2) return refuse(isDebug || isCurrent() ? answers.badFormat : answers.error);
  const request = new Request(operation, owner, line.chunk);
  request.frameStart = line.start;
  request.lineEnd = line.end;
  request.dataStart = line.next;
  request.frameEnd = line.next;
  request.isKept = line.isKept;
  const problem = takeKey(request, line, 2, limits, isCurrent);
  return problem === null ? { type: "request", request, next: line.next } : refuse(problem);
}

/** Parses `ms` with its data block, as far as `end`. */
export function parseMetaSet(
  line: CommandLine,
  end: number,
  owner: ReplyOwner,
  limits: MetaLimits,
  isCurrent: () => boolean,
): MetaParsed {
  if (line.count < 2) return refuse(isCurrent() ? answers.badFormat : answers.error);
  if (line.count === 2) return refuse(answers.badFormat);
  const length = line.int32(2);
  const isLength = length >= 0 && length <= MAX_INT32 - 2;
  // memcached 1.6.40 and later skip the data of a refused line if they can read its length.
  const refusedBytes = isLength && isCurrent() ? length + 2 : 0;
  const refuseData = (answer: Reply): MetaParsed => ({ type: "answer", answer, swallowBytes: refusedBytes });
  if (line.wordLength(1) > MAX_KEY_BYTES) return refuseData(answers.badFormat);
  // A server would read the data as commands.
  if (line.count > MAX_FLAGGED_WORDS) return refuseData(isCurrent() ? answers.manyGetFlags : answers.manyFlags);
  if (!isLength) return refuse(answers.badFormat);
  if (isCurrent() && !(line.isStrict(2) && length === line.integer(2))) return refuseData(answers.badFormat);
  if (length > limits.maxValueBytes) return deleteInstead(line, length + 2, owner, limits);
  const frameEnd = line.next + length + 2;
  if (frameEnd > end) return { type: "incomplete", wantedBytes: frameEnd - line.start };
  const { chunk } = line;
  if (chunk[frameEnd - 2] !== CR || chunk[frameEnd - 1] !== LF) {
    return { type: "answer", answer: answers.badChunk, swallowBytes: length + 2 };
  }
  const request = new Request(Operation.metaSet, owner, chunk);
  request.frameStart = line.start;
  request.lineEnd = line.end;
  request.dataStart = line.next;
  request.frameEnd = frameEnd;
  request.isKept = line.isKept;
  request.hasData = true;
  request.isGuarded = !isPlainSet(line);
  const problem = takeKey(request, line, 3, limits, isCurrent);
  if (problem !== null) return { type: "answer", answer: problem, swallowBytes: length + 2 };
  return { type: "request", request, next: frameEnd };
}

/** As in memcached, `ms` with a value that is too large deletes the old value. */
function deleteInstead(line: CommandLine, swallowBytes: number, owner: ReplyOwner, limits: MetaLimits): MetaParsed {
  const isBase64 = line.texts().some((word, index) => index > 2 && word[0] === "b");
  const text = `md ${line.text(1)}${isBase64 ? " b" : ""}`;
  const request = writtenRequest(Operation.metaDelete, owner, text, null, keyAfter("md", line.wordLength(1)));
  const problem = isBase64 ? decodeKey(request, limits.prefix) : null;
  return problem === null
    ? { type: "oversize", request, swallowBytes }
    : { type: "answer", answer: problem, swallowBytes };
}

function refuse(answer: Reply): MetaParsed {
  return { type: "answer", answer, swallowBytes: 0 };
}

/**
 * Finds the key and the relevant flags, of which word `first` is the first, and makes the line canonical. Returns an
 * error, or `null`.
 */
function takeKey(
  request: Request,
  line: CommandLine,
  first: number,
  limits: MetaLimits,
  isCurrent: () => boolean,
): Reply | null {
  request.keyStart = line.wordStart(1);
  request.keyEnd = line.wordEnd(1);
  // `me` reads only one word.
  const isDebug = request.operation === Operation.metaDebug;
  let quietCount = 0;
  let isBase64 = false;
  let hasOddLetter = false;
  let isCanonical = line.isPlain && !isDebug && (!request.hasData || isCanonicalLength(line));
  for (let i = first; i < line.count; i++) {
    const letter = line.chunk[line.wordStart(i)]!;
    if (isDebug ? isCurrent() && !isTokenStart(letter) : !isLetter(letter)) hasOddLetter = true;
    if (letter === QUIET_FLAG) quietCount++;
    if (letter === BASE64_FLAG) isBase64 = true;
    isCanonical &&= isCanonicalFlag(line, i, letter);
  }
  if (isDebug) isBase64 = line.count > 2 && line.wordLength(2) === 1 && line.chunk[line.wordStart(2)] === BASE64_FLAG;
  if (line.wordLength(1) > MAX_KEY_BYTES - (isBase64 ? 0 : limits.prefix.length)) return answers.badFormat;
  if (!isDebug && (line.count > MAX_FLAGGED_WORDS || line.end - line.start > MAX_LINE_BYTES)) {
    return request.operation === Operation.metaGet || isCurrent() ? answers.manyGetFlags : answers.manyFlags;
  }
  if (hasOddLetter) return invalidFlag(request.operation, line, first, isCurrent);
  const isQuiet = quietCount === 1 && !isDebug;
  request.isQuiet = isQuiet;
  if (!isCanonical || quietCount > 0) rewrite(request, line, first, isBase64, isQuiet, isCurrent);
  return isBase64 ? decodeKey(request, limits.prefix) : null;
}

/**
 * Builds a new frame for the request: with single blanks, without a single `q`, with canonical numbers. An invalid
 * token is left out, so that the server refuses the flag with its own text. A memcached refuses a second `q`; its proxy
 * does not, and might not reply: each `q` becomes a `k`, of which both refuse the second.
 */
function rewrite(
  request: Request,
  line: CommandLine,
  first: number,
  isBase64: boolean,
  isQuiet: boolean,
  isCurrent: () => boolean,
): void {
  const words = [line.text(0), line.text(1)];
  if (request.operation === Operation.metaDebug) {
    // memcached 1.6.40 and later count one word too few.
    if (isBase64) words.push("b", "b");
  } else {
    if (first > 2) words.push(String(line.int32(2)));
    for (let i = first; i < line.count; i++) {
      const isQuietFlag = line.chunk[line.wordStart(i)] === QUIET_FLAG;
      if (!isQuietFlag) words.push(canonicalFlag(line, i, isCurrent));
      else if (!isQuiet) words.push(KEY_LETTER);
    }
  }
  const head = Buffer.from(`${words.join(" ")}\r\n`, "latin1");
  const data = request.hasData ? line.chunk.subarray(request.dataStart, request.frameEnd) : NOTHING;
  request.chunk = data.length === 0 ? head : Buffer.concat([head, data]);
  request.keyStart = words[0]!.length + 1;
  request.keyEnd = request.keyStart + line.wordLength(1);
  request.frameStart = 0;
  request.lineEnd = head.length - CRLF.length;
  request.dataStart = head.length;
  request.frameEnd = head.length + data.length;
  request.isKept = true;
}

function isCanonicalLength(line: CommandLine): boolean {
  return line.isCanonical(2) && line.int32(2) === line.integer(2);
}

function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}

/** First bytes of a word after the key that memcached 1.6.40 and later accept, before they check the flag. */
function isTokenStart(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x7a) || (byte >= ZERO && byte <= ZERO + 9);
}

/**
 * memcached's error for a line with a flag that is not a letter. It reports the first wrong flag: this one, or an
 * earlier duplicate. It does not track bytes from 127 on, and treats each of these as a duplicate.
 */
function invalidFlag(operation: Operation, line: CommandLine, first: number, isCurrent: () => boolean): Reply {
  if (isCurrent()) return answers.badFormat;
  if (operation !== Operation.metaGet && operation !== Operation.metaSet) return answers.badFlag;
  const seen = new Set<number>();
  for (let i = first; i < line.count; i++) {
    const letter = line.chunk[line.wordStart(i)]!;
    if (letter >= 0x7f || seen.has(letter)) return answers.doubleFlag;
    if (!isLetter(letter)) return answers.unknownFlag;
    seen.add(letter);
  }
  return answers.unknownFlag;
}

/** Forms of a flag's token: see docs/protocols.md, "What a server receives". */
const Token = { none: 0, int32: 1, uint32: 2, uint64: 3, text: 4, any: 5 } as const;
type Token = (typeof Token)[keyof typeof Token];

const tokens: Readonly<Record<string, Token>> = {
  ...Object.fromEntries([..."bcfhklqstuvxI"].map((letter) => [letter, Token.none])),
  ...Object.fromEntries([..."TNR"].map((letter) => [letter, Token.int32])),
  F: Token.uint32,
  ...Object.fromEntries([..."CEDJ"].map((letter) => [letter, Token.uint64])),
  O: Token.any,
};
/** By letter. Unknown flags have a text. */
const tokenOf = Uint8Array.from({ length: 128 }, (_, letter) => tokens[String.fromCharCode(letter)] ?? Token.text);

function isCanonicalFlag(line: CommandLine, index: number, letter: number): boolean {
  switch (tokenOf[letter] as Token) {
    case Token.none:
      return line.wordLength(index) === 1;
    case Token.int32:
      return line.isCanonical(index, 1) && line.integer(index, 1) === line.int32(index, 1);
    case Token.uint32:
      return line.isCanonical(index, 1) && line.integer(index, 1) === line.uint32(index, 1);
    case Token.uint64:
      return line.isCanonical(index, 1) && line.chunk[line.wordStart(index) + 1] !== MINUS && line.isUint64(index, 1);
    case Token.text:
      return isClean(line, index);
    case Token.any:
      return true;
  }
}

function canonicalFlag(line: CommandLine, index: number, isCurrent: () => boolean): string {
  const text = line.text(index);
  const letter = text[0]!;
  switch (tokenOf[letter.charCodeAt(0)] as Token) {
    case Token.none:
      return letter;
    case Token.int32:
      return letter + numberToken(line, index, line.int32(index, 1), isCurrent);
    case Token.uint32:
      return letter + numberToken(line, index, line.uint32(index, 1), isCurrent);
    case Token.uint64: {
      const isSigned = line.chunk[line.wordStart(index) + 1] === MINUS;
      const isTaken = !isCurrent() || (line.isStrict(index, 1) && !isSigned);
      return letter + ((isTaken ? line.unsigned(index, 1) : null) ?? "");
    }
    case Token.text:
      return text.replaceAll(/[^ -~\x80-\xff]/g, "?");
    case Token.any:
      return text;
  }
}

/** The number of a 32-bit token, read as `value`. "" if the servers do not accept it. */
function numberToken(line: CommandLine, index: number, value: number, isCurrent: () => boolean): string {
  if (Number.isNaN(value)) return "";
  const isExact = line.isStrict(index, 1) && value === line.integer(index, 1);
  return isExact || !isCurrent() ? String(value) : "";
}

/** True for a word without control characters. */
function isClean(line: CommandLine, index: number): boolean {
  const { chunk } = line;
  for (let i = line.wordStart(index); i < line.wordEnd(index); i++) {
    if (chunk[i]! < 0x20 || chunk[i] === 0x7f) return false;
  }
  return true;
}

/**
 * Gives the request a new buffer with the decoded key after the frame: routing, rules and trackers use the key's bytes,
 * the server gets the line.
 */
function decodeKey(request: Request, prefix: string): Reply | null {
  const { chunk } = request;
  const text = chunk.toString("latin1", request.keyStart, request.keyEnd);
  const key = decodeBase64(text);
  // All servers refuse an empty key, but with the prefix it would consist of the prefix alone.
  if (key.length === 0) {
    request.isGuarded = true;
    return prefix === "" ? null : badKeyOf(request.operation);
  }
  // The reply may contain the key unencoded.
  if (request.operation === Operation.metaDebug && key.includes(LF)) return answers.badFormat;
  const sent = Buffer.concat([Buffer.from(prefix, "latin1"), key]).toString("base64");
  if (sent.length > MAX_KEY_BYTES) return badKeyOf(request.operation);
  const head = Buffer.concat([
    chunk.subarray(request.frameStart, request.keyStart),
    Buffer.from(sent, "latin1"),
    chunk.subarray(request.keyEnd, request.lineEnd),
  ]);
  const data = chunk.subarray(request.dataStart, request.frameEnd);
  request.chunk = Buffer.concat([head, CRLF, data, key]);
  request.frameStart = 0;
  request.lineEnd = head.length;
  request.dataStart = head.length + CRLF.length;
  request.frameEnd = request.dataStart + data.length;
  request.keyStart = request.frameEnd;
  request.keyEnd = request.frameEnd + key.length;
  request.isVerbatim = true;
  request.isKept = true;
  return null;
}

function badKeyOf(operation: Operation): Reply {
  switch (operation) {
    case Operation.metaGet:
    case Operation.metaSet:
      return answers.badKey;
    case Operation.metaDebug:
      return answers.badFormat;
    default:
      return answers.badFlag;
  }
}

/**
 * True if all servers accept the flags, and so certainly read the data block as data. Otherwise `mn` follows, to verify
 * that.
 */
function isPlainSet(line: CommandLine): boolean {
  const seen = new Set<number>();
  for (let i = 3; i < line.count; i++) {
    const letter = line.chunk[line.wordStart(i)]!;
    if (seen.has(letter) || !isPlainFlag(line, i, String.fromCharCode(letter))) return false;
    seen.add(letter);
  }
  return true;
}

function isPlainFlag(line: CommandLine, index: number, letter: string): boolean {
  const length = line.wordLength(index);
  switch (letter) {
    case "b":
    case "c":
    case "k":
    case "q":
    case "s":
    case "I":
      return length === 1;
    case "O":
      return length <= 32;
    case "F":
      return line.isStrict(index, 1) && line.integer(index, 1) === line.uint32(index, 1);
    case "T":
      return line.isStrict(index, 1) && line.integer(index, 1) === line.int32(index, 1);
    case "C":
      return line.isStrict(index, 1) && line.isUint64(index, 1) && line.chunk[line.wordStart(index) + 1] !== MINUS;
    case "M":
      return length === 2 && "EAPRS".includes(line.text(index)[1]!);
    default:
      return false;
  }
}
