/**
 * Which part of a key is what, in mcrouter's reading:
 *
 *     /region/cluster/ user:1 |#| anything
 *     ╰ routing prefix ╯╰────╯ ╰─ goes to the server, is not hashed
 *                     routing key
 *
 * Source: mcrouter lib/carbon/Keys-inl.h, as facts.
 */

/** The longest key that a server takes; one in base64 counts as it is written. memcached doc/protocol.txt, "Keys". */
export const MAX_KEY_BYTES = 250;

const SLASH = 0x2f;
const BAR = 0x7c;
const HASH = 0x23;

/** Length of the routing prefix of key bytes `chunk[start, end)`, its slashes included; 0: there is none. */
export function routingPrefixLength(chunk: Buffer, start: number, end: number): number {
  if (start === end || chunk[start] !== SLASH) return 0;
  let slashes = 1;
  for (let i = start + 1; i < end; i++) {
    if (chunk[i] === SLASH && ++slashes === 3) return i + 1 - start;
  }
  return 0;
}

/** Where the routing key that begins at `start` ends: at the first `|#|`, else at `end`. */
export function routingKeyEnd(chunk: Buffer, start: number, end: number): number {
  for (let i = start; i + 2 < end; i++) {
    if (chunk[i] === BAR && chunk[i + 1] === HASH && chunk[i + 2] === BAR) return i;
  }
  return end;
}
