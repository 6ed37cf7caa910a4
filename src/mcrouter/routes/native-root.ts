/**
 * The top of the tree of a native configuration with `[[route]]`. Keys have no routing prefixes, and replies are not
 * changed. Keys of a get of many that take the same way share a command.
 */
import type { Request } from "../../proxy/request.ts";
import { routeKeys } from "../../proxy/route/multi-get.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import type { Root, Route, SeeTarget } from "../../proxy/route/route.ts";
import { KeySelectorRoute } from "./key-selector-route.ts";

export class NativeRoot implements Root {
  readonly name = "root";
  private readonly target: Route;
  private readonly selector: KeySelectorRoute | null;
  private readonly pools: readonly PoolRoute[];

  /** `pools` holds all pools, for `broadcast`. */
  constructor(target: Route, pools: readonly PoolRoute[]) {
    this.target = target;
    this.selector = target instanceof KeySelectorRoute ? target : null;
    this.pools = pools;
  }

  route(request: Request): void {
    const { keys } = request;
    if (keys === null) {
      this.target.route(request);
      return;
    }
    const pool = this.selector?.plainPoolOfAll(keys) ?? null;
    if (pool !== null) pool.route(request);
    else routeKeys(request, keys, this.target, false);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  broadcast(request: Request): void {
    PoolRoute.broadcastToAll(request, this.pools);
  }

  /** The pool that alone stores `key` (one character per byte). `null` if the key takes another route. */
  plainPoolOf(key: string): PoolRoute | null {
    const bytes = Buffer.from(key, "latin1");
    return this.selector?.plainPoolOf(bytes, 0, bytes.length) ?? null;
  }
}
