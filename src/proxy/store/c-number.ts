/**
 * Whole numbers as memcached reads them, with C's strtol and strtoull: after blanks and a sign, up to a blank, a NUL or
 * the end.
 */

/** Of any size; null: none. */
export function parseNumber(text: string): bigint | null {
  const match = /^[\t-\r ]*([+-]?)(\d+)(?:[\t-\r \0]|$)/.exec(text);
  if (match === null) return null;
  return match[1] === "-" ? -BigInt(match[2]!) : BigInt(match[2]!);
}

/** Of 64 bits: −n is 2^64 − n, which memcached refuses where its top bit is set. Null: none. */
export function parseUnsigned(text: string): bigint | null {
  const value = parseNumber(text);
  if (value === null) return null;
  const isTaken = value < 0n ? value < -(1n << 63n) && value > -(1n << 64n) : value < 1n << 64n;
  return isTaken ? BigInt.asUintN(64, value) : null;
}
