/**
 * What each of mcrouter's route handles takes, and the RouteConfig it becomes. A new handle is a line in `routeTypes`.
 *
 * Source: mcrouter routes/*.h, as facts; Facebook's own handles are refused by name.
 */

import { allOperationNames, isError, type OperationName, type Result, results } from "../../proxy/route/result.ts";
import type { IndexPlacementConfig } from "../config.ts";
import type { FailoverErrors, FailoverRouteConfig, Rate, RouteConfig, ShadowConfig } from "../route-config.ts";
import { Problems } from "../section.ts";
import { bytesText, Fields, numberOf, type Spot } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";
import { readPlacement, readWeights } from "./read-placement.ts";
import type { ReadPool } from "./read-pools.ts";
import type { RouteReader } from "./read-routes.ts";

/** What a type is read from: its object's fields, or whatever stands behind the bar of a short form. */
interface RouteInput {
  readonly spot: Spot;
  /** Null: it is no object. */
  readonly fields: Fields | null;
  readonly reader: RouteReader;
}

type ReadType = (input: RouteInput) => readonly RouteConfig[];

const nothing: RouteConfig = { type: "null" };
const INFINITE = Number.MAX_SAFE_INTEGER;
/** Of requests that wait for `max_outstanding`: mcrouter has no bound, a process has memory. */
const MAX_WAITING = 100_000;
const MAX_INT32 = 2 ** 31 - 1;

