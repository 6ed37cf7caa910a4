/**
 * Options of failover, which FailoverRoute, FailoverWithExptimeRoute and LatestRoute share.
 *
 * Source: mcrouter FailoverRoute.h, FailoverPolicy.h, FailoverRateLimiter.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { isError, results } from "../../proxy/route/result.ts";
import type { Fields, Spot } from "../config/fields.ts";
import { describeJson } from "../config/json-value.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { resultNamed } from "../config/result-named.ts";
import { ofFacebook } from "../config/route-refusals.ts";

/** Results that send a request to the next child, by kind of request. `null` uses the default results. */
interface FailoverErrors {
  readonly gets: readonly Result[] | null;
  readonly updates: readonly Result[] | null;
  readonly deletes: readonly Result[] | null;
}

export interface FailoverOptions {
  /** "" if there is no name. */
  readonly name: string;
  readonly errors: FailoverErrors;
  /** Limit of failovers: `rate` per request (0 to 1), and `burst` at once. `null` if there is no limit. */
  readonly limit: { readonly rate: number; readonly burst: number } | null;
  /** True if keys with a hash stop are marked when they fail over. */
  readonly isTagged: boolean;
  readonly policy: "in-order" | "least-failures";
  /** Maximum number of children that are asked, including the first. */
  readonly maxTries: number;
}

/** `count` is the number of children. */
export function failoverOptions(fields: Fields | null, count: number, reader: RouteReader): FailoverOptions {
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
): Pick<FailoverOptions, "policy" | "maxTries"> {
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

function failoverLimit(fields: Fields): FailoverOptions["limit"] {
  const limit = fields.nested("failover_limit");
  if (limit === null) return null;
  limit.need("rate");
  const rate = limit.number("rate", 1, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)!;
  const burst = limit.number("burst", 1000, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)!;
  return { rate: Math.min(Math.max(rate, 0), 1), burst: Math.max(burst, 1) };
}
