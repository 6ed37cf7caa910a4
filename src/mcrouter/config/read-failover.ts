/**
 * FailoverRoute, FailoverWithExptimeRoute and LatestRoute of a mcrouter configuration.
 *
 * Source: mcrouter FailoverRoute.h, FailoverPolicy.h, FailoverRateLimiter.h, LatestRoute.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import type { FailoverErrors, FailoverRouteConfig, RouteConfig } from "../../config/route-config.ts";
import { isError, results } from "../../proxy/route/result.ts";
import { type Fields, MAX_INT32, type Spot, UNBOUNDED } from "./fields.ts";
import { describeJson } from "./json-value.ts";
import { readWeights } from "./read-placement.ts";
import type { RouteReader } from "./read-routes.ts";
import { nothing, type ObjectInput } from "./route-input.ts";
import { ofFacebook } from "./route-refusals.ts";

/** FailoverRoute over `children`; a single one stands for itself. */
export function failover(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
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
    return { name: "", errors: plain, limit: null, isTagged: false, policy: "in-order", maxTries: UNBOUNDED };
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
  if (policy === null) return { policy: "in-order", maxTries: UNBOUNDED };
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
  return { policy: "in-order", maxTries: UNBOUNDED };
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

/** By mcrouter's name, such as "mc_res_timeout"; null: there is none of that name. */
export function resultNamed(name: string): Result | null {
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

/** FailoverWithExptimeRoute: whatever the others keep they keep for a short time. */
export function failoverWithExptime({ fields, child, reader }: ObjectInput): RouteConfig {
  const normal = child("normal");
  const found = fields.get("failover");
  const exptime = fields.integer("failover_exptime", 60, 0, MAX_INT32)!;
  const targets = found === null ? [] : reader.list(found);
  const bounded = targets.map(
    (target): RouteConfig => (exptime === 0 ? target : { type: "modify-exptime", target, action: "min", exptime }),
  );
  return failover([normal, ...bounded], fields, reader);
}

/** LatestRoute: failover in an order that goes by the host. */
export function latest(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
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