/** By type. */
export const routeTypes: Readonly<Record<string, ReadType>> = {
  PoolRoute: (input) => [poolRoute(input)],
  Pool: (input) => poolOf(input)?.destinations ?? [],
  HashRoute: (input) => [hashRoute(input)],
  AllSyncRoute: many("all-sync"),
  AllFastestRoute: many("all-fastest"),
  AllInitialRoute: many("all-initial"),
  AllMajorityRoute: many("all-majority"),
  AllAsyncRoute: (input) => {
    const children = childrenOf(input);
    return [children.length === 0 ? nothing : { type: "all-async", children }];
  },
  RandomRoute: many("random"),
  FailoverRoute: (input) => [failover(childrenOf(input), input.fields, input.reader)],
  FailoverWithExptimeRoute: (input) => [failoverWithExptime(object(input))],
  MissFailoverRoute: (input) => {
    const children = childrenOf(input);
    if (children.length < 2) return [children[0] ?? nothing];
    const returnsBestOnError = input.fields?.boolean("return_best_on_error", false) ?? false;
    return [{ type: "miss-failover", children, returnsBestOnError }];
  },
  WarmUpRoute: (input) => {
    const { fields, child } = object(input);
    const exptime = fields.integer("exptime", null, 0, MAX_INT32);
    const isTtlAsked = fields.boolean("enable_metaget", false);
    return [{ type: "warm-up", cold: child("cold"), warm: child("warm"), exptime: exptime ?? (isTtlAsked ? null : 0) }];
  },
  MigrateRoute: (input) => {
    const { fields, child } = object(input);
    fields.need("start_time");
    return [
      {
        type: "migrate",
        from: child("from"),
        to: child("to"),
        startUnixSeconds: fields.integer("start_time", 0, 0, INFINITE)!,
        intervalSeconds: fields.integer("interval", 3600, 0, INFINITE)!,
      },
    ];
  },
  ShadowRoute: (input) => {
    const { fields, children } = object(input);
    return shadowed(children("children"), fields, input.reader);
  },
  OperationSelectorRoute: operationSelector,
  PrefixPolicyRoute: operationSelector,
  RoutingGroupRoute: routingGroups,
  PrefixSelectorRoute: (input) => {
    const { fields, optional } = object(input);
    const policies = new Map<string, RouteConfig>();
    const nested = fields.nested("policies");
    for (const [prefix, json] of sortedMembers(nested)) {
      policies.set(bytesText(prefix), input.reader.one({ json, path: `${nested!.path}.${prefix}` }));
    }
    const wildcard = optional("wildcard");
    if (policies.size === 0 && wildcard === null) fields.complain('expected "policies" or "wildcard"');
    return [{ type: "prefix-selector", policies, wildcard }];
  },
  NullRoute: () => [nothing],
  DevNullRoute: () => [{ type: "devnull" }],
  ErrorRoute: (input) => {
    const { spot, fields } = input;
    if (spot.json.type === "string") return [errorRoute(spot.json.value)];
    if (fields === null) return [errorRoute("")];
    const isLogged = fields.boolean("enable_logging", true);
    const name = fields.string("result", "mc_res_local_error");
    const result = resultNamed(name);
    if (result === null || !isError(result)) {
      fields.complainAt(
        fields.get("result")!,
        `expected an error such as "mc_res_timeout", got ${JSON.stringify(name)}`,
      );
    }
    return [{ ...errorRoute(fields.string("response", "")), result: result ?? "local_error", isLogged }];
  },
  HostIdRoute: (input) => {
    const children = childrenOf(input);
    if (children.length === 0) return [nothing];
    return [{ type: "host-id", children, salt: input.fields?.string("salt", "") ?? "" }];
  },
  LatestRoute: (input) => [latest(childrenOf(input), input.fields, input.reader)],
  RateLimitRoute: (input) => {
    const { fields, child, optional } = object(input);
    const target = child("target");
    const rates = fields.need("rates") === null ? null : fields.nested("rates");
    const fallback = optional("fallback");
    return [rates === null ? target : rateLimit(target, fallback, rates)];
  },
  ModifyKeyRoute: (input) => [modifyKey(object(input))],
  ModifyExptimeRoute: (input) => {
    const { fields, child } = object(input);
    const target = child("target");
    fields.need("exptime");
    const exptime = fields.integer("exptime", 0, -MAX_INT32, MAX_INT32)!;
    const action = fields.string("action", "set");
    if (action !== "set" && action !== "min") {
      fields.complainAt(fields.get("action")!, `expected "set" or "min", got ${JSON.stringify(action)}`);
    }
    // The least of an exptime and never is that exptime.
    if (action === "min" && exptime === 0) return [target];
    return [{ type: "modify-exptime", target, action: action === "min" ? "min" : "set", exptime }];
  },
  LoggingRoute: (input) => {
    const { fields, spot, reader } = input;
    if (fields !== null) return [{ type: "logging", target: object(input).optional("target") ?? nothing }];
    return [{ type: "logging", target: spot.json.type === "string" ? reader.one(spot) : nothing }];
  },
  L1L2CacheRoute: (input) => {
    const { fields, child } = object(input);
    fields.need("upgradingL1Exptime");
    return [
      {
        type: "l1l2-cache",
        l1: child("l1"),
        l2: child("l2"),
        upgradingL1Exptime: fields.integer("upgradingL1Exptime", 0, 0, MAX_INT32)!,
        ncacheExptime: fields.integer("ncacheExptime", 0, 0, MAX_INT32)!,
        ncacheUpdatePeriod: fields.integer("ncacheUpdatePeriod", 0, 0, MAX_INT32)!,
      },
    ];
  },
  KeySplitRoute: (input) => {
    const { fields, child } = object(input);
    fields.need("replicas");
    fields.need("all_sync");
    return [
      {
        type: "keysplit",
        destination: child("destination"),
        replicas: fields.integer("replicas", 2, 2, 1000)!,
        isAllSync: fields.boolean("all_sync", false),
        isFirstHit: fields.boolean("first_hit", false),
      },
    ];
  },
  BigValueRoute: (input) => {
    const { fields, child } = object(input);
    for (const name of ["split_threshold", "batch_size"]) fields.need(name);
    const thresholdBytes = fields.integer("split_threshold", 0, 1, INFINITE)!;
    const batchSize = fields.integer("batch_size", 0, 0, INFINITE)!;
    const hidden = fields.get("hide_reply_flag");
    if (hidden !== null) input.reader.warn(hidden, "has no effect");
    return [{ type: "big-value", target: child("target"), thresholdBytes, batchSize }];
  },
  LatencyInjectionRoute: (input) => {
    const { fields, child } = object(input);
    const isGiven = ["before_latency_ms", "after_latency_ms", "total_latency_ms", "request_payload_latency"].some(
      (name) => fields.has(name),
    );
    const ms = (name: string) => fields.integer(name, 0, 0, 3_600_000)!;
    const [beforeMs, afterMs, totalMs] = [ms("before_latency_ms"), ms("after_latency_ms"), ms("total_latency_ms")];
    if (fields.has("total_latency_percentile_ms")) {
      fields.complain(
        "total_latency_percentile_ms is not supported; use before_latency_ms, after_latency_ms or total_latency_ms",
      );
    } else if (!isGiven) {
      fields.complain('expected "before_latency_ms", "after_latency_ms" or "total_latency_ms"');
    }
    for (const name of ["request_payload_latency", "max_request_latency_us"]) {
      const found = fields.get(name);
      if (found !== null) input.reader.warn(found, "has no effect: memcached's requests say nothing of latencies");
    }
    if (beforeMs + afterMs + totalMs === 0) return [child("child")];
    return [{ type: "latency-injection", child: child("child"), beforeMs, afterMs, totalMs }];
  },
};

