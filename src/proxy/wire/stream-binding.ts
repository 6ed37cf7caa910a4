/**
 * What Node's own sockets are made with, for those who read and write past its streams (socket.ts, socket-writer.ts). It
 * is no public interface: where a part of it is missing there is none of it, and the streams serve.
 */

/** Of a write that the kernel does not take at once. */
export interface WriteRequest {
  /** Called when libuv has sent it; a negative status is an error number. */
  oncomplete: ((status: number) => void) | null;
}

/** Node's `stream_wrap`. The state says how the last call of a handle went: there is one for all. */
interface StreamBinding {
  readonly WriteWrap: new () => WriteRequest;
  readonly streamBaseState: ArrayLike<number>;
  /** Indexes into the state. */
  readonly kReadBytesOrError: number;
  readonly kLastWriteWasAsync: number;
}

export const streamBinding = find();

function find(): StreamBinding | null {
  const { noDeprecation } = process;
  try {
    // Whoever asks for --pending-deprecation can do nothing about this call, and --throw-deprecation would end the process.
    Reflect.set(process, "noDeprecation", true);
    // Throws where Node runs with --permission.
    const found = (process as unknown as { binding(name: string): Partial<StreamBinding> }).binding("stream_wrap");
    const { WriteWrap, streamBaseState, kReadBytesOrError, kLastWriteWasAsync } = found;
    const indexes = [kReadBytesOrError, kLastWriteWasAsync];
    const isWhole =
      typeof WriteWrap === "function" && indexes.every((index) => typeof streamBaseState?.[index ?? -1] === "number");
    return isWhole ? (found as StreamBinding) : null;
  } catch {
    return null;
  } finally {
    Reflect.set(process, "noDeprecation", noDeprecation);
  }
}
