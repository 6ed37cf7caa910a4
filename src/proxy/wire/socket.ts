/**
 * Sockets that read into one shared buffer instead of a new buffer for each read: a read is handled before the next one
 * begins, so one buffer is enough, and reads create no garbage.
 *
 * Node supports this (`onread`) for outgoing sockets. For accepted ones, the handle of a paused socket is moved to a
 * new socket with `onread`. That step uses Node's `_handle`; if it is missing, and with TLS, plain 'data' events are
 * used.
 */
import net from "node:net";
import tls from "node:tls";
import type { Address, TlsConfig } from "../../config/config.ts";
import { names } from "../../name-cache.ts";
import { isPoisoning } from "./poisoning.ts";
import { streamBinding } from "./stream-binding.ts";

/** Receives a socket's bytes. */
export interface BytesReader {
  /** Called with each read. `chunk[0, length)` is overwritten after the call. */
  read(chunk: Buffer, length: number): void;
}

const READ_BYTES = 256 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** Maximum time for each address of a name except the last (ms). */
const LAST_ATTEMPT_MS = 50;
/** Minimum that Node accepts. */
const FIRST_ATTEMPT_MS = 10;

/** Lookup of a name. All of its addresses are tried within the timeout. */
function byName(host: string, timeoutMs: number) {
  const share = Math.floor(timeoutMs / names.countOf(host));
  const attemptMs = Math.min(LAST_ATTEMPT_MS, Math.max(FIRST_ATTEMPT_MS, share));
  return { lookup: names.lookup, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: attemptMs };
}

/** Buffer for the next read. `null` for the shared buffer. Called after each handled read. */
export type NextRoom = () => Buffer | null;

/** The part of Node's `LibuvStreamWrap` that is used. */
interface ReadableHandle {
  /** Called with each read; the binding's state has its length or error. Returns the next buffer, if it changes. */
  onread?: (this: unknown, unused: unknown) => unknown;
}

/** The reads of one socket. */
class Reading {
  /** For Node, which asks for a buffer before the first read of each handle, and after each read. */
  readonly options: net.OnReadOpts;
  private readonly reader: BytesReader;
  private readonly onFault: (error: Error) => void;
  private readonly nextRoom: NextRoom | null;
  private room: Buffer = readBuffer;
  private hasRead = false;

  constructor(reader: BytesReader, onFault: (error: Error) => void, nextRoom: NextRoom | null) {
    this.reader = reader;
    this.onFault = onFault;
    this.nextRoom = nextRoom;
    this.options = {
      buffer: nextRoom === null ? readBuffer : () => this.nextBuffer() as Buffer,
      callback: (length, chunk) => {
        this.hasRead = true;
        deliver(reader, onFault, chunk as Buffer, length);
        return true;
      },
    };
  }

  /** Receives reads directly, without Node's stream, which still handles ends and errors. */
  shorten({ _handle: handle }: net.Socket & { _handle?: ReadableHandle | null }): void {
    const node = handle?.onread;
    if (streamBinding === null || typeof node !== "function") return;
    const { streamBaseState, kReadBytesOrError } = streamBinding;
    const { reader, onFault } = this;
    // With a thousand connections nothing stays in the CPU cache: fewer objects per read are faster.
    const take = (unused: unknown) => {
      const length = streamBaseState[kReadBytesOrError]!;
      if (length > 0) deliver(reader, onFault, readBuffer, length);
      else node.call(handle, unused);
    };
    const takeWhereItIs = (unused: unknown) => {
      const length = streamBaseState[kReadBytesOrError]!;
      if (length <= 0) return node.call(handle, unused);
      this.hasRead = true;
      deliver(reader, onFault, this.room, length);
      return this.nextBuffer();
    };
    handle!.onread = this.nextRoom === null ? take : takeWhereItIs;
  }

