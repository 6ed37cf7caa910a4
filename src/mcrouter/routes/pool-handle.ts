/**
 * PoolRoute and Pool: a pool's servers, and the routes that a configuration may put in front of them.
 *
 * Source: mcrouter McRouteHandleProvider-inl.h, as facts.
 */
import type { BucketsConfig, IndexPlacementConfig, PlacementConfig, RouteConfig } from "../../config/config.ts";
import { buildPlacement } from "../../proxy/hash/build.ts";
import { DestinationRoute } from "../../proxy/route/destination-route.ts";
import { NoServersRoute } from "../../proxy/route/no-servers-route.ts";
import { PoolRoute } from "../../proxy/route/pool-route.ts";
import type { Route } from "../../proxy/route/route.ts";
import type { Fields } from "../config/fields.ts";
import { describeJson, type Json } from "../config/json-value.ts";
import { readBuckets } from "../config/read-buckets.ts";
import { readPlacement } from "../config/read-placement.ts";
import type { ReadPool } from "../config/read-pools.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { nothing, type RouteInput } from "../config/route-input.ts";
import type { BuildContext, RouteKind } from "../route-kind.ts";
import { asyncLogNode } from "./async-log-route.ts";
import { errorNode } from "./error-handle.ts";
import { HashRoute, hashNode } from "./hash-route.ts";
import { KeepPrefixRoute } from "./keep-prefix-route.ts";
import { latestNode } from "./latest-handle.ts";
import type { OutstandingLimitRouteConfig } from "./outstanding-limit-route.ts";
import { rateLimitNode } from "./rate-limit-route.ts";
import { shadowed } from "./shadow-route.ts";
import { shardSplitNode } from "./shard-split-route.ts";
import { warmedUp } from "./slow-warm-up-route.ts";

/** Key → server of a pool. */
export interface PoolRouteConfig extends RouteConfig {
  readonly type: "pool";
  /** Name of an existing pool. */
  readonly pool: string;
  /** `null` uses the pool's placement. */
  readonly placement: PlacementConfig | null;
}

/** One server of a pool. */
export interface DestinationConfig extends RouteConfig {
  readonly type: "destination";
  readonly pool: string;
  readonly index: number;
}

export const pool: RouteKind<PoolRouteConfig> = {
  type: "pool",
  handles: {
    PoolRoute: (input) => [poolNode(input)],
    Pool: serversOf,
  },
  build: buildPool,
};

export const destination: RouteKind<DestinationConfig> = {
  type: "destination",
  handles: {},
  build(node, context) {
    const { pool, backends } = poolNamed(node.pool, context);
    const route = new DestinationRoute(backends[node.index]!, pool, node.index);
    return pool.keepsRoutingPrefix ? new KeepPrefixRoute(route) : route;
  },
};

/** The pool of a node. `null` if the node is not a plain pool. */
export function poolNameOf(node: RouteConfig): string | null {
  return isPool(node) ? node.pool : null;
}

function isPool(node: RouteConfig): node is PoolRouteConfig {
  return node.type === pool.type;
}

/**
 * Maximum number of requests that wait for `max_outstanding`. mcrouter has no limit, but a process has limited memory.
 */
const MAX_WAITING = 100_000;

/** The pool that a route names or defines inline. `null` if a problem was reported. */
function poolOf({ fields, spot, reader }: RouteInput): ReadPool | null {
  // An object has a pool, or is a pool.
  const name = fields?.get("pool") ?? spot;
  if (name === spot) for (const key of fields?.object.members.keys() ?? []) fields?.has(key);
  return reader.pools.pool(name, (server) => reader.one(server));
}

/** The servers of a pool, as routes. */
export function serversOf(input: RouteInput): readonly RouteConfig[] {
  return poolOf(input)?.destinations ?? [];
}

