/**
 * Free buffers of 2^i bytes, to be used again: new buffers are memory outside of V8's heap, and V8 collects all garbage
 * for each 64 MB of them.
 *
 * The size of all free buffers is limited. At the limit, a buffer replaces those of the size that was not taken for the
 * longest time: after a burst of large values, small buffers still find room.
 */
export class BufferPool {
  private readonly smallestClass: number;
  private readonly maxBytes: number;
  /** By class: buffers of class i have 2^i bytes. */
  private readonly free: Buffer[][];
  private freeBytes = 0;
  /** By class: number of the last `take`. */
  private readonly lastTakes: number[];
  private takes = 0;

  /** Buffers have 2^`smallestClass` to 2^`largestClass` bytes, and at most `maxBytes` are free. */
  constructor(smallestClass: number, largestClass: number, maxBytes: number) {
    this.smallestClass = smallestClass;
    this.maxBytes = maxBytes;
    this.free = Array.from({ length: largestClass + 1 }, () => []);
    this.lastTakes = this.free.map(() => 0);
  }

  /** A buffer of at least `bytes`, which must not exceed the largest size. Its content is undefined. */
  take(bytes: number): Buffer {
    const size = Math.max(this.smallestClass, 32 - Math.clz32(bytes - 1));
    this.lastTakes[size] = ++this.takes;
    const buffer = this.free[size]!.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(1 << size);
    this.freeBytes -= buffer.length;
    return buffer;
  }

  /** `buffer` came from `take`. The caller must not use it any more. */
  giveBack(buffer: Buffer): void {
    const size = 31 - Math.clz32(buffer.length);
    while (this.freeBytes + buffer.length > this.maxBytes) {
      const oldest = this.leastRecent(size);
      if (oldest === null) return;
      this.freeBytes -= oldest.pop()!.length;
    }
    this.free[size]!.push(buffer);
    this.freeBytes += buffer.length;
  }

  /** The free buffers of the size, other than 2^`own`, that was not taken for the longest time. `null` if absent. */
  private leastRecent(own: number): Buffer[] | null {
    let found: number | null = null;
    for (let size = this.smallestClass; size < this.free.length; size++) {
      if (size === own || this.free[size]!.length === 0) continue;
      if (found === null || this.lastTakes[size]! < this.lastTakes[found]!) found = size;
    }
    return found === null ? null : this.free[found]!;
  }
}
