/**
 * What one connection has to send in this turn. Small pieces are copied into blocks that all connections share through
 * a pool; large values that nobody will overwrite go out by reference. One flush is one system call: a single block is
 * one write, several pieces are one writev.
 */

import { noteAllocation } from "./allocations.ts";
import { copyBytes, writeDecimal } from "./ascii.ts";
import { BufferLease } from "./buffer-lease.ts";
import type { OnWritten, SocketWriter } from "./socket-writer.ts";

/** The first block of a batch, enough for most answers: a thousand clients answered in one turn fit into the cache. */
const FIRST_BLOCK_BYTES = 1024;
const BLOCK_BYTES = 16 * 1024;
/** From here on a value that may be kept is sent from where it is instead of being copied. */
const REFERENCE_BYTES = 8 * 1024;
/** Bytes of blocks kept for the next turn, of each size; more of them after a burst are left to the garbage collector. */
const POOLED_BYTES = 4 * 1024 * 1024;

const firstBlocks: Buffer[] = [];
const blocks: Buffer[] = [];
const EMPTY = Buffer.alloc(0);

/** A block of a pooled size that holds `length`. */
function takeBlock(length: number, isFirst: boolean): Buffer {
  if (isFirst && length <= FIRST_BLOCK_BYTES) return firstBlocks.pop() ?? Buffer.allocUnsafeSlow(FIRST_BLOCK_BYTES);
  return blocks.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
}

function giveBack(block: Buffer): void {
  const pool = block.length === FIRST_BLOCK_BYTES ? firstBlocks : block.length === BLOCK_BYTES ? blocks : null;
  if (pool !== null && pool.length * block.length < POOLED_BYTES) pool.push(block);
}

/** Bytes waiting for the end of the turn. Holds no memory while empty. */
export class OutputBatch {
  private block: Buffer = EMPTY;
  private used = 0;
  private from = 0;
  /** Finished pieces, in order, before `block[from, used)`. */
  private pieces: Buffer[] | null = null;
  private blocks: Buffer[] | null = null;
  private pieceBytes = 0;
  /** Of large blocks and pieces: held until the socket has written them. */
  private leases: BufferLease[] | null = null;

  /** Bytes waiting. */
  get byteLength(): number {
    return this.pieceBytes + this.used - this.from;
  }

  /** Appends a copy of `source[start, end)`. */
  copy(source: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.used + length > this.block.length) this.makeRoom(length);
    this.used = copyBytes(source, start, end, this.block, this.used);
  }

  /** Appends `source[start, end)`, which nobody will change any more: large pieces are not copied. */
  reference(source: Buffer, start: number, end: number): void {
    if (end - start < REFERENCE_BYTES) {
      this.copy(source, start, end);
      return;
    }
    this.cut();
    this.addPiece(source.subarray(start, end));
  }

  /** Appends `source[start, end)`, which is good while it is called, and as long as `lease` is held. */
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

  /** Takes back the last `count` bytes, which were all copied in one call. */
  unwrite(count: number): void {
    this.used -= count;
  }

  /** Appends a whole number of 0 and more in decimal. */
  decimal(value: number): void {
    if (this.used + 16 > this.block.length) this.makeRoom(16);
    this.used = writeDecimal(value, this.block, this.used);
  }

  /**
   * Hands everything to `writer` in one system call and is empty again. A lease that is not in order when all is written
   * ends the socket.
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
    // What the kernel did not take at once is still read from the blocks, so they are the socket's now.
    this.reset(writer.unsentBytes === 0);
  }

  /** Takes out everything as one buffer of its own. */
  take(): Buffer {
    this.cut();
    const taken = Buffer.concat(this.pieces ?? []);
    const fault = this.clear();
    if (fault !== null) throw fault;
    return taken;
  }

  /** Drops what waits. Returns the fault of a lease that was not in order, null where all were. */
  clear(): Error | null {
    const { leases } = this;
    this.leases = null;
    this.reset(true);
    return leases === null ? null : releaseAll(leases);
  }

  private reset(isFree: boolean): void {
    if (isFree) {
      giveBack(this.block);
      if (this.blocks !== null) for (const block of this.blocks) giveBack(block);
    }
    this.block = EMPTY;
    this.used = 0;
    this.from = 0;
    this.pieces = null;
    this.blocks = null;
    this.pieceBytes = 0;
  }

  private makeRoom(length: number): void {
    // A small block that overflows is copied into a large one: one piece is one write, two would be a writev.
    if (this.block.length === FIRST_BLOCK_BYTES && this.pieces === null && this.used + length <= BLOCK_BYTES) {
      const small = this.block;
      this.block = takeBlock(BLOCK_BYTES, false);
      small.copy(this.block, 0, 0, this.used);
      giveBack(small);
      return;
    }
    this.cut();
    if (this.block.length > 0) {
      this.blocks ??= [];
      this.blocks.push(this.block);
    }
    if (length <= BLOCK_BYTES) {
      this.block = takeBlock(length, this.block.length === 0);
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

  /** Ends the piece that is being filled, so that another can follow it. */
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

/** Called when all was handed to the kernel. After an error nobody knows whether the socket still reads them. */
function releaserOf(leases: readonly BufferLease[], writer: SocketWriter): OnWritten {
  return (error) => {
    const fault = error ? null : releaseAll(leases);
    // Nobody stands above this but Node: what is thrown here would end the process.
    if (fault !== null) writer.destroy(fault);
  };
}

/** Returns the last fault, null where all were in order. */
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
