/**
 * `bucketize` of a route: places keys by their buckets.
 *
 * Source: mcrouter routes/McBucketRoute.cpp, McRouteHandleProvider-inl.h, HashRouteFactory.h, as facts.
 */
import type { BucketsConfig } from "../../config/config.ts";
import { type Fields, numberOf } from "./fields.ts";
import { describeJson } from "./json-value.ts";

/** Maximum number of members that Ch3 supports. */
const MAX_BUCKETS = 2 ** 23;

/** The buckets of a route. `null` if the route is not bucketized, or if a problem was reported. */
export function readBuckets(fields: Fields | null): BucketsConfig | null {
  if (fields === null || !fields.boolean("bucketize", false)) return null;
  fields.need("bucketization_keyspace");
  if (fields.need("total_buckets") === null) return null;
  const total = fields.integer("total_buckets", null, 1, MAX_BUCKETS);
  if (total === null) return null;
  const prefixes = fields.get("total_buckets_by_prefix");
  const members = prefixes?.json.type === "object" ? [...prefixes.json.members] : [];
  const byPrefix = members.map(([prefix, json]) => {
    const count = numberOf(json);
    if (count !== null && Number.isInteger(count) && count > 0 && count <= total) return [prefix, count] as const;
    const at = { json, path: `${prefixes!.path}.${prefix}` };
    fields.complainAt(at, `expected a whole number from 1 to ${total}, got ${describeJson(json)}`);
    return [prefix, total] as const;
  });
  return { total, byPrefix };
}
