/**
 * The routing tree as a configuration describes it, whatever form that had: mcrouter's JSON, or nothing but a pool. Nodes are
 * checked and complete. A node that is used in several places is one object, and becomes one route: what it counts and
 * limits is counted over all of them.
 *
 * Names and meanings are mcrouter's route handles'; docs/routes.md tells each.
 */

import type { IndexPlacementConfig, PlacementConfig } from "./config.ts";
import type { OperationName, Result } from "./results.ts";

/** A node of the tree; `type` says which. */
export type RouteConfig =
  | PoolRouteConfig
  | DestinationConfig
  | HashRouteConfig
  | ManyRouteConfig
  | FailoverRouteConfig
  | MissFailoverRouteConfig
  | WarmUpRouteConfig
  | MigrateRouteConfig
  | ShadowRouteConfig
  | OperationSelectorRouteConfig
  | PrefixSelectorRouteConfig
  | ErrorRouteConfig
  | EmptyRouteConfig
  | HostIdRouteConfig
  | LatestRouteConfig
  | RateLimitRouteConfig
  | OutstandingLimitRouteConfig
  | ModifyKeyRouteConfig
  | ModifyExptimeRouteConfig
  | LoggingRouteConfig
  | L1L2CacheRouteConfig
  | KeySplitRouteConfig
  | LatencyInjectionRouteConfig
  | SlowWarmUpRouteConfig
  | AsyncLogRouteConfig
  | BigValueRouteConfig;

/** Key → server of a pool. */
interface PoolRouteConfig {
  readonly type: "pool";
  /** Name of a pool that exists. */
  readonly pool: string;
  /** Null: the pool's own. */
  readonly placement: PlacementConfig | null;
}

/** One server of a pool. */
interface DestinationConfig {
  readonly type: "destination";
  readonly pool: string;
  /** Position in the pool's list. */
  readonly index: number;
}

/** Key → one of the children. */
interface HashRouteConfig {
  readonly type: "hash";
  readonly placement: IndexPlacementConfig;
  /** One and more. */
  readonly children: readonly RouteConfig[];
}

/** Routes that differ in which of their children's answers they give. */
interface ManyRouteConfig {
  readonly type: "all-sync" | "all-fastest" | "all-initial" | "all-majority" | "all-async" | "random";
  /** Two and more. */
  readonly children: readonly RouteConfig[];
}

/** Results that make a request go to the next child, by what kind of request it is; null: the usual ones. */
export interface FailoverErrors {
  readonly gets: readonly Result[] | null;
  readonly updates: readonly Result[] | null;
  readonly deletes: readonly Result[] | null;
}

export interface FailoverRouteConfig {
  readonly type: "failover";
  /** "" : none. */
  readonly name: string;
  /** Two and more. */
  readonly children: readonly RouteConfig[];
  readonly errors: FailoverErrors;
  /** Failovers allowed: `rate` for each request (0 to 1), and `burst` at once. Null: any number. */
  readonly limit: { readonly rate: number; readonly burst: number } | null;
  /** Keys with a hash stop are marked when they fail over. */
  readonly isTagged: boolean;
  readonly policy: "in-order" | "least-failures";
  /** Children asked at most, the first included. */
  readonly maxTries: number;
}

interface MissFailoverRouteConfig {
  readonly type: "miss-failover";
  /** Two and more. */
  readonly children: readonly RouteConfig[];
  /** Where all missed or failed: the best answer instead of the last. */
  readonly returnsBestOnError: boolean;
}

interface WarmUpRouteConfig {
  readonly type: "warm-up";
  readonly cold: RouteConfig;
  readonly warm: RouteConfig;
  /** Of what is copied from warm to cold, as memcached takes exptimes; null: the item's own, asked with `mg t`. */
  readonly exptime: number | null;
}

interface MigrateRouteConfig {
  readonly type: "migrate";
  readonly from: RouteConfig;
  readonly to: RouteConfig;
  readonly startUnixSeconds: number;
  readonly intervalSeconds: number;
}

/** What is mirrored of a child's requests, and where. */
export interface ShadowConfig {
  readonly target: RouteConfig;
  /** Part of the keys by their hash, both ends included, 0 to 1. */
  readonly keyFraction: readonly [from: number, to: number];
  /** These keys alone; null: by `keyFraction`. */
  readonly keys: readonly string[] | null;
  /** Part of those requests, by chance. */
  readonly requestsFraction: number;
  /** With so many under way no more are mirrored. */
  readonly maxOutstanding: number;
}

interface ShadowRouteConfig {
  readonly type: "shadow";
  readonly child: RouteConfig;
  readonly shadows: readonly ShadowConfig[];
}

interface OperationSelectorRouteConfig {
  readonly type: "operation-selector";
  readonly policies: ReadonlyMap<OperationName, RouteConfig>;
  /** Null: other operations are answered with an error. */
  readonly otherwise: RouteConfig | null;
}

interface PrefixSelectorRouteConfig {
  readonly type: "prefix-selector";
  /** By the beginning of the key, its routing prefix left out; the longest that fits wins. */
  readonly policies: ReadonlyMap<string, RouteConfig>;
  readonly wildcard: RouteConfig | null;
}

