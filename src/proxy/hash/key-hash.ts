/**
 * twemproxy's hashes of a key, with their real behaviour, which differs from their names: `fnv1_64` and `fnv1a_64` are
 * computed in 32 bits, `crc16` keeps 32, `crc32` gives 15 bits of the checksum, and some read bytes from 0x80 as
 * negative numbers, like C's char. All results are unsigned 32-bit numbers.
 *
 * Source: twemproxy src/hashkit, as facts; observed placements in test/vectors/twemproxy.json.
 */
import type { KeyHashName } from "../../config/config.ts";
import { crc32 } from "./crc32.ts";
import { md5Word } from "./md5.ts";

/** Hash of key bytes `chunk[start, end)`. */
export type KeyHash = (chunk: Buffer, start: number, end: number) => number;

export const keyHashes: Readonly<Record<KeyHashName, KeyHash>> = {
  one_at_a_time: oneAtATime,
  md5: md5Word,
  crc16,
  crc32: (chunk, start, end) => (crc32(chunk, start, end) >>> 16) & 0x7fff,
  crc32a: crc32,
  fnv1_64: (chunk, start, end) => fnv1(chunk, start, end, FNV_64_INIT, FNV_64_PRIME),
  fnv1a_64: (chunk, start, end) => fnv1a(chunk, start, end, FNV_64_INIT, FNV_64_PRIME),
  fnv1_32: (chunk, start, end) => fnv1(chunk, start, end, FNV_32_INIT, FNV_32_PRIME),
  fnv1a_32: (chunk, start, end) => fnv1a(chunk, start, end, FNV_32_INIT, FNV_32_PRIME),
  hsieh,
  murmur,
  jenkins,
};

/** Low halves of the 64-bit constants. */
const FNV_64_INIT = 0x84222325;
const FNV_64_PRIME = 0x1b3;
const FNV_32_INIT = 0x811c9dc5;
const FNV_32_PRIME = 0x01000193;

/** A byte as C's signed char. */
function signed(byte: number): number {
  return (byte << 24) >> 24;
}

function word(chunk: Buffer, at: number): number {
  return chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24);
}

function fnv1(chunk: Buffer, start: number, end: number, init: number, prime: number): number {
  let hash = init;
  for (let i = start; i < end; i++) hash = Math.imul(hash, prime) ^ signed(chunk[i]!);
  return hash >>> 0;
}

function fnv1a(chunk: Buffer, start: number, end: number, init: number, prime: number): number {
  let hash = init;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ signed(chunk[i]!), prime);
  return hash >>> 0;
}

function oneAtATime(chunk: Buffer, start: number, end: number): number {
  let hash = 0;
  for (let i = start; i < end; i++) {
    hash = (hash + signed(chunk[i]!)) | 0;
    hash = (hash + (hash << 10)) | 0;
    hash ^= hash >>> 6;
  }
  hash = (hash + (hash << 3)) | 0;
  hash ^= hash >>> 11;
  return (hash + (hash << 15)) >>> 0;
}

const crc16Table = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let i = 0; i < 8; i++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
  return crc & 0xffff;
});

function crc16(chunk: Buffer, start: number, end: number): number {
  let crc = 0;
  for (let i = start; i < end; i++) crc = (crc << 8) ^ crc16Table[((crc >>> 8) ^ chunk[i]!) & 0xff]!;
  return crc >>> 0;
}

/** Paul Hsieh's SuperFastHash. */
function hsieh(chunk: Buffer, start: number, end: number): number {
  const half = (at: number) => chunk[at]! | (chunk[at + 1]! << 8);
  let hash = 0;
  let at = start;
  for (; end - at >= 4; at += 4) {
    hash = (hash + half(at)) | 0;
    hash = (hash << 16) ^ ((half(at + 2) << 11) ^ hash);
    hash = (hash + (hash >>> 11)) | 0;
  }
  switch (end - at) {
    case 3:
      hash = (hash + half(at)) | 0;
      hash ^= hash << 16;
      hash ^= signed(chunk[at + 2]!) << 18;
      hash = (hash + (hash >>> 11)) | 0;
      break;
    case 2:
      hash = (hash + half(at)) | 0;
      hash ^= hash << 11;
      hash = (hash + (hash >>> 17)) | 0;
      break;
    case 1:
      hash = (hash + chunk[at]!) | 0;
      hash ^= hash << 10;
      hash = (hash + (hash >>> 1)) | 0;
      break;
  }
  hash ^= hash << 3;
  hash = (hash + (hash >>> 5)) | 0;
  hash ^= hash << 4;
  hash = (hash + (hash >>> 17)) | 0;
  hash ^= hash << 25;
  return (hash + (hash >>> 6)) >>> 0;
}

/** 32-bit MurmurHash2 with a seed that derives from the length. */
function murmur(chunk: Buffer, start: number, end: number): number {
  const m = 0x5bd1e995;
  const length = end - start;
  let hash = Math.imul(0xdeadbeef, length) ^ length;
  let at = start;
  for (; end - at >= 4; at += 4) {
    let k = Math.imul(word(chunk, at), m);
    k = Math.imul(k ^ (k >>> 24), m);
    hash = Math.imul(hash, m) ^ k;
  }
  if (at < end) {
    for (let i = end - 1; i >= at; i--) hash ^= chunk[i]! << (8 * (i - at));
    hash = Math.imul(hash, m);
  }
  hash = Math.imul(hash ^ (hash >>> 13), m);
  return (hash ^ (hash >>> 15)) >>> 0;
}

function rotated(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

/** Bob Jenkins' lookup3 (hashlittle). */
function jenkins(chunk: Buffer, start: number, end: number): number {
  const length = end - start;
  let a = (0xdeadbeef + length + 13) | 0;
  let b = a;
  let c = a;
  if (length === 0) return c >>> 0;
  let at = start;
  for (; end - at > 12; at += 12) {
    a = (a + word(chunk, at)) | 0;
    b = (b + word(chunk, at + 4)) | 0;
    c = (c + word(chunk, at + 8)) | 0;
    a = (a - c) ^ rotated(c, 4);
    c = (c + b) | 0;
    b = (b - a) ^ rotated(a, 6);
    a = (a + c) | 0;
    c = (c - b) ^ rotated(b, 8);
    b = (b + a) | 0;
    a = (a - c) ^ rotated(c, 16);
    c = (c + b) | 0;
    b = (b - a) ^ rotated(a, 19);
    a = (a + c) | 0;
    c = (c - b) ^ rotated(b, 4);
    b = (b + a) | 0;
  }
  a = (a + lastWord(chunk, at, end)) | 0;
  b = (b + lastWord(chunk, at + 4, end)) | 0;
  c = (c + lastWord(chunk, at + 8, end)) | 0;
  c = ((c ^ b) - rotated(b, 14)) | 0;
  a = ((a ^ c) - rotated(c, 11)) | 0;
  b = ((b ^ a) - rotated(a, 25)) | 0;
  c = ((c ^ b) - rotated(b, 16)) | 0;
  a = ((a ^ c) - rotated(c, 4)) | 0;
  b = ((b ^ a) - rotated(a, 14)) | 0;
  return ((c ^ b) - rotated(b, 24)) >>> 0;
}

/** The word at `at`, with zeros after `end`. */
function lastWord(chunk: Buffer, at: number, end: number): number {
  let value = 0;
  for (let i = at; i < at + 4 && i < end; i++) value |= chunk[i]! << (8 * (i - at));
  return value;
}
