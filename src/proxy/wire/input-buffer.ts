/**
 * Joins a frame that came in several reads. A read that holds whole frames is handed out as it is, without a copy;
 * the unfinished rest of one is copied out of the shared read buffer, and what follows is added to it.
 *
 *     read 1   [ frame ][ frame ][ fra     → two frames in place, "fra" kept
 *     read 2    me ][ frame ]              → "frame" joined in a buffer of its own, then the rest
 *
 * When the parser can tell how long the frame will be, room for all of it is made at once, so that a value of many
 * reads is copied once, and its buffer can be sent on by reference. With `room` even that copy is saved: the socket
 * reads into it.
 */
import { noteAllocation } from "./allocations.ts";
import { BufferLease, LEAST_LEASED_BYTES } from "./buffer-lease.ts";

/** Takes whole frames out of bytes. */
export interface FrameReader {
  /**
   * Handles the whole frames at the beginning of `chunk[start, end)` and returns the position behind the last one;
   * `isKept`: nobody will overwrite the chunk. When bytes are left, `wantedBytes` says how long their frame will be.
   */
  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number;
  /** Length of the unfinished frame; 0: not known, or reading was stopped on purpose. */
  readonly wantedBytes: number;
}

/** The unfinished frame of one connection. Holds no memory while there is none. */
export class InputBuffer {
  private kept: Buffer | null = null;
  private keptBytes = 0;
  private wantedBytes = 0;
  private clears = 0;
  /** Of `kept`, where it is lent; null: it is left to the garbage collector. */
  private lease: BufferLease | null = null;
  private given: Buffer | null = null;
  private readonly isLending: boolean;
  /** While a frame is handled: the lease of the chunk it is in. Whoever retains it may keep the bytes. */
  lent: BufferLease | null = null;

  /** `isLending`: large frames are in leased buffers, good for the time of the call unless their lease is retained. */
  constructor(isLending = false) {
    this.isLending = isLending;
  }

  /** Bytes of an unfinished frame that are being kept. */
  get byteLength(): number {
    return this.keptBytes;
  }

  /** Bytes that are taken for it: room for all of a frame whose length is known. */
  get roomBytes(): number {
    return this.kept === null ? 0 : this.kept.length;
  }

  /** Passes a read on to `reader`, joined with what was left of earlier ones, and keeps what is left of it. */
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

  /** Passes what is kept on to `reader` once more: after reading was stopped on purpose. */
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
      // After a fault, too: what is read next is not in this chunk.
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
   * Where the socket's next read may go, and must be fed from: the rest of a large frame. Null: anywhere. To be asked
   * after each read, as the room of the last time may be somebody else's by then.
   */
  room(): Buffer | null {
    this.given = null;
    const { kept, wantedBytes } = this;
    if (kept === null || this.lease === null || wantedBytes > kept.length) return null;
    if (wantedBytes - this.keptBytes < LEAST_LEASED_BYTES) return null;
    this.given = kept.subarray(this.keptBytes, wantedBytes);
    return this.given;
  }

  /** Forgets what is kept. From within a reader it forgets the rest of the read too. */
  clear(): void {
    this.clears++;
    this.release();
  }

  private release(): void {
    // A lease is not given back here: the socket may still be about to read into it.
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

  /** Adds what is missing of the frame, or all of the read while its length is not known; returns the position behind. */
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
