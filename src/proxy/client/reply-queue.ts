/**
 * A client's requests in the order of its commands, and the replies that arrived before those of earlier commands.
 *
 *     head ─► request ─► request (held) ─► request ─► tail
 *       └ its reply is written immediately; replies to later requests are held until it is their turn
 *
 * A held reply is kept with its request. Small replies are copied one after another into a block, which is reused from
 * its start when no reply is held.
 */
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import { copyBytes } from "../wire/ascii.ts";
import { answerTo, joinBlocks } from "../wire/classic-writer.ts";
import type { OutputBatch } from "../wire/output-batch.ts";

const BLOCK_BYTES = 8 * 1024;
const EMPTY = Buffer.alloc(0);

export class ReplyQueue {
  /** The request whose reply is written next. `null` if none is awaited. */
  head: Request | null = null;
  /** Size of all held replies. */
  heldBytes = 0;
  private tail: Request | null = null;
  private block = EMPTY;
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
    if (answer === null || answer.isKept) {
      request.held = answer === null ? joinBlocks(request.keys!, true) : answer.chunk;
      request.heldStart = answer === null ? 0 : answer.start;
      request.heldEnd = answer === null ? request.held.length : answer.end;
    } else {
      const length = answer.end - answer.start;
      if (this.used + length > this.block.length) {
        this.block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, length));
        this.used = 0;
      }
      request.held = this.block;
      request.heldStart = this.used;
      this.used = copyBytes(answer.chunk, answer.start, answer.end, this.block, this.used);
      request.heldEnd = this.used;
    }
    const length = request.heldEnd - request.heldStart;
    this.heldBytes += length;
    return length;
  }

  /** Forgets all requests: the client has disconnected. */
  clear(): void {
    this.block = EMPTY;
    this.head = null;
    this.tail = null;
  }

  /** Writes the held replies at the front, up to the first request in flight. */
  private release(batch: OutputBatch): void {
    let request = this.head;
    while (request !== null && request.held !== null) {
      if (request.held === this.block) batch.copy(request.held, request.heldStart, request.heldEnd);
      else batch.reference(request.held, request.heldStart, request.heldEnd);
      this.heldBytes -= request.heldEnd - request.heldStart;
      request = request.nextOfClient;
    }
    if (this.heldBytes === 0) this.used = 0;
    this.head = request;
    if (request === null) this.tail = null;
  }
}
