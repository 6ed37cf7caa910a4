/**
 * Reusable buffers: with a new buffer for each value of 100 KiB, garbage collection cost three times as much as passing
 * the value on. Code that needs the bytes for longer than a call retains the lease, and releases it once. A
 * forgotten lease is left to the garbage collector, never reused.
 */
import { BufferPool } from "./buffer-pool.ts";
import { isPoisoning } from "./poisoning.ts";

/** Smaller frames are not read into leased buffers. */
export const LEAST_LEASED_BYTES = 16 * 1024;
const SMALLEST_CLASS = 13;
const LARGEST_CLASS = 21;
const LARGEST_BYTES = 1 << LARGEST_CLASS;
/** Maximum size of all free buffers. Others are left to the garbage collector. */
const MAX_FREE_BYTES = 32 * 1024 * 1024;

/** Count of a lease with a free buffer: so negative that a later retain does not make it positive. */
const RELEASED = -1_000_000;

const pool = new BufferPool(SMALLEST_CLASS, LARGEST_CLASS, MAX_FREE_BYTES);
/** Buffers that may still be in use after too many releases: they are never reused. */
const doubted = new WeakSet<Buffer>();

/** A buffer and its number of users. */
export class BufferLease {
  readonly buffer: Buffer;
  private holders = 1;

  private constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** A lease with one holder, on a buffer of at least this size. The content of the buffer is undefined. */
  static take(bytes: number): BufferLease {
    if (bytes > LARGEST_BYTES) return new BufferLease(Buffer.allocUnsafeSlow(bytes));
    let buffer = pool.take(bytes);
    while (doubted.has(buffer)) buffer = pool.take(bytes);
    return new BufferLease(buffer);
  }

  retain(): void {
    this.holders++;
  }

  /**
   * Each holder must call it once. After the last call, the buffer gets another owner. Throws after too many releases:
   * the caller may have used bytes of another owner, so its connection must close.
   */
  release(): void {
    this.holders--;
    if (this.holders > 0) return;
    const { buffer } = this;
    if (this.holders < 0) {
      doubted.add(buffer);
      throw new Error("a buffer lease was released too often");
    }
    this.holders = RELEASED;
    if (buffer.length > LARGEST_BYTES) return;
    if (isPoisoning) buffer.fill(0xff);
    pool.giveBack(buffer);
  }
}