function errorRoute(message: string): RouteConfig & { type: "error" } {
  return { type: "error", message, result: "local_error", isLogged: true };
}

const ofFacebook = "is Facebook's own and needs what only their servers and tools have; Platypus does not have it";

/** Why a type that mcrouter knows is refused. */
export const routeRefusals: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "StagingRoute",
    "SaltedFailoverRoute",
    "HashStopAllowListRoute",
    "KeyParseRoute",
    "BlackholeRoute",
    "OriginalClientHashRoute",
    "McBucketRoute",
    "DistributionRoute",
    "SetDistributionTargetRoute",
    "CarbonLookasideRoute",
    "SRRoute",
    "AxonLogRoute",
    "McRefillRoute",
  ]
    .map((name) => [name, `${name} ${ofFacebook}`])
    .concat([
      [
        "LoadBalancerRoute",
        "LoadBalancerRoute goes by the load that servers report, and memcached servers report none",
      ],
      [
        "L1L2SizeSplitRoute",
        "L1L2SizeSplitRoute needs servers that keep its sentinels from other clients; memcached does not",
      ],
    ]),
);

/** The fields of a type that is always an object, and readers of the routes in them. */
function object({ fields, spot, reader }: RouteInput) {
  if (fields === null) reader.complain(spot, `expected an object, got ${describeJson(spot.json)}`);
  const optional = (name: string): RouteConfig | null => {
    const found = fields?.get(name) ?? null;
    return found === null ? null : reader.one(found);
  };
  const child = (name: string): RouteConfig => {
    const found = fields?.need(name) ?? null;
    return found === null ? nothing : reader.one(found);
  };
  const children = (name: string): readonly RouteConfig[] => {
    const found = fields?.need(name) ?? null;
    return found === null ? [] : reader.list(found);
  };
  return { fields: fields ?? reader.fieldsIn(spot), optional, child, children, reader };
}

type ObjectInput = ReturnType<typeof object>;

