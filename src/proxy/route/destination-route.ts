/**
 * One server of a pool, for all keys.
 *
 * Source: mcrouter DestinationRoute.h, as facts.
 */
import type { PoolConfig } from "../../config/config.ts";
import type { Request } from "../request.ts";
import { type KeyedBackend, keySlot } from "./keyed-backend.ts";
import type { Lanes } from "./multi-get.ts";
import type { Route } from "./route.ts";

/** mcrouter's destination. */
export class DestinationRoute implements Route, Lanes {
  readonly name: string;
  readonly backend: KeyedBackend;
  private readonly domain: number;
  readonly lanes: Lanes = this;

  /** `index` is its position in the pool. */
  constructor(backend: KeyedBackend, pool: PoolConfig, index: number) {
    const { name, serverTimeoutMs, keepsRoutingPrefix, failureDomains, tls } = pool;
    const security = tls === null ? "plain" : "ssl";
    this.name = [
      "host",
      `pool=${name}`,
      `id=${index}`,
      `ap=${backend.name}:ascii:${security}:notcompressed`,
      `timeout=${serverTimeoutMs}ms`,
      `keep_routing_prefix=${keepsRoutingPrefix}`,
    ].join("|");
    this.backend = backend;
    this.domain = failureDomains?.[index] ?? 0;
  }

  route(request: Request): void {
    request.watcher?.watch(request, this.backend.name);
    this.backend.send(request, keySlot(request.chunk, request.keyStart, request.keyEnd, this.backend.connectionCount));
  }

  forEachTarget(): void {}

  failureDomain(): number {
    return this.domain;
  }

  lane(chunk: Buffer, start: number, end: number): number {
    return keySlot(chunk, start, end, this.backend.connectionCount);
  }

  mayShare(lane: number): boolean {
    return this.backend.mayShare(lane);
  }

  sendTo(lane: number, request: Request): void {
    this.backend.send(request, lane);
  }
}
