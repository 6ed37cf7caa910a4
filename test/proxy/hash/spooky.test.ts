import { expect, it } from "vitest";
import { spooky32, spooky64 } from "../../../src/proxy/hash/spooky.ts";
import { routingKey, vectors } from "../../support/vectors/mcrouter-vectors.ts";

it("SpookyHash matches mcrouter's for short and long keys", () => {
  const lengths = new Set<number>();
  for (const key of vectors.keys) {
    const bytes = Buffer.concat([Buffer.from("x"), routingKey(key)]);
    lengths.add(bytes.length - 1);
    expect([key.key, spooky32(bytes, 1, bytes.length, 0)]).toEqual([key.key, key.spooky32_0]);
    expect([key.key, spooky32(bytes, 1, bytes.length, 0xface2014)]).toEqual([key.key, key.spooky32_w]);
    expect([key.key, spooky64(bytes, 1, bytes.length, 0)]).toEqual([key.key, BigInt(`0x${key.spooky64_0}`)]);
  }
  expect(Math.max(...lengths)).toBeGreaterThan(192);
});
