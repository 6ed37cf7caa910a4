/**
 * Bytes of the text protocols: constants, and decimal numbers read and written in place. Nothing here makes a string.
 */

export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const ZERO = 0x30;

/** Runs shorter than this are copied faster by a loop than by a call into C++ (bench/micro: 40 bytes break even). */
const LOOP_COPY_BYTES = 40;

/** Copies `source[start, end)` to `target` at `at`; the caller has made sure of the room. Returns the end in `target`. */
export function copyBytes(source: Buffer, start: number, end: number, target: Buffer, at: number): number {
  const length = end - start;
  if (length < LOOP_COPY_BYTES) {
    let i = start;
    let j = at;
    while (i < end) target[j++] = source[i++]!;
  } else {
    source.copy(target, at, start, end);
  }
  return at + length;
}

/** True when `a[aStart, aEnd)` and the bytes of `b` from `bStart` are the same; `b` must be long enough. */
export function equalBytes(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number): boolean {
  let i = aStart;
  let j = bStart;
  while (i < aEnd) {
    if (a[i++] !== b[j++]) return false;
  }
  return true;
}

/** First position in `[start, end)` that holds a space, or `end`. */
export function tokenEnd(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] !== SPACE) i++;
  return i;
}

/** First position in `[start, end)` that does not hold a space, or `end`. */
export function skipSpaces(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] === SPACE) i++;
  return i;
}

/** Value of the decimal digits in `[start, end)`; −1 when empty, not all digits, or over 2^53. */
export function readDecimal(chunk: Buffer, start: number, end: number): number {
  if (start >= end || end - start > 16) return -1;
  let value = 0;
  for (let i = start; i < end; i++) {
    const digit = chunk[i]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value > Number.MAX_SAFE_INTEGER ? -1 : value;
}

/** Writes a whole number of 0 and more in decimal at `at`; needs at most 16 bytes of room. Returns the end. */
export function writeDecimal(value: number, target: Buffer, at: number): number {
  if (value < 10) {
    target[at] = ZERO + value;
    return at + 1;
  }
  let digits = 1;
  for (let power = 10; power <= value; power *= 10) digits++;
  let rest = value;
  for (let i = at + digits - 1; i >= at; i--) {
    const next = Math.floor(rest / 10);
    target[i] = ZERO + (rest - next * 10);
    rest = next;
  }
  return at + digits;
}
