/**
 * Placements over a part of the key, or over the key with a prefix or suffix. The combined bytes are in a buffer that
 * is reused for the next key.
 */
import { routingKeyEnd } from "../key.ts";
import type { Placement } from "./placement.ts";

/** Room for the longest key and a usual prefix or suffix. */
const FIRST_BYTES = 512;

/** Hashes keys as stored on the servers, with `prefix` before them. */
export class PrefixedPlacement implements Placement {
  private readonly inner: Placement;
  private readonly prefix: Buffer;
  private scratch: Buffer;

  constructor(inner: Placement, prefix: Buffer) {
    this.inner = inner;
    this.prefix = prefix;
    this.scratch = roomFor(FIRST_BYTES, prefix);
  }

  get keyHash(): number {
    return this.inner.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const { length } = this.prefix;
    if (this.scratch.length < length + end - start) this.scratch = roomFor(length + end - start, this.prefix);
    copy(chunk, start, end, this.scratch, length);
    return this.inner.locate(this.scratch, 0, length + end - start);
  }
}

/** mcrouter's part of a key: the bytes before its first `|#|`, followed by `salt`. */
export class RoutingKeyPlacement implements Placement {
  private readonly inner: Placement;
  private readonly salt: Buffer;
  private scratch: Buffer;

  constructor(inner: Placement, salt: Buffer) {
    this.inner = inner;
    this.salt = salt;
    this.scratch = Buffer.alloc(salt.length === 0 ? 0 : FIRST_BYTES);
  }

  get keyHash(): number {
    return this.inner.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const partEnd = routingKeyEnd(chunk, start, end);
    const { length } = this.salt;
    if (length === 0) return this.inner.locate(chunk, start, partEnd);
    const saltedBytes = partEnd - start + length;
    if (this.scratch.length < saltedBytes) this.scratch = Buffer.alloc(saltedBytes);
    copy(chunk, start, partEnd, this.scratch, 0);
    copy(this.salt, 0, length, this.scratch, partEnd - start);
    return this.inner.locate(this.scratch, 0, saltedBytes);
  }
}

/** twemproxy's part of a key: the bytes between two characters (`{` and `}`), if both occur with bytes between them. */
export class TaggedPlacement implements Placement {
  private readonly inner: Placement;
  private readonly open: number;
  private readonly close: number;

  /** `tag` is two bytes. */
  constructor(inner: Placement, tag: Buffer) {
    this.inner = inner;
    this.open = tag[0]!;
    this.close = tag[1]!;
  }

  get keyHash(): number {
    return this.inner.keyHash;
  }

  locate(chunk: Buffer, start: number, end: number): number {
    const from = indexOf(chunk, this.open, start, end) + 1;
    const to = from === 0 ? -1 : indexOf(chunk, this.close, from, end);
    return to > from ? this.inner.locate(chunk, from, to) : this.inner.locate(chunk, start, end);
  }
}

function roomFor(bytes: number, prefix: Buffer): Buffer {
  const room = Buffer.alloc(bytes);
  prefix.copy(room);
  return room;
}

/** Keys are short: a loop is faster than a call out of JavaScript. */
function copy(from: Buffer, start: number, end: number, to: Buffer, at: number): void {
  for (let i = start; i < end; i++) to[at + i - start] = from[i]!;
}

function indexOf(chunk: Buffer, byte: number, start: number, end: number): number {
  for (let i = start; i < end; i++) if (chunk[i] === byte) return i;
  return -1;
}
