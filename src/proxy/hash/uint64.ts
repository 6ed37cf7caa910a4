/**
 * 64-bit arithmetic with two 32-bit halves: BigInt allocates, and doubles hold 53 bits. Halves may be signed or
 * unsigned; only their bits count.
 */

/**
 * High half of the product of two unsigned 32-bit numbers; the low half is `Math.imul`. The product of two 64-bit
 * numbers modulo 2^64 has the high half `multiplyHigh(aLow, bLow) + imul(aLow, bHigh) + imul(aHigh, bLow)`.
 */
export function multiplyHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const cross01 = Math.imul(a0, b1);
  const cross10 = Math.imul(a1, b0);
  const middle = (Math.imul(a0, b0) >>> 16) + (cross01 & 0xffff) + (cross10 & 0xffff);
  return (Math.imul(a1, b1) + (cross01 >>> 16) + (cross10 >>> 16) + (middle >>> 16)) | 0;
}

/** The nearest double, like C's conversion of an unsigned 64-bit number. */
export function toDouble(low: number, high: number): number {
  return (high >>> 0) * 2 ** 32 + (low >>> 0);
}
