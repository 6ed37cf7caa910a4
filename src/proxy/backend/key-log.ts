/**
 * Copies of the keys of the requests in flight: they verify replies after the client's chunk is gone. The keys of a block
 * are contiguous (docs/decisions/0002-keys-are-checked-against-a-key-log.md). A full block stays alive for the requests
 * that point into it.
 */
import { isMeta, type Request } from "../request.ts";
import { CR, copyBytes, LF } from "../wire/ascii.ts";
import { isPoisoning } from "../wire/poisoning.ts";

const BLOCK_BYTES = 16 * 1024;
const CRLF_BYTES = 2;
const EMPTY = Buffer.alloc(0);

export class KeyLog {
  private block = EMPTY;
  private used = 0;

  /** Moves the key of `request` to the log; for a meta command, its line, which contains the key. */
  keep(request: Request): void {
    const isLine = isMeta(request.operation);
    const start = isLine ? request.frameStart : request.keyStart;
    const length = (isLine ? request.lineEnd : request.keyEnd) - start;
    if (this.used + length + CRLF_BYTES > this.block.length) {
      this.block = Buffer.allocUnsafeSlow(Math.max(BLOCK_BYTES, length + CRLF_BYTES));
      this.used = 0;
    }
    const at = this.used;
    this.used = copyBytes(request.chunk, start, start + length, this.block, at);
    request.chunk = this.block;
    request.keyStart += at - start;
    request.keyEnd += at - start;
    if (isLine) {
      request.frameStart = at;
      request.lineEnd = this.used;
      this.block[this.used++] = CR;
      this.block[this.used++] = LF;
      request.dataStart = this.used;
      request.frameEnd = this.used;
    } else {
      request.forgetFrame();
    }
  }

  /** Reuses the block from its start. Call only while no request is in flight. */
  recycle(): void {
    if (this.used === 0) return;
    if (isPoisoning) this.block.fill(0xff, 0, this.used);
    this.used = 0;
  }

  /** Leaves the block to the requests that point into it, and starts a new one. */
  leave(): void {
    this.block = EMPTY;
    this.used = 0;
  }
}
