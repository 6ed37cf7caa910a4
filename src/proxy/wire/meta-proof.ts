/**
 * The proof that a reply to a meta command belongs to this request: an opaque that only this request has. It replaces
 * the client's own opaque, or follows the last flag, and is removed from the reply. So two clients with equal opaques
 * are never confused.
 *
 *     client   mg k v Oabc f        VA 1 Oabc f0
 *     server   mg k v O017 f        VA 1 O017 f0
 *
 * Source: memcached doc/protocol.txt, "Meta Commands", flag O; the returned flags and their order follow memcached
 * 1.6.18 and 1.6.45.
 */
import { MetaCode, type Reply } from "../reply.ts";
import { Operation, type Request } from "../request.ts";
import { copyBytes, equalBytes, SPACE, ZERO } from "./ascii.ts";
import type { OutputBatch } from "./output-batch.ts";

const MINUS = 0x2d;
const UPPER_C = 0x43;
const UPPER_O = 0x4f;
const LOWER_A = 0x61;
const LOWER_B = 0x62;
const LOWER_K = 0x6b;
const LOWER_T = 0x74;
const LOWER_V = 0x76;
/** Flags that have a number in a reply: cas, client flags, hit, seconds since the last access, size, TTL. */
const NUMBER_FLAGS = Buffer.from("cfhlst", "latin1");
const UPPER_W = 0x57;
const UPPER_X = 0x58;
const UPPER_Z = 0x5a;
/** Bytes of a code, such as HD. */
const CODE_BYTES = 2;
const CRLF_BYTES = 2;
/** Maximum number of words in a line for memcached. The added opaque would be one more. */
const MAX_WORDS = 19;
/** Maximum length of an opaque in memcached, including its letter. */
const MAX_OPAQUE_BYTES = 32;
/** A shorter line cannot have too many words or a long opaque. */
const SHORTEST_LONG_LINE_BYTES = "mg k ".length + MAX_OPAQUE_BYTES;

/** Position of the flags of a meta request: after the key; for `ms`, after the length. */
function flagsAt({ operation, chunk, frameStart, lineEnd }: Request): number {
  // "mg " and the first byte of the key.
  let i = frameStart + 4;
  while (i < lineEnd && chunk[i] !== SPACE) i++;
  if (operation !== Operation.metaSet) return i;
  i++;
  while (i < lineEnd && chunk[i] !== SPACE) i++;
  return i;
}

/** Position of the letter of the client's opaque. −1 if absent. */
function opaqueAt(request: Request): number {
  const { chunk, lineEnd } = request;
  for (let i = flagsAt(request); i < lineEnd; i++) {
    if (chunk[i] === SPACE && chunk[i + 1] === UPPER_O) return i + 1;
  }
  return -1;
}

function wordEnd(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] !== SPACE) i++;
  return i;
}

/** True if a server accepts the added opaque: the client's own is not too long, or there is room for one more flag. */
export function hasRoomForOpaque(request: Request): boolean {
  const { chunk, frameStart, lineEnd } = request;
  if (lineEnd - frameStart < SHORTEST_LONG_LINE_BYTES) return true;
  const own = opaqueAt(request);
  if (own >= 0) return wordEnd(chunk, own, lineEnd) - own <= MAX_OPAQUE_BYTES;
  let words = 1;
  for (let i = frameStart; i < lineEnd; i++) if (chunk[i] === SPACE) words++;
  return words < MAX_WORDS;
}

/** Appends the request's line from `from`, without its end, with `request.opaque` in it. */
export function writeWithOpaque(request: Request, from: number, batch: OutputBatch): void {
  const { chunk, lineEnd, opaque } = request;
  const own = opaqueAt(request);
  if (own < 0) {
    batch.copy(chunk, from, lineEnd);
    batch.byte(SPACE);
    batch.byte(UPPER_O);
    batch.decimal(opaque);
    return;
  }
  const ownEnd = wordEnd(chunk, own, lineEnd);
  batch.copy(chunk, from, own + 1);
  // At least as long as the client's opaque, so that the reply has room for that one.
  for (let digits = digitsOf(opaque); digits < ownEnd - own - 1; digits++) batch.byte(ZERO);
  batch.decimal(opaque);
  batch.copy(chunk, ownEnd, lineEnd);
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  return digits;
}

