import fc from "fast-check";
import { expect, it } from "vitest";
import { murmur64, murmur64OfHash } from "../../../src/proxy/hash/murmur64.ts";
import { routingKey, vectors } from "../../support/vectors/mcrouter-vectors.ts";

const SEED = 4_193_360_111;

function hash(bytes: Buffer): bigint {
  const words = new Int32Array(4);
  murmur64(bytes, 0, bytes.length, SEED, words, 2);
  return BigInt.asUintN(64, (BigInt(words[3]!) << 32n) | BigInt(words[2]! >>> 0));
}

it("MurmurHash64A matches mcrouter's", () => {
  for (const key of vectors.keys) {
    expect([key.key, hash(routingKey(key))]).toEqual([key.key, BigInt(`0x${key.murmur64a}`)]);
  }
});

it("the hash of a hash is the hash of its bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 8 }), (eight) => {
      const bytes = Buffer.from(eight);
      const words = Int32Array.of(bytes.readInt32LE(0), bytes.readInt32LE(4), 0, 0);
      murmur64OfHash(words, 0, SEED, 2);
      const high = BigInt(words[3]!) << 32n;
      expect(BigInt.asUintN(64, high | BigInt(words[2]! >>> 0))).toBe(hash(bytes));
    }),
  );
});