  /** `undefined` keeps the buffer. */
  private nextBuffer(): Buffer | undefined {
    // Before the first read of a handle, always return a buffer: a handle without one reads into a private buffer,
    // but the reported bytes would be in the shared one. A name with several addresses has one handle per attempted
    // address.
    const isFirst = !this.hasRead;
    this.hasRead = false;
    const room = (isFirst ? null : this.nextRoom!()) ?? readBuffer;
    if (!isFirst && room === readBuffer && this.room === readBuffer) return undefined;
    this.room = room;
    return room;
  }
}

function deliver(reader: BytesReader, onFault: (error: Error) => void, chunk: Buffer, length: number): void {
  try {
    reader.read(chunk, length);
  } catch (error) {
    // A fault in Platypus only ends the connection on which it occurs.
    onFault(error as Error);
  }
  if (isPoisoning && chunk === readBuffer) readBuffer.fill(0xff, 0, length);
}

/**
 * Connects to `address`, with TLS if `secure` is given. `reader` receives the bytes; `onReady` is called when bytes can
 * be sent; without TLS, reads use the buffer of `nextRoom`. The caller handles the other events. If `reader` throws,
 * the socket is destroyed with that error. The caller closes the socket after `timeoutMs` without a connection.
 */
export function connectSocket(
  address: Address,
  timeoutMs: number,
  secure: TlsConfig | null,
  reader: BytesReader,
  onReady: () => void,
  nextRoom: NextRoom,
): net.Socket {
  const reading = new Reading(reader, (error) => socket.destroy(error), nextRoom);
  const where =
    address.type === "unix"
      ? { path: address.path }
      : { host: address.host, port: address.port, noDelay: true, ...byName(address.host, timeoutMs) };
  let socket: net.Socket;
  if (secure === null) {
    socket = net.connect({ ...where, onread: reading.options });
    socket.once("connect", () => {
      reading.shorten(socket);
      onReady();
    });
  } else {
    const options = { ...where, onread: reading.options, ...secureOptions(secure, address) };
    socket = tls.connect(options);
    socket.once("secureConnect", onReady);
  }
  return socket;
}

export function secureOptions({ cert, key, ca, serverName }: TlsConfig, address: Address): tls.ConnectionOptions {
  const host = address.type === "tcp" ? address.host : "localhost";
  const name = serverName ?? host;
  return {
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
    ...(ca !== null && { ca }),
    // No server name is sent for an address (RFC 6066, section 3), but the certificate must contain it.
    ...(net.isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
  };
}

/**
 * Turns a socket from a server with `pauseOnConnect` and `allowHalfOpen`, or from a TLS server, into one that reads.
 * The returned socket replaces the given one.
 */
export function adoptSocket(accepted: net.Socket, reader: BytesReader): net.Socket {
  if (accepted instanceof tls.TLSSocket) return readByEvents(accepted, reader);
  const bare = accepted as net.Socket & { _handle?: { reading?: boolean } | null };
  const handle = bare._handle;
  if (handle === undefined || handle === null || !canAdopt) return readByEvents(accepted, reader);
  // From here on the accepted socket owns nothing: it gets no events of its handle, and the garbage collector frees it.
  bare._handle = null;
  const reading = new Reading(reader, (error) => socket.destroy(error), null);
  const options = { handle, allowHalfOpen: true, onread: reading.options } as net.SocketConstructorOpts;
  const socket = new net.Socket(options);
  reading.shorten(socket);
  socket.setNoDelay(true);
  return socket;
}

function readByEvents(socket: net.Socket, reader: BytesReader): net.Socket {
  socket.on("data", (chunk: Buffer) => {
    try {
      reader.read(chunk, chunk.length);
    } catch (error) {
      socket.destroy(error as Error);
    }
  });
  socket.setNoDelay(true);
  socket.resume();
  return socket;
}

/** True if Node's sockets have their handle where `adoptSocket` looks for it. */
const canAdopt = "_handle" in new net.Socket();
