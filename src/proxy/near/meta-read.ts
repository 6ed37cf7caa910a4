/**
 * What an `mg` asks for, read from the bytes of its line: which of them a value in memory can answer.
 */
import type { Request } from "../request.ts";
import { skipSpaces, tokenEnd } from "../wire/ascii.ts";

/** Properties of an `mg`, as bits. */
export const MetaRead = {
  /** Asks for data that only the server has (cas, TTL, last access), or for a key in base64. */
  asksServer: 1,
  /** May change the item: its exptime, or who may recache it. */
  changes: 2,
  asksValue: 4,
  asksFlags: 8,
  /** Has an opaque, which usually differs from request to request. */
  hasOpaque: 16,
} as const;

/** Bits by the letter of a flag. Letters without an entry are the server's. */
const bits = new Uint8Array(256).fill(MetaRead.asksServer);
for (const letter of "TNER") bits[letter.charCodeAt(0)] = MetaRead.changes;
// P and L are for proxies: a server ignores them.
for (const letter of "kqsPL") bits[letter.charCodeAt(0)] = 0;
bits["v".charCodeAt(0)] = MetaRead.asksValue;
bits["f".charCodeAt(0)] = MetaRead.asksFlags;
bits["O".charCodeAt(0)] = MetaRead.hasOpaque;

/** The properties of `request`, an `mg` with its line. */
export function metaReadOf({ chunk, frameStart, lineEnd, binary }: Request): number {
  let result = binary === null ? 0 : MetaRead.asksServer;
  // The verb, and the key.
  let at = skipSpaces(chunk, frameStart, lineEnd);
  at = skipSpaces(chunk, tokenEnd(chunk, at, lineEnd), lineEnd);
  at = skipSpaces(chunk, tokenEnd(chunk, at, lineEnd), lineEnd);
  while (at < lineEnd) {
    result |= bits[chunk[at]!]!;
    at = skipSpaces(chunk, tokenEnd(chunk, at, lineEnd), lineEnd);
  }
  return result;
}