/** Members in the order of their names, in which mcrouter reads them: a handle may be named by those behind it. */
function sortedMembers(fields: Fields | null): readonly (readonly [string, Json])[] {
  return [...(fields?.object.members ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `children` of an object; of anything else the list that it is. */
function childrenOf({ fields, spot, reader }: RouteInput): readonly RouteConfig[] {
  if (fields === null) return spot.json.type === "null" ? [] : reader.list(spot);
  const children = fields.get("children");
  return children === null ? [] : reader.list(children);
}

function many(type: "all-sync" | "all-fastest" | "all-initial" | "all-majority" | "random"): ReadType {
  return (input) => {
    const children = childrenOf(input);
    return [children.length < 2 ? (children[0] ?? nothing) : { type, children }];
  };
}

function poolOf({ fields, spot, reader }: RouteInput): ReadPool | null {
  const name = fields === null ? spot : (fields.get("pool") ?? fields.get("name") ?? spot);
  return reader.pools.pool(name, (server) => reader.one(server));
}

/** mcrouter's order, from the inside: outstanding, warm-up, shadows, hash, rates, asynclog. */
function poolRoute(input: RouteInput): RouteConfig {
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

function hashRoute(input: RouteInput): RouteConfig {
  const { fields, reader } = input;
  const children = childrenOf(input);
  const isErrorOnEmpty = fields?.boolean("error_on_empty", true) ?? true;
  if (children.length === 0) {
    return isErrorOnEmpty
      ? errorRoute(`HashRoute with empty children, name: ${fields?.string("name", "") ?? ""}`)
      : nothing;
  }
  if (fields === null) return single(children) ?? { type: "hash", placement: { type: "ch3", salt: "" }, children };
  const choice = readPlacement(fields, "Ch3", children.length);
  for (const name of ["weights", "tags", "salt", "hash_func"]) fields.has(name);
  if (choice === "latest") return latest(children, fields, reader);
  return single(children) ?? { type: "hash", placement: choice, children };
}

function single(children: readonly RouteConfig[]): RouteConfig | null {
  return children.length === 1 ? children[0]! : null;
}

function failover(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
  const options = failoverOptions(fields, children.length, reader);
  return children.length < 2 ? (children[0] ?? nothing) : { type: "failover", children, ...options };
}

function failoverOptions(
  fields: Fields | null,
  count: number,
  reader: RouteReader,
): Omit<FailoverRouteConfig, "type" | "children"> {
  const plain = { gets: null, updates: null, deletes: null };
  if (fields === null) {
    return { name: "", errors: plain, limit: null, isTagged: false, policy: "in-order", maxTries: INFINITE };
  }
  const lease = fields.get("enable_lease_pairing");
  if (lease !== null) reader.warn(lease, "has no effect: memcached's servers know no lease-get");
  return {
    name: fields.string("name", ""),
    errors: failoverErrors(fields, reader),
    limit: failoverLimit(fields),
    isTagged: fields.boolean("failover_tag", false),
    ...failoverPolicy(fields, count, reader),
  };
}

function failoverPolicy(
  fields: Fields,
  count: number,
  reader: RouteReader,
): Pick<FailoverRouteConfig, "policy" | "maxTries"> {
  const policy = fields.nested("failover_policy");
  if (policy === null) return { policy: "in-order", maxTries: INFINITE };
  const type = policy.string("type", "");
  if (type === "LeastFailuresPolicy") {
    policy.need("max_tries");
    const maxTries = policy.integer("max_tries", count, 1, 2 ** 32 - 1)!;
    if (maxTries > count) reader.warn(policy.get("max_tries")!, `is more than the ${count} children; all are tried`);
    return { policy: "least-failures", maxTries };
  }
  if (type === "DeterministicOrderPolicy" || type === "RendezvousPolicy") {
    policy.complain(`${type} ${ofFacebook}; use the children's order or LeastFailuresPolicy`);
  } else {
    reader.warn({ json: policy.object, path: policy.path }, "is of no known type: the children are tried in order");
  }
  return { policy: "in-order", maxTries: INFINITE };
}

function failoverErrors(fields: Fields, reader: RouteReader): FailoverErrors {
  const found = fields.get("failover_errors");
  if (found === null) return { gets: null, updates: null, deletes: null };
  if (found.json.type === "array") {
    const all = errorList(found, reader);
    return { gets: all, updates: all, deletes: all };
  }
  if (found.json.type !== "object") {
    reader.complain(found, `expected a list of errors, or an object of lists, got ${describeJson(found.json)}`);
    return { gets: null, updates: null, deletes: null };
  }
  const { members } = found.json;
  const listOf = (name: string) => {
    const json = members.get(name);
    return json === undefined ? null : errorList({ json, path: `${found.path}.${name}` }, reader);
  };
  return { gets: listOf("gets"), updates: listOf("updates"), deletes: listOf("deletes") };
}

function errorList(spot: Spot, reader: RouteReader): readonly Result[] {
  if (spot.json.type !== "array") {
    reader.complain(spot, `expected a list of errors, got ${describeJson(spot.json)}`);
    return [];
  }
  return spot.json.items.flatMap((json, index): Result[] => {
    const result = json.type === "string" ? resultNamed(`mc_res_${json.value}`) : null;
    if (result !== null && isError(result)) return [result];
    const known = results.filter(isError).join(", ");
    reader.complain({ json, path: `${spot.path}[${index}]` }, `expected one of ${known}; got ${describeJson(json)}`);
    return [];
  });
}

function resultNamed(name: string): Result | null {
  return results.find((result) => `mc_res_${result}` === name) ?? null;
}

function failoverLimit(fields: Fields): FailoverRouteConfig["limit"] {
  const limit = fields.nested("failover_limit");
  if (limit === null) return null;
  limit.need("rate");
  const rate = limit.number("rate", 1, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)!;
  const burst = limit.number("burst", 1000, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)!;
  return { rate: Math.min(Math.max(rate, 0), 1), burst: Math.max(burst, 1) };
}

function failoverWithExptime({ fields, child, reader }: ObjectInput): RouteConfig {
  const normal = child("normal");
  const found = fields.get("failover");
  const exptime = fields.integer("failover_exptime", 60, 0, MAX_INT32)!;
  const targets = found === null ? [] : reader.list(found);
  const bounded = targets.map(
    (target): RouteConfig => (exptime === 0 ? target : { type: "modify-exptime", target, action: "min", exptime }),
  );
  return failover([normal, ...bounded], fields, reader);
}

function latest(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
  if (children.length === 0) return nothing;
  const local = fields?.get("thread_local_failover") ?? null;
  if (local !== null) reader.warn(local, "has no effect: there are no threads");
  const count = fields?.integer("failover_count", 5, 1, 1000) ?? 5;
  return {
    type: "latest",
    children,
    weights: (fields === null ? null : readWeights(fields, children.length)) ?? children.map(() => 1),
    salt: fields?.string("salt", "") ?? "",
    failover: { ...failoverOptions(fields, children.length, reader), maxTries: Math.min(count, children.length) },
  };
}

function rateLimit(target: RouteConfig, fallback: RouteConfig | null, rates: Fields): RouteConfig {
  const rateOf = (name: string): Rate | null => {
    const rate = rates.number(`${name}_rate`, null, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    const burst = rates.number(`${name}_burst`, rate, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    return rate === null ? null : { rate, burst: burst! };
  };
  return {
    type: "rate-limit",
    target,
    fallback,
    gets: rateOf("gets"),
    sets: rateOf("sets"),
    deletes: rateOf("deletes"),
  };
}

function modifyKey({ fields, child }: ObjectInput): RouteConfig {
  const part = (name: string): string | null => {
    const given = fields.string(name);
    const text = given === null ? null : bytesText(given);
    if (text === null || /^[!-~\x80-\xff]*$/.test(text)) return text;
    fields.complainAt(fields.get(name)!, "expected text that may stand in a key: no spaces, no control characters");
    return null;
  };
  const prefix = part("set_routing_prefix");
  if (prefix !== null && prefix !== "" && !/^\/[^/]+\/[^/]+\/?$/.test(prefix)) {
    fields.complainAt(
      fields.get("set_routing_prefix")!,
      `expected "/region/cluster/" or "", got ${JSON.stringify(prefix)}`,
    );
  }
  const replacePrefix = part("replace_key_prefix");
  const isInPlace = fields.boolean("modify_inplace", false);
  if (isInPlace && replacePrefix !== null) fields.complain("modify_inplace and replace_key_prefix do not go together");
  return {
    type: "modify-key",
    target: child("target"),
    routingPrefix: prefix === null || prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`,
    ensurePrefix: part("ensure_key_prefix") ?? "",
    isInPlace,
    replacePrefix,
    suffix: part("set_key_suffix") ?? "",
  };
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
    minRequests: settings?.integer("min_requests", 100, 0, INFINITE) ?? 100,
  };
  return destinations.map((target) => ({ type: "slow-warmup", target, failover, ...shared }));
}

/** Children with the shadows that their index has. What is wrong with a shadow is said, and the shadow left out. */
function shadowed(children: readonly RouteConfig[], fields: Fields, reader: RouteReader): readonly RouteConfig[] {
  const policy = fields.get("shadow_policy");
  if (policy !== null && !(policy.json.type === "string" && policy.json.value === "default")) {
    reader.complain(policy, `expected "default", got ${describeJson(policy.json)}`);
  }
  const list = fields.array("shadows");
  const shadows = (list?.items ?? []).flatMap((json, index) => {
    const shadow = readShadow({ json, path: `${fields.path}.shadows[${index}]` }, reader);
    return shadow === null ? [] : [shadow];
  });
  return children.map((child, index) => {
    const own = shadows.filter(({ from, to, shadow }) => shadow.keys !== null || (from <= index && index < to));
    return own.length === 0 ? child : { type: "shadow", child, shadows: own.map(({ shadow }) => shadow) };
  });
}

function readShadow(spot: Spot, reader: RouteReader): { from: number; to: number; shadow: ShadowConfig } | null {
  if (spot.json.type !== "object") {
    reader.warn(spot, "is no object, and is left out");
    return null;
  }
  const problems = new Problems();
  const fields = new Fields(spot.json, spot.path, problems);
  const target = fields.need("target");
  const [from, to] = range(fields, "index_range", INFINITE) ?? [0, 0];
  const listed = fields.strings("keys_to_shadow") ?? [];
  const keyFraction = range(fields, "key_fraction_range", 1) ?? [0, 0];
  const ranges = ["index_range", "key_fraction_range", "key_fraction_range_rv"].filter((name) => fields.has(name));
  if (listed.length > 0 && ranges.length > 0) fields.complain(`keys_to_shadow does not go together with ${ranges[0]}`);
  if (fields.has("key_fraction_range_rv")) {
    fields.complain("key_fraction_range_rv needs runtime variables, which are not supported; use key_fraction_range");
  }
  const requestsFraction = fields.number("requests_fraction", 1, 0, 1)!;
  reader.warnOfUnread(fields, "a shadow");
  if (target === null || problems.all.length > 0) {
    for (const { message } of problems.all) reader.warn(spot, `is left out: ${message}`);
    return null;
  }
  const keys = listed.length === 0 ? null : listed.map(bytesText);
  const maxOutstanding = reader.options.maxShadows === 0 ? INFINITE : reader.options.maxShadows;
  return { from, to, shadow: { target: reader.one(target), keyFraction, keys, requestsFraction, maxOutstanding } };
}

/** Two numbers, the first not above the second; null: there is no such field. */
function range(fields: Fields, name: string, max: number): [number, number] | null {
  const found = fields.get(name);
  if (found === null) return null;
  const numbers = found.json.type === "array" ? found.json.items.map(numberOf) : [];
  const [from, to] = numbers;
  if (numbers.length === 2 && from != null && to != null && from >= 0 && from <= to && to <= max) return [from, to];
  fields.complainAt(found, "expected a list of two numbers, the first not above the second");
  return null;
}

/** Names of operations that mcrouter's configurations have and memcached's clients do not send. */
const idleOperations = new Set(["lease-get", "lease-set", "flushall", "flushre", "version", "stats"]);

function operationSelector(input: RouteInput): readonly RouteConfig[] {
  // As in mcrouter: anything but an object is the route for all.
  if (input.fields === null) return [input.reader.one(input.spot)];
  const { fields, optional, reader } = object(input);
  const policies = new Map<OperationName, RouteConfig>();
  // First, as in mcrouter: named handles in it are known to the others.
  const otherwise = optional("default_policy");
  const nested = fields.nested("operation_policies");
  for (const [name, json] of sortedMembers(nested)) {
    const spot = { json, path: `${nested!.path}.${name}` };
    if (isOperation(name)) policies.set(name, reader.one(spot));
    else if (idleOperations.has(name)) reader.warn(spot, "is for requests that memcached clients do not make");
    else reader.complain(spot, `unknown operation; expected one of ${allOperationNames.join(", ")}`);
  }
  if (nested === null && otherwise === null) fields.complain('expected "default_policy" or "operation_policies"');
  return [{ type: "operation-selector", policies, otherwise }];
}

function isOperation(name: string): name is OperationName {
  return (allOperationNames as readonly string[]).includes(name);
}

const groups: Readonly<Record<string, readonly OperationName[]>> = {
  get_like: ["get", "gets", "gat", "gats", "metaget"],
  update_like: ["set", "add", "replace", "append", "prepend", "cas"],
  delete_like: ["delete"],
  arithmetic_like: ["incr", "decr"],
};

function routingGroups(input: RouteInput): readonly RouteConfig[] {
  const { fields, optional, reader } = object(input);
  const policies = new Map<OperationName, RouteConfig>();
  const nested = fields.nested("routing_group_policies");
  for (const [name, json] of nested?.object.members ?? []) {
    const spot = { json, path: `${nested!.path}.${name}` };
    const operations = Object.hasOwn(groups, name) ? groups[name]! : null;
    if (operations === null) {
      reader.complain(spot, `unknown group; expected one of ${Object.keys(groups).join(", ")}`);
      continue;
    }
    const route = reader.one(spot);
    for (const operation of operations) policies.set(operation, route);
  }
  return [{ type: "operation-selector", policies, otherwise: optional("default_policy") }];
}