/** Result of `findProof` for a correct reply without an added opaque. */
const WITHOUT_OPAQUE = 0;
/** Result of `findProof` for a reply that does not belong to the request. */
export const UNPROVEN = -1;

/**
 * Looks for the proof in the reply's line, which ends (after its CR LF) at `end` and has a correct code: the added
 * opaque, and otherwise only requested flags, in the requested order and in the returned form. A value may only be
 * present if it was requested. Returns the position of the added opaque, WITHOUT_OPAQUE (none was sent) or UNPROVEN.
 * The key in a reply is not checked here.
 */
export function findProof(request: Request, reply: Reply, end: number, prefix: Buffer): number {
  const { chunk: line, lineEnd, opaque } = request;
  if (request.operation === Operation.metaDebug) return WITHOUT_OPAQUE;
  const { chunk, start } = reply;
  // A key may contain a CR.
  const textEnd = end - CRLF_BYTES;
  let i = start + CODE_BYTES;
  if (reply.code === MetaCode.VA) i = wordEnd(chunk, i + 1, textEnd);
  const first = flagsAt(request);
  if (!isCodeAsAsked(request, reply.code, first)) return UNPROVEN;
  let asked = first;
  let proof = opaque === 0 ? WITHOUT_OPAQUE : UNPROVEN;
  let last = 0;
  while (i < textEnd) {
    if (chunk[i] !== SPACE) return UNPROVEN;
    // Servers without opaques may end a line with a blank.
    if (opaque === 0 && i + 1 === textEnd) break;
    const letter = chunk[i + 1]!;
    const stop = letter === LOWER_K ? keyEnd(request, prefix, chunk, i + 2, textEnd) : wordEnd(chunk, i + 1, textEnd);
    if (letter === UPPER_O && opaque !== 0) {
      if (proof !== UNPROVEN || !isOpaque(chunk, i + 2, stop, opaque)) return UNPROVEN;
      proof = i + 1;
    } else if (!isMark(letter, last, stop - i - 1)) {
      // Skip flags that return nothing.
      while (asked < lineEnd && line[asked + 1] !== letter) asked = wordEnd(line, asked + 1, lineEnd);
      if (asked >= lineEnd) return UNPROVEN;
      const askedEnd = wordEnd(line, asked + 1, lineEnd);
      if (!isReturned(letter, chunk, i + 2, stop) && !isEcho(line, asked, askedEnd, chunk, i, stop)) return UNPROVEN;
      asked = askedEnd;
    }
    last = letter;
    i = stop;
  }
  return proof;
}

/**
 * False if the code shows a value that was not requested, or no value although one was requested. memcached 1.6.45
 * omits a value that the client already has; the client reports that with flag C.
 */
function isCodeAsAsked(request: Request, code: number, flags: number): boolean {
  const { operation } = request;
  if (operation !== Operation.metaGet && operation !== Operation.metaArithmetic) return true;
  if (code === MetaCode.VA) return hasFlag(request, flags, LOWER_V);
  if (code !== MetaCode.HD) return true;
  return !hasFlag(request, flags, LOWER_V) || (operation === Operation.metaGet && hasFlag(request, flags, UPPER_C));
}

/** True for a meta command that asks for its key. */
export function asksForKey(request: Request): boolean {
  return hasFlag(request, flagsAt(request), LOWER_K);
}

function hasFlag({ chunk, lineEnd }: Request, flags: number, letter: number): boolean {
  for (let i = flags; i < lineEnd; i = wordEnd(chunk, i + 1, lineEnd)) if (chunk[i + 1] === letter) return true;
  return false;
}

