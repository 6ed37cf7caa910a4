/**
 * A kind of route, in one file of `routes/`: what mcrouter's configurations call it, how its node is read, and what is built
 * from it. `handles.ts` lists the kinds; no other file knows them. docs/contributing.md tells how to add one.
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
  /** mcrouter's names for it, each with what reads it; none if only other handles make such nodes. */
  readonly handles: Readonly<Record<string, ReadHandle>>;
  build(node: Node, context: BuildContext): Route;
}

/** Nodes for what stands under a handle's name: usually one; some handles stand for a list. */
export type ReadHandle = (input: RouteInput) => readonly RouteConfig[];

/** What routes take from the process that they live in. */
export interface TreeContext {
  readonly clock: Clock;
  /** 0 ≤ x < 1. */
  readonly random: () => number;
  /** 32 bits, the same at every start on this host. */
  readonly hostId: number;
  readonly counters: RouteCounters;
  readonly log: RequestLog;
  readonly spool: DeleteSpool;
  /** By name; all that the tree names. */
  readonly pools: ReadonlyMap<string, PoolRoute>;
}

/** What a route is built with. */
export interface BuildContext extends TreeContext {
  /** The route of a node: one, wherever the node stands. */
  build(node: RouteConfig): Route;
  buildAll(nodes: readonly RouteConfig[]): Route[];
}
