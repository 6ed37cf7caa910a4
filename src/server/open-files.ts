/**
 * The number of clients that fit under the limit of open files (`ulimit -n`). File descriptors are reserved for all
 * other uses: a server that recovers must be reachable while clients keep connecting.
 */
import { readFileSync } from "node:fs";
import type { Config } from "../config/config.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { typeOf } from "../sources/types.ts";

/** The program itself: event loop, log, watched files, the channel to the supervisor. */
const OWN_FILES = 48;
/** Connections to the admin address (monitoring, open pages), and to that of twemproxy's statistics. */
const ADMIN_FILES = 16;
/** Files that a source reads at once (libuv has four threads), or connections in addition to its fetches. */
const FILES_PER_SOURCE = 8;

/**
 * The soft limit of open files of this process, which Node raises to the hard limit. `null` if it is unknown or
 * unlimited.
 */
export function openFilesLimit(): number | null {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
    return found === null ? null : Number(found[1]);
  } catch {
    return null;
  }
}

/** File descriptors that one process needs, except those of clients. */
export function reservedFiles({ server, pools, sources }: Config): number {
  const monitoring = [server.admin, server.twemproxyStats].filter((address) => address !== null);
  let files = OWN_FILES + server.listen.length + monitoring.length * ADMIN_FILES;
  for (const { servers, connections, listen } of pools) files += servers.length * connections + listen.length;
  for (const source of sources) files += filesOf(source);
  return files;
}

/** The number of clients that fit into one process. At least half of the limit is for clients. */
export function roomForClients(config: Config, limit: number | null): number {
  if (limit === null) return Number.POSITIVE_INFINITY;
  return Math.max(Math.floor(limit / 2), limit - reservedFiles(config));
}

function filesOf(source: SourceConfig): number {
  return (typeOf(source).maxConnections?.(source) ?? 0) + FILES_PER_SOURCE;
}
