/**
 * Large buffers that are used again: a value of 100 KiB in a buffer of its own made the garbage collector cost three
 * times what passing the value on does. Whoever needs the bytes for longer than a call retains the lease, and releases
 * it once; a lease that is forgotten is left to the collector, never used twice.
 */
import { isPoisoning } from "./poisoning.ts";

/** Smaller buffers are not worth keeping. */
export const LEAST_LEASED_BYTES = 16 * 1024;
const SMALLEST_CLASS = 15;
const LARGEST_CLASS = 21;
/** Bytes of free buffers, of all sizes together; beyond that they are left to the collector. */
const MAX_FREE_BYTES = 32 * 1024 * 1024;

/** Holders of a lease whose buffer is free: so few that whoever retains it afterwards does not bring it back. */
const RELEASED = -1_000_000;

/** Free buffers of 2^i bytes. */
const free: Buffer[][] = Array.from({ length: LARGEST_CLASS + 1 }, () => []);
let freeBytes = 0;
/** Buffers of which one more use may be under way than is known: they are never used again. */
const doubted = new WeakSet<Buffer>();

/** A buffer and how many use it. */
export class BufferLease {
  readonly buffer: Buffer;
  private holders = 1;

  private constructor(buffer: Buffer) {
    this.buffer = buffer;
  }

  /** A lease with one holder, on a buffer of at least so many bytes, whose content is of no meaning. */
  static take(bytes: number): BufferLease {
    const size = Math.max(SMALLEST_CLASS, 32 - Math.clz32(bytes - 1));
    if (size > LARGEST_CLASS) return new BufferLease(Buffer.allocUnsafeSlow(bytes));
    for (let buffer = free[size]!.pop(); buffer !== undefined; buffer = free[size]!.pop()) {
      freeBytes -= buffer.length;
      if (!doubted.has(buffer)) return new BufferLease(buffer);
    }
    return new BufferLease(Buffer.allocUnsafeSlow(1 << size));
  }

  retain(): void {
    this.holders++;
  }

  /**
   * To be called once by each holder. After the last the buffer is somebody else's. Throws where it was released more
   * often than that: what the caller did with the bytes last may have been with another's, and its connection must close.
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
    if (buffer.length > 1 << LARGEST_CLASS || freeBytes + buffer.length > MAX_FREE_BYTES) return;
    if (isPoisoning) buffer.fill(0xff);
    free[31 - Math.clz32(buffer.length)]!.push(buffer);
    freeBytes += buffer.length;
  }
}
