/**
 * Meta command lines → Request. Flags are the backend's affair: they are forwarded, known or not. What is looked at here
 * is what routing and order need: the key (decoded where it is base64), the length of a data block, and `q`, which is
 * taken out so that the backend always answers; the usual answer is then withheld from the client.
 *
 * Source: memcached doc/protocol.txt, "Meta Commands"; for what is malformed, memcached 1.6.18.
 */
import { MAX_KEY_BYTES } from "../key.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";
import { Operation, type ReplyOwner, Request } from "../request.ts";
import { CR, LF } from "./ascii.ts";
import { decodeBase64 } from "./base64.ts";
import type { CommandLine } from "./command-line.ts";

const MAX_INT32 = 0x7fffffff;
/** Words of a line with as many flags as memcached takes (MFLAG_MAX_OPT_LENGTH, one of them the terminator). */
const MAX_FLAGGED_WORDS = 19;
const BASE64_FLAG = 0x62;
const QUIET_FLAG = 0x71;
const CRLF = Buffer.from("\r\n", "latin1");

const answers = {
  error: fixedReply(Status.clientError, "ERROR"),
  badFormat: fixedReply(Status.clientError, "CLIENT_ERROR bad command line format"),
  badChunk: fixedReply(Status.clientError, "CLIENT_ERROR bad data chunk"),
  badKey: fixedReply(Status.clientError, "CLIENT_ERROR error decoding key"),
  badFlag: fixedReply(Status.clientError, "CLIENT_ERROR invalid or duplicate flag"),
  manyFlags: fixedReply(Status.clientError, "CLIENT_ERROR options flags too long"),
  manyGetFlags: fixedReply(Status.clientError, "CLIENT_ERROR options flags are too long"),
} as const;

/** What a meta line came to. */
export type MetaParsed =
  | { readonly type: "request"; readonly request: Request; readonly next: number }
  /** The answer, and how many bytes behind the line are to be thrown away. */
  | { readonly type: "answer"; readonly answer: Reply; readonly swallowBytes: number }
  /** A delete in place of a value that is too large, and how many bytes of it are to be thrown away. */
  | { readonly type: "oversize"; readonly request: Request; readonly swallowBytes: number }
  | { readonly type: "incomplete"; readonly wantedBytes: number };

/** `prefix` is put before base64 keys here, as a server decodes them; before others where they are written. */
export interface MetaLimits {
  readonly maxValueBytes: number;
  readonly prefix: string;
}

/** Reads `mg`, `md`, `ma` or `me`. */
export function parseMetaLine(
  operation: Operation,
  line: CommandLine,
  owner: ReplyOwner,
  limits: MetaLimits,
): MetaParsed {
  const isDebug = operation === Operation.metaDebug;
  if (line.count < 2) return refuse(isDebug ? answers.badFormat : answers.error);
  const request = new Request(operation, owner, line.chunk);
  request.frameStart = line.start;
  request.lineEnd = line.end;
  request.dataStart = line.next;
  request.frameEnd = line.next;
  request.isVerbatim = !line.isCut;
  request.isKept = line.isKept;
  const problem = takeKey(request, line, 2, limits);
  return problem === null ? { type: "request", request, next: line.next } : refuse(problem);
}

/** Reads `ms` with its data block, as far as `end`. */
export function parseMetaSet(line: CommandLine, end: number, owner: ReplyOwner, limits: MetaLimits): MetaParsed {
  if (line.count < 2) return refuse(answers.error);
  if (line.wordLength(1) > MAX_KEY_BYTES || line.count === 2) return refuse(answers.badFormat);
  // A server would take the data for commands.
  if (line.count > MAX_FLAGGED_WORDS) return refuse(answers.manyFlags);
  const length = line.int32(2);
  if (!(length >= 0 && length <= MAX_INT32 - 2)) return refuse(answers.badFormat);
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
  request.isVerbatim = !line.isCut;
  request.isKept = line.isKept;
  request.hasData = true;
  request.isGuarded = !isPlainSet(line);
  const problem = takeKey(request, line, 3, limits);
  if (problem !== null) return { type: "answer", answer: problem, swallowBytes: length + 2 };
  return { type: "request", request, next: frameEnd };
}

