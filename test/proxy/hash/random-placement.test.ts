import { expect, it } from "vitest";
import { RandomPlacement } from "../../../src/proxy/hash/random-placement.ts";

it("RandomPlacement picks any member, and one connection for a key", () => {
  const numbers = [0, 0.34, 0.99, 0.5];
  const placement = new RandomPlacement(3, () => numbers.shift()!);
  const key = Buffer.from("key");
  const hashes = new Set<number>();
  const members = Array.from({ length: 4 }, () => {
    const member = placement.locate(key, 0, key.length);
    hashes.add(placement.keyHash);
    return member;
  });
  expect(members).toEqual([0, 1, 2, 1]);
  expect(hashes.size).toBe(1);
});
