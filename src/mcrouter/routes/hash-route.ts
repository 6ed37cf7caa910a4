/**
 * Key → one of the children, like PoolRoute over the servers of a pool, but for all kinds of routes.
 *
 * Source: mcrouter HashRouteFactory.h, lib/routes/SelectionRoute.h, as facts.
 */
import type { IndexPlacementConfig, PlacementConfig, RouteConfig } from "../../config/config.ts";
import { buildIndexPlacement } from "../../proxy/hash/build.ts";
import { hashNames } from "../../proxy/hash/hash-names.ts";
import type { Placement } from "../../proxy/hash/placement.ts";
import type { Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { readBuckets } from "../config/read-buckets.ts";
import { readPlacement } from "../config/read-placement.ts";
import { childrenOf, nothing, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { errorNode } from "./error-handle.ts";
import { latestNode } from "./latest-handle.ts";

export interface HashRouteConfig extends RouteConfig {
  readonly type: "hash";
  readonly placement: IndexPlacementConfig;
  /** At least one. */
  readonly children: readonly RouteConfig[];
}

export const hash: RouteKind<HashRouteConfig> = {
  type: "hash",
  handles: { HashRoute: (input) => [read(input)] },
  build({ placement, children }, { buildAll }) {
    return new HashRoute(buildAll(children), buildIndexPlacement(placement, children.length), placement.type);
  },
};

function read(input: RouteInput): RouteConfig {
  const { fields, reader } = input;
  const children = childrenOf(input);
  const isErrorOnEmpty = fields?.boolean("error_on_empty", true) ?? true;
  if (children.length === 0) {
    return isErrorOnEmpty
      ? errorNode(`HashRoute with empty children, name: ${fields?.string("name", "") ?? ""}`)
      : nothing;
  }
  if (fields === null) return hashNode({ type: "ch3", salt: "" }, children);
  const buckets =
    fields.has("total_buckets") || !fields.boolean("bucketize", false) ? readBuckets(fields) : reader.buckets;
  if (buckets === null && fields.boolean("bucketize", false))
    fields.complain("bucketize needs total_buckets, here or in a route above");
  const choice = readPlacement(fields, "Ch3", children.length, buckets);
  for (const name of ["weights", "tags", "salt", "hash_func"]) fields.has(name);
  return choice === "latest" ? latestNode(children, fields, reader) : hashNode(choice, children);
}

/** A single child replaces the route. */
export function hashNode(placement: IndexPlacementConfig, children: readonly RouteConfig[]): RouteConfig {
  const node: HashRouteConfig = { type: "hash", placement, children };
  return children.length === 1 ? children[0]! : node;
}

export class HashRoute implements Route {
  readonly name: string;
  private readonly children: readonly Route[];
  private readonly placement: Placement;
  private readonly placesBuckets: boolean;

  /** `placement` gives an index into `children`; `type` is the kind of placement. */
  constructor(children: readonly Route[], placement: Placement, type: PlacementConfig["type"]) {
    this.name = `selection|${hashNames[type] ?? type}`;
    this.children = children;
    this.placement = placement;
    this.placesBuckets = type === "bucketized";
  }

  route(request: Request): void {
    this.childOf(request).route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.childOf(request), request);
  }

  passKey(request: Request): Route {
    return this.childOf(request);
  }

  /** Index of the child for a key. */
  indexOf({ chunk, keyStart, keyEnd, bucketKey }: Request): number {
    if (bucketKey !== null && this.placesBuckets) return this.placement.locate(bucketKey, 0, bucketKey.length);
    return this.placement.locate(chunk, keyStart, keyEnd);
  }

  private childOf(request: Request): Route {
    return this.children[this.indexOf(request)]!;
  }
}
