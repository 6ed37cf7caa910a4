/**
 * The first word of an MD5 digest, for placement. The key bytes are hashed in place, without a string, a digest object
 * or an allocation (bench/micro: about 0.1 µs for a key of 20 bytes; node:crypto needs over 1 µs). Each step of MD5 waits
 * for the result of the step before, so two keys are hashed side by side in little more time than one.
 *
 * Source: RFC 1321. Not for secrets.
 */

const BLOCK_BYTES = 64;
/** A bit and the length of the key follow the key: this many bytes of a key fit into the last block. */
const MAX_LAST_BYTES = 55;
const A = 0x67452301;
const B = 0xefcdab89 | 0;
const C = 0x98badcfe | 0;
const D = 0x10325476;

/** Number of words in a block. */
const SECOND = 16;
/** A block of one key, and from `SECOND` on a block of another. */
const words = new Int32Array(2 * SECOND);

/** First four bytes of the MD5 of `chunk[start, end)` as a little-endian unsigned number, as ketama uses it. */
export function md5Word(chunk: Buffer, start: number, end: number): number {
  if (end - start > MAX_LAST_BYTES) return wordOfLongKey(chunk, start, end);
  putLast(chunk, start, end, end - start, 0);
  mix(A, B, C, D);
  return (A + first[0]!) >>> 0;
}

/** `md5Word` of each key `chunk[starts[i], ends[i])`, in `hashes`. */
export function md5Words(chunk: Buffer, starts: readonly number[], ends: readonly number[], hashes: Uint32Array): void {
  const count = starts.length;
  let i = 0;
  while (i < count) {
    const bytes = ends[i]! - starts[i]!;
    const nextBytes = i + 1 < count ? ends[i + 1]! - starts[i + 1]! : BLOCK_BYTES;
    if (bytes > MAX_LAST_BYTES || nextBytes > MAX_LAST_BYTES) {
      hashes[i] = md5Word(chunk, starts[i]!, ends[i]!);
      i++;
      continue;
    }
    putLast(chunk, starts[i]!, ends[i]!, bytes, 0);
    putLast(chunk, starts[i + 1]!, ends[i + 1]!, nextBytes, SECOND);
    mix(A, B, C, D);
    hashes[i] = (A + first[0]!) | 0;
    hashes[i + 1] = (A + second) | 0;
    i += 2;
  }
}

function wordOfLongKey(chunk: Buffer, start: number, end: number): number {
  let a = A;
  let b = B;
  let c = C;
  let d = D;
  const mixIn = () => {
    mix(a, b, c, d);
    a = (a + first[0]!) | 0;
    b = (b + first[1]!) | 0;
    c = (c + first[2]!) | 0;
    d = (d + first[3]!) | 0;
  };
  let at = start;
  for (; end - at >= BLOCK_BYTES; at += BLOCK_BYTES) {
    for (let i = 0; i < SECOND; i++) words[i] = wordAt(chunk, at + 4 * i);
    mixIn();
  }
  if (end - at > MAX_LAST_BYTES) {
    // The length is in another block.
    const padded = Buffer.alloc(BLOCK_BYTES);
    chunk.copy(padded, 0, at, end);
    padded[end - at] = 0x80;
    for (let i = 0; i < SECOND; i++) words[i] = wordAt(padded, 4 * i);
    mixIn();
    words.fill(0, 0, SECOND);
    words[14] = (end - start) << 3;
  } else {
    putLast(chunk, at, end, end - start, 0);
  }
  mixIn();
  return a >>> 0;
}

/** Puts the last block of a key of `bytes` into `words` from `base`: the bytes `[from, end)`, a bit, and the length. */
function putLast(chunk: Buffer, from: number, end: number, bytes: number, base: number): void {
  let i = base;
  let at = from;
  for (; at + 4 <= end; at += 4) words[i++] = wordAt(chunk, at);
  let last = 0x80;
  for (let j = end - 1; j >= at; j--) last = (last << 8) | chunk[j]!;
  words[i++] = last;
  while (i < base + 14) words[i++] = 0;
  words[base + 14] = bytes << 3;
  words[base + 15] = 0;
}

function wordAt(chunk: Buffer, at: number): number {
  return chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24);
}

/** What the block of the first key adds to a, b, c and d. */
const first = new Int32Array(4);
/** What the block of the second key adds to a. */
let second = 0;

