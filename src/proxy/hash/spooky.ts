/**
 * SpookyHash V2 in halves of 32 bits. Source: Bob Jenkins' SpookyV2, in the public domain.
 *
 * The state is twelve 64-bit numbers: `state[2 * i]` is the low half of number i, and `state[2 * i + 1]` the high half.
 * Short keys use the first four.
 */

const CONST = 0xdeadbeef | 0;
/** Shorter keys are hashed differently. */
const LONG_BYTES = 192;
const BLOCK_BYTES = 96;

const state = new Int32Array(24);
const block = Buffer.alloc(BLOCK_BYTES);

/** Rotations by step: `h[x] = rotate(h[x]) + h[y]; h[z] ^= h[x]` with cyclic x, y, z. */
const shortMix = [50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36] as const;
const shortEnd = [15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63] as const;
const longMix = [11, 32, 43, 31, 17, 28, 39, 57, 55, 54, 22, 46] as const;
const longEnd = [44, 15, 34, 21, 38, 33, 10, 13, 38, 53, 42, 54] as const;

/** Hash32 of `chunk[start, end)` with an unsigned 32-bit seed. */
export function spooky32(chunk: Buffer, start: number, end: number, seed: number): number {
  hash(chunk, start, end, seed);
  return state[0]! >>> 0;
}

/** Hash64 of `chunk[start, end)`. */
export function spooky64(chunk: Buffer, start: number, end: number, seed: number): bigint {
  hash(chunk, start, end, seed);
  return (BigInt(state[1]! >>> 0) << 32n) | BigInt(state[0]! >>> 0);
}

function hash(chunk: Buffer, start: number, end: number, seed: number): void {
  if (end - start < LONG_BYTES) hashShort(chunk, start, end, seed);
  else hashLong(chunk, start, end, seed);
}

function hashShort(chunk: Buffer, start: number, end: number, seed: number): void {
  set(0, seed, 0);
  set(1, seed, 0);
  set(2, CONST, CONST);
  set(3, CONST, CONST);
  let at = start;
  for (; end - at >= 32; at += 32) {
    addBytes(2, chunk, at, 8);
    addBytes(3, chunk, at + 8, 8);
    mixShort();
    addBytes(0, chunk, at + 16, 8);
    addBytes(1, chunk, at + 24, 8);
  }
  if (end - at >= 16) {
    addBytes(2, chunk, at, 8);
    addBytes(3, chunk, at + 8, 8);
    mixShort();
    at += 16;
  }
  add(3, 0, (end - start) << 24);
  const rest = end - at;
  if (rest === 0) {
    add(2, CONST, CONST);
    add(3, CONST, CONST);
  } else {
    addBytes(2, chunk, at, Math.min(rest, 8));
    if (rest > 8) addBytes(3, chunk, at + 8, rest - 8);
  }
  for (let i = 0; i < shortEnd.length; i++) {
    const to = (i + 3) & 3;
    const by = (i + 2) & 3;
    xor(to, by);
    rotate(by, shortEnd[i]!);
    add(to, state[2 * by]!, state[2 * by + 1]!);
  }
}

function mixShort(): void {
  for (let i = 0; i < shortMix.length; i++) {
    const at = (i + 2) & 3;
    const from = (i + 3) & 3;
    rotate(at, shortMix[i]!);
    add(at, state[2 * from]!, state[2 * from + 1]!);
    xor(i & 3, at);
  }
}

function hashLong(chunk: Buffer, start: number, end: number, seed: number): void {
  for (let i = 0; i < 12; i++) set(i, i % 3 === 2 ? CONST : seed, i % 3 === 2 ? CONST : 0);
  let at = start;
  for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) mixLong(chunk, at);
  block.fill(0);
  chunk.copy(block, 0, at, end);
  block[BLOCK_BYTES - 1] = end - at;
  for (let i = 0; i < 12; i++) addBytes(i, block, 8 * i, 8);
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 12; i++) {
      const first = (i + 11) % 12;
      const second = (i + 1) % 12;
      add(first, state[2 * second]!, state[2 * second + 1]!);
      xor((i + 2) % 12, first);
      rotate(second, longEnd[i]!);
    }
  }
}

function mixLong(chunk: Buffer, at: number): void {
  for (let i = 0; i < 12; i++) {
    const last = (i + 11) % 12;
    const next = (i + 1) % 12;
    addBytes(i, chunk, at + 8 * i, 8);
    xor((i + 2) % 12, (i + 10) % 12);
    xor(last, i);
    rotate(i, longMix[i]!);
    add(last, state[2 * next]!, state[2 * next + 1]!);
  }
}

function set(i: number, low: number, high: number): void {
  state[2 * i] = low;
  state[2 * i + 1] = high;
}

function add(i: number, low: number, high: number): void {
  const sum = (state[2 * i]! + low) | 0;
  const carry = sum >>> 0 < low >>> 0 ? 1 : 0;
  state[2 * i] = sum;
  state[2 * i + 1] = state[2 * i + 1]! + high + carry;
}

/** Adds up to eight bytes, the lowest first. */
function addBytes(i: number, chunk: Buffer, at: number, count: number): void {
  let low = 0;
  let high = 0;
  for (let n = 0; n < count; n++) {
    if (n < 4) low |= chunk[at + n]! << (8 * n);
    else high |= chunk[at + n]! << (8 * n - 32);
  }
  add(i, low, high);
}

function xor(i: number, other: number): void {
  state[2 * i]! ^= state[2 * other]!;
  state[2 * i + 1]! ^= state[2 * other + 1]!;
}

/** Rotates left by 1 to 63 bits. */
function rotate(i: number, bits: number): void {
  let low = state[2 * i]!;
  let high = state[2 * i + 1]!;
  if (bits >= 32) {
    const swapped = low;
    low = high;
    high = swapped;
  }
  const by = bits & 31;
  // In JavaScript a shift by 32 has no effect: two steps give zeros.
  const rest = 31 - by;
  state[2 * i] = (low << by) | ((high >>> 1) >>> rest);
  state[2 * i + 1] = (high << by) | ((low >>> 1) >>> rest);
}
