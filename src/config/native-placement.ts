/** `hash` of `[target]` and `[pool.NAME]`, and the settings that belong to it. */

import { addressText, type KeyHashName, type PlacementConfig, type PoolConfig, type PoolServer } from "./config.ts";
import type { Problems, Section } from "./section.ts";

/** Placements that a native file can name. */
type NativePlacement = Exclude<PlacementConfig["type"], "bucketized">;

interface PlacementValues {
  readonly hash: NativePlacement;
  readonly keyHash: KeyHashName;
  readonly hashTag: string;
  readonly salt: string;
}

/** Settings that a placement uses. */
interface Uses {
  readonly settings: readonly ("hash_key" | "hash_tag" | "salt")[];
  readonly weights: boolean;
  readonly names: boolean;
}

const usesOf: Readonly<Record<NativePlacement, Uses>> = {
  ketama: { settings: ["hash_key", "hash_tag"], weights: true, names: true },
  modula: { settings: ["hash_key", "hash_tag"], weights: true, names: true },
  random: { settings: [], weights: false, names: false },
  dalli: { settings: [], weights: true, names: false },
  ch3: { settings: ["salt"], weights: false, names: false },
  weighted_ch3: { settings: ["salt"], weights: true, names: false },
  crc32: { settings: ["salt"], weights: false, names: false },
  const_shard: { settings: ["salt"], weights: false, names: false },
  rendezvous: { settings: ["salt"], weights: false, names: true },
  weighted_rendezvous: { settings: ["salt"], weights: true, names: true },
};

/** The placement of a section. Settings, weights and names that the placement does not use are problems. */
export function readPlacement(
  section: Section,
  values: PlacementValues,
  servers: readonly PoolServer[],
  problems: Problems,
): PlacementConfig {
  const { hash: type, keyHash, hashTag, salt } = values;
  const uses = usesOf[type];
  const noUse = (key: string) => `has no use with hash = "${type}"; ${placementsWith(key)}`;
  for (const key of ["hash_key", "hash_tag", "salt"] as const) {
    const found = section.found.get(key);
    if (found !== undefined && found.value !== "" && !uses.settings.includes(key))
      problems.add(found.place, noUse(key));
  }
  const place = section.found.get("servers")?.place ?? section.place;
  if (!uses.weights && servers.some(({ weight }) => weight !== 1)) {
    problems.add(place, `a weight ${noUse("weights")}`);
  }
  if (!uses.names && servers.some(({ name }) => name !== null)) problems.add(place, `a name ${noUse("names")}`);
  if (hashTag !== "" && !/^[!-~]{2}$/.test(hashTag)) {
    problems.add(section.found.get("hash_tag")?.place ?? section.place, 'expected two characters, such as "{}"');
  }
  switch (type) {
    case "ketama":
    case "modula":
      return { type, keyHash, hashTag };
    case "random":
    case "dalli":
      return { type };
    case "ch3":
    case "crc32":
    case "const_shard":
      return { type, salt };
    case "weighted_ch3":
      return { type, salt, weights: sharesOf(servers) };
    case "rendezvous":
      return { type, salt, tags: tagsOf(servers) };
    case "weighted_rendezvous":
      return { type, salt, tags: tagsOf(servers), weights: sharesOf(servers) };
  }
}

/**
 * The pool with another list of servers. Weights and names are left out if the pool's placement does not use them.
 */
export function withServers(pool: PoolConfig, found: readonly PoolServer[]): PoolConfig {
  const { placement } = pool;
  if (placement.type === "bucketized") return { ...pool, servers: found };
  const uses = usesOf[placement.type];
  const servers = found.map(({ address, weight, name }): PoolServer => {
    return { address, weight: uses.weights ? weight : 1, name: uses.names ? name : null };
  });
  return { ...pool, servers, placement: placementOver(placement, servers) };
}

function placementOver(placement: PlacementConfig, servers: readonly PoolServer[]): PlacementConfig {
  switch (placement.type) {
    case "weighted_ch3":
      return { ...placement, weights: sharesOf(servers) };
    case "rendezvous":
      return { ...placement, tags: tagsOf(servers) };
    case "weighted_rendezvous":
      return { ...placement, tags: tagsOf(servers), weights: sharesOf(servers) };
    default:
      return placement;
  }
}

function placementsWith(key: string): string {
  const names = Object.entries(usesOf).flatMap(([name, uses]) => {
    const has = key === "weights" ? uses.weights : key === "names" ? uses.names : uses.settings.some((s) => s === key);
    return has ? [name] : [];
  });
  return `${names.join(", ")} ${names.length === 1 ? "has" : "have"}`;
}

/** Weights in mcrouter's form: the maximum is 1. */
function sharesOf(servers: readonly PoolServer[]): number[] {
  const greatest = Math.max(...servers.map(({ weight }) => weight));
  return servers.map(({ weight }) => weight / greatest);
}

/** Placement tags: a server's name, else its address with the port. */
function tagsOf(servers: readonly PoolServer[]): string[] {
  return servers.map(({ name, address }) => name ?? addressText(address));
}