/**
 * The 64 steps over `words`, unrolled, so that little work remains once the result of the previous step is known. A
 * loop, or a function per step (too many for the optimizer to inline), takes four times as long. The first key's block
 * continues from `a` to `d`; the second key, in e to h, has only this block.
 */
function mix(a0: number, b0: number, c0: number, d0: number): void {
  const w = words;
  let a = a0;
  let b = b0;
  let c = c0;
  let d = d0;
  let e = A;
  let f = B;
  let g = C;
  let h = D;
  a = (((a + w[0]! - 680876936) | 0) + (d ^ (b & (c ^ d)))) | 0;
  e = (((e + w[16]! - 680876936) | 0) + (h ^ (f & (g ^ h)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  e = (((e << 7) | (e >>> 25)) + f) | 0;
  d = (((d + w[1]! - 389564586) | 0) + (c ^ (a & (b ^ c)))) | 0;
  h = (((h + w[17]! - 389564586) | 0) + (g ^ (e & (f ^ g)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  h = (((h << 12) | (h >>> 20)) + e) | 0;
  c = (((c + w[2]! + 606105819) | 0) + (b ^ (d & (a ^ b)))) | 0;
  g = (((g + w[18]! + 606105819) | 0) + (f ^ (h & (e ^ f)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  g = (((g << 17) | (g >>> 15)) + h) | 0;
  b = (((b + w[3]! - 1044525330) | 0) + (a ^ (c & (d ^ a)))) | 0;
  f = (((f + w[19]! - 1044525330) | 0) + (e ^ (g & (h ^ e)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  f = (((f << 22) | (f >>> 10)) + g) | 0;
  a = (((a + w[4]! - 176418897) | 0) + (d ^ (b & (c ^ d)))) | 0;
  e = (((e + w[20]! - 176418897) | 0) + (h ^ (f & (g ^ h)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  e = (((e << 7) | (e >>> 25)) + f) | 0;
  d = (((d + w[5]! + 1200080426) | 0) + (c ^ (a & (b ^ c)))) | 0;
  h = (((h + w[21]! + 1200080426) | 0) + (g ^ (e & (f ^ g)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  h = (((h << 12) | (h >>> 20)) + e) | 0;
  c = (((c + w[6]! - 1473231341) | 0) + (b ^ (d & (a ^ b)))) | 0;
  g = (((g + w[22]! - 1473231341) | 0) + (f ^ (h & (e ^ f)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  g = (((g << 17) | (g >>> 15)) + h) | 0;
  b = (((b + w[7]! - 45705983) | 0) + (a ^ (c & (d ^ a)))) | 0;
  f = (((f + w[23]! - 45705983) | 0) + (e ^ (g & (h ^ e)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  f = (((f << 22) | (f >>> 10)) + g) | 0;
  a = (((a + w[8]! + 1770035416) | 0) + (d ^ (b & (c ^ d)))) | 0;
  e = (((e + w[24]! + 1770035416) | 0) + (h ^ (f & (g ^ h)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  e = (((e << 7) | (e >>> 25)) + f) | 0;
  d = (((d + w[9]! - 1958414417) | 0) + (c ^ (a & (b ^ c)))) | 0;
  h = (((h + w[25]! - 1958414417) | 0) + (g ^ (e & (f ^ g)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  h = (((h << 12) | (h >>> 20)) + e) | 0;
  c = (((c + w[10]! - 42063) | 0) + (b ^ (d & (a ^ b)))) | 0;
  g = (((g + w[26]! - 42063) | 0) + (f ^ (h & (e ^ f)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  g = (((g << 17) | (g >>> 15)) + h) | 0;
  b = (((b + w[11]! - 1990404162) | 0) + (a ^ (c & (d ^ a)))) | 0;
  f = (((f + w[27]! - 1990404162) | 0) + (e ^ (g & (h ^ e)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  f = (((f << 22) | (f >>> 10)) + g) | 0;
  a = (((a + w[12]! + 1804603682) | 0) + (d ^ (b & (c ^ d)))) | 0;
  e = (((e + w[28]! + 1804603682) | 0) + (h ^ (f & (g ^ h)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  e = (((e << 7) | (e >>> 25)) + f) | 0;
  d = (((d + w[13]! - 40341101) | 0) + (c ^ (a & (b ^ c)))) | 0;
  h = (((h + w[29]! - 40341101) | 0) + (g ^ (e & (f ^ g)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  h = (((h << 12) | (h >>> 20)) + e) | 0;
  c = (((c + w[14]! - 1502002290) | 0) + (b ^ (d & (a ^ b)))) | 0;
  g = (((g + w[30]! - 1502002290) | 0) + (f ^ (h & (e ^ f)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  g = (((g << 17) | (g >>> 15)) + h) | 0;
  b = (((b + w[15]! + 1236535329) | 0) + (a ^ (c & (d ^ a)))) | 0;
  f = (((f + w[31]! + 1236535329) | 0) + (e ^ (g & (h ^ e)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  f = (((f << 22) | (f >>> 10)) + g) | 0;
  a = (((a + w[1]! - 165796510 + (c & ~d)) | 0) + (d & b)) | 0;
  e = (((e + w[17]! - 165796510 + (g & ~h)) | 0) + (h & f)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  e = (((e << 5) | (e >>> 27)) + f) | 0;
  d = (((d + w[6]! - 1069501632 + (b & ~c)) | 0) + (c & a)) | 0;
  h = (((h + w[22]! - 1069501632 + (f & ~g)) | 0) + (g & e)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  h = (((h << 9) | (h >>> 23)) + e) | 0;
  c = (((c + w[11]! + 643717713 + (a & ~b)) | 0) + (b & d)) | 0;
  g = (((g + w[27]! + 643717713 + (e & ~f)) | 0) + (f & h)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  g = (((g << 14) | (g >>> 18)) + h) | 0;
  b = (((b + w[0]! - 373897302 + (d & ~a)) | 0) + (a & c)) | 0;
  f = (((f + w[16]! - 373897302 + (h & ~e)) | 0) + (e & g)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  f = (((f << 20) | (f >>> 12)) + g) | 0;
  a = (((a + w[5]! - 701558691 + (c & ~d)) | 0) + (d & b)) | 0;
  e = (((e + w[21]! - 701558691 + (g & ~h)) | 0) + (h & f)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  e = (((e << 5) | (e >>> 27)) + f) | 0;
  d = (((d + w[10]! + 38016083 + (b & ~c)) | 0) + (c & a)) | 0;
  h = (((h + w[26]! + 38016083 + (f & ~g)) | 0) + (g & e)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  h = (((h << 9) | (h >>> 23)) + e) | 0;
  c = (((c + w[15]! - 660478335 + (a & ~b)) | 0) + (b & d)) | 0;
  g = (((g + w[31]! - 660478335 + (e & ~f)) | 0) + (f & h)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  g = (((g << 14) | (g >>> 18)) + h) | 0;
  b = (((b + w[4]! - 405537848 + (d & ~a)) | 0) + (a & c)) | 0;
  f = (((f + w[20]! - 405537848 + (h & ~e)) | 0) + (e & g)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  f = (((f << 20) | (f >>> 12)) + g) | 0;
  a = (((a + w[9]! + 568446438 + (c & ~d)) | 0) + (d & b)) | 0;
  e = (((e + w[25]! + 568446438 + (g & ~h)) | 0) + (h & f)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  e = (((e << 5) | (e >>> 27)) + f) | 0;
  d = (((d + w[14]! - 1019803690 + (b & ~c)) | 0) + (c & a)) | 0;
  h = (((h + w[30]! - 1019803690 + (f & ~g)) | 0) + (g & e)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  h = (((h << 9) | (h >>> 23)) + e) | 0;
  c = (((c + w[3]! - 187363961 + (a & ~b)) | 0) + (b & d)) | 0;
  g = (((g + w[19]! - 187363961 + (e & ~f)) | 0) + (f & h)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  g = (((g << 14) | (g >>> 18)) + h) | 0;
  b = (((b + w[8]! + 1163531501 + (d & ~a)) | 0) + (a & c)) | 0;
  f = (((f + w[24]! + 1163531501 + (h & ~e)) | 0) + (e & g)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  f = (((f << 20) | (f >>> 12)) + g) | 0;
  a = (((a + w[13]! - 1444681467 + (c & ~d)) | 0) + (d & b)) | 0;
  e = (((e + w[29]! - 1444681467 + (g & ~h)) | 0) + (h & f)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  e = (((e << 5) | (e >>> 27)) + f) | 0;
  d = (((d + w[2]! - 51403784 + (b & ~c)) | 0) + (c & a)) | 0;
  h = (((h + w[18]! - 51403784 + (f & ~g)) | 0) + (g & e)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  h = (((h << 9) | (h >>> 23)) + e) | 0;
  c = (((c + w[7]! + 1735328473 + (a & ~b)) | 0) + (b & d)) | 0;
  g = (((g + w[23]! + 1735328473 + (e & ~f)) | 0) + (f & h)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  g = (((g << 14) | (g >>> 18)) + h) | 0;
  b = (((b + w[12]! - 1926607734 + (d & ~a)) | 0) + (a & c)) | 0;
  f = (((f + w[28]! - 1926607734 + (h & ~e)) | 0) + (e & g)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  f = (((f << 20) | (f >>> 12)) + g) | 0;
  a = (((a + w[5]! - 378558) | 0) + (c ^ d ^ b)) | 0;
  e = (((e + w[21]! - 378558) | 0) + (g ^ h ^ f)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  e = (((e << 4) | (e >>> 28)) + f) | 0;
  d = (((d + w[8]! - 2022574463) | 0) + (b ^ c ^ a)) | 0;
  h = (((h + w[24]! - 2022574463) | 0) + (f ^ g ^ e)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  h = (((h << 11) | (h >>> 21)) + e) | 0;
  c = (((c + w[11]! + 1839030562) | 0) + (a ^ b ^ d)) | 0;
  g = (((g + w[27]! + 1839030562) | 0) + (e ^ f ^ h)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  g = (((g << 16) | (g >>> 16)) + h) | 0;
  b = (((b + w[14]! - 35309556) | 0) + (d ^ a ^ c)) | 0;
  f = (((f + w[30]! - 35309556) | 0) + (h ^ e ^ g)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  f = (((f << 23) | (f >>> 9)) + g) | 0;
  a = (((a + w[1]! - 1530992060) | 0) + (c ^ d ^ b)) | 0;
  e = (((e + w[17]! - 1530992060) | 0) + (g ^ h ^ f)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  e = (((e << 4) | (e >>> 28)) + f) | 0;
  d = (((d + w[4]! + 1272893353) | 0) + (b ^ c ^ a)) | 0;
  h = (((h + w[20]! + 1272893353) | 0) + (f ^ g ^ e)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  h = (((h << 11) | (h >>> 21)) + e) | 0;
  c = (((c + w[7]! - 155497632) | 0) + (a ^ b ^ d)) | 0;
  g = (((g + w[23]! - 155497632) | 0) + (e ^ f ^ h)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  g = (((g << 16) | (g >>> 16)) + h) | 0;
  b = (((b + w[10]! - 1094730640) | 0) + (d ^ a ^ c)) | 0;
  f = (((f + w[26]! - 1094730640) | 0) + (h ^ e ^ g)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  f = (((f << 23) | (f >>> 9)) + g) | 0;
  a = (((a + w[13]! + 681279174) | 0) + (c ^ d ^ b)) | 0;
  e = (((e + w[29]! + 681279174) | 0) + (g ^ h ^ f)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  e = (((e << 4) | (e >>> 28)) + f) | 0;
  d = (((d + w[0]! - 358537222) | 0) + (b ^ c ^ a)) | 0;
  h = (((h + w[16]! - 358537222) | 0) + (f ^ g ^ e)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  h = (((h << 11) | (h >>> 21)) + e) | 0;
  c = (((c + w[3]! - 722521979) | 0) + (a ^ b ^ d)) | 0;
  g = (((g + w[19]! - 722521979) | 0) + (e ^ f ^ h)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  g = (((g << 16) | (g >>> 16)) + h) | 0;
  b = (((b + w[6]! + 76029189) | 0) + (d ^ a ^ c)) | 0;
  f = (((f + w[22]! + 76029189) | 0) + (h ^ e ^ g)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  f = (((f << 23) | (f >>> 9)) + g) | 0;
  a = (((a + w[9]! - 640364487) | 0) + (c ^ d ^ b)) | 0;
  e = (((e + w[25]! - 640364487) | 0) + (g ^ h ^ f)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  e = (((e << 4) | (e >>> 28)) + f) | 0;
  d = (((d + w[12]! - 421815835) | 0) + (b ^ c ^ a)) | 0;
  h = (((h + w[28]! - 421815835) | 0) + (f ^ g ^ e)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  h = (((h << 11) | (h >>> 21)) + e) | 0;
  c = (((c + w[15]! + 530742520) | 0) + (a ^ b ^ d)) | 0;
  g = (((g + w[31]! + 530742520) | 0) + (e ^ f ^ h)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  g = (((g << 16) | (g >>> 16)) + h) | 0;
  b = (((b + w[2]! - 995338651) | 0) + (d ^ a ^ c)) | 0;
  f = (((f + w[18]! - 995338651) | 0) + (h ^ e ^ g)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  f = (((f << 23) | (f >>> 9)) + g) | 0;
  a = (((a + w[0]! - 198630844) | 0) + (c ^ (b | ~d))) | 0;
  e = (((e + w[16]! - 198630844) | 0) + (g ^ (f | ~h))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  e = (((e << 6) | (e >>> 26)) + f) | 0;
  d = (((d + w[7]! + 1126891415) | 0) + (b ^ (a | ~c))) | 0;
  h = (((h + w[23]! + 1126891415) | 0) + (f ^ (e | ~g))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  h = (((h << 10) | (h >>> 22)) + e) | 0;
  c = (((c + w[14]! - 1416354905) | 0) + (a ^ (d | ~b))) | 0;
  g = (((g + w[30]! - 1416354905) | 0) + (e ^ (h | ~f))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  g = (((g << 15) | (g >>> 17)) + h) | 0;
  b = (((b + w[5]! - 57434055) | 0) + (d ^ (c | ~a))) | 0;
  f = (((f + w[21]! - 57434055) | 0) + (h ^ (g | ~e))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  f = (((f << 21) | (f >>> 11)) + g) | 0;
  a = (((a + w[12]! + 1700485571) | 0) + (c ^ (b | ~d))) | 0;
  e = (((e + w[28]! + 1700485571) | 0) + (g ^ (f | ~h))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  e = (((e << 6) | (e >>> 26)) + f) | 0;
  d = (((d + w[3]! - 1894986606) | 0) + (b ^ (a | ~c))) | 0;
  h = (((h + w[19]! - 1894986606) | 0) + (f ^ (e | ~g))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  h = (((h << 10) | (h >>> 22)) + e) | 0;
  c = (((c + w[10]! - 1051523) | 0) + (a ^ (d | ~b))) | 0;
  g = (((g + w[26]! - 1051523) | 0) + (e ^ (h | ~f))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  g = (((g << 15) | (g >>> 17)) + h) | 0;
  b = (((b + w[1]! - 2054922799) | 0) + (d ^ (c | ~a))) | 0;
  f = (((f + w[17]! - 2054922799) | 0) + (h ^ (g | ~e))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  f = (((f << 21) | (f >>> 11)) + g) | 0;
  a = (((a + w[8]! + 1873313359) | 0) + (c ^ (b | ~d))) | 0;
  e = (((e + w[24]! + 1873313359) | 0) + (g ^ (f | ~h))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  e = (((e << 6) | (e >>> 26)) + f) | 0;
  d = (((d + w[15]! - 30611744) | 0) + (b ^ (a | ~c))) | 0;
  h = (((h + w[31]! - 30611744) | 0) + (f ^ (e | ~g))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  h = (((h << 10) | (h >>> 22)) + e) | 0;
  c = (((c + w[6]! - 1560198380) | 0) + (a ^ (d | ~b))) | 0;
  g = (((g + w[22]! - 1560198380) | 0) + (e ^ (h | ~f))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  g = (((g << 15) | (g >>> 17)) + h) | 0;
  b = (((b + w[13]! + 1309151649) | 0) + (d ^ (c | ~a))) | 0;
  f = (((f + w[29]! + 1309151649) | 0) + (h ^ (g | ~e))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  f = (((f << 21) | (f >>> 11)) + g) | 0;
  a = (((a + w[4]! - 145523070) | 0) + (c ^ (b | ~d))) | 0;
  e = (((e + w[20]! - 145523070) | 0) + (g ^ (f | ~h))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  e = (((e << 6) | (e >>> 26)) + f) | 0;
  d = (((d + w[11]! - 1120210379) | 0) + (b ^ (a | ~c))) | 0;
  h = (((h + w[27]! - 1120210379) | 0) + (f ^ (e | ~g))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  h = (((h << 10) | (h >>> 22)) + e) | 0;
  c = (((c + w[2]! + 718787259) | 0) + (a ^ (d | ~b))) | 0;
  g = (((g + w[18]! + 718787259) | 0) + (e ^ (h | ~f))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  g = (((g << 15) | (g >>> 17)) + h) | 0;
  b = (((b + w[9]! - 343485551) | 0) + (d ^ (c | ~a))) | 0;
  f = (((f + w[25]! - 343485551) | 0) + (h ^ (g | ~e))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  f = (((f << 21) | (f >>> 11)) + g) | 0;
  first[0] = a;
  first[1] = b;
  first[2] = c;
  first[3] = d;
  second = e;
}
