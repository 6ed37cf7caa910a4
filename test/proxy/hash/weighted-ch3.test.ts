import { describe, expect, it } from "vitest";
import { Ch3Placement } from "../../../src/proxy/hash/ch3.ts";
import { WeightedCh3Placement } from "../../../src/proxy/hash/weighted-ch3.ts";
import { located } from "../../support/fakes/located.ts";
import { routingKey, sumOverManyKeys, vectors } from "../../support/vectors/mcrouter-vectors.ts";

describe("WeightedCh3", () => {
  for (const [i, { name, weights }] of vectors.weight_lists.entries()) {
    it(`places keys as mcrouter does with the weights ${name}`, () => {
      const placement = new WeightedCh3Placement(weights.length, weights);
      for (const key of vectors.keys) {
        expect([key.key, located(placement, routingKey(key))]).toEqual([key.key, key.wch3[i]]);
      }
    });
  }

  it("places 100,000 keys as mcrouter does, with 0.5 for a missing weight", () => {
    for (const { n, wch3_all_half: sum } of vectors.bulk) {
      const placement = new WeightedCh3Placement(n, [0.5]);
      expect([n, sumOverManyKeys((key) => placement.locate(key, 0, key.length))]).toEqual([n, sum]);
    }
  });

  it("places keys as Ch3 does if every weight is 1", () => {
    const [weighted, plain] = [new WeightedCh3Placement(5, [1, 1, 1, 1, 1]), new Ch3Placement(5)];
    for (const key of vectors.keys) expect(located(weighted, routingKey(key))).toBe(located(plain, routingKey(key)));
  });

  it("places keys of any length", () => {
    const placement = new WeightedCh3Placement(3, [0, 0, 1]);
    for (const length of [510, 511, 512, 5_000]) expect(located(placement, Buffer.alloc(length, "k"))).toBe(2);
  });
});
