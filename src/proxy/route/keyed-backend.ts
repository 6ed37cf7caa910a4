/** What the leaves of a tree need of a server. */
import type { Request } from "../request.ts";

export interface KeyedBackend {
  /** `host:port` or `unix:path`. */
  readonly name: string;
  readonly connectionCount: number;
  readonly speaksMeta: boolean;
  /** False: a get of several keys is not answered as memcached does over the connection of that slot. */
  mayShare(slot: number): boolean;
  /** Takes `request` and completes it once. Requests with the same `slot` keep their order. */
  send(request: Request, slot: number): void;
}

/**
 * Which of a backend's connections a key uses: always the same one, whatever way it comes, so that requests for a key keep
 * their order. Source: FNV-1a.
 */
export function keySlot(chunk: Buffer, start: number, end: number, connections: number): number {
  if (connections === 1) return 0;
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ chunk[i]!, 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % connections;
}
