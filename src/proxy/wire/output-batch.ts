/**
 * The bytes that one connection sends in this turn. Small pieces are copied into blocks from a shared pool; large
 * immutable values are sent by reference. One flush is one system call: a single block is a write, several pieces are a
 * writev.
 */

import { noteAllocation } from "./allocations.ts";
import { copyBytes, writeDecimal } from "./ascii.ts";
import { BufferLease } from "./buffer-lease.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { OnWritten, SocketWriter } from "./socket-writer.ts";

/** Blocks have 2^i bytes. Small ones let the replies to a thousand clients in one turn fit into the CPU cache. */
const SMALLEST_CLASS = 10;
const LARGEST_CLASS = 16;
const LARGEST_BLOCK_BYTES = 1 << LARGEST_CLASS;
/** Size of a block that follows a piece. */
const BLOCK_BYTES = 16 * 1024;
/** A full block is copied into one that is larger by this factor, so that an answer of many values is one piece. */
const GROWTH = 4;
/** Values from this size that may be kept are sent by reference instead of being copied. */
const REFERENCE_BYTES = 8 * 1024;
/**
 * Maximum size of the free blocks. After a burst, further blocks are left to the garbage collector. If the blocks of a
 * usual turn had no room, it would run several times a second.
 */
const MAX_FREE_BYTES = 16 * 1024 * 1024;

const pool = new BufferPool(SMALLEST_CLASS, LARGEST_CLASS, MAX_FREE_BYTES);
const EMPTY = Buffer.alloc(0);

/** Bytes that wait for the end of the turn. An empty batch holds no memory. */
export class OutputBatch {
  private block: Buffer = EMPTY;
  /** False if `block` belongs to a lease, which decides who gets the memory next. */
  private isPooled = false;
  private used = 0;
  private from = 0;
  /** Finished pieces in order, before `block[from, used)`. */
  private pieces: Buffer[] | null = null;
  /** Full blocks of the pools. */
  private blocks: Buffer[] | null = null;
  private pieceBytes = 0;
  /** Leases of large blocks and pieces: held until the socket has written them. */
  private leases: BufferLease[] | null = null;

  /** Number of waiting bytes. */
  get byteLength(): number {
    return this.pieceBytes + this.used - this.from;
  }

  /** Makes room for the following `length` bytes, so that they are one piece if that is possible. */
  reserve(length: number): void {
    if (length <= LARGEST_BLOCK_BYTES && this.used + length > this.block.length) this.makeRoom(length);
  }

  /** Appends a copy of `source[start, end)`. */
  copy(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.used + length > this.block.length) this.makeRoom(length);
    this.used = copyBytes(source, start, end, this.block, this.used);
  }

  /** Appends the immutable bytes `source[start, end)`. Large pieces are not copied. */
  reference(source: Buffer, start: number, end: number): void {
    if (end - start < REFERENCE_BYTES) {
      this.copy(source, start, end);
      return;
    }
    this.cut();
    this.addPiece(source.subarray(start, end));
  }

  /** Appends `source[start, end)`, which is valid during the call and while `lease` is held. */
  lend(lease: BufferLease, source: Buffer, start: number, end: number): void {
    if (end - start < REFERENCE_BYTES) {
      this.copy(source, start, end);
      return;
    }
    lease.retain();
    this.leases ??= [];
    this.leases.push(lease);
    this.cut();
    this.addPiece(source.subarray(start, end));
  }

  /** Appends one byte. */
  byte(value: number): void {
    if (this.used === this.block.length) this.makeRoom(1);
    this.block[this.used++] = value;
  }

  /** Removes the last `count` bytes, which were all copied in one call. */
  unwrite(count: number): void {
    this.used -= count;
  }

  /** Appends an integer from 0 in decimal. */
  decimal(value: number): void {
    if (this.used + 16 > this.block.length) this.makeRoom(16);
    this.used = writeDecimal(value, this.block, this.used);
  }

  /**
   * Passes all bytes to `writer` in one system call, and is empty again. A lease with too many releases, noticed after
   * the write, ends the socket.
   */
  flush(writer: SocketWriter): void {
    const written = this.leases === null ? undefined : releaserOf(this.leases, writer);
    this.leases = null;
    if (this.pieces === null) {
      if (this.used === 0) return;
      writer.write(this.block.subarray(0, this.used), written);
    } else {
      this.cut();
      writer.writeAll(this.pieces, written);
    }
    // The socket still reads the unsent bytes from the blocks, so it owns them now.
    this.reset(writer.unsentBytes === 0);
  }

  /** Removes all bytes and returns them in a new buffer. */
  take(): Buffer {
    this.cut();
    const taken = Buffer.concat(this.pieces ?? []);
    const fault = this.clear();
    if (fault !== null) throw fault;
    return taken;
  }

  /** Drops the waiting bytes. Returns the error of a lease with too many releases. `null` if absent. */
  clear(): Error | null {
    const { leases } = this;
    this.leases = null;
    this.reset(true);
    return leases === null ? null : releaseAll(leases);
  }

  private reset(isFree: boolean): void {
    if (isFree) {
      if (this.isPooled) pool.giveBack(this.block);
      if (this.blocks !== null) for (const block of this.blocks) pool.giveBack(block);
    }
    this.block = EMPTY;
    this.isPooled = false;
    this.used = 0;
    this.from = 0;
    this.pieces = null;
    this.blocks = null;
    this.pieceBytes = 0;
  }

  private makeRoom(length: number): void {
    const { block, used } = this;
    // One piece is one write, two would be a writev.
    if (used + length <= LARGEST_BLOCK_BYTES && this.pieces === null && (this.isPooled || used === 0)) {
      const larger = pool.take(Math.max(used + length, Math.min(GROWTH * block.length, LARGEST_BLOCK_BYTES)));
      if (used > 0) block.copy(larger, 0, 0, used);
      if (this.isPooled) pool.giveBack(block);
      this.block = larger;
      this.isPooled = true;
      return;
    }
    this.cut();
    if (this.isPooled) {
      this.blocks ??= [];
      this.blocks.push(block);
    }
    this.isPooled = length <= LARGEST_BLOCK_BYTES;
    if (this.isPooled) {
      this.block = pool.take(Math.max(length, BLOCK_BYTES));
    } else {
      const lease = BufferLease.take(length);
      noteAllocation(length);
      this.leases ??= [];
      this.leases.push(lease);
      this.block = lease.buffer;
    }
    this.used = 0;
    this.from = 0;
  }

  /** Ends the current piece, so that another can follow. */
  private cut(): void {
    if (this.used === this.from) return;
    this.addPiece(this.block.subarray(this.from, this.used));
    this.from = this.used;
  }

  private addPiece(piece: Buffer): void {
    this.pieces ??= [];
    this.pieces.push(piece);
    this.pieceBytes += piece.length;
  }
}

/** Called when the kernel has all bytes. After an error, the socket may still read them. */
function releaserOf(leases: readonly BufferLease[], writer: SocketWriter): OnWritten {
  return (error) => {
    const fault = error ? null : releaseAll(leases);
    // The caller is Node: an exception would end the process.
    if (fault !== null) writer.destroy(fault);
  };
}

/** Returns the last error. `null` if absent. */
function releaseAll(leases: readonly BufferLease[]): Error | null {
  let fault: Error | null = null;
  for (const lease of leases) {
    try {
      lease.release();
    } catch (error) {
      fault = error as Error;
    }
  }
  return fault;
}
