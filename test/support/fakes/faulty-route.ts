/** The embedded store as a route that fails when the test says so. */

import type { Reply } from "../../../src/proxy/reply.ts";
import type { Request } from "../../../src/proxy/request.ts";
import type { Root } from "../../../src/proxy/route/route.ts";
import { EmbeddedRoute } from "../../../src/proxy/store/embedded-route.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";

/** Records the operations of its requests, with their keys. */
export class FaultyRoute implements Root {
  readonly name = "faulty";
  readonly store: ItemStore;
  readonly asked: string[] = [];
  /** The reply to every request, which is then not executed. `null` if requests are executed. */
  failure: Reply | null = null;
  private readonly target: EmbeddedRoute;
  private hung: Request[] | null = null;

  constructor(unixSeconds: () => number) {
    this.store = new ItemStore(1 << 20, 1 << 20, unixSeconds);
    this.target = new EmbeddedRoute(this.store);
  }

  set(key: string, value: string, flags = 0, exptime = 0): void {
    this.store.store("set", key, Buffer.from(value), flags, exptime);
  }

  /** From now on nothing is answered; what is asked is put into the list returned. */
  hang(): Request[] {
    this.hung = [];
    return this.hung;
  }

  route(request: Request): void {
    this.asked.push(`${request.operation} ${request.keys === null ? request.keyText() : "keys"}`);
    if (this.hung !== null) this.hung.push(request);
    else if (this.failure === null) this.target.route(request);
    else request.complete(this.failure);
  }

  forEachTarget(): void {}

  broadcast(request: Request): void {
    this.asked.push(`${request.operation}`);
    this.target.broadcast(request);
  }
}
