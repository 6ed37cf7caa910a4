/**
 * The first word of an MD5 digest, for placement. The key bytes are hashed in place, without a string, a digest object
 * or an allocation (bench/micro: about 0.2 µs for a key of 20 bytes; node:crypto needs over 1 µs).
 *
 * Source: RFC 1321. Not for secrets.
 */

const words = new Int32Array(16);

/** First four bytes of the MD5 of `chunk[start, end)` as a little-endian unsigned number, as ketama uses it. */
export function md5Word(chunk: Buffer, start: number, end: number): number {
  let a = 0x67452301;
  let b = 0xefcdab89 | 0;
  let c = 0x98badcfe | 0;
  let d = 0x10325476;
  let at = start;
  for (; end - at >= 64; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = wordAt(chunk, at + 4 * i);
    mix(a, b, c, d);
    a = (a + state[0]!) | 0;
    b = (b + state[1]!) | 0;
    c = (c + state[2]!) | 0;
    d = (d + state[3]!) | 0;
  }
  const rest = end - at;
  const whole = rest >> 2;
  for (let i = 0; i < whole; i++) words[i] = wordAt(chunk, at + 4 * i);
  for (let i = whole + 1; i < 14; i++) words[i] = 0;
  let last = 0x80;
  for (let i = rest - 1; i >= whole * 4; i--) last = (last << 8) | chunk[at + i]!;
  words[whole] = last;
  if (rest >= 56) {
    if (whole < 15) words[15] = 0;
    mix(a, b, c, d);
    a = (a + state[0]!) | 0;
    b = (b + state[1]!) | 0;
    c = (c + state[2]!) | 0;
    d = (d + state[3]!) | 0;
    words.fill(0);
  }
  words[14] = (end - start) << 3;
  words[15] = 0;
  mix(a, b, c, d);
  return (a + state[0]!) >>> 0;
}

function wordAt(chunk: Buffer, at: number): number {
  return chunk[at]! | (chunk[at + 1]! << 8) | (chunk[at + 2]! << 16) | (chunk[at + 3]! << 24);
}

/** The values that the last block added to a, b, c and d. */
const state = new Int32Array(4);

/**
 * The 64 steps over `words`, unrolled, so that little work remains once the result of the previous step is known. A
 * loop, or a function per step (too many for the optimizer to inline), takes four times as long.
 */
