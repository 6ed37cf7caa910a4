/**
 * The top of the tree of a native configuration with `[[route]]`. Keys have no routing prefixes, and replies are not
 * changed. Keys of a get of many that take the same way share a command.
 */
import type { Request } from "../../proxy/request.ts";
import { routeKeys } from "../../proxy/route/multi-get.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import type { Root, Route, SeeTarget } from "../../proxy/route/route.ts";
import type { HandoffRoute } from "../../refresh/handoff/handoff-route.ts";
import { KeySelectorRoute } from "./key-selector-route.ts";

export class NativeRoot implements Root {
  readonly name = "root";
  private readonly target: Route;
  private readonly selector: KeySelectorRoute | null;
  private readonly pools: readonly PoolRoute[];
  private readonly handoffs: readonly HandoffRoute[];

  /** `pools` and `handoffs` hold all of them, for `broadcast`. */
  constructor(target: Route, pools: readonly PoolRoute[], handoffs: readonly HandoffRoute[] = []) {
    this.target = target;
    this.handoffs = handoffs;
    this.selector = target instanceof KeySelectorRoute ? target : null;
    this.pools = pools;
  }

  route(request: Request): void {
    const { keys } = request;
    if (keys === null) {
      this.target.route(request);
      return;
    }
    const route = this.selector?.plainRouteOfAll(keys) ?? null;
    if (route !== null) route.route(request);
    else routeKeys(request, keys, this.target, false);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  broadcast(request: Request): void {
    if (this.handoffs.length > 0) request.retain();
    for (const handoff of this.handoffs) handoff.flushFormer(request);
    PoolRoute.broadcastToAll(request, this.pools);
  }

  /** The pool that alone stores `key` (one character per byte). `null` if the key takes another route. */
  plainPoolOf(key: string): PoolRoute | null {
    const bytes = Buffer.from(key, "latin1");
    return this.selector?.plainPoolOf(bytes, 0, bytes.length) ?? null;
  }
}
