import fc from "fast-check";
import { expect, it } from "vitest";
import { Continuum, pointOf } from "../../../src/proxy/hash/continuum.ts";

const place = fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 1, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff));

it("a position on the continuum belongs to the first point from it on, or to the last point up to it", () => {
  fc.assert(
    fc.property(fc.uniqueArray(place, { minLength: 1, maxLength: 50 }), fc.array(place), (values, places) => {
      values.sort((a, b) => a - b);
      const continuum = new Continuum(Float64Array.from(values, (value, owner) => pointOf(value, owner)));
      for (const each of [...places, ...values]) {
        const from = values.findIndex((value) => value >= each);
        const upTo = values.findLastIndex((value) => value <= each);
        expect(continuum.ownerFrom(each)).toBe(Math.max(from, 0));
        expect(continuum.ownerUpTo(each)).toBe(upTo < 0 ? values.length - 1 : upTo);
      }
    }),
  );
});
