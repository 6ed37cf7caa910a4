/** Where twemproxy and libmemcached put keys (test/vectors/twemproxy.json). */
import { readFileSync } from "node:fs";
import { parseAddress } from "../../../src/config/address.ts";
import type { KeyHashName, PoolServer } from "../../../src/config/config.ts";

interface Vectors {
  readonly server_sets: Record<string, readonly { server: string; weight: number; name: string | null }[]>;
  readonly placements: readonly {
    readonly servers: string;
    readonly distribution: "ketama" | "modula";
    readonly hash: KeyHashName;
    readonly hash_tag?: string;
    readonly keys?: readonly string[];
    readonly index: readonly number[];
  }[];
  readonly libmemcached: readonly {
    readonly servers: readonly string[];
    readonly weights?: readonly number[];
    readonly index: readonly number[];
  }[];
  readonly keys_hex: readonly string[];
}

const file = new URL("../../vectors/twemproxy.json", import.meta.url);
export const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

export function poolServer(server: string, weight = 1, name: string | null = null): PoolServer {
  return { address: parseAddress(server, "/")!, weight, name };
}

/** The servers of a set of the vectors. */
export function serversOf(set: string): PoolServer[] {
  return vectors.server_sets[set]!.map(({ server, weight, name }) => poolServer(server, weight, name));
}
