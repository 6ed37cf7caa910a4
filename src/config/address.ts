/** Addresses as they stand in a configuration, and which of them are the same place. */

import { isIPv6 } from "node:net";
import { resolve } from "node:path";
import { type Address, addressText, type ListenAddress } from "./config.ts";

/** memcached's port, where an address leaves it out. */
export const defaultPort = 11_211;

const tcpPattern = /^(?:\[([^\]]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/;

/**
 * Reads `host:port`, `host`, `[ipv6]:port`, one of these behind `tls:`, or `unix:PATH`; relative paths are taken from
 * `folder`. Port 0 is read (a listener takes any free one). Null: no address.
 */
export function parseAddress(text: string, folder: string): Address | null {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path === "" ? null : { type: "unix", path: resolve(folder, path) };
  }
  const isTls = text.startsWith("tls:");
  const parts = tcpPattern.exec(isTls ? text.slice("tls:".length) : text);
  if (parts === null) return null;
  const [, bracketed, name, digits] = parts;
  if (bracketed !== undefined && !isIPv6(bracketed)) return null;
  const port = digits === undefined ? defaultPort : Number(digits);
  return port > 65_535 ? null : { type: "tcp", host: bracketed ?? name!, port, isTls };
}

/** Whether connecting to `address` would reach a listener on `listen`, as far as names tell. */
export function reachesListener(address: Address, listen: ListenAddress): boolean {
  if (listen.type === "fd") return false;
  if (address.type === "unix" || listen.type === "unix") return addressText(address) === addressText(listen);
  if (address.port !== listen.port) return false;
  const [from, to] = [address.host.toLowerCase(), listen.host.toLowerCase()];
  if (from === to) return true;
  // Connecting to a wildcard reaches this machine.
  if (isWildcard(to)) return isLoopback(from) || isWildcard(from);
  if (isWildcard(from)) return isLoopback(to);
  return isLoopback(from) && isLoopback(to) && (from === "localhost" || to === "localhost");
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** A name or an address of this machine alone. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
