/**
 * A kind of route, in one file of `routes/`: its names in mcrouter configurations, the reader of its node, and the
 * builder of its route. `handles.ts` lists the kinds; no other file knows them. docs/contributing.md describes how to
 * add one.
 */
import type { Clock } from "../clock.ts";
import type { RouteConfig } from "../config/config.ts";
import type { PoolRoute } from "../proxy/route/pool-route.ts";
import type { Route } from "../proxy/route/route.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import type { RouteInput } from "./config/route-input.ts";
import type { DeleteSpool } from "./routes/async-log-route.ts";
import type { RequestLog } from "./routes/logging-route.ts";

export interface RouteKind<Node extends RouteConfig = RouteConfig> {
  /** `type` of its nodes. */
  readonly type: Node["type"];
  /** mcrouter's names and their readers. Empty if only other handles make such nodes. */
  readonly handles: Readonly<Record<string, ReadHandle>>;
  build(node: Node, context: BuildContext): Route;
}

/** Reads the value under a handle's name. The result is usually one node; some handles stand for a list. */
export type ReadHandle = (input: RouteInput) => readonly RouteConfig[];

/** Dependencies of routes on their process. */
export interface TreeContext {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** 32 bits, identical at each start on this host. */
  readonly hostId: number;
  readonly counters: RouteCounters;
  readonly log: RequestLog;
  readonly spool: DeleteSpool;
  /** All pools that the tree names, by name. */
  readonly pools: ReadonlyMap<string, PoolRoute>;
  /** The route to a pool, if it is not the pool itself. */
  readonly entranceOf?: (pool: PoolRoute) => Route;
  /** The route to a pool that takes the keys of `warm` over. `null` if copies cannot have leases. */
  readonly warmedBy?: (pool: PoolRoute, warm: PoolRoute) => Route | null;
}

/** Dependencies of a route. */
export interface BuildContext extends TreeContext {
  /** The route of a node. A node in several places has one route. */
  build(node: RouteConfig): Route;
  buildAll(nodes: readonly RouteConfig[]): Route[];
}
