/**
 * Compiles `[[route]]` of a native configuration into the nodes of mcrouter's route handles. One kind of node is added,
 * a selector that finds the route of a key:
 *
 *     key ─► first route whose prefix or pattern fits ─► strip_prefix ─► warm_from ─► failover ─► replicas or pool
 *
 * docs/pools.md describes what each setting does.
 */
import type { KeyRouteConfig, RouteConfig, TreeConfig } from "../config/config.ts";
import { isForAllKeys, routeText } from "../config/native-route.ts";
import type { OperationName } from "../config/results.ts";
import { bytesText } from "./config/fields.ts";
import type { ParentConfig } from "./config/route-input.ts";
import { plainFailoverOptions } from "./routes/failover-options.ts";
import type { FailoverRouteConfig } from "./routes/failover-route.ts";
import type { KeySelectorRouteConfig } from "./routes/key-selector-route.ts";
import { withLeastExptime } from "./routes/modify-exptime-route.ts";
import type { ModifyKeyRouteConfig } from "./routes/modify-key-route.ts";
import type { OperationSelectorRouteConfig } from "./routes/operation-selector-route.ts";
import type { PoolRouteConfig } from "./routes/pool-handle.ts";
import type { WarmFromRouteConfig } from "./routes/warm-from-route.ts";
import type { WarmUpRouteConfig } from "./routes/warm-up-route.ts";

/** The name of the only route at the top of a native tree. */
const TOP = "";

/** The tree of valid routes. */
export function treeOfRoutes(routes: readonly KeyRouteConfig[]): TreeConfig {
  // Routes of equal settings stay separate, so that `explain` shows which of them a key takes.
  const selector: KeySelectorRouteConfig = {
    type: "key-selector",
    rows: routes.map((route) => ({
      title: routeText(route),
      prefixes: isForAllKeys(route) ? [TOP] : route.prefixes.map(bytesText),
      match: route.match,
      target: nodeOf(route),
    })),
  };
  return { routes: new Map([[TOP, selector]]), defaultPrefix: TOP };
}

/**
 * The pool that alone stores the keys of a route, as they are. `null` if other settings change the way of the keys. A key
 * that is copied by `warm_from` is stored there too, under its lease.
 */
export function onlyPoolOf({ pool, failover, stripPrefix }: KeyRouteConfig): string | null {
  return failover.length === 0 && stripPrefix === "" ? pool : null;
}

function nodeOf(route: KeyRouteConfig): RouteConfig {
  return stripped(route, warmed(route, withFailover(route, stores(route))));
}

/** The pool, or the replicas. */
function stores({ pool, replicas, read }: KeyRouteConfig): RouteConfig {
  if (pool !== null) return poolNode(pool);
  const children = replicas.map(poolNode);
  const reads = read === "fastest" ? parent("all-fastest", children) : failoverNode(children);
  return byOperation(reads, parent("all-sync", children), parent("all-sync", children));
}

function withFailover({ failover, failoverTtlMs }: KeyRouteConfig, target: RouteConfig): RouteConfig {
  if (failover.length === 0) return target;
  const seconds = Math.ceil(failoverTtlMs / 1000);
  return failoverNode([target, ...failover.map((name) => withLeastExptime(poolNode(name), seconds))]);
}

/**
 * Without leases, writes go to both pools, so that neither has an older value than the other: the old pool may be read
 * after an item of the new one is evicted. A delete is answered when both pools have deleted the item.
 */
function warmed(route: KeyRouteConfig, target: RouteConfig): RouteConfig {
  const { warmFrom } = route;
  if (warmFrom === null) return target;
  const warm = poolNode(warmFrom);
  const reads: WarmUpRouteConfig = { type: "warm-up", cold: target, warm, exptime: null };
  const both = byOperation(reads, parent("all-sync", [target, warm]), parent("all-initial", [target, warm]));
  const { pool, failover } = route;
  if (pool === null || failover.length > 0) return both;
  const node: WarmFromRouteConfig = { type: "warm-from", pool, warm: warmFrom, otherwise: both };
  return node;
}

function stripped({ stripPrefix }: KeyRouteConfig, target: RouteConfig): RouteConfig {
  if (stripPrefix === "") return target;
  const node: ModifyKeyRouteConfig = {
    type: "modify-key",
    target,
    routingPrefix: null,
    ensurePrefix: "",
    isInPlace: false,
    replacePrefix: bytesText(stripPrefix),
    suffix: "",
  };
  return node;
}

const readOperations: readonly OperationName[] = ["get", "gets", "gat", "gats", "metaget"];

function byOperation(reads: RouteConfig, deletes: RouteConfig, writes: RouteConfig): OperationSelectorRouteConfig {
  const policies = new Map<OperationName, RouteConfig>(readOperations.map((name) => [name, reads]));
  return { type: "operation-selector", policies: policies.set("delete", deletes), otherwise: writes };
}

function poolNode(pool: string): PoolRouteConfig {
  return { type: "pool", pool, placement: null };
}

function failoverNode(children: readonly RouteConfig[]): FailoverRouteConfig {
  return { type: "failover", children, ...plainFailoverOptions };
}

function parent<Type extends string>(type: Type, children: readonly RouteConfig[]): ParentConfig<Type> {
  return { type, children };
}
