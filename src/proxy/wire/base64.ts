/**
 * Base64 of keys as memcached reads it: other characters are passed over, only whole groups of four count, and the first
 * padded group is the last. Node's own decoder differs in all of these, and a key must be the same to us and to its server.
 *
 * Source: memcached base64.c, as a fact; observed answers of memcached 1.6.18.
 */
const NONE = 0xff;
const PAD = 0x3d;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const values = new Uint8Array(256).fill(NONE);
for (const [value, character] of [...ALPHABET].entries()) values[character.charCodeAt(0)] = value;
values[PAD] = 0;

/** The key that `text` (one character per byte) stands for; null: memcached refuses it. */
export function decodeBase64Key(text: string): Buffer | null {
  const bytes = Buffer.from(text, "latin1").filter((byte) => values[byte] !== NONE);
  if (bytes.length === 0 || bytes.length % 4 !== 0) return null;
  const key: number[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const group = bytes.subarray(at, at + 4);
    const [a, b, c, d] = [values[group[0]!]!, values[group[1]!]!, values[group[2]!]!, values[group[3]!]!];
    const decoded = [((a << 2) | (b >> 4)) & 0xff, ((b << 4) | (c >> 2)) & 0xff, ((c << 6) | d) & 0xff];
    const padding = group.filter((byte) => byte === PAD).length;
    if (padding > 2) return null;
    key.push(...decoded.slice(0, 3 - padding));
    if (padding > 0) break;
  }
  return Buffer.from(key);
}