/** As memcached, `ms` of a value that is too large takes the old value with it. */
function deleteInstead(line: CommandLine, swallowBytes: number, owner: ReplyOwner, limits: MetaLimits): MetaParsed {
  const isBase64 = line.texts().some((word, index) => index > 2 && word[0] === "b");
  const frame = Buffer.from(`md ${line.text(1)}${isBase64 ? " b" : ""}\r\n`, "latin1");
  const request = new Request(Operation.metaDelete, owner, frame);
  request.keyStart = "md ".length;
  request.keyEnd = request.keyStart + line.wordLength(1);
  request.lineEnd = frame.length - 2;
  request.dataStart = frame.length;
  request.frameEnd = frame.length;
  request.isKept = true;
  const problem = isBase64 ? decodeKey(request, limits.prefix) : null;
  return problem === null
    ? { type: "oversize", request, swallowBytes }
    : { type: "answer", answer: problem, swallowBytes };
}

function refuse(answer: Reply): MetaParsed {
  return { type: "answer", answer, swallowBytes: 0 };
}

/** Finds the key and the flags that matter here, the first flag being word `first`. Returns an error, or null. */
function takeKey(request: Request, line: CommandLine, first: number, limits: MetaLimits): Reply | null {
  request.keyStart = line.wordStart(1);
  request.keyEnd = line.wordEnd(1);
  let quiet = -1;
  let quietCount = 0;
  let isBase64 = false;
  for (let i = first; i < line.count; i++) {
    const letter = line.chunk[line.wordStart(i)]!;
    if (letter === QUIET_FLAG) {
      quiet = i;
      quietCount++;
    }
    if (letter === BASE64_FLAG) isBase64 = true;
  }
  // `me` looks at one word only.
  const isDebug = request.operation === Operation.metaDebug;
  if (isDebug) isBase64 = line.count > 2 && line.wordLength(2) === 1 && line.chunk[line.wordStart(2)] === BASE64_FLAG;
  if (line.wordLength(1) > MAX_KEY_BYTES - (isBase64 ? 0 : limits.prefix.length)) return answers.badFormat;
  if (!isDebug && line.count > MAX_FLAGGED_WORDS) {
    return request.operation === Operation.metaGet ? answers.manyGetFlags : answers.manyFlags;
  }
  if (quietCount === 1 && !isDebug) takeOutWord(request, line, quiet);
  // A server refuses a second `q`, and `me` knows none. One that saw it otherwise might say nothing: `mn` shows it.
  else if (quietCount > 0) request.isGuarded = true;
  return isBase64 ? decodeKey(request, limits.prefix) : null;
}

/** Closes the gap that a flag leaves in the line; the line has no other use. */
function takeOutWord(request: Request, line: CommandLine, index: number): void {
  const { chunk } = line;
  const start = line.wordStart(index) - 1;
  const end = line.wordEnd(index);
  chunk.copyWithin(start, end, request.lineEnd);
  request.lineEnd -= end - start;
  request.isQuiet = true;
  if (request.hasData) {
    request.isVerbatim = false;
  } else {
    chunk[request.lineEnd] = CR;
    chunk[request.lineEnd + 1] = LF;
    request.frameEnd = request.lineEnd + 2;
    request.dataStart = request.frameEnd;
    request.isVerbatim = true;
  }
}

/**
 * Gives the request a buffer of its own with the decoded key behind the frame: routing, rules and trackers see the key's
 * bytes, the server sees the line.
 */
function decodeKey(request: Request, prefix: string): Reply | null {
  const { chunk } = request;
  const text = chunk.toString("latin1", request.keyStart, request.keyEnd);
  const key = decodeBase64(text);
  // A server refuses it, but with our prefix it would find that alone in it.
  if (key.length === 0) return prefix === "" ? null : badKeyOf(request.operation);
  let sent = text;
  if (prefix !== "") {
    sent = Buffer.concat([Buffer.from(prefix, "latin1"), key]).toString("base64");
    if (sent.length > MAX_KEY_BYTES) return badKeyOf(request.operation);
  }
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
 * True when no server finds fault with the flags, and so reads the data block as one for certain. Otherwise `mn` follows,
 * to be sure of it.
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
      return line.integer(index, 1) === line.uint32(index, 1);
    case "T":
      return line.integer(index, 1) === line.int32(index, 1);
    case "C":
      return line.isUint64(index, 1);
    case "M":
      return length === 2 && "EAPRSeaprs".includes(line.text(index)[1]!);
    default:
      return false;
  }
}
