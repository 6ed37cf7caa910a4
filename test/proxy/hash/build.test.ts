import { describe, expect, it } from "vitest";
import type { IndexPlacementConfig, PlacementConfig } from "../../../src/config/config.ts";
import { buildIndexPlacement, buildPlacement } from "../../../src/proxy/hash/build.ts";
import { located } from "../../support/fakes/located.ts";
import { bareKey, vectors } from "../../support/vectors/mcrouter-vectors.ts";
import { poolServer } from "../../support/vectors/twemproxy-vectors.ts";

const none = { prefix: Buffer.alloc(0), random: () => 0.99 };
const { tags, wrv_weights: weights } = vectors;

describe("mcrouter's placements", () => {
  const placed: Record<string, [IndexPlacementConfig, number, (key: (typeof vectors.keys)[number]) => number]> = {
    ch3: [{ type: "ch3", salt: "" }, 17, (key) => key.ch3[4]!],
    crc32: [{ type: "crc32", salt: "" }, 17, (key) => key.crc[4]!],
    const_shard: [{ type: "const_shard", salt: "" }, 17, (key) => key.const[4]!],
    weighted_ch3: [{ type: "weighted_ch3", salt: "", weights: [1, 1, 0.7] }, 3, (key) => key.wch3[1]!],
    rendezvous: [{ type: "rendezvous", salt: "", tags }, 5, (key) => key.rv],
    weighted_rendezvous: [{ type: "weighted_rendezvous", salt: "", tags, weights }, 5, (key) => key.wrv],
  };

  for (const [name, [config, count, indexOf]] of Object.entries(placed)) {
    it(`by ${name} ignore the part of a key after a hash stop`, () => {
      const placement = buildIndexPlacement(config, count);
      for (const key of vectors.keys) {
        expect([key.key, located(placement, bareKey(key))]).toEqual([key.key, indexOf(key)]);
      }
    });
  }

  for (const [i, salt] of vectors.salts.entries()) {
    it(`by ch3 match for the salt ${salt}`, () => {
      const placement = buildIndexPlacement({ type: "ch3", salt }, 17);
      for (const key of vectors.keys) {
        expect([key.key, located(placement, bareKey(key))]).toEqual([key.key, key.ch3_salt[i]]);
      }
    });
  }
});

describe("a placement", () => {
  const servers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((host) => poolServer(host));
  const configs: readonly PlacementConfig[] = [
    { type: "ketama", keyHash: "md5", hashTag: "" },
    { type: "modula", keyHash: "jenkins", hashTag: "{}" },
    { type: "random" },
    { type: "dalli" },
    { type: "ch3", salt: "s" },
    { type: "weighted_ch3", salt: "", weights: [1, 0.5] },
    { type: "crc32", salt: "" },
    { type: "const_shard", salt: "" },
    { type: "rendezvous", salt: "", tags: ["a", "b", "c"] },
    { type: "weighted_rendezvous", salt: "", tags: ["a", "b", "c"], weights: [1, 2, 3] },
  ];

  for (const config of configs) {
    it(`returns members of the pool and connection hashes with ${config.type}, and spreads keys over both`, () => {
      const placement = buildPlacement(config, servers, none);
      const members = new Set<number>();
      const hashes = new Set<number>();
      for (let i = 0; i < 300; i++) {
        members.add(located(placement, Buffer.from(`key:${i}`)));
        expect(placement.keyHash >>> 0).toBe(placement.keyHash);
        hashes.add(placement.keyHash);
      }
      expect([...members].sort()).toEqual(config.type === "random" ? [2] : [0, 1, 2]);
      expect(hashes.size).toBeGreaterThan(295);
    });

    it(`returns the first server with ${config.type} for one server or none, with connection hashes`, () => {
      for (const few of [[], [servers[0]!]]) {
        const placement = buildPlacement(config, few, none);
        const hashes = new Set<number>();
        for (let i = 0; i < 300; i++) {
          expect(located(placement, Buffer.from(`key:${i}`))).toBe(0);
          hashes.add(placement.keyHash);
        }
        expect(hashes.size).toBe(300);
      }
    });
  }

  it("uses the key as it is stored on the servers, with the prefix", () => {
    for (const config of configs.filter(({ type }) => type !== "random")) {
      const prefixed = buildPlacement(config, servers, { ...none, prefix: Buffer.from("app:") });
      const plain = buildPlacement(config, servers, none);
      for (let i = 0; i < 100; i++) {
        expect(located(prefixed, Buffer.from(`key:${i}`))).toBe(located(plain, Buffer.from(`app:key:${i}`)));
      }
    }
  });
});
