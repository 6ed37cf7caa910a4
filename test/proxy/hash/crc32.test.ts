import { describe, expect, it } from "vitest";
import { Crc32Placement, crc32 } from "../../../src/proxy/hash/crc32.ts";
import { located } from "../../support/fakes/located.ts";
import { routingKey, sumOverManyKeys, vectors } from "../../support/vectors/mcrouter-vectors.ts";

describe("Crc32", () => {
  it("computes the checksum of IEEE 802.3", () => {
    for (const key of vectors.keys) {
      const bytes = routingKey(key);
      expect([key.key, crc32(bytes, 0, bytes.length)]).toEqual([key.key, key.crc32]);
    }
  });

  it("places keys as mcrouter does", () => {
    for (const key of vectors.keys) {
      const indexes = vectors.sizes.map((count) => located(new Crc32Placement(count), routingKey(key)));
      expect([key.key, indexes]).toEqual([key.key, key.crc]);
    }
    for (const { n, crc32: sum } of vectors.bulk) {
      const placement = new Crc32Placement(n);
      expect([n, sumOverManyKeys((key) => placement.locate(key, 0, key.length))]).toEqual([n, sum]);
    }
  });
});