interface ErrorRouteConfig {
  readonly type: "error";
  /** Behind SERVER_ERROR; "": what the result is usually called. */
  readonly message: string;
  readonly result: Result;
  /** Stands in its name alone. */
  readonly isLogged: boolean;
}

/** Answers as if there were nothing. */
interface EmptyRouteConfig {
  readonly type: "null" | "devnull";
}

interface HostIdRouteConfig {
  readonly type: "host-id";
  readonly children: readonly RouteConfig[];
  readonly salt: string;
}

/** Some of the children, the same ones for all keys of this host, in an order of its own, with failover between them. */
interface LatestRouteConfig {
  readonly type: "latest";
  readonly children: readonly RouteConfig[];
  readonly weights: readonly number[];
  readonly salt: string;
  readonly failover: Omit<FailoverRouteConfig, "type" | "children">;
}

/** Requests a second, and at once; null: any number. */
export interface Rate {
  readonly rate: number;
  readonly burst: number;
}

interface RateLimitRouteConfig {
  readonly type: "rate-limit";
  readonly target: RouteConfig;
  /** Takes what is over the limit; null: that is answered as if there were nothing. */
  readonly fallback: RouteConfig | null;
  readonly gets: Rate | null;
  readonly sets: Rate | null;
  readonly deletes: Rate | null;
}

interface OutstandingLimitRouteConfig {
  readonly type: "outstanding-limit";
  readonly target: RouteConfig;
  readonly maxOutstanding: number;
  /** Requests that wait at most. */
  readonly maxWaiting: number;
  /** What those beyond are told, behind SERVER_ERROR. */
  readonly message: string;
}

export interface ModifyKeyRouteConfig {
  readonly type: "modify-key";
  readonly target: RouteConfig;
  /** "/region/cluster/", or "" for none; null: the key's own stays. */
  readonly routingPrefix: string | null;
  readonly ensurePrefix: string;
  readonly isInPlace: boolean;
  readonly replacePrefix: string | null;
  readonly suffix: string;
}

interface ModifyExptimeRouteConfig {
  readonly type: "modify-exptime";
  readonly target: RouteConfig;
  readonly action: "set" | "min";
  /** As memcached takes it; 0: never, with "min" nothing is changed. */
  readonly exptime: number;
}

interface LoggingRouteConfig {
  readonly type: "logging";
  readonly target: RouteConfig;
}

export interface L1L2CacheRouteConfig {
  readonly type: "l1l2-cache";
  readonly l1: RouteConfig;
  readonly l2: RouteConfig;
  readonly upgradingL1Exptime: number;
  readonly ncacheExptime: number;
  /** A negative entry is looked behind at every so many hits; 0: there are none. */
  readonly ncacheUpdatePeriod: number;
}

export interface KeySplitRouteConfig {
  readonly type: "keysplit";
  readonly destination: RouteConfig;
  readonly replicas: number;
  readonly isAllSync: boolean;
  readonly isFirstHit: boolean;
}

interface LatencyInjectionRouteConfig {
  readonly type: "latency-injection";
  readonly child: RouteConfig;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** Least time in all; 0: none. */
  readonly totalMs: number;
}

export interface SlowWarmUpRouteConfig {
  readonly type: "slow-warmup";
  readonly target: RouteConfig;
  readonly failover: RouteConfig;
  readonly enableThreshold: number;
  readonly disableThreshold: number;
  readonly start: number;
  readonly step: number;
  readonly minRequests: number;
}

/** Failed deletes are written to the async log. */
interface AsyncLogRouteConfig {
  readonly type: "asynclog";
  readonly target: RouteConfig;
  /** Name of the pool in the log. */
  readonly name: string;
}

/** Large values are stored in parts. */
export interface BigValueRouteConfig {
  readonly type: "big-value";
  readonly target: RouteConfig;
  readonly thresholdBytes: number;
  readonly batchSize: number;
}

/** A configuration's tree. */
export interface TreeConfig {
  /** By routing prefix, "/region/cluster/"; one at least. */
  readonly routes: ReadonlyMap<string, RouteConfig>;
  /** The one of keys without a prefix. */
  readonly defaultPrefix: string;
}

/** The children of a node, in order. */
export function childrenOf(node: RouteConfig): readonly RouteConfig[] {
  switch (node.type) {
    case "pool":
    case "destination":
    case "error":
    case "null":
    case "devnull":
      return [];
    case "warm-up":
      return [node.cold, node.warm];
    case "migrate":
      return [node.from, node.to];
    case "shadow":
      return [node.child, ...node.shadows.map(({ target }) => target)];
    case "operation-selector":
      return [...node.policies.values(), ...(node.otherwise === null ? [] : [node.otherwise])];
    case "prefix-selector":
      return [...node.policies.values(), ...(node.wildcard === null ? [] : [node.wildcard])];
    case "rate-limit":
      return node.fallback === null ? [node.target] : [node.target, node.fallback];
    case "l1l2-cache":
      return [node.l1, node.l2];
    case "keysplit":
      return [node.destination];
    case "latency-injection":
      return [node.child];
    case "slow-warmup":
      return [node.target, node.failover];
    case "outstanding-limit":
    case "modify-key":
    case "modify-exptime":
    case "logging":
    case "asynclog":
    case "big-value":
      return [node.target];
    default:
      return node.children;
  }
}