/** A PoolRoute. Same order as in mcrouter, from the inside: outstanding, warm-up, shadows, hash, rates, splits, asynclog. */
export function poolNode(input: RouteInput): RouteConfig {
  const { fields, reader, spot } = input;
  const named = fields === null ? spot : fields.need("pool");
  const own = readBuckets(fields);
  const buckets = own ?? (fields?.boolean("useBucketHashSelector", false) ? reader.buckets : null);
  const pool =
    named === null ? null : reader.inBuckets(own, () => reader.pools.pool(named, (server) => reader.one(server)));
  if (pool === null) return nothing;
  let destinations = pool.destinations;
  const maxOutstanding = fields?.integer("max_outstanding", 0, 0, 1_000_000) ?? 0;
  if (maxOutstanding > 0) {
    destinations = destinations.map(
      (target): OutstandingLimitRouteConfig => ({
        type: "outstanding-limit",
        target,
        maxOutstanding,
        maxWaiting: MAX_WAITING,
        message: `Max pending requests (${MAX_WAITING}) reached`,
      }),
    );
  }
  const warmUp = fields?.nested("slow_warmup") ?? null;
  if (warmUp !== null) destinations = warmedUp(destinations, warmUp, reader);
  if (fields?.has("shadows")) destinations = shadowed(destinations, fields, reader, own);
  let route = hashed(pool, destinations, fields, reader, buckets);
  if (fields !== null) {
    const rates = fields.nested("rates");
    if (rates !== null) route = rateLimitNode(route, null, rates);
    const split = shardSplitNode(route, fields, reader);
    if (!reader.options.isShardSplitOff) route = split;
  }
  if (!reader.options.isAsyncLogOn || fields?.boolean("asynclog", true) === false) return route;
  return asyncLogNode(route, fields?.string("asynclog_name") ?? fields?.string("name") ?? pool.name);
}

/** The hash over the pool's servers. The route's settings override the pool's weights and tags. */
function hashed(
  pool: ReadPool,
  destinations: readonly RouteConfig[],
  fields: Fields | null,
  reader: RouteReader,
  buckets: BucketsConfig | null,
): RouteConfig {
  const count = destinations.length;
  if (count === 0) {
    if (!pool.isErrorOnEmpty) return nothing;
    return errorNode(`HashRoute with empty children, name: ${pool.name}`);
  }
  const isOwn = destinations === pool.destinations && pool.isPlain;
  const hash = fields?.get("hash") ?? null;
  const members = new Map<string, Json>();
  for (const key of ["weights", "tags"]) {
    const json = pool.fields.object.members.get(key);
    if (json !== undefined) members.set(key, json);
  }
  const otherwise = members.has("weights") ? "WeightedCh3" : "Ch3";
  if (hash !== null) {
    if (hash.json.type === "string") members.set("hash_func", hash.json);
    else if (hash.json.type === "object") for (const [name, json] of hash.json.members) members.set(name, json);
    else reader.complain(hash, `expected a hash's name or an object, got ${describeJson(hash.json)}`);
  }
  const place = hash?.json.place ?? pool.fields.object.place;
  const choice = readPlacement(
    reader.fieldsOf({ type: "object", members, place }, hash?.path ?? pool.fields.path),
    otherwise,
    count,
    buckets,
  );
  if (choice === "latest") return latestNode(destinations, hash === null ? null : reader.fieldsIn(hash), reader);
  if (!isOwn) return hashNode(choice, destinations);
  const node: PoolRouteConfig = {
    type: "pool",
    pool: pool.name,
    placement: count === 1 || isPlainCh3(choice) ? null : choice,
  };
  return node;
}

function isPlainCh3(placement: IndexPlacementConfig): boolean {
  return placement.type === "ch3" && placement.salt === "";
}

const NO_PREFIX = Buffer.alloc(0);

/** Uses the pool's own route, the fast path, if nothing differs from it. */
function buildPool({ pool: name, placement: own }: PoolRouteConfig, context: BuildContext): Route {
  const whole = context.pools.get(name);
  // Only a pool whose servers are discovered may have none.
  if (whole === undefined) return new NoServersRoute();
  if (own === null && !whole.pool.keepsRoutingPrefix) return context.entranceOf?.(whole) ?? whole;
  const config = { ...whole.pool, placement: own ?? whole.pool.placement };
  const { backends } = whole;
  const placement = buildPlacement(config.placement, config.servers, { prefix: NO_PREFIX, random: context.random });
  if (!config.keepsRoutingPrefix) return new PoolRoute(config, backends, placement);
  // Placement does not use a key's prefix; the prefix is added below it.
  const servers = backends.map((backend, index) => new KeepPrefixRoute(new DestinationRoute(backend, config, index)));
  return servers.length === 1 ? servers[0]! : new HashRoute(servers, placement, config.placement.type);
}

function poolNamed(name: string, { pools }: BuildContext): PoolRoute {
  const found = pools.get(name);
  if (found === undefined) throw new Error(`no pool ${name}`);
  return found;
}
