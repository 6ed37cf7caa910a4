/** What mcrouter's own hash functions say of 200 keys (test/vectors/mcrouter-hash.json). */
import { readFileSync } from "node:fs";

export interface HashedKey {
  readonly key: string;
  readonly hex: string;
  readonly prefix: string;
  readonly rk_hex: string;
  readonly murmur64a: string;
  readonly spooky32_0: number;
  readonly spooky32_w: number;
  readonly spooky64_0: string;
  readonly crc32: number;
  readonly ch3: readonly number[];
  readonly crc: readonly number[];
  readonly const: readonly number[];
  readonly wch3: readonly number[];
  readonly ch3_salt: readonly number[];
  readonly rv: number;
  readonly wrv: number;
}

interface Vectors {
  readonly sizes: readonly number[];
  readonly salts: readonly string[];
  readonly tags: readonly string[];
  readonly wrv_weights: readonly number[];
  readonly weight_lists: readonly { readonly name: string; readonly weights: readonly number[] }[];
  /** Sums over the keys k0 to k99999. */
  readonly bulk: readonly {
    readonly n: number;
    readonly ch3: number;
    readonly crc32: number;
    readonly wch3_all_half: number;
  }[];
  readonly keys: readonly HashedKey[];
}

const file = new URL("../../vectors/mcrouter-hash.json", import.meta.url);
export const vectors: Vectors = JSON.parse(readFileSync(file, "utf8"));

/** The part of a key that mcrouter hashes. */
export function routingKey({ rk_hex: hex }: HashedKey): Buffer {
  return Buffer.from(hex, "hex");
}

/** The key without its routing prefix, as placements are given it. */
export function bareKey({ hex, prefix }: HashedKey): Buffer {
  return Buffer.from(hex, "hex").subarray(prefix.length);
}

/** `sum = sum * 31 + index` over the keys of `bulk`, in 32 bits. */
export function sumOverManyKeys(indexOf: (key: Buffer) => number): number {
  let sum = 0;
  for (let i = 0; i < 100_000; i++) sum = (Math.imul(sum, 31) + indexOf(Buffer.from(`k${i}`))) >>> 0;
  return sum;
}
