/** Configuration → placement. */
import type { IndexPlacementConfig, PlacementConfig, PoolServer } from "../../config/config.ts";
import { BucketPlacement, Buckets } from "./buckets.ts";
import { Ch3Placement } from "./ch3.ts";
import { ConstShardPlacement } from "./const-shard.ts";
import { Crc32Placement } from "./crc32.ts";
import { DalliRing } from "./dalli.ts";
import { PrefixedPlacement, RoutingKeyPlacement, TaggedPlacement } from "./hashed-part.ts";
import { KetamaRing, ketamaLabel } from "./ketama.ts";
import { keyHashes } from "./key-hash.ts";
import { ModulaPlacement } from "./modula.ts";
import { OnlyPlacement, type Placement } from "./placement.ts";
import { RandomPlacement } from "./random-placement.ts";
import { RendezvousPlacement, WeightedRendezvousPlacement } from "./rendezvous.ts";
import { WeightedCh3Placement } from "./weighted-ch3.ts";

/** The environment of a placement. */
export interface PlacementContext {
  /** Precedes the keys on the servers, and is hashed with them. */
  readonly prefix: Buffer;
  readonly random: () => number;
}

/** The placement of a pool over its servers. */
export function buildPlacement(
  config: PlacementConfig,
  servers: readonly PoolServer[],
  { prefix, random }: PlacementContext,
): Placement {
  if (servers.length < 2) return new OnlyPlacement();
  const placement = ofKey(config, servers, random);
  return prefix.length === 0 ? placement : new PrefixedPlacement(placement, prefix);
}

function ofKey(config: PlacementConfig, servers: readonly PoolServer[], random: () => number): Placement {
  switch (config.type) {
    case "ketama":
    case "modula": {
      const members = servers.map((server) => ({ label: ketamaLabel(server), weight: server.weight }));
      const Kind = config.type === "ketama" ? KetamaRing : ModulaPlacement;
      return tagged(new Kind(members, keyHashes[config.keyHash]), config.hashTag);
    }
    case "random":
      return new RandomPlacement(servers.length, random);
    case "dalli":
      return new DalliRing(servers);
    default:
      return buildIndexPlacement(config, servers.length);
  }
}

function tagged(placement: Placement, tag: string): Placement {
  return tag === "" ? placement : new TaggedPlacement(placement, Buffer.from(tag, "latin1"));
}

/** One of mcrouter's placements, over `count` servers or routes. */
export function buildIndexPlacement(config: IndexPlacementConfig, count: number): Placement {
  if (count < 2) return new OnlyPlacement();
  const salt = Buffer.from(config.salt);
  if (config.type !== "bucketized") return new RoutingKeyPlacement(ofRoutingKey(config, count), salt);
  const ofBucket = new RoutingKeyPlacement(new WeightedCh3Placement(count, config.weights), salt);
  return new RoutingKeyPlacement(new BucketPlacement(new Buckets(config.buckets), ofBucket), NO_SALT);
}

const NO_SALT = Buffer.alloc(0);

function ofRoutingKey(config: Exclude<IndexPlacementConfig, { type: "bucketized" }>, count: number): Placement {
  switch (config.type) {
    case "ch3":
      return new Ch3Placement(count);
    case "weighted_ch3":
      return new WeightedCh3Placement(count, config.weights);
    case "crc32":
      return new Crc32Placement(count);
    case "const_shard":
      return new ConstShardPlacement(count);
    case "rendezvous":
      return new RendezvousPlacement(config.tags.map((tag) => Buffer.from(tag)));
    case "weighted_rendezvous":
      return new WeightedRendezvousPlacement(
        config.tags.map((tag) => Buffer.from(tag)),
        config.weights,
      );
  }
}
