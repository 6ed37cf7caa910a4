/**
 * Nanoseconds for placing a key, over 10 servers, with keys of about 20 bytes. Prints one line each.
 *
 *     node bench/micro/placement.ts
 */
import type { PlacementConfig, PoolServer } from "../../src/config/config.ts";
import { buildPlacement } from "../../src/proxy/hash/build.ts";

const KEYS = 100_000;
const ROUNDS = 10;
const SERVERS = 10;

const servers = Array.from({ length: SERVERS }, (_, i): PoolServer => {
  return { address: { type: "tcp", isTls: false, host: `10.0.0.${i}`, port: 11211 }, weight: 1, name: null };
});
const tags = servers.map((_, i) => `tag${i}`);
const weights = servers.map((_, i) => 1 - i / 20);
const configs: readonly PlacementConfig[] = [
  { type: "ketama", keyHash: "md5", hashTag: "" },
  { type: "ketama", keyHash: "fnv1a_64", hashTag: "" },
  { type: "ketama", keyHash: "fnv1a_64", hashTag: "{}" },
  { type: "modula", keyHash: "fnv1a_64", hashTag: "" },
  { type: "dalli" },
  { type: "ch3", salt: "" },
  { type: "ch3", salt: "salt" },
  { type: "weighted_ch3", salt: "", weights: [1] },
  { type: "weighted_ch3", salt: "", weights },
  { type: "crc32", salt: "" },
  { type: "const_shard", salt: "" },
  { type: "rendezvous", salt: "", tags },
  { type: "weighted_rendezvous", salt: "", tags, weights },
];

const texts = Array.from({ length: KEYS }, (_, i) => `user:${i}:profile:v2`);
const chunk = Buffer.from(texts.join(""));
const ends: number[] = [];
for (const { length } of texts) ends.push((ends.at(-1) ?? 0) + length);
const starts = texts.map(({ length }, i) => ends[i]! - length);
const owners = new Uint32Array(KEYS);

/** Best time of a round per key. `place` returns a number that depends on all keys. */
function best(place: () => number): number {
  let least = Number.POSITIVE_INFINITY;
  let sum = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint();
    sum += place();
    least = Math.min(least, Number(process.hrtime.bigint() - start) / KEYS);
  }
  if (sum < 0) throw new Error("the work must not be optimised away");
  return least;
}

for (const config of configs) {
  const placement = buildPlacement(config, servers, { prefix: Buffer.alloc(0), random: Math.random });
  const oneByOne = best(() => {
    let sum = 0;
    for (let i = 0; i < KEYS; i++) sum += placement.locate(chunk, starts[i]!, ends[i]!);
    return sum;
  });
  process.stdout.write(`${oneByOne.toFixed(0).padStart(6)} ns  ${JSON.stringify(config)}\n`);
  if (placement.locateAll === undefined) continue;
  const atOnce = best(() => {
    placement.locateAll!(chunk, starts, ends, owners);
    return owners[0]!;
  });
  process.stdout.write(`${atOnce.toFixed(0).padStart(6)} ns  ${JSON.stringify(config)}, all keys at once\n`);
}
