/**
 * Joins a frame that arrives in several reads. A read with whole frames is passed on without a copy; an incomplete
 * frame at its end is copied out of the shared read buffer, and the following bytes are appended.
 *
 *     read 1   [ frame ][ frame ][ fra     → two frames in place, "fra" kept
 *     read 2    me ][ frame ]              → "frame" joined in a separate buffer, then the rest
 *
 * If the parser knows the length of the frame, the buffer is allocated at full size, so that a value of many reads is
 * copied once, and its buffer can be sent by reference. With `room`, even this copy is avoided: the socket reads into
 * the buffer.
 */
import { noteAllocation } from "./allocations.ts";
import { BufferLease, LEAST_LEASED_BYTES } from "./buffer-lease.ts";

/** Consumes whole frames. */
export interface FrameReader {
  /**
   * Handles the whole frames at the beginning of `chunk[start, end)` and returns the position after the last one.
   * `isKept`: the chunk is never overwritten. If bytes are left, `wantedBytes` is the length of their frame.
   */
  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number;
  /** Length of the incomplete frame. 0 if it is unknown, or if reading was stopped deliberately. */
  readonly wantedBytes: number;
}

/** The incomplete frame of one connection. Without one, it holds no memory. */
export class InputBuffer {
  private kept: Buffer | null = null;
  private keptBytes = 0;
  private wantedBytes = 0;
  private clears = 0;
  /** Lease of `kept`, if it is lent. `null` if the garbage collector frees it. */
  private lease: BufferLease | null = null;
  private given: Buffer | null = null;
  private readonly isLending: boolean;
  /** During the handling of a frame: the lease of its chunk. Code that retains the lease may keep the bytes. */
  lent: BufferLease | null = null;

  /** `isLending`: large frames are in leased buffers, valid during the call unless their lease is retained. */
  constructor(isLending = false) {
    this.isLending = isLending;
  }

  /** Size of the incomplete frame. */
  get byteLength(): number {
    return this.keptBytes;
  }

  /** Allocated size: the full frame, if its length is known. */
  get roomBytes(): number {
    return this.kept === null ? 0 : this.kept.length;
  }

  /** Passes a read to `reader`, joined with the rest of earlier reads, and keeps the new rest. */
  feed(chunk: Buffer, start: number, end: number, reader: FrameReader): void {
    let at = start;
    while (at < end) {
      if (this.kept === null) {
        const done = reader.readFrames(chunk, at, end, false);
        if (done < end) this.keep(chunk, done, end, reader.wantedBytes);
        return;
      }
      at = this.add(chunk, at, end);
      if (this.keptBytes < this.wantedBytes) return;
      const { clears } = this;
      this.resume(reader);
      if (this.clears !== clears) return;
    }
  }

  /** Passes the kept bytes to `reader` again, after reading was stopped deliberately. */
  resume(reader: FrameReader): void {
    const own = this.kept;
    if (own === null) return;
    const { keptBytes: length, lease } = this;
    this.release();
    this.lent = lease;
    let done: number;
    try {
      done = reader.readFrames(own, 0, length, lease === null);
    } finally {
      // Also after a fault: later bytes are not in this chunk.
      this.lent = null;
    }
    if (done === 0) {
      this.kept = own;
      this.lease = lease;
      this.keptBytes = length;
      this.wantedBytes = reader.wantedBytes;
      return;
    }
    if (done < length) this.keep(own, done, length, reader.wantedBytes);
    lease?.release();
  }

  /**
   * Buffer for the socket's next read, which must then be fed from it: the rest of a large frame. `null` for any
   * buffer. Call after each read, because an earlier buffer may have another owner by then.
   */
  room(): Buffer | null {
    this.given = null;
    const { kept, wantedBytes } = this;
    if (kept === null || this.lease === null || wantedBytes > kept.length) return null;
    if (wantedBytes - this.keptBytes < LEAST_LEASED_BYTES) return null;
    this.given = kept.subarray(this.keptBytes, wantedBytes);
    return this.given;
  }

  /** Drops the kept bytes. A call within a reader also drops the rest of the read. */
  clear(): void {
    this.clears++;
    this.release();
  }

  private release(): void {
    // Do not release a lease here: the socket may still read into the buffer.
    this.kept = null;
    this.lease = null;
    this.keptBytes = 0;
    this.wantedBytes = 0;
  }

  private keep(chunk: Buffer, start: number, end: number, wantedBytes: number): void {
    const length = end - start;
    const kept = this.obtain(Math.max(length, wantedBytes, 512));
    chunk.copy(kept, 0, start, end);
    this.kept = kept;
    this.keptBytes = length;
    this.wantedBytes = wantedBytes;
  }

  /**
   * Appends the missing bytes of the frame, or the whole read while its length is unknown. Returns the position after
   * them.
   */
  private add(chunk: Buffer, start: number, end: number): number {
    const missing = this.wantedBytes - this.keptBytes;
    const taken = missing > 0 ? Math.min(missing, end - start) : end - start;
    const needed = this.keptBytes + taken;
    let target = this.kept!;
    if (needed > target.length) {
      const { lease } = this;
      const larger = this.obtain(Math.max(needed, this.wantedBytes, target.length * 2));
      target.copy(larger, 0, 0, this.keptBytes);
      lease?.release();
      this.kept = larger;
      target = larger;
    }
    if (chunk !== this.given) chunk.copy(target, this.keptBytes, start, start + taken);
    this.keptBytes = needed;
    return start + taken;
  }

  private obtain(bytes: number): Buffer {
    if (bytes >= LEAST_LEASED_BYTES) noteAllocation(bytes);
    this.lease = this.isLending && bytes >= LEAST_LEASED_BYTES ? BufferLease.take(bytes) : null;
    return this.lease?.buffer ?? Buffer.allocUnsafeSlow(bytes);
  }
}
