/**
 * One server of a pool, whatever the key.
 *
 * Source: mcrouter DestinationRoute.h, as facts.
 */
import type { Request } from "../request.ts";
import type { KeyedBackend } from "./pool-route.ts";
import { keySlot } from "./pool-route.ts";
import type { ServerRoute } from "./server-of.ts";

/** mcrouter's destination. */
export class DestinationRoute implements ServerRoute {
  readonly name: string;
  readonly backend: KeyedBackend;

  /** `pool` and `index` say where the configuration has it. */
  constructor(backend: KeyedBackend, pool: string, index: number) {
    this.name = `host|pool=${pool}|id=${index}|ap=${backend.name}`;
    this.backend = backend;
  }

  route(request: Request): void {
    this.backend.send(request, keySlot(request.chunk, request.keyStart, request.keyEnd, this.backend.connectionCount));
  }

  forEachTarget(): void {}

  serverOf(): string {
    return this.backend.name;
  }
}
