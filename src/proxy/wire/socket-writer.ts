/**
 * Writes to a socket past Node's streams. A proxy's writes are small and the kernel takes nearly all of them at once: a
 * stream's queue, its callbacks and its next ticks are for nothing then (docs/performance.md has what they cost).
 *
 * This leans on Node's `_handle` and on the binding that its own streams write through. Where one of them is missing, and
 * under TLS, the stream serves. The order is kept whichever way bytes go: while the stream has some, all go after them
 * through the stream; what the handle could not send at once stands in libuv's queue, which what the stream sends joins.
 */
import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";
import { streamBinding, type WriteRequest } from "./stream-binding.ts";

/** Called when the kernel has all of what was written, or with the error that ended it. */
export type OnWritten = (error?: Error | null) => void;

/** The part of Node's `LibuvStreamWrap` that is used. */
interface StreamHandle {
  /** 0, or libuv's negative error number. */
  writeBuffer(request: WriteRequest, bytes: Buffer): number;
}

/** For the next write that the kernel does not take at once: one that it takes needs none, but must be given one. */
let spare = streamBinding === null ? null : new streamBinding.WriteWrap();

/** The bytes that go out on one socket, all of them: nobody else may write to it. */
export class SocketWriter {
  private readonly socket: Socket & { _handle?: (Partial<StreamHandle> & object) | null };
  private readonly isDirect: boolean;
  private readonly onDrained: () => void;
  /** Writes, of one piece or of several, that the stream has not reported as done. */
  private streamed = 0;
  /** What libuv has in its queue and reads from; null: nothing. */
  private queued: Buffer | null = null;

  /** `onDrained` is called when bytes were unsent and none are any more. */
  constructor(socket: Socket, onDrained: () => void) {
    this.socket = socket;
    this.onDrained = onDrained;
    this.isDirect = streamBinding !== null && !("encrypted" in socket);
  }

  /** Bytes that the kernel has not taken yet. */
  get unsentBytes(): number {
    const queuedBytes = this.queued === null ? 0 : this.queued.length;
    return this.streamed === 0 ? queuedBytes : queuedBytes + this.socket.writableLength;
  }

  /** Sends `bytes`, which must stay as they are until `unsentBytes` is 0 or `onWritten` is called. */
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

  /** Sends several in one system call. */
  writeAll(pieces: readonly Buffer[], onWritten?: OnWritten): void {
    const last = pieces.length - 1;
    if (last === 0) {
      this.write(pieces[0]!, onWritten);
      return;
    }
    this.socket.cork();
    // When the last is reported as done, so are they all.
    for (let i = 0; i < last; i++) this.socket.write(pieces[i]!);
    this.stream(pieces[last]!, onWritten);
    this.socket.uncork();
  }

  /** Ends the socket, which tells of `fault` as its error. */
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
    // A socket that was closed says no more of itself.
    this.socket.destroy(error);
  }
}
