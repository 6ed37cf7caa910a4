/**
 * Key → one of the children. What PoolRoute is for the servers of a pool, for any routes.
 *
 * Source: mcrouter HashRouteFactory.h, lib/routes/SelectionRoute.h, as facts.
 */
import type { PlacementConfig } from "../../config/config.ts";
import { hashNames } from "../../proxy/hash/hash-names.ts";
import type { Placement } from "../../proxy/hash/placement.ts";
import type { Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

/** mcrouter's HashRoute. */
export class HashRoute implements Route {
  readonly name: string;
  private readonly children: readonly Route[];
  private readonly placement: Placement;

  /** `placement` gives an index of `children`; `type` says which it is. */
  constructor(children: readonly Route[], placement: Placement, type: PlacementConfig["type"]) {
    this.name = `selection|${hashNames[type] ?? type}`;
    this.children = children;
    this.placement = placement;
  }

  route(request: Request): void {
    this.childOf(request).route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.childOf(request), request);
  }

  private childOf({ chunk, keyStart, keyEnd }: Request): Route {
    return this.children[this.placement.locate(chunk, keyStart, keyEnd)]!;
  }
}
