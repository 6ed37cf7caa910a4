/** The operations that the leaves of a tree need from a server. */
import type { Request } from "../request.ts";

export interface KeyedBackend {
  /** `host:port` or `unix:path`. */
  readonly name: string;
  readonly connectionCount: number;
  readonly speaksMeta: boolean;
  /** False if a get of several keys on the connection of that slot is not answered as in memcached. */
  mayShare(slot: number): boolean;
  /** Sends `request` and completes it once. Requests with equal `slot` keep their order. */
  send(request: Request, slot: number): void;
}

/**
 * Connection of a key at a backend. It is equal for all routes, so that requests for a key keep their order. Source:
 * FNV-1a.
 */
export function keySlot(chunk: Buffer, start: number, end: number, connections: number): number {
  if (connections === 1) return 0;
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ chunk[i]!, 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % connections;
}
