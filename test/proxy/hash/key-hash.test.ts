import { describe, expect, it } from "vitest";
import { keyHashNames } from "../../../src/config/config.ts";
import { buildPlacement } from "../../../src/proxy/hash/build.ts";
import { keyHashes } from "../../../src/proxy/hash/key-hash.ts";
import { located } from "../../support/fakes/located.ts";
import { serversOf, vectors } from "../../support/vectors/twemproxy-vectors.ts";

/** Key hashes, and the placements by them: what twemproxy did with 200 keys. */
describe("twemproxy's placements", () => {
  it("have vectors for every hash, with ketama and with modula", () => {
    const seen = vectors.placements.map(({ distribution, hash }) => `${distribution} ${hash}`);
    for (const name of keyHashNames) {
      expect(seen).toContain(`ketama ${name}`);
      expect(seen).toContain(`modula ${name}`);
    }
  });

  for (const { servers, distribution, hash, hash_tag: hashTag = "", index, ...own } of vectors.placements) {
    it(`match for ${distribution} by ${hash} over ${servers}${hashTag === "" ? "" : `, tags ${hashTag}`}`, () => {
      const config = { type: distribution, keyHash: hash, hashTag } as const;
      const placement = buildPlacement(config, serversOf(servers), { prefix: Buffer.alloc(0), random: () => 0 });
      const keys = own.keys?.map((key) => Buffer.from(key)) ?? vectors.keys_hex.map((hex) => Buffer.from(hex, "hex"));
      expect(keys.map((key) => located(placement, key))).toEqual(index);
    });
  }
});

it("key hashes are unsigned, and the hash of an empty key is known", () => {
  const empty = Buffer.alloc(0);
  const ofNothing = Object.fromEntries(keyHashNames.map((name) => [name, keyHashes[name](empty, 0, 0)]));
  expect(ofNothing).toEqual({
    one_at_a_time: 0,
    md5: 0xd98c1dd4,
    crc16: 0,
    crc32: 0,
    crc32a: 0,
    fnv1_64: 0x84222325,
    fnv1a_64: 0x84222325,
    fnv1_32: 0x811c9dc5,
    fnv1a_32: 0x811c9dc5,
    hsieh: 0,
    murmur: 0,
    jenkins: 0xdeadbefc,
  });
  for (const name of keyHashNames) {
    for (const hex of vectors.keys_hex) {
      const key = Buffer.from(hex, "hex");
      const hash = keyHashes[name](key, 0, key.length);
      expect(hash >>> 0).toBe(hash);
    }
  }
});
