/**
 * Whether a value may have answers in it. Where something on the way cuts an answer off within its value and goes on with the
 * next, the length of the value takes the bytes of later answers in, and its end can by chance lie where one of theirs ends:
 *
 *     sent by the server   VALUE a 0 20 ⏎ 01234567890123456789 ⏎ END ⏎    HD O17 ⏎  HD O18 ⏎
 *     received             VALUE a 0 20 ⏎ 01234                           HD O17 ⏎  HD O18 ⏎ …
 *
 * A value that ends as an answer ends, or holds the head of another value, is not believed before a later answer has shown
 * that the connection is in step. Almost no value does, so that looking is all that this costs.
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
/** Of answers' flags those that have a number: an opaque of ours, cas, flags, hit, time since the last access, size, TTL. */
const NUMBER_FLAGS = Buffer.from("Ocfhlst", "latin1");
/** A `VALUE` line is no longer: key, flags, length and cas. */
const MAX_HEAD_BYTES = 320;

/** At the place of their last byte: answer lines that have nothing behind their word, and the ends of memcached's errors. */
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

/** How an answer to a meta command ends that ends in a key, perhaps cut off at its front. */
const KEY_END = /(?:HD|EN|NF|NS|EX|VA \d+)(?: [^ ]+){0,20} k[^ ]+(?: b)?(?: [WXZ])*$/s;
/** No such answer is longer: a key in base64, its opaque and other flags. */
const MAX_KEY_LINE_BYTES = 640;

/**
 * True when the value `chunk[start, end)`, which a CR follows, may have swallowed answers. `returnsKeys`: some of them may end in
 * a key.
 */
export function mayHoldAnswers(chunk: Buffer, start: number, end: number, returnsKeys = false): boolean {
  if (end === start) return false;
  if (endsAsAnswer(chunk, start, end)) return true;
  if (returnsKeys && KEY_END.test(chunk.toString("latin1", Math.max(start, end - MAX_KEY_LINE_BYTES), end)))
    return true;
  if (chunk.indexOf(CR, start) === end) return false;
  if (lastLineIsMeta(chunk, start, end)) return true;
  // A value that was swallowed whole has its line in it.
  return holds(VALUE_HEAD, chunk, start, end) || holds(META_HEAD, chunk, start, end);
}

/** A meta answer may end in a key, which ends in anything: it is known by its beginning. */
function lastLineIsMeta(chunk: Buffer, start: number, end: number): boolean {
  const line = chunk.lastIndexOf(LF, end - 1) + 1;
  if (line <= start || line + 2 > end) return false;
  if (line + 2 < end && chunk[line + 2] !== SPACE) return false;
  return metaCodes.some((code) => equalBytes(code, 0, 2, chunk, line));
}

function holds(head: Buffer, chunk: Buffer, start: number, end: number): boolean {
  // A view: behind the value there may be a chunk full of others.
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

/** An opaque or another flag, a version, or the line of a value. */
function endsInNumber(chunk: Buffer, start: number, end: number): boolean {
  let i = end - 1;
  while (i > start && chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) i--;
  if (chunk[i] === SPACE) return holds(VALUE_HEAD, chunk, Math.max(start, end - MAX_HEAD_BYTES), end);
  if (chunk[i] === DOT) return holds(VERSION_HEAD, chunk, Math.max(start, end - MAX_HEAD_BYTES), end);
  if (chunk[i] === MINUS) i--;
  return i > start && chunk[i - 1] === SPACE && NUMBER_FLAGS.includes(chunk[i]!);
}
