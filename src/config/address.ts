/** Addresses in a configuration, and the comparison of addresses. */

import { isIPv6 } from "node:net";
import { resolve } from "node:path";
import { type Address, addressText, type ListenAddress } from "./config.ts";

/** memcached's port, the default of an address. */
export const defaultPort = 11_211;

const tcpPattern = /^(?:\[([^\]]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/;

/**
 * Reads `host:port`, `host`, `[ipv6]:port`, one of these after `tls:`, or `unix:PATH`. Relative paths start from
 * `folder`. Port 0 is valid (a listener takes a free port). `null` if the text is not an address.
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

/** True if a connection to `address` would reach a listener on `listen`, as far as the names show. */
export function reachesListener(address: Address, listen: ListenAddress): boolean {
  if (listen.type === "fd") return false;
  if (address.type === "unix" || listen.type === "unix") return addressText(address) === addressText(listen);
  if (address.port !== listen.port) return false;
  const [from, to] = [address.host.toLowerCase(), listen.host.toLowerCase()];
  if (from === to) return true;
  // A connection to a wildcard address reaches this machine.
  if (isWildcard(to)) return isLoopback(from) || isWildcard(from);
  if (isWildcard(from)) return isLoopback(to);
  return isLoopback(from) && isLoopback(to) && (from === "localhost" || to === "localhost");
}

function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

/** True for a name or an address of the local machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
