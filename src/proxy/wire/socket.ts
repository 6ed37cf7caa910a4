/**
 * Sockets that read into one buffer shared by all of them, instead of a new buffer for every read: what is read is
 * handled before the next read begins, so one is enough, and reading stops being a source of garbage.
 *
 * Node offers this (`onread`) for sockets that connect out. For accepted ones the handle of a paused socket is moved to
 * a new socket that has it. That step leans on Node's `_handle`; where it is not there, and under TLS, plain 'data'
 * events serve.
 */
import net from "node:net";
import tls from "node:tls";
import type { Address, TlsConfig } from "../../config/config.ts";
import { names } from "../../name-cache.ts";
import { isPoisoning } from "./poisoning.ts";
import { streamBinding } from "./stream-binding.ts";

/** Whom a socket's bytes are for. */
export interface BytesReader {
  /** Called with each read; `chunk[0, length)` is overwritten when it returns. */
  read(chunk: Buffer, length: number): void;
}

const READ_BYTES = 256 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** How a name is looked up, and how long each of its addresses but the last is tried. */
const byName = { lookup: names.lookup, autoSelectFamily: true, autoSelectFamilyAttemptTimeout: 50 } as const;

/** Where the next read goes; null: into the buffer that all share. Asked after each read was handled. */
export type NextRoom = () => Buffer | null;

/** The part of Node's `LibuvStreamWrap` that is used. */
interface ReadableHandle {
  /** Called with each read, whose length or error stands in the binding's state; returns the next buffer, if another. */
  onread?: (this: unknown, unused: unknown) => unknown;
}

/** What one socket reads, and where to. */
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

  /** Has reads come here without a way round through Node's stream, which still learns of ends and errors. */
  shorten({ _handle: handle }: net.Socket & { _handle?: ReadableHandle | null }): void {
    const node = handle?.onread;
    if (streamBinding === null || typeof node !== "function") return;
    const { streamBaseState, kReadBytesOrError } = streamBinding;
    const { reader, onFault } = this;
    // Of a thousand connections nothing is in the cache any more: the fewer objects there are on the way the better.
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

  /** Undefined: the same again. */
  private nextBuffer(): Buffer | undefined {
    // Before the first read of a handle nothing may be left unsaid: a handle that has no buffer reads into one of its own,
    // and we would be told of bytes in ours. A name with several addresses has a handle for each that is tried.
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
    // A fault of ours ends the connection it showed itself on, and nobody else's.
    onFault(error as Error);
  }
  if (isPoisoning && chunk === readBuffer) readBuffer.fill(0xff, 0, length);
}

/**
 * Connects to `address`, with TLS where `secure` is given; bytes that come are handed to `reader`, `onReady` is called
 * when the first may be sent; without TLS reads go where `nextRoom` says. The caller listens for the other events. Where
 * `reader` throws, the socket is destroyed with that error.
 */
export function connectSocket(
  address: Address,
  secure: TlsConfig | null,
  reader: BytesReader,
  onReady: () => void,
  nextRoom: NextRoom,
): net.Socket {
  const reading = new Reading(reader, (error) => socket.destroy(error), nextRoom);
  const where =
    address.type === "unix"
      ? { path: address.path }
      : { host: address.host, port: address.port, noDelay: true, ...byName };
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

function secureOptions({ cert, key, ca, serverName }: TlsConfig, address: Address): tls.ConnectionOptions {
  const host = address.type === "tcp" ? address.host : "localhost";
  const name = serverName ?? host;
  return {
    ...(cert !== null && { cert }),
    ...(key !== null && { key }),
    ...(ca !== null && { ca }),
    // No name is sent for an address (RFC 6066, section 3), but the certificate must have it.
    ...(net.isIP(name) === 0 && { servername: name }),
    checkServerIdentity: (_host, certificate) => tls.checkServerIdentity(name, certificate),
  };
}

/**
 * Turns a socket from a server with `pauseOnConnect` and `allowHalfOpen`, or from a TLS server, into one that reads. The
 * socket returned takes the place of the one given.
 */
export function adoptSocket(accepted: net.Socket, reader: BytesReader): net.Socket {
  if (accepted instanceof tls.TLSSocket) return readByEvents(accepted, reader);
  const bare = accepted as net.Socket & { _handle?: { reading?: boolean } | null };
  const handle = bare._handle;
  if (handle === undefined || handle === null || !canAdopt) return readByEvents(accepted, reader);
  // From here on the accepted socket owns nothing: it never sees its handle's events and is left to the collector.
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

/** True when this Node's sockets keep their handle where `adoptSocket` looks for it. */
const canAdopt = "_handle" in new net.Socket();
