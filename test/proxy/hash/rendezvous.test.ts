import { describe, expect, it } from "vitest";
import { RendezvousPlacement, WeightedRendezvousPlacement } from "../../../src/proxy/hash/rendezvous.ts";
import { located } from "../../support/fakes/located.ts";
import { routingKey, vectors } from "../../support/vectors/mcrouter-vectors.ts";

const tags = vectors.tags.map((tag) => Buffer.from(tag));

describe("Rendezvous", () => {
  it("places keys as mcrouter does", () => {
    const placement = new RendezvousPlacement(tags);
    for (const key of vectors.keys) expect([key.key, located(placement, routingKey(key))]).toEqual([key.key, key.rv]);
  });

  it("moves only the keys of a member that is removed", () => {
    const [all, fewer] = [new RendezvousPlacement(tags), new RendezvousPlacement(tags.slice(0, -1))];
    for (const key of vectors.keys) {
      const before = located(all, routingKey(key));
      if (before !== tags.length - 1) expect(located(fewer, routingKey(key))).toBe(before);
    }
  });

  it("uses the last of several members with the same tag", () => {
    const placement = new RendezvousPlacement([tags[0]!, tags[0]!]);
    expect(located(placement, Buffer.from("key"))).toBe(1);
  });
});

describe("WeightedRendezvous", () => {
  it("places keys as mcrouter does", () => {
    const placement = new WeightedRendezvousPlacement(tags, vectors.wrv_weights);
    for (const key of vectors.keys) expect([key.key, located(placement, routingKey(key))]).toEqual([key.key, key.wrv]);
  });

  it("places no key on a member of weight 0", () => {
    const placement = new WeightedRendezvousPlacement(tags.slice(0, 3), [0, 1, 0]);
    for (const key of vectors.keys) expect(located(placement, routingKey(key))).toBe(1);
  });
});
