/** Addresses of clients. */
import type { Socket } from "node:net";

/** IP address of a client's socket; IPv4 in its own form. `null` for a Unix socket. */
export function ipOf({ remoteAddress }: Socket): string | null {
  return remoteAddress?.replace(/^::ffff:(?=\d+\.)/i, "") ?? null;
}

/** Address of a client's socket, as in `ClientConnection.peer`. */
export function peerOf({ remoteAddress, remotePort }: Socket): string {
  if (remoteAddress === undefined) return "unix";
  return remoteAddress.includes(":") ? `tcp6:[${remoteAddress}]:${remotePort}` : `tcp:${remoteAddress}:${remotePort}`;
}
