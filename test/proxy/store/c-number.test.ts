import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseNumber, parseUnsigned } from "../../../src/proxy/store/c-number.ts";

describe("a number as C parses it", () => {
  it("follows blanks and a sign, and ends at a blank, a NUL or the end", () => {
    const rows: Record<string, bigint | null> = {
      "12": 12n,
      " \t12": 12n,
      "+12": 12n,
      "-12": -12n,
      "007": 7n,
      "12 34": 12n,
      "12\0x": 12n,
      "12\r\n": 12n,
      "99999999999999999999999": 99999999999999999999999n,
      "": null,
      " ": null,
      "-": null,
      "--1": null,
      "12x": null,
      "1e3": null,
      "0x10": null,
      x12: null,
    };
    for (const [text, expected] of Object.entries(rows)) expect([text, parseNumber(text)]).toEqual([text, expected]);
  });

  it("wraps below zero at 64 bits, but not if its top bit would be set", () => {
    const rows: Record<string, bigint | null> = {
      "18446744073709551615": 2n ** 64n - 1n,
      "18446744073709551616": null,
      "-1": null,
      "-9223372036854775808": null,
      "-9223372036854775809": 2n ** 63n - 1n,
      "-18446744073709551615": 1n,
      "-18446744073709551616": null,
      x: null,
    };
    for (const [text, expected] of Object.entries(rows)) expect([text, parseUnsigned(text)]).toEqual([text, expected]);
  });

  it("is read as it was written", () => {
    fc.assert(fc.property(fc.bigInt(), (value) => parseNumber(value.toString()) === value));
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => parseUnsigned(`${value}`) === value));
  });
});
