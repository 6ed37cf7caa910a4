/**
 * Detects values that may contain replies. If a program between server and Platypus cuts a reply off within its value
 * and continues with the next reply, the length of the value includes bytes of later replies, and its end may by chance
 * be the end of one of them:
 *
 *     sent by the server   VALUE a 0 20 ⏎ 01234567890123456789 ⏎ END ⏎    HD O17 ⏎  HD O18 ⏎
 *     received             VALUE a 0 20 ⏎ 01234                           HD O17 ⏎  HD O18 ⏎ …
 *
 * A value that ends like a reply, or contains the head of another value, is not trusted until a later reply has shown
 * that the connection is in step. Such values are very rare, so that the check is the only cost.
 */
import { CR, equalBytes, LF, SPACE, ZERO } from "./ascii.ts";

const MINUS = 0x2d;
const DOT = 0x2e;
const LOWER_B = 0x62;
const UPPER_W = 0x57;
const UPPER_X = 0x58;
const UPPER_Z = 0x5a;
const VALUE_HEAD = Buffer.from("VALUE ", "latin1");
const META_HEAD = Buffer.from("VA ", "latin1");
const VERSION_HEAD = Buffer.from("VERSION ", "latin1");
/** Flags with a number in replies: the added opaque, cas, flags, hit, time since the last access, size, TTL. */
const NUMBER_FLAGS = Buffer.from("Ocfhlst", "latin1");
/** Maximum length of a `VALUE` line: key, flags, length and cas. */
const MAX_HEAD_BYTES = 320;

/** By their last byte: reply lines that consist of one word, and the ends of memcached's errors. */
const words: readonly Buffer[][] = Array.from({ length: 256 }, () => []);
for (const word of [
  ...["END", "MN", "OK", "ERROR", "TOUCHED", "NOT_FOUND", "STORED", "EXISTS", "DELETED", "HD", "EN", "NF", "NS", "EX"],
  ...["bad data chunk", "bad command line format", "too large for cache", "out of memory", "memory storing object"],
  ...["non-numeric value", "numeric delta argument", "exptime argument", "duplicate flag", "invalid flag"],
  ...["decoding key", "out of memory reading request", "flags too long", "flags are too long", "while proxying"],
]) {
  const bytes = Buffer.from(word, "latin1");
  words[bytes.at(-1)!]!.push(bytes);
}

const metaCodes = ["HD", "VA", "EN", "NF", "NS", "EX", "MN", "ME"].map((code) => Buffer.from(code, "latin1"));

/** The end of a meta reply that ends in a key, possibly without its beginning. */
const KEY_END = /(?:HD|EN|NF|NS|EX|VA \d+)(?: [^ ]+){0,20} k[^ ]+(?: b)?(?: [WXZ])*$/s;
/** Maximum length of such a reply: a base64 key, its opaque and other flags. */
const MAX_KEY_LINE_BYTES = 640;

/**
 * True if the value `chunk[start, end)`, which a CR follows, may have swallowed replies. `returnsKeys`: some of them
 * may end in a key.
 */
export function mayHoldAnswers(chunk: Buffer, start: number, end: number, returnsKeys = false): boolean {
  if (end === start) return false;
  if (endsAsAnswer(chunk, start, end)) return true;
  if (returnsKeys && KEY_END.test(chunk.toString("latin1", Math.max(start, end - MAX_KEY_LINE_BYTES), end)))
    return true;
  if (chunk.indexOf(CR, start) === end) return false;
  if (lastLineIsMeta(chunk, start, end)) return true;
  // A completely swallowed value includes its line.
  return holds(VALUE_HEAD, chunk, start, end) || holds(META_HEAD, chunk, start, end);
}

/** A meta reply may end in a key, which may end in any byte: the beginning identifies it. */
function lastLineIsMeta(chunk: Buffer, start: number, end: number): boolean {
  const line = chunk.lastIndexOf(LF, end - 1) + 1;
  if (line <= start || line + 2 > end) return false;
  if (line + 2 < end && chunk[line + 2] !== SPACE) return false;
  return metaCodes.some((code) => equalBytes(code, 0, 2, chunk, line));
}

function holds(head: Buffer, chunk: Buffer, start: number, end: number): boolean {
  // A view: the chunk may have many other values after this one.
  return chunk.subarray(start, end).includes(head);
}

function endsAsAnswer(chunk: Buffer, start: number, end: number): boolean {
  const last = chunk[end - 1]!;
  if (last >= ZERO && last <= ZERO + 9) return endsInNumber(chunk, start, end);
  if (last === UPPER_W || last === UPPER_X || last === UPPER_Z || last === LOWER_B) {
    if (end - start > 1 && chunk[end - 2] === SPACE) return true;
  }
  for (const word of words[last]!) {
    if (end - start >= word.length && equalBytes(word, 0, word.length, chunk, end - word.length)) return true;
  }
  return false;
}

/** True for an end like an opaque or another flag, a version, or the line of a value. */
function endsInNumber(chunk: Buffer, start: number, end: number): boolean {
  let i = end - 1;
  while (i > start && chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) i--;
  if (chunk[i] === SPACE) return holds(VALUE_HEAD, chunk, Math.max(start, end - MAX_HEAD_BYTES), end);
  if (chunk[i] === DOT) return holds(VERSION_HEAD, chunk, Math.max(start, end - MAX_HEAD_BYTES), end);
  if (chunk[i] === MINUS) i--;
  return i > start && chunk[i - 1] === SPACE && NUMBER_FLAGS.includes(chunk[i]!);
}
