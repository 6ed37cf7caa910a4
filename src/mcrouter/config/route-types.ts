/**
 * What each of mcrouter's route handles takes, and the RouteConfig it becomes. A new handle is a line in `routeTypes`.
 *
 * Source: mcrouter routes/*.h, as facts; Facebook's own handles are refused by name.
 */

import type { OperationName } from "../../config/results.ts";
import type { RouteConfig } from "../../config/route-config.ts";
import { allOperationNames, isError } from "../../proxy/route/result.ts";
import { bytesText, MAX_INT32, UNBOUNDED } from "./fields.ts";
import { failover, failoverWithExptime, latest, resultNamed } from "./read-failover.ts";
import { readPlacement } from "./read-placement.ts";
import { errorRoute, poolOf, poolRoute } from "./read-pool-route.ts";
import { rateLimit } from "./read-rate-limit.ts";
import { shadowed } from "./read-shadows.ts";
import { childrenOf, nothing, type ObjectInput, object, type RouteInput, sortedMembers } from "./route-input.ts";

type ReadType = (input: RouteInput) => readonly RouteConfig[];

/** By type, what reads it. */
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
        startUnixSeconds: fields.integer("start_time", 0, 0, UNBOUNDED)!,
        intervalSeconds: fields.integer("interval", 3600, 0, UNBOUNDED)!,
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
    const thresholdBytes = fields.integer("split_threshold", 0, 1, UNBOUNDED)!;
    const batchSize = fields.integer("batch_size", 0, 0, UNBOUNDED)!;
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

function many(type: "all-sync" | "all-fastest" | "all-initial" | "all-majority" | "random"): ReadType {
  return (input) => {
    const children = childrenOf(input);
    return [children.length < 2 ? (children[0] ?? nothing) : { type, children }];
  };
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
