import { describe, expect, it } from "vitest";
import { Ch3Placement } from "../../../src/proxy/hash/ch3.ts";
import { located } from "../../support/fakes/located.ts";
import { routingKey, sumOverManyKeys, vectors } from "../../support/vectors/mcrouter-vectors.ts";

describe("Ch3", () => {
  it("places keys as mcrouter does", () => {
    for (const key of vectors.keys) {
      const indexes = vectors.sizes.map((count) => located(new Ch3Placement(count), routingKey(key)));
      expect([key.key, indexes]).toEqual([key.key, key.ch3]);
    }
  });

  it("places 100,000 keys as mcrouter does", () => {
    for (const { n, ch3 } of vectors.bulk) {
      const placement = new Ch3Placement(n);
      expect([n, sumOverManyKeys((key) => placement.locate(key, 0, key.length))]).toEqual([n, ch3]);
    }
  });

  it("moves only the new member's share of the keys when a member is added", () => {
    const [before, after] = [new Ch3Placement(9), new Ch3Placement(10)];
    let moved = 0;
    for (let i = 0; i < 5_000; i++) {
      const key = Buffer.from(`key:${i}`);
      const index = located(after, key);
      if (index === located(before, key)) continue;
      moved++;
      expect(index).toBe(9);
    }
    expect(moved).toBeGreaterThan(400);
    expect(moved).toBeLessThan(600);
  });

  it("places keys in the largest possible pool", () => {
    const placement = new Ch3Placement(2 ** 23);
    const indexes = Array.from({ length: 2_000 }, (_, i) => located(placement, Buffer.from(`key:${i}`)));
    expect(indexes.every((index) => index >= 0 && index < 2 ** 23)).toBe(true);
    expect(new Set(indexes).size).toBeGreaterThan(1_990);
  });
});