/** True if `chunk[start, end)` is a valid text after `letter` in a reply, other than an echo. */
function isReturned(letter: number, chunk: Buffer, start: number, end: number): boolean {
  // The key is checked elsewhere.
  if (letter === LOWER_K) return true;
  if (letter === LOWER_T && end - start === 2 && chunk[start] === MINUS) return chunk[start + 1] === ZERO + 1;
  // Letters of later servers have a number too.
  return letter >= LOWER_A && end > start && digitsEnd(chunk, start) >= end;
}

/** True for a flag that is echoed. A flag with a number is not. */
function isEcho(line: Buffer, asked: number, askedEnd: number, chunk: Buffer, at: number, end: number): boolean {
  if (NUMBER_FLAGS.includes(chunk[at + 1]!)) return false;
  return askedEnd - asked === end - at && equalBytes(line, asked, askedEnd, chunk, at);
}

/** End of the key that is returned at `at`. A server may return a base64 key as its bytes. */
function keyEnd(request: Request, prefix: Buffer, chunk: Buffer, at: number, end: number): number {
  const stop = wordEnd(chunk, at, end);
  const { keyStart } = request;
  if (keyStart < request.lineEnd) return stop;
  const bytesEnd = at + prefix.length + request.keyEnd - keyStart;
  if (bytesEnd > end || (bytesEnd < end && chunk[bytesEnd] !== SPACE)) return stop;
  const isKey =
    equalBytes(prefix, 0, prefix.length, chunk, at) &&
    equalBytes(request.chunk, keyStart, request.keyEnd, chunk, at + prefix.length);
  return isKey ? bytesEnd : stop;
}

/** True for flags that servers add: W, X and Z for the item's state, and `b` after a base64 key. */
function isMark(letter: number, last: number, length: number): boolean {
  if (length !== 1) return false;
  return letter === UPPER_W || letter === UPPER_X || letter === UPPER_Z || (letter === LOWER_B && last === LOWER_K);
}

/** True if `chunk[start, end)` has the digits of `opaque`, with any number of leading zeros. */
function isOpaque(chunk: Buffer, start: number, end: number, opaque: number): boolean {
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = chunk[i]! - ZERO;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  return value === opaque;
}

function digitsEnd(chunk: Buffer, start: number): number {
  let i = start;
  while (chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) i++;
  return i;
}

/**
 * Replaces the added opaque at `proof` by the client's own, or removes it, by moving the head of the line. False if the
 * server has changed the opaque and it is now too short.
 */
export function restoreOpaque(request: Request, reply: Reply, proof: number): boolean {
  if (proof <= WITHOUT_OPAQUE) return true;
  const { chunk, start } = reply;
  const proofEnd = digitsEnd(chunk, proof + 1);
  const own = opaqueAt(request);
  if (own < 0) {
    const shift = proofEnd - proof + 1;
    chunk.copyWithin(start + shift, start, proof - 1);
    reply.start += shift;
    return true;
  }
  const ownEnd = wordEnd(request.chunk, own, request.lineEnd);
  const shift = proofEnd - proof - (ownEnd - own);
  if (shift < 0) return false;
  if (shift > 0) chunk.copyWithin(start + shift, start, proof);
  copyBytes(request.chunk, own, ownEnd, chunk, proof + shift);
  reply.start += shift;
  return true;
}

/**
 * End of the digits of the added opaque if it is the only flag of the reply. −1 if the line at `at` has another flag,
 * or another opaque.
 */
export function soleOpaqueEnd(chunk: Buffer, at: number, end: number, opaque: number): number {
  if (chunk[at] !== SPACE || chunk[at + 1] !== UPPER_O) return -1;
  const stop = digitsEnd(chunk, at + 2);
  return stop <= end && isOpaque(chunk, at + 2, stop, opaque) ? stop : -1;
}