function mix(a0: number, b0: number, c0: number, d0: number): void {
  const w0 = words[0]!;
  const w1 = words[1]!;
  const w2 = words[2]!;
  const w3 = words[3]!;
  const w4 = words[4]!;
  const w5 = words[5]!;
  const w6 = words[6]!;
  const w7 = words[7]!;
  const w8 = words[8]!;
  const w9 = words[9]!;
  const w10 = words[10]!;
  const w11 = words[11]!;
  const w12 = words[12]!;
  const w13 = words[13]!;
  const w14 = words[14]!;
  const w15 = words[15]!;
  let a = a0;
  let b = b0;
  let c = c0;
  let d = d0;
  a = (((a + w0 - 680876936) | 0) + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (((d + w1 - 389564586) | 0) + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (((c + w2 + 606105819) | 0) + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (((b + w3 - 1044525330) | 0) + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (((a + w4 - 176418897) | 0) + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (((d + w5 + 1200080426) | 0) + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (((c + w6 - 1473231341) | 0) + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (((b + w7 - 45705983) | 0) + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (((a + w8 + 1770035416) | 0) + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (((d + w9 - 1958414417) | 0) + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (((c + w10 - 42063) | 0) + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (((b + w11 - 1990404162) | 0) + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (((a + w12 + 1804603682) | 0) + (d ^ (b & (c ^ d)))) | 0;
  a = (((a << 7) | (a >>> 25)) + b) | 0;
  d = (((d + w13 - 40341101) | 0) + (c ^ (a & (b ^ c)))) | 0;
  d = (((d << 12) | (d >>> 20)) + a) | 0;
  c = (((c + w14 - 1502002290) | 0) + (b ^ (d & (a ^ b)))) | 0;
  c = (((c << 17) | (c >>> 15)) + d) | 0;
  b = (((b + w15 + 1236535329) | 0) + (a ^ (c & (d ^ a)))) | 0;
  b = (((b << 22) | (b >>> 10)) + c) | 0;
  a = (((a + w1 - 165796510 + (c & ~d)) | 0) + (d & b)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (((d + w6 - 1069501632 + (b & ~c)) | 0) + (c & a)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (((c + w11 + 643717713 + (a & ~b)) | 0) + (b & d)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (((b + w0 - 373897302 + (d & ~a)) | 0) + (a & c)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (((a + w5 - 701558691 + (c & ~d)) | 0) + (d & b)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (((d + w10 + 38016083 + (b & ~c)) | 0) + (c & a)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (((c + w15 - 660478335 + (a & ~b)) | 0) + (b & d)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (((b + w4 - 405537848 + (d & ~a)) | 0) + (a & c)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (((a + w9 + 568446438 + (c & ~d)) | 0) + (d & b)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (((d + w14 - 1019803690 + (b & ~c)) | 0) + (c & a)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (((c + w3 - 187363961 + (a & ~b)) | 0) + (b & d)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (((b + w8 + 1163531501 + (d & ~a)) | 0) + (a & c)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (((a + w13 - 1444681467 + (c & ~d)) | 0) + (d & b)) | 0;
  a = (((a << 5) | (a >>> 27)) + b) | 0;
  d = (((d + w2 - 51403784 + (b & ~c)) | 0) + (c & a)) | 0;
  d = (((d << 9) | (d >>> 23)) + a) | 0;
  c = (((c + w7 + 1735328473 + (a & ~b)) | 0) + (b & d)) | 0;
  c = (((c << 14) | (c >>> 18)) + d) | 0;
  b = (((b + w12 - 1926607734 + (d & ~a)) | 0) + (a & c)) | 0;
  b = (((b << 20) | (b >>> 12)) + c) | 0;
  a = (((a + w5 - 378558) | 0) + (c ^ d ^ b)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (((d + w8 - 2022574463) | 0) + (b ^ c ^ a)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (((c + w11 + 1839030562) | 0) + (a ^ b ^ d)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (((b + w14 - 35309556) | 0) + (d ^ a ^ c)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (((a + w1 - 1530992060) | 0) + (c ^ d ^ b)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (((d + w4 + 1272893353) | 0) + (b ^ c ^ a)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (((c + w7 - 155497632) | 0) + (a ^ b ^ d)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (((b + w10 - 1094730640) | 0) + (d ^ a ^ c)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (((a + w13 + 681279174) | 0) + (c ^ d ^ b)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (((d + w0 - 358537222) | 0) + (b ^ c ^ a)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (((c + w3 - 722521979) | 0) + (a ^ b ^ d)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (((b + w6 + 76029189) | 0) + (d ^ a ^ c)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (((a + w9 - 640364487) | 0) + (c ^ d ^ b)) | 0;
  a = (((a << 4) | (a >>> 28)) + b) | 0;
  d = (((d + w12 - 421815835) | 0) + (b ^ c ^ a)) | 0;
  d = (((d << 11) | (d >>> 21)) + a) | 0;
  c = (((c + w15 + 530742520) | 0) + (a ^ b ^ d)) | 0;
  c = (((c << 16) | (c >>> 16)) + d) | 0;
  b = (((b + w2 - 995338651) | 0) + (d ^ a ^ c)) | 0;
  b = (((b << 23) | (b >>> 9)) + c) | 0;
  a = (((a + w0 - 198630844) | 0) + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (((d + w7 + 1126891415) | 0) + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (((c + w14 - 1416354905) | 0) + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (((b + w5 - 57434055) | 0) + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (((a + w12 + 1700485571) | 0) + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (((d + w3 - 1894986606) | 0) + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (((c + w10 - 1051523) | 0) + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (((b + w1 - 2054922799) | 0) + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (((a + w8 + 1873313359) | 0) + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (((d + w15 - 30611744) | 0) + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (((c + w6 - 1560198380) | 0) + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (((b + w13 + 1309151649) | 0) + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  a = (((a + w4 - 145523070) | 0) + (c ^ (b | ~d))) | 0;
  a = (((a << 6) | (a >>> 26)) + b) | 0;
  d = (((d + w11 - 1120210379) | 0) + (b ^ (a | ~c))) | 0;
  d = (((d << 10) | (d >>> 22)) + a) | 0;
  c = (((c + w2 + 718787259) | 0) + (a ^ (d | ~b))) | 0;
  c = (((c << 15) | (c >>> 17)) + d) | 0;
  b = (((b + w9 - 343485551) | 0) + (d ^ (c | ~a))) | 0;
  b = (((b << 21) | (b >>> 11)) + c) | 0;
  state[0] = a;
  state[1] = b;
  state[2] = c;
  state[3] = d;
}
