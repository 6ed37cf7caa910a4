/**
 * Reverses Rails' encoding of keys: bytes 00-20, `%` and 7F-FF become `%XX`. Of a key that is then too long, only the
 * beginning and a digest remain.
 *
 * Sources: ActiveSupport's mem_cache_store.rb (`normalize_key`, `:hash:` from 7.1 on, `:md5:` before), Dalli's
 * key_manager.rb.
 */
import { isUtf8 } from "node:buffer";
import type { Captures } from "../sources/source.ts";

const DIGEST = /:(hash|md5):[0-9a-f]{32}$/;
const ESCAPE = /%([0-9A-Fa-f]{2})/g;

/** True for a key that ends in a digest: the original key cannot be recovered. */
export function isRailsDigest(key: string): boolean {
  return DIGEST.test(key);
}

/**
 * The key and its captures before Rails' encoding: decoded once, each separately. A `%` without two hex digits after it
 * stays. (Rails writes bytes below 10 with one digit; before another hex digit, this is ambiguous.)
 */
export function decodeRailsKey({ key, groups, encoding }: Captures): Captures {
  if (!key.includes("%")) return { key, groups, encoding };
  const decode = (text: string) => decodeBytes(Buffer.from(text, encoding));
  const keyBytes = decode(key);
  const parts = [...groups].map(([name, text]) => [name, decode(text)] as const);
  // All together: a pattern may have split a character.
  const isText = isUtf8(keyBytes) && parts.every(([, bytes]) => isUtf8(bytes));
  const decoded = isText ? "utf8" : "latin1";
  return {
    key: keyBytes.toString(decoded),
    groups: new Map(parts.map(([name, bytes]) => [name, bytes.toString(decoded)])),
    encoding: decoded,
  };
}

function decodeBytes(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1");
  const decoded = text.replaceAll(ESCAPE, (_escape, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(decoded, "latin1");
}
