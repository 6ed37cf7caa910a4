/**
 * Options of failover, which FailoverRoute, FailoverWithExptimeRoute and LatestRoute share.
 *
 * Source: mcrouter FailoverRoute.h, FailoverPolicy.h, FailoverRateLimiter.h, as facts.
 */

import type { IndexPlacementConfig } from "../../config/config.ts";
import type { Result } from "../../config/results.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { isError, results } from "../../proxy/route/result.ts";
import type { Fields, Spot } from "../config/fields.ts";
import { describeJson } from "../config/json-value.ts";
import { readPlacement, readTags, readWeights } from "../config/read-placement.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { resultNamed } from "../config/result-named.ts";

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
  readonly policy: FailoverPolicy;
  /** Maximum number of children that are asked, including the first. */
  readonly maxTries: number;
  /**
   * Maximum number of children that fail before the route gives up. Servers that cannot be reached and the errors in
   * `uncountedErrors` do not count.
   */
  readonly maxErrorTries: number;
  readonly uncountedErrors: readonly Result[];
}

/** Order of the children after the first (failover-order.ts). */
export type FailoverPolicy =
  | { readonly type: "in-order" }
  | { readonly type: "least-failures" }
  | DeterministicPolicy
  /** An entry for each child after the first; `weights` is `null` if all weights are equal. */
  | { readonly type: "rendezvous"; readonly tags: readonly string[]; readonly weights: readonly number[] | null };

export interface DeterministicPolicy {
  readonly type: "deterministic-order";
  readonly placement: IndexPlacementConfig;
  /** True if the server that the first child has asked is not asked again. */
  readonly skipsAsked: boolean;
  /** True if servers in the failure domain of a server that cannot be reached are asked last. */
  readonly avoidsFailedDomains: boolean;
}

type PolicyOptions = Pick<FailoverOptions, "policy" | "maxTries" | "maxErrorTries" | "uncountedErrors">;

const inOrder: PolicyOptions = {
  policy: { type: "in-order" },
  maxTries: UNBOUNDED,
  maxErrorTries: UNBOUNDED,
  uncountedErrors: [],
};

/** Options without settings: children in order, after each failure. */
export const plainFailoverOptions: FailoverOptions = {
  name: "",
  errors: { gets: null, updates: null, deletes: null },
  limit: null,
  isTagged: false,
  ...inOrder,
};

/** `count` is the number of children. */
export function failoverOptions(fields: Fields | null, count: number, reader: RouteReader): FailoverOptions {
  if (fields === null) return plainFailoverOptions;
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

function failoverPolicy(fields: Fields, count: number, reader: RouteReader): PolicyOptions {
  const policy = fields.nested("failover_policy");
  if (policy === null) return inOrder;
  const type = policy.string("type", "");
  switch (type) {
    case "LeastFailuresPolicy":
      return { ...inOrder, policy: { type: "least-failures" }, maxTries: triesOf(policy, count, reader) };
    case "DeterministicOrderPolicy":
      return deterministicOrder(fields, policy, count, reader);
    case "RendezvousPolicy":
      return { ...inOrder, policy: rendezvous(fields, policy, count - 1) };
    default:
      reader.warn({ json: policy.object, path: policy.path }, "is of no known type: the children are tried in order");
      return inOrder;
  }
}

/** `max_tries`, which is required. */
function triesOf(policy: Fields, count: number, reader: RouteReader): number {
  policy.need("max_tries");
  const maxTries = policy.integer("max_tries", count, 1, 2 ** 32 - 1)!;
  if (maxTries > count) reader.warn(policy.get("max_tries")!, `is more than the ${count} children; all are tried`);
  return Math.min(maxTries, count);
}

function deterministicOrder(fields: Fields, policy: Fields, count: number, reader: RouteReader): PolicyOptions {
  const maxTries = triesOf(policy, count, reader);
  policy.need("max_error_tries");
  const maxErrorTries = policy.integer("max_error_tries", maxTries, 1, 2 ** 32 - 1)!;
  const excluded = policy.get("exclude_errors");
  const avoidsFailedDomains = policy.boolean("enable_failure_domains", false);
  // The hash of the route, or of the policy; the salt is a counter.
  const hash = fields.nested("hash") ?? policy.nested("hash") ?? policy;
  const choice = readPlacement(hash, "Ch3", count);
  if (choice === "latest" || (choice.type !== "ch3" && choice.type !== "weighted_ch3")) {
    hash.complain("DeterministicOrderPolicy goes with the hashes Ch3 and WeightedCh3 only");
    return inOrder;
  }
  const skipsAsked = !policy.boolean("ignore_normal_reply_index", false);
  return {
    policy: { type: "deterministic-order", placement: choice, skipsAsked, avoidsFailedDomains },
    maxTries,
    maxErrorTries: Math.min(maxErrorTries, maxTries),
    uncountedErrors: excluded === null ? [] : errorList(excluded, reader),
  };
}

/** Tags of the route override those of the policy. */
function rendezvous(fields: Fields, policy: Fields, count: number): FailoverPolicy {
  const tags = readTags(fields.has("tags") ? fields : policy, Math.max(0, count));
  const isWeighted = fields.string("hash", "") === "WeightedRendezvous";
  return { type: "rendezvous", tags, weights: isWeighted ? readWeights(policy, count) : null };
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
