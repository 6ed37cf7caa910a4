/**
 * PoolRoute and Pool of a mcrouter configuration: a pool's servers, and all that a route may put before them.
 *
 * Source: mcrouter McRouteHandleProvider-inl.h, SlowWarmUpRoute.h, as facts.
 */
import type { IndexPlacementConfig } from "../../config/config.ts";
import type { RouteConfig } from "../../config/route-config.ts";
import { type Fields, UNBOUNDED } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";
import { latest } from "./read-failover.ts";
import { readPlacement } from "./read-placement.ts";
import type { ReadPool } from "./read-pools.ts";
import { rateLimit } from "./read-rate-limit.ts";
import type { RouteReader } from "./read-routes.ts";
import { shadowed } from "./read-shadows.ts";
import { nothing, type RouteInput } from "./route-input.ts";

/** Of requests that wait for `max_outstanding`: mcrouter has no bound, a process has memory. */
const MAX_WAITING = 100_000;

/** The pool that a route names or is; null: it was reported. */
export function poolOf({ fields, spot, reader }: RouteInput): ReadPool | null {
  const name = fields === null ? spot : (fields.get("pool") ?? fields.get("name") ?? spot);
  return reader.pools.pool(name, (server) => reader.one(server));
}

/** mcrouter's order, from the inside: outstanding, warm-up, shadows, hash, rates, asynclog. */
export function poolRoute(input: RouteInput): RouteConfig {
  const { fields, reader, spot } = input;
  const named = fields === null ? spot : fields.need("pool");
  const pool = named === null ? null : reader.pools.pool(named, (server) => reader.one(server));
  if (pool === null) return nothing;
  let destinations = pool.destinations;
  const maxOutstanding = fields?.integer("max_outstanding", 0, 0, 1_000_000) ?? 0;
  if (maxOutstanding > 0) {
    destinations = destinations.map((target) => ({
      type: "outstanding-limit",
      target,
      maxOutstanding,
      maxWaiting: MAX_WAITING,
      message: `Max pending requests (${MAX_WAITING}) reached`,
    }));
  }
  const warmUp = fields?.nested("slow_warmup") ?? null;
  if (warmUp !== null) destinations = slowWarmUp(destinations, warmUp, reader);
  if (fields?.has("shadows")) destinations = shadowed(destinations, fields, reader);
  let route = hashed(pool, destinations, fields, reader);
  if (fields !== null) {
    for (const name of ["shard_splits", "split_shard_fanout"]) {
      const found = fields.get(name);
      if (found !== null) reader.complain(found, "shard splits are not supported; use KeySplitRoute for hot keys");
    }
    const rates = fields.nested("rates");
    if (rates !== null) route = rateLimit(route, null, rates);
    if (reader.options.isAsyncLogOn && fields.boolean("asynclog", true)) {
      const name = fields.string("asynclog_name") ?? fields.string("name") ?? pool.name;
      return { type: "asynclog", target: route, name };
    }
    return route;
  }
  return reader.options.isAsyncLogOn ? { type: "asynclog", target: route, name: pool.name } : route;
}

function slowWarmUp(destinations: readonly RouteConfig[], fields: Fields, reader: RouteReader): readonly RouteConfig[] {
  const found = fields.need("failoverTarget");
  if (found === null) return destinations;
  const failover = reader.one(found);
  const settings = fields.nested("settings");
  const part = (name: string, otherwise: number) => settings?.number(name, otherwise, 0, 1) ?? otherwise;
  const shared = {
    enableThreshold: part("enable_threshold", 0.7),
    disableThreshold: part("disable_threshold", 0.9),
    start: part("start", 0.1),
    step: settings?.number("step", 1, 0, Number.POSITIVE_INFINITY) ?? 1,
    minRequests: settings?.integer("min_requests", 100, 0, UNBOUNDED) ?? 100,
  };
  return destinations.map((target) => ({ type: "slow-warmup", target, failover, ...shared }));
}

/** The pool's hash over its servers: the pool's own weights and tags first, what the route says over them. */
function hashed(
  pool: ReadPool,
  destinations: readonly RouteConfig[],
  fields: Fields | null,
  reader: RouteReader,
): RouteConfig {
  const count = destinations.length;
  if (count === 0) {
    if (!pool.isErrorOnEmpty) return nothing;
    return errorRoute(`HashRoute with empty children, name: ${pool.name}`);
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
  );
  if (choice === "latest") return latest(destinations, hash === null ? null : reader.fieldsIn(hash), reader);
  if (isOwn && count === 1) return { type: "pool", pool: pool.name, placement: null };
  if (isOwn) return { type: "pool", pool: pool.name, placement: isPlainCh3(choice) ? null : choice };
  return count === 1 ? destinations[0]! : { type: "hash", placement: choice, children: destinations };
}

function isPlainCh3(placement: IndexPlacementConfig): boolean {
  return placement.type === "ch3" && placement.salt === "";
}

/** Answers everything with an error. */
export function errorRoute(message: string): RouteConfig & { type: "error" } {
  return { type: "error", message, result: "local_error", isLogged: true };
}
