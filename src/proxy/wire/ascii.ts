/**
 * Bytes of the text protocols: constants, and decimal numbers read and written in place. No function creates a string.
 */

export const LF = 0x0a;
export const CR = 0x0d;
export const SPACE = 0x20;
export const ZERO = 0x30;

/** A loop copies shorter runs faster than a call into C++ (bench/micro: break-even at 40 bytes). */
const LOOP_COPY_BYTES = 40;

/** Copies `source[start, end)` to `target` at `at`. The target must have room. Returns the end in `target`. */
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

/** True if `a[aStart, aEnd)` equals the bytes of `b` from `bStart`. `b` must be long enough. */
export function equalBytes(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number): boolean {
  let i = aStart;
  let j = bStart;
  while (i < aEnd) {
    if (a[i++] !== b[j++]) return false;
  }
  return true;
}

/** First position of a space in `[start, end)`, or `end`. */
export function tokenEnd(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] !== SPACE) i++;
  return i;
}

/** First position without a space in `[start, end)`, or `end`. */
export function skipSpaces(chunk: Buffer, start: number, end: number): number {
  let i = start;
  while (i < end && chunk[i] === SPACE) i++;
  return i;
}

/**
 * Value of the decimal digits in `[start, end)`. −1 if the range is empty, has other characters, or the value exceeds
 * 2^53.
 */
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

/** Writes an integer from 0 in decimal at `at`. Needs at most 16 bytes. Returns the end. */
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
