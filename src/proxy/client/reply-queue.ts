/**
 * A client's requests in the order of its commands, and the replies that arrived before those of earlier commands.
 *
 *     head ─► request ─► request (held) ─► request ─► tail
 *       └ its reply is written immediately; replies to later requests are held until it is their turn
 *
 * A held reply is kept with its request. Replies are copied one after another into leased blocks. A block is free again
 * when its last reply has been written.
 */
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import { copyBytes } from "../wire/ascii.ts";
import { BufferLease } from "../wire/buffer-lease.ts";
import { answerTo, blocksBytes, copyBlocks } from "../wire/classic-writer.ts";
import type { OutputBatch } from "../wire/output-batch.ts";

const BLOCK_BYTES = 8 * 1024;
/** A reply that is longer than this is kept in its own block. */
const LONG_BYTES = BLOCK_BYTES / 2;

export class ReplyQueue {
  /** The request whose reply is written next. `null` if none is awaited. */
  head: Request | null = null;
  /** Size of all held replies. */
  heldBytes = 0;
  private tail: Request | null = null;
  /** The block of the next reply. `null` if it is full, or if no reply is held. */
  private block: BufferLease | null = null;
  private used = 0;

  append(request: Request): void {
    if (this.tail === null) this.head = request;
    else this.tail.nextOfClient = request;
    this.tail = request;
  }

  /** The reply to the head `request` has been written: writes the held replies after it to `batch`. */
  shift(request: Request, batch: OutputBatch): void {
    this.head = request.nextOfClient;
    if (this.head === null) this.tail = null;
    else if (this.head.held !== null) this.release(batch);
  }

  /** Keeps the reply to a request other than the head. Returns its size in bytes. */
  hold(request: Request, reply: Reply): number {
    const answer = answerTo(request, reply);
    // A small reply is copied: it would keep the large buffer of a whole read in memory.
    const lease = answer !== null && answer.end - answer.start > LONG_BYTES ? answer.lease : null;
    if (answer !== null && (answer.isKept || lease !== null)) {
      if (!answer.isKept) {
        lease!.retain();
        request.heldLease = lease;
      }
      request.held = answer.chunk;
      request.heldStart = answer.start;
      request.heldEnd = answer.end;
    } else {
      // Gathered blocks are followed by END, the bytes of their reply.
      const { chunk, start: from, end } = answer ?? reply;
      const keyBytes = answer === null ? blocksBytes(request.keys!) : 0;
      const length = keyBytes + end - from;
      const start = this.place(request, length);
      if (keyBytes > 0) copyBlocks(request.keys!, request.held!, start);
      copyBytes(chunk, from, end, request.held!, start + keyBytes);
      request.heldStart = start;
      request.heldEnd = start + length;
    }
    const length = request.heldEnd - request.heldStart;
    this.heldBytes += length;
    return length;
  }

  /** Gives `request` a lease with room for `length` bytes. Returns the position of the room. */
  private place(request: Request, length: number): number {
    if (length > LONG_BYTES) {
      request.heldLease = BufferLease.take(length);
      request.held = request.heldLease.buffer;
      return 0;
    }
    if (this.block === null || this.used + length > BLOCK_BYTES) {
      this.block?.release();
      this.block = BufferLease.take(BLOCK_BYTES);
      this.used = 0;
    }
    this.block.retain();
    request.heldLease = this.block;
    request.held = this.block.buffer;
    this.used += length;
    return this.used - length;
  }

  /** Forgets all requests: the client has disconnected. */
  clear(): void {
    this.block = null;
    this.head = null;
    this.tail = null;
  }

  /** Writes the held replies at the front, up to the first request in flight. */
  private release(batch: OutputBatch): void {
    let request = this.head;
    while (request !== null && request.held !== null) {
      const { held, heldStart, heldEnd, heldLease } = request;
      this.heldBytes -= heldEnd - heldStart;
      if (heldLease === null) {
        batch.reference(held, heldStart, heldEnd);
      } else {
        request.held = null;
        request.heldLease = null;
        batch.lend(heldLease, held, heldStart, heldEnd);
        heldLease.release();
      }
      request = request.nextOfClient;
    }
    if (this.heldBytes === 0 && this.block !== null) {
      this.block.release();
      this.block = null;
    }
    this.head = request;
    if (request === null) this.tail = null;
  }
}
