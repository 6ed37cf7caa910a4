/**
 * Base64 as memcached decodes keys: other characters are skipped, the rest must come in groups of four, and the first
 * group with padding ends the text. Node also accepts the URL alphabet and any length, which would give other keys.
 *
 * Source: memcached base64.c (1.6.18).
 */
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PAD = "=";

/** The bytes of `text`. Empty if it is not base64. */
export function decodeBase64(text: string): Buffer {
  const characters = [...text].filter((character) => character === PAD || ALPHABET.includes(character));
  const bytes: number[] = [];
  if (characters.length % 4 !== 0) return Buffer.from(bytes);
  for (let i = 0; i < characters.length; i += 4) {
    const four = characters.slice(i, i + 4);
    const [a, b, c, d] = four.map((character) => Math.max(0, ALPHABET.indexOf(character))) as [
      number,
      number,
      number,
      number,
    ];
    const three = [(a << 2) | (b >> 4), (b << 4) | (c >> 2), (c << 6) | d];
    const padding = four.filter((character) => character === PAD).length;
    if (padding > 2) return Buffer.alloc(0);
    bytes.push(...three.slice(0, 3 - padding));
    if (padding > 0) break;
  }
  return Buffer.from(bytes.map((byte) => byte & 0xff));
}
