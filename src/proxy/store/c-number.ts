/**
 * Integers as memcached reads them, with C's strtol and strtoull: after blanks and a sign, up to a blank, a NUL or the
 * end.
 */

/** An integer of any size. `null` if absent. */
export function parseNumber(text: string): bigint | null {
  const match = /^[\t-\r ]*([+-]?)(\d+)(?:[\t-\r \0]|$)/.exec(text);
  if (match === null) return null;
  return match[1] === "-" ? -BigInt(match[2]!) : BigInt(match[2]!);
}

/** A 64-bit integer: −n is 2^64 − n, which memcached refuses if its top bit is set. `null` if absent. */
export function parseUnsigned(text: string): bigint | null {
  const value = parseNumber(text);
  if (value === null) return null;
  const isTaken = value < 0n ? value < -(1n << 63n) && value > -(1n << 64n) : value < 1n << 64n;
  return isTaken ? BigInt.asUintN(64, value) : null;
}
