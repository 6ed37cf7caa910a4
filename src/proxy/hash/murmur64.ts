/**
 * MurmurHash64A in halves of 32 bits. Source: Austin Appleby's MurmurHash2 (64-bit, version A), in the public domain.
 */
import { multiplyHigh } from "./uint64.ts";

const M_LOW = 0x5bd1e995;
const M_HIGH = 0xc6a4a793 | 0;

/**
 * Hashes `chunk[start, end)` with an unsigned 32-bit seed. Stores the low half at `into[at]`, followed by the high
 * half.
 */
export function murmur64(chunk: Buffer, start: number, end: number, seed: number, into: Int32Array, at: number): void {
  const length = end - start;
  let low = seed ^ Math.imul(length, M_LOW);
  let high = (multiplyHigh(length, M_LOW) + Math.imul(length, M_HIGH)) | 0;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    const l = chunk[i]! | (chunk[i + 1]! << 8) | (chunk[i + 2]! << 16) | (chunk[i + 3]! << 24);
    const h = chunk[i + 4]! | (chunk[i + 5]! << 8) | (chunk[i + 6]! << 16) | (chunk[i + 7]! << 24);
    const mixedHigh = (multiplyHigh(l, M_LOW) + Math.imul(l, M_HIGH) + Math.imul(h, M_LOW)) | 0;
    const mixedLow = Math.imul(l, M_LOW) ^ (mixedHigh >>> 15);
    low ^= Math.imul(mixedLow, M_LOW);
    high ^= multiplyHigh(mixedLow, M_LOW) + Math.imul(mixedLow, M_HIGH) + Math.imul(mixedHigh, M_LOW);
    high = (multiplyHigh(low, M_LOW) + Math.imul(low, M_HIGH) + Math.imul(high, M_LOW)) | 0;
    low = Math.imul(low, M_LOW);
  }
  if (i < end) {
    for (let shift = 0; i < end; i++, shift += 8) {
      if (shift < 32) low ^= chunk[i]! << shift;
      else high ^= chunk[i]! << (shift - 32);
    }
    high = (multiplyHigh(low, M_LOW) + Math.imul(low, M_HIGH) + Math.imul(high, M_LOW)) | 0;
    low = Math.imul(low, M_LOW);
  }
  finish(low, high, into, at);
}

/** Like `murmur64`, of the eight bytes of a hash at `into[from]` and the next element. */
export function murmur64OfHash(into: Int32Array, from: number, seed: number, at: number): void {
  const l = into[from]!;
  const h = into[from + 1]!;
  const mixedHigh = (multiplyHigh(l, M_LOW) + Math.imul(l, M_HIGH) + Math.imul(h, M_LOW)) | 0;
  const mixedLow = Math.imul(l, M_LOW) ^ (mixedHigh >>> 15);
  const low = seed ^ Math.imul(8, M_LOW) ^ Math.imul(mixedLow, M_LOW);
  const high =
    (multiplyHigh(8, M_LOW) + Math.imul(8, M_HIGH)) ^
    (multiplyHigh(mixedLow, M_LOW) + Math.imul(mixedLow, M_HIGH) + Math.imul(mixedHigh, M_LOW));
  const nextHigh = (multiplyHigh(low, M_LOW) + Math.imul(low, M_HIGH) + Math.imul(high, M_LOW)) | 0;
  finish(Math.imul(low, M_LOW), nextHigh, into, at);
}

function finish(low: number, high: number, into: Int32Array, at: number): void {
  const l = low ^ (high >>> 15);
  const h = (multiplyHigh(l, M_LOW) + Math.imul(l, M_HIGH) + Math.imul(high, M_LOW)) | 0;
  into[at] = Math.imul(l, M_LOW) ^ (h >>> 15);
  into[at + 1] = h;
}
