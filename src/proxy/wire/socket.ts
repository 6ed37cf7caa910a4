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
import { isPoisoning } from "./poisoning.ts";

/** Called with each read; `chunk[0, length)` is overwritten when it returns. */
export type OnBytes = (chunk: Buffer, length: number) => void;

const READ_BYTES = 256 * 1024;
const readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);

/** Where the next read goes; null: into the buffer that all share. Asked after each read was handled. */
export type NextRoom = () => Buffer | null;

function onread(onBytes: OnBytes, onFault: (error: Error) => void, nextRoom: NextRoom | null): net.OnReadOpts {
  let isShared = false;
  let hasRead = false;
  // Node asks before the first read of each handle and after each read. Only after one does nothing mean the same again:
  // a handle that has no buffer reads into one of its own, and we would be told of bytes in ours. A name with several
  // addresses has a handle for each that is tried.
  const buffer = () => {
    const isFirst = !hasRead;
    hasRead = false;
    const room = isFirst ? null : nextRoom!();
    if (!isFirst && isShared && room === null) return undefined as never;
    isShared = room === null;
    return room ?? readBuffer;
  };
  return {
    buffer: nextRoom === null ? readBuffer : buffer,
    callback: (length, chunk) => {
      hasRead = true;
      try {
        onBytes(chunk as Buffer, length);
      } catch (error) {
        // A fault of ours ends the connection it showed itself on, and nobody else's.
        onFault(error as Error);
      }
      if (isPoisoning && chunk === readBuffer) readBuffer.fill(0xff, 0, length);
      return true;
    },
  };
}

/**
 * Connects to `address`, with TLS where `secure` is given; bytes that come are handed to `onBytes`, `onReady` is called
 * when the first may be sent; without TLS reads go where `nextRoom` says. The caller listens for the other events. Where `onBytes` throws, the socket is destroyed
 * with that error.
 */
export function connectSocket(
  address: Address,
  secure: TlsConfig | null,
  onBytes: OnBytes,
  onReady: () => void,
  nextRoom: NextRoom,
): net.Socket {
  const reading = { onread: onread(onBytes, (error) => socket.destroy(error), nextRoom) };
  const where =
    address.type === "unix" ? { path: address.path } : { host: address.host, port: address.port, noDelay: true };
  let socket: net.Socket;
  if (secure === null) {
    socket = net.connect({ ...where, ...reading });
    socket.once("connect", onReady);
  } else {
    socket = tls.connect({ ...where, ...reading, ...secureOptions(secure, address) });
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
export function adoptSocket(accepted: net.Socket, onBytes: OnBytes): net.Socket {
  if (accepted instanceof tls.TLSSocket) return readByEvents(accepted, onBytes);
  const bare = accepted as net.Socket & { _handle?: { reading?: boolean } | null };
  const handle = bare._handle;
  if (handle === undefined || handle === null || !canAdopt) return readByEvents(accepted, onBytes);
  // From here on the accepted socket owns nothing: it never sees its handle's events and is left to the collector.
  bare._handle = null;
  const reading = onread(onBytes, (error) => socket.destroy(error), null);
  const socket = new net.Socket({ handle, allowHalfOpen: true, onread: reading } as net.SocketConstructorOpts);
  socket.setNoDelay(true);
  return socket;
}

function readByEvents(socket: net.Socket, onBytes: OnBytes): net.Socket {
  socket.on("data", (chunk: Buffer) => {
    try {
      onBytes(chunk, chunk.length);
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
