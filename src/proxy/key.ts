/**
 * The parts of a key in mcrouter's interpretation:
 *
 *     /region/cluster/ user:1 |#| anything
 *     ╰ routing prefix ╯╰────╯ ╰─ sent to the server, but not hashed
 *                     routing key
 *
 * Source: mcrouter lib/carbon/Keys-inl.h, as facts.
 */

/** Maximum length of a key in servers; a base64 key counts as written. memcached doc/protocol.txt, "Keys". */
export const MAX_KEY_BYTES = 250;

const SLASH = 0x2f;
const BAR = 0x7c;
const HASH = 0x23;

/** Length of the routing prefix of key bytes `chunk[start, end)`, including its slashes. 0 if absent. */
export function routingPrefixLength(chunk: Buffer, start: number, end: number): number {
  if (start === end || chunk[start] !== SLASH) return 0;
  let slashes = 1;
  for (let i = start + 1; i < end; i++) {
    if (chunk[i] === SLASH && ++slashes === 3) return i + 1 - start;
  }
  return 0;
}

/** End of the routing key that begins at `start`: the first `|#|`, else `end`. */
export function routingKeyEnd(chunk: Buffer, start: number, end: number): number {
  for (let i = start; i + 2 < end; i++) {
    if (chunk[i] === BAR && chunk[i + 1] === HASH && chunk[i + 2] === BAR) return i;
  }
  return end;
}
