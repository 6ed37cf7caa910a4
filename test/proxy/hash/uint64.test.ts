import fc from "fast-check";
import { expect, it } from "vitest";
import { multiplyHigh, toDouble } from "../../../src/proxy/hash/uint64.ts";

const edges = fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff));

it("the high half of a product equals that of BigInt", () => {
  fc.assert(
    fc.property(edges, edges, (a, b) => {
      expect(multiplyHigh(a, b) >>> 0).toBe(Number((BigInt(a) * BigInt(b)) >> 32n));
      expect(multiplyHigh(a | 0, b | 0)).toBe(multiplyHigh(a, b));
    }),
  );
});

it("two halves convert to the nearest double", () => {
  fc.assert(
    fc.property(edges, edges, (low, high) => {
      expect(toDouble(low | 0, high | 0)).toBe(Number((BigInt(high) << 32n) | BigInt(low)));
    }),
  );
});
