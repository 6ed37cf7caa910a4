/**
 * Writes to a socket without Node's streams. A proxy's writes are small, and the kernel accepts nearly all of them
 * immediately: then a stream's queue, callbacks and next ticks are useless (docs/performance.md has their cost).
 *
 * This uses Node's `_handle` and the binding of its streams. If one of them is missing, and with TLS, the stream is
 * used. The order is always kept: while the stream has bytes, all others follow through the stream; bytes that the
 * handle could not send immediately are in libuv's queue, and the stream's bytes join that queue.
 */
import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { streamBinding, type WriteRequest } from "./stream-binding.ts";

/** Called when the kernel has all written bytes, or with the error of the write. */
export type OnWritten = (error?: Error | null) => void;

/** The part of Node's `LibuvStreamWrap` that is used. */
interface StreamHandle {
  /** 0, or libuv's negative error number. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number;
}

/**
 * For the next write that the kernel does not accept immediately. Each write must get one, but an accepted write does
 * not use it.
 */
let spare = streamBinding === null ? null : new streamBinding.WriteWrap();

/** All bytes that leave on one socket: no other code may write to it. */
export class SocketWriter {
  private readonly socket: Socket & { _handle?: (Partial<StreamHandle> & object) | null };
  private readonly isDirect: boolean;
  private readonly onDrained: () => void;
  /** Number of writes, of one or several pieces, that the stream has not completed. */
  private streamed = 0;
  /** Bytes in libuv's queue, which libuv reads. `null` if the queue is empty. */
  private queued: Buffer | null = null;

  /** `onDrained` is called when all unsent bytes have been sent. */
  constructor(socket: Socket, onDrained: () => void) {
    this.socket = socket;
    this.onDrained = onDrained;
    this.isDirect = streamBinding !== null && !("encrypted" in socket);
  }

  /** Number of bytes that the kernel has not accepted yet. */
  get unsentBytes(): number {
    const queuedBytes = this.queued === null ? 0 : this.queued.length;
    return this.streamed === 0 ? queuedBytes : queuedBytes + this.socket.writableLength;
  }

  /** Sends `bytes`, which must not change until `unsentBytes` is 0 or `onWritten` is called. */
  write(bytes: Buffer, onWritten?: OnWritten): void {
    const handle = this.socket._handle;
    const isQueue = this.streamed > 0 || this.queued !== null;
    if (!this.isDirect || isQueue || handle === null || handle?.writeBuffer === undefined) {
      this.stream(bytes, onWritten);
      return;
    }
    const { streamBaseState, kLastWriteWasAsync, WriteWrap } = streamBinding!;
    const request = spare!;
    const errno = handle.writeBuffer(request, bytes);
    if (errno !== 0) {
      this.fail(errno, onWritten);
    } else if (streamBaseState[kLastWriteWasAsync] === 0) {
      onWritten?.();
    } else {
      spare = new WriteWrap();
      this.queue(request, bytes, onWritten);
    }
  }

  /** Sends several pieces in one system call. */
  writeAll(pieces: readonly Buffer[], onWritten?: OnWritten): void {
    const last = pieces.length - 1;
    if (last === 0) {
      this.write(pieces[0]!, onWritten);
      return;
    }
    this.socket.cork();
    // When the last piece is complete, all are.
    for (let i = 0; i < last; i++) this.socket.write(pieces[i]!);
    this.stream(pieces[last]!, onWritten);
    this.socket.uncork();
  }

  /** Ends the socket with `fault` as its error. */
  destroy(fault: Error): void {
    this.socket.destroy(fault);
  }

  private queue(request: WriteRequest, bytes: Buffer, onWritten: OnWritten | undefined): void {
    this.queued = bytes;
    request.oncomplete = (status) => {
      this.queued = null;
      if (status < 0) this.fail(status, onWritten);
      else this.sent(onWritten);
    };
  }

  private stream(bytes: Buffer, onWritten?: OnWritten): void {
    this.streamed++;
    this.socket.write(bytes, (error) => {
      this.streamed--;
      if (error) onWritten?.(error);
      else this.sent(onWritten);
    });
  }

  private sent(onWritten: OnWritten | undefined): void {
    onWritten?.();
    if (this.unsentBytes === 0) this.onDrained();
  }

  private fail(errno: number, onWritten: OnWritten | undefined): void {
    const code = getSystemErrorName(errno);
    const error = Object.assign(new Error(`write ${code}`), { code, errno, syscall: "write" });
    onWritten?.(error);
    // A closed socket emits no further events.
    this.socket.destroy(error);
  }
}
