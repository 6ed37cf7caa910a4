/**
 * One line of the text protocols, split into words in place. Classic and meta commands are read from it.
 *
 *     chunk    … set key 0 60 5\r\nhello\r\n …
 *                ▲ start      ▲ end  ▲ next
 */
import { CR, equalBytes, SPACE, ZERO } from "./ascii.ts";

/** memcached reads this number of words in a line (MAX_TOKENS, including the terminator). */
const MAX_WORDS = 24;
const MAX_INT32 = 0x7fffffff;
/** Maximum length of a number that is read exactly. */
const MAX_NUMBER_BYTES = 400;
const NUL = 0;
const PLUS = 0x2b;
const MINUS = 0x2d;

/** A line and its words. One object is reused for all lines of a listener. */
export class CommandLine {
  chunk: Buffer = Buffer.alloc(0);
  /** True if the chunk is never overwritten. */
  isKept = false;
  start = 0;
  /** End of its text: before CR LF, LF or a NUL. */
  end = 0;
  /** Position after its LF. */
  next = 0;
  /** True if there are bytes between the text and the line end: the line cannot be forwarded unchanged. */
  isCut = false;
  /** Number of words, at most the number that memcached reads. */
  count = 0;
  private readonly starts = new Int32Array(MAX_WORDS);
  private readonly ends = new Int32Array(MAX_WORDS);

  /** Reads the line at `start` with its LF at `lineFeed`, and splits it into words. */
  read(chunk: Buffer, start: number, lineFeed: number, isKept: boolean): void {
    this.chunk = chunk;
    this.isKept = isKept;
    this.start = start;
    this.next = lineFeed + 1;
    this.isCut = false;
    let end = lineFeed - start > 1 && chunk[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
    // For memcached, a NUL ends the line.
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

  /** True if its words have single blanks between them and no blanks around them, before a CR LF. */
  get isPlain(): boolean {
    const { starts, ends, count } = this;
    if (this.isCut || this.next !== this.end + 2 || count === 0 || count === MAX_WORDS) return false;
    if (starts[0] !== this.start || ends[count - 1] !== this.end) return false;
    for (let i = 1; i < count; i++) if (starts[i] !== ends[i - 1]! + 1) return false;
    return true;
  }

  /** True if word `index`, from its byte `skip`, is an integer in canonical form: no plus sign, no leading zeros. */
  isCanonical(index: number, skip = 0): boolean {
    const { chunk } = this;
    const end = this.ends[index]!;
    let i = this.starts[index]! + skip;
    if (chunk[i] === MINUS && end - i > 1 && chunk[i + 1] !== ZERO) i++;
    if (i >= end || (chunk[i] === ZERO && end - i > 1)) return false;
    for (; i < end; i++) if (chunk[i]! < ZERO || chunk[i]! > ZERO + 9) return false;
    return true;
  }

  /**
   * True if word `index`, from its byte `skip`, only has digits after an optional minus: the only form that memcached
   * 1.6.40 accepts.
   */
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

  /** True if word `index` equals `word`. */
  isWord(index: number, word: Buffer): boolean {
    const start = this.starts[index]!;
    return this.ends[index]! - start === word.length && equalBytes(word, 0, word.length, this.chunk, start);
  }

  /** Word `index` as a string with one character per byte. */
  text(index: number): string {
    return this.chunk.toString("latin1", this.starts[index], this.ends[index]);
  }

  /** All words as text. */
  texts(): string[] {
    return Array.from({ length: this.count }, (_, index) => this.text(index));
  }

  /**
   * The number in word `index`, from its byte `skip`, as C's strtol reads it: after blanks and a sign, up to the end or
   * a blank. NaN if absent. Above 2^53 it is rounded to a double.
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

  /** A number as memcached's safe_strtol reads it: 64 bits, of which the low 32 count. NaN if absent. */
  int32(index: number, skip = 0): number {
    const value = this.integer(index, skip);
    if (value >= -MAX_INT32 - 1 && value <= MAX_INT32) return value;
    const exact = this.exact(index, skip, value);
    return exact !== null && exact === BigInt.asIntN(64, exact) ? Number(BigInt.asIntN(32, exact)) : Number.NaN;
  }

  /**
   * A number as memcached's safe_strtoul reads it, of which the low 32 bits count: up to 2^64 − 1, a sign only if the
   * value stays small. NaN if absent.
   */
  uint32(index: number, skip = 0): number {
    const value = this.integer(index, skip);
    if (value >= 0 && value <= 0xffff_ffff) return value;
    const exact = this.uint64(index, skip, value);
    return exact === null ? Number.NaN : Number(BigInt.asUintN(32, exact));
  }

  /** True for numbers that memcached's safe_strtoull accepts: up to 2^64 − 1. */
  isUint64(index: number, skip = 0): boolean {
    const value = this.integer(index, skip);
    return (value >= 0 && value <= Number.MAX_SAFE_INTEGER) || this.uint64(index, skip, value) !== null;
  }

  /** The number, if `isUint64` is true for it. `null` otherwise. */
  unsigned(index: number, skip = 0): bigint | null {
    return this.uint64(index, skip, this.integer(index, skip));
  }

  private uint64(index: number, skip: number, value: number): bigint | null {
    const exact = this.exact(index, skip, value);
    if (exact === null) return null;
    if (exact >= 0n) return exact < 1n << 64n ? exact : null;
    // strtoul converts −n to 2^64 − n. memcached refuses a result whose top bit is set.
    return exact < -(1n << 63n) && exact > -(1n << 64n) ? exact + (1n << 64n) : null;
  }

  /** The number that `value` was read from, with all digits. `null` if absent. */
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
