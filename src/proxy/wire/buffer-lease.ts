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

/** Free buffers of 2^i bytes. */
const free: Buffer[][] = Array.from({ length: LARGEST_CLASS + 1 }, () => []);
let freeBytes = 0;

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
    const buffer = free[size]!.pop();
    if (buffer === undefined) return new BufferLease(Buffer.allocUnsafeSlow(1 << size));
    freeBytes -= buffer.length;
    return new BufferLease(buffer);
  }

  retain(): void {
    this.holders++;
  }

  /** To be called once by each holder. After the last the buffer is somebody else's. */
  release(): void {
    this.holders--;
    if (this.holders > 0) return;
    if (this.holders < 0) throw new Error("a buffer lease was released twice");
    const { buffer } = this;
    if (buffer.length > 1 << LARGEST_CLASS || freeBytes + buffer.length > MAX_FREE_BYTES) return;
    if (isPoisoning) buffer.fill(0xff);
    free[31 - Math.clz32(buffer.length)]!.push(buffer);
    freeBytes += buffer.length;
  }
}
