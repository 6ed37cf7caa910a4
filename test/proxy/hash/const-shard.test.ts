import { describe, expect, it } from "vitest";
import { Ch3Placement } from "../../../src/proxy/hash/ch3.ts";
import { ConstShardPlacement } from "../../../src/proxy/hash/const-shard.ts";
import { located } from "../../support/fakes/located.ts";
import { routingKey, vectors } from "../../support/vectors/mcrouter-vectors.ts";

describe("ConstShard", () => {
  it("places keys as mcrouter does", () => {
    for (const key of vectors.keys) {
      const indexes = vectors.sizes.map((count) => located(new ConstShardPlacement(count), routingKey(key)));
      expect([key.key, indexes]).toEqual([key.key, key.const]);
    }
  });

  it("places a key on the shard that it names between its first two colons", () => {
    const placement = new ConstShardPlacement(8);
    const at = (key: string) => located(placement, Buffer.from(key));
    expect(["a:0:b", "a:7:b", "a:7:", ":3:", "a:0007:b:2:"].map(at)).toEqual([0, 7, 7, 3, 7]);
  });

  it("uses Ch3 if a key names no possible shard", () => {
    const [placement, plain] = [new ConstShardPlacement(8), new Ch3Placement(8)];
    for (const key of [
      "a:8:b",
      "a:9999999999999999999999:b",
      "a:-1:b",
      "a::b",
      "a:3",
      "a:3x:b",
      "a:x3:b",
      "3:",
      "",
      ":",
    ]) {
      expect([key, located(placement, Buffer.from(key))]).toEqual([key, located(plain, Buffer.from(key))]);
    }
  });
});
