/**
 * LatestRoute: a subset of the children for all keys of this host, in an order that derives from the host, with
 * failover between them.
 *
 * Source: mcrouter LatestRoute.h, as facts.
 */
import type { RouteConfig } from "../../config/config.ts";
import { WeightedCh3Placement } from "../../proxy/hash/weighted-ch3.ts";
import type { Fields } from "../config/fields.ts";
import { readWeights } from "../config/read-placement.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { childrenOf, nothing } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { type FailoverOptions, failoverOptions } from "./failover-options.ts";
import { FailoverRoute } from "./failover-route.ts";
import { saltedHost } from "./host-id-handle.ts";

interface LatestRouteConfig extends RouteConfig {
  readonly type: "latest";
  readonly children: readonly RouteConfig[];
  readonly weights: readonly number[];
  readonly salt: string;
  readonly failover: FailoverOptions;
}

export const latest: RouteKind<LatestRouteConfig> = {
  type: "latest",
  handles: { LatestRoute: (input) => [latestNode(childrenOf(input), input.fields, input.reader)] },
  build({ children, weights, salt, failover }, { build, counters, hostId }) {
    const routes = ordered(children, weights, failover.maxTries, saltedHost(hostId, salt)).map(build);
    return routes.length === 1 ? routes[0]! : new FailoverRoute(routes, failover, counters);
  },
};

export function latestNode(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
  if (children.length === 0) return nothing;
  const local = fields?.get("thread_local_failover") ?? null;
  if (local !== null) reader.warn(local, "has no effect: there are no threads");
  const count = fields?.integer("failover_count", 5, 1, 1000) ?? 5;
  const chosen = Math.min(count, children.length);
  const node: LatestRouteConfig = {
    type: "latest",
    children,
    weights: (fields === null ? null : readWeights(fields, children.length)) ?? children.map(() => 1),
    salt: fields?.string("salt", "") ?? "",
    failover: { ...failoverOptions(fields, chosen, reader), maxTries: chosen },
  };
  return node;
}

/** `count` children in this host's order: a weighted draw by a hash of the host and the turn. */
function ordered(
  children: readonly RouteConfig[],
  weights: readonly number[],
  count: number,
  host: number,
): readonly RouteConfig[] {
  const left = children.map((child, i) => ({ child, weight: weights[i] ?? 1 }));
  const chosen: RouteConfig[] = [];
  while (left.length > 0 && chosen.length < count) {
    const key = Buffer.from(`${host}-${chosen.length}`, "latin1");
    const placement = new WeightedCh3Placement(
      left.length,
      left.map(({ weight }) => weight),
    );
    const at = left.length === 1 ? 0 : placement.locate(key, 0, key.length);
    chosen.push(left.splice(at, 1)[0]!.child);
  }
  return chosen;
}
