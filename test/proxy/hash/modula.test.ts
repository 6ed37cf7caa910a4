import { expect, it } from "vitest";
import { keyHashes } from "../../../src/proxy/hash/key-hash.ts";
import { ModulaPlacement } from "../../../src/proxy/hash/modula.ts";
import { located } from "../../support/fakes/located.ts";

it("modula counts servers by name, shorter names first, each as often as its weight", () => {
  const members = [
    { label: "gamma", weight: 1 },
    { label: "delta", weight: 2 },
    { label: "beta", weight: 1 },
  ];
  const placement = new ModulaPlacement(members, keyHashes.crc32a);
  const order = [2, 1, 1, 0];
  for (let i = 0; i < 100; i++) {
    const key = Buffer.from(`key:${i}`);
    expect(located(placement, key)).toBe(order[placement.keyHash % 4]);
  }
});
