/**
 * A hash in a mcrouter configuration: a name, or an object with a name, a salt, weights and tags.
 *
 * Source: mcrouter routes/HashRouteFactory.h, lib/WeightedCh3HashFunc.cpp, as facts.
 */
import type { BucketsConfig, IndexPlacementConfig } from "../../config/config.ts";
import { suggestion } from "../../config/nearest-name.ts";
import type { Fields } from "./fields.ts";
import { numberOf } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";

/** Placement types by mcrouter's names. "Latest" is not a placement but a route. */
const types: Readonly<Record<string, Exclude<IndexPlacementConfig["type"], "bucketized"> | "latest">> = {
  Ch3: "ch3",
  WeightedCh3: "weighted_ch3",
  Crc32: "crc32",
  ConstShard: "const_shard",
  Rendezvous: "rendezvous",
  WeightedRendezvous: "weighted_rendezvous",
  Latest: "latest",
};

/** A valid hash. For "latest" see LatestRoute. */
export type HashChoice = IndexPlacementConfig | "latest";

/**
 * The placement over `count` members that `fields` describe (`hash_func`, `salt`, `weights`, `tags`). `otherwise` is
 * the function if `fields` name none. With `buckets`, the number of a key's bucket is placed.
 */
export function readPlacement(
  fields: Fields,
  otherwise: string,
  count: number,
  buckets: BucketsConfig | null = null,
): HashChoice {
  const name = fields.string("hash_func", otherwise);
  const salt = fields.string("salt", "");
  const type = Object.hasOwn(types, name) ? types[name]! : null;
  if (type === null) {
    const reason = refusals[name] ?? `Unknown hash function: ${name}${suggestion(name, Object.keys(types))}`;
    fields.complainAt(fields.get("hash_func") ?? { json: fields.object, path: fields.path }, reason);
    return { type: "ch3", salt };
  }
  if (buckets !== null && type !== "weighted_ch3") {
    fields.complain(`bucketize goes with the hash WeightedCh3 only, not with ${name}`);
  }
  switch (type) {
    case "latest":
      return "latest";
    case "weighted_ch3": {
      const weights = readWeights(fields, count) ?? new Array(count).fill(DEFAULT_WEIGHT);
      return buckets === null ? { type, salt, weights } : { type: "bucketized", salt, weights, buckets };
    }
    case "rendezvous":
      return { type, salt, tags: readTags(fields, count) };
    case "weighted_rendezvous":
      return {
        type,
        salt,
        tags: readTags(fields, count),
        weights: readWeights(fields, count) ?? new Array(count).fill(DEFAULT_WEIGHT),
      };
    default:
      return { type, salt };
  }
}

const DEFAULT_WEIGHT = 0.5;

const refusals: Readonly<Record<string, string>> = {
  LoadBalancer: "LoadBalancer needs the load that servers report, and memcached servers do not report it",
  WeightedCh3Rv: "WeightedCh3Rv takes weights from Facebook's runtime variables; use WeightedCh3 with weights",
};

/**
 * The members' weights. As in mcrouter, missing weights are 0.5 and extra weights are ignored. `null` if there are no
 * weights.
 */
export function readWeights(fields: Fields, count: number): number[] | null {
  const list = fields.array("weights");
  if (list === null) return null;
  const weights = list.items.slice(0, count).map((item, index) => weightOf(fields, item, index));
  return Array.from({ length: count }, (_, index) => weights[index] ?? DEFAULT_WEIGHT);
}

function weightOf(fields: Fields, item: Json, index: number): number {
  const weight = numberOf(item);
  if (weight !== null && weight >= 0 && weight <= 1) return weight;
  fields.complainAt(
    { json: item, path: `${fields.path}.weights[${index}]` },
    `expected a weight from 0 to 1, got ${describeJson(item)}`,
  );
  return DEFAULT_WEIGHT;
}

/** The members' tags. Reports a problem if there is not one for each. */
export function readTags(fields: Fields, count: number): readonly string[] {
  const tags = fields.strings("tags");
  if (tags !== null && tags.length === count) return tags;
  const found = tags === null ? "none" : `${tags.length}`;
  if (tags !== null || !fields.has("tags")) {
    fields.complain(`this hash needs tags: expected "tags" with one for each of the ${count} members, got ${found}`);
  }
  return Array.from({ length: count }, (_, index) => String(index));
}
