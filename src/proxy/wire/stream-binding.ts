/**
 * The internal binding of Node's sockets, for code that reads and writes without streams (socket.ts, socket-writer.ts).
 * It is not a public interface: if a part of it is missing, it is `null`, and streams are used.
 */

/** A write that the kernel does not accept immediately. */
export interface WriteRequest {
  /** Called when libuv has sent it. A negative status is an error number. */
  oncomplete: ((status: number) => void) | null;
}

/** Node's `stream_wrap`. The state has the result of the last call of a handle; all handles share it. */
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
    // A user of --pending-deprecation cannot act on this call, and --throw-deprecation would end the process.
    Reflect.set(process, "noDeprecation", true);
    // Throws if Node runs with --permission.
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
