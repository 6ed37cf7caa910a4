/**
 * One line of the text protocols, its words found where they lie. Classic and meta commands are read from it.
 *
 *     chunk    … set key 0 60 5\r\nhello\r\n …
 *                ▲ start      ▲ end  ▲ next
 */
import { CR, equalBytes, SPACE, ZERO } from "./ascii.ts";

/** memcached looks at this many words of a line (MAX_TOKENS, one of them the terminator). */
const MAX_WORDS = 24;
const MAX_INT32 = 0x7fffffff;
/** Longest number worth reading exactly. */
const MAX_NUMBER_BYTES = 400;
const NUL = 0;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** A line and its words; one object is used for all lines of a listener. */
export class CommandLine {
  chunk: Buffer = Buffer.alloc(0);
  /** Nobody will overwrite the chunk. */
  isKept = false;
  start = 0;
  /** Where its text ends: before CR LF, LF or a NUL. */
  end = 0;
  /** Behind its LF. */
  next = 0;
  /** Something stands between the text and the line end: it cannot be forwarded as it is. */
  isCut = false;
  /** Words found, at most as many as memcached looks at. */
  count = 0;
  private readonly starts = new Int32Array(MAX_WORDS);
  private readonly ends = new Int32Array(MAX_WORDS);

  /** Takes the line at `start` whose LF stands at `lineFeed`, and splits it into words. */
  read(chunk: Buffer, start: number, lineFeed: number, isKept: boolean): void {
    this.chunk = chunk;
    this.isKept = isKept;
    this.start = start;
    this.next = lineFeed + 1;
    this.isCut = false;
    let end = lineFeed - start > 1 && chunk[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
    // To memcached a NUL ends the line.
    for (let i = start; i < end; i++) {
      if (chunk[i] !== NUL) continue;
      end = i;
      this.isCut = true;
    }
    this.end = end;
    let count = 0;
    let i = start;
    while (i < end && count < MAX_WORDS) {
      if (chunk[i] === SPACE) {
        i++;
        continue;
      }
      this.starts[count] = i;
      while (i < end && chunk[i] !== SPACE) i++;
      this.ends[count++] = i;
    }
    this.count = count;
  }

  /** True when its words stand one blank apart, from its first byte to its last, before a CR LF. */
  get isPlain(): boolean {
    const { starts, ends, count } = this;
    if (this.isCut || this.next !== this.end + 2 || count === 0 || count === MAX_WORDS) return false;
    if (starts[0] !== this.start || ends[count - 1] !== this.end) return false;
    for (let i = 1; i < count; i++) if (starts[i] !== ends[i - 1]! + 1) return false;
    return true;
  }

  /** True when word `index`, from its byte `skip` on, is a whole number in its one canonical form: no plus, no zero in front. */
  isCanonical(index: number, skip = 0): boolean {
    const { chunk } = this;
    const end = this.ends[index]!;
    let i = this.starts[index]! + skip;
    if (chunk[i] === MINUS && end - i > 1 && chunk[i + 1] !== ZERO) i++;
    if (i >= end || (chunk[i] === ZERO && end - i > 1)) return false;
    for (; i < end; i++) if (chunk[i]! < ZERO || chunk[i]! > ZERO + 9) return false;
    return true;
  }

  /** True when word `index`, from its byte `skip` on, has only digits, behind a minus perhaps: all that memcached 1.6.40 takes. */
  isStrict(index: number, skip = 0): boolean {
    const { chunk } = this;
    const end = this.ends[index]!;
    let i = this.starts[index]! + skip;
    if (chunk[i] === MINUS) i++;
    if (i >= end) return false;
    for (; i < end; i++) if (chunk[i]! < ZERO || chunk[i]! > ZERO + 9) return false;
    return true;
  }

  wordStart(index: number): number {
    return this.starts[index]!;
  }

  wordEnd(index: number): number {
    return this.ends[index]!;
  }

  wordLength(index: number): number {
    return this.ends[index]! - this.starts[index]!;
  }

  /** True when word `index` is exactly `word`. */
  isWord(index: number, word: Buffer): boolean {
    const start = this.starts[index]!;
    return this.ends[index]! - start === word.length && equalBytes(word, 0, word.length, this.chunk, start);
  }

  /** Word `index` as a string of one character per byte. */
  text(index: number): string {
    return this.chunk.toString("latin1", this.starts[index], this.ends[index]);
  }

  /** All words as text. */
  texts(): string[] {
    return Array.from({ length: this.count }, (_, index) => this.text(index));
  }

  /**
   * The number in word `index`, from its byte `skip` on, as C's strtol reads it: after blanks and a sign, up to the end or
   * a blank. NaN when there is none; beyond 2^53 only as exact as a double.
   */
  integer(index: number, skip = 0): number {
    const chunk = this.chunk;
    const end = this.ends[index]!;
    let i = this.starts[index]! + skip;
    while (i < end && isBlank(chunk[i]!)) i++;
    const isNegative = chunk[i] === MINUS;
    if (isNegative || chunk[i] === PLUS) i++;
    const first = i;
    let value = 0;
    while (i < end && chunk[i]! >= ZERO && chunk[i]! <= ZERO + 9) value = value * 10 + chunk[i++]! - ZERO;
    if (i === first || (i < end && !isBlank(chunk[i]!))) return Number.NaN;
    return isNegative ? -value : value;
  }

  /** A number as memcached's safe_strtol reads it: of 64 bits, of which the low 32 count. NaN: none. */
  int32(index: number, skip = 0): number {
    const value = this.integer(index, skip);
    if (value >= -MAX_INT32 - 1 && value <= MAX_INT32) return value;
    const exact = this.exact(index, skip, value);
    return exact !== null && exact === BigInt.asIntN(64, exact) ? Number(BigInt.asIntN(32, exact)) : Number.NaN;
  }

  /**
   * A number as memcached's safe_strtoul reads it, its low 32 bits counting: up to 2^64 − 1, a sign only where the value
   * stays small. NaN: none.
   */
  uint32(index: number, skip = 0): number {
    const value = this.integer(index, skip);
    if (value >= 0 && value <= 0xffff_ffff) return value;
    const exact = this.uint64(index, skip, value);
    return exact === null ? Number.NaN : Number(BigInt.asUintN(32, exact));
  }

  /** True for what memcached's safe_strtoull takes: up to 2^64 − 1. */
  isUint64(index: number, skip = 0): boolean {
    const value = this.integer(index, skip);
    return (value >= 0 && value <= Number.MAX_SAFE_INTEGER) || this.uint64(index, skip, value) !== null;
  }

  /** The number that `isUint64` is true of; null: none. */
  unsigned(index: number, skip = 0): bigint | null {
    return this.uint64(index, skip, this.integer(index, skip));
  }

  private uint64(index: number, skip: number, value: number): bigint | null {
    const exact = this.exact(index, skip, value);
    if (exact === null) return null;
    if (exact >= 0n) return exact < 1n << 64n ? exact : null;
    // strtoul turns −n into 2^64 − n; memcached refuses that where its top bit makes it look negative.
    return exact < -(1n << 63n) && exact > -(1n << 64n) ? exact + (1n << 64n) : null;
  }

  /** The number `value` was read from, with all its digits; null where there was none. */
  private exact(index: number, skip: number, value: number): bigint | null {
    if (Number.isNaN(value) || this.wordLength(index) > MAX_NUMBER_BYTES) return null;
    const word = this.text(index).slice(skip).trim();
    // "12\t34" is 12.
    return BigInt(word.split(/\s/)[0]!.replace("+", ""));
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= 0x09 && byte <= 0x0d);
}
