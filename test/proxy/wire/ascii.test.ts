import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  copyBytes,
  equalBytes,
  readDecimal,
  skipSpaces,
  tokenEnd,
  writeDecimal,
} from "../../../src/proxy/wire/ascii.ts";

const bytes = fc.uint8Array({ maxLength: 100 }).map((part) => Buffer.from(part));

describe("decimal numbers", () => {
  it("are written as they are read", () => {
    const property = (value: number) => {
      const target = Buffer.alloc(20, 0xff);
      const end = writeDecimal(value, target, 2);
      expect(target.toString("latin1", 2, end)).toBe(String(value));
      expect(readDecimal(target, 2, end)).toBe(value);
      expect(target[end]).toBe(0xff);
    };
    fc.assert(fc.property(fc.oneof(fc.nat(), fc.maxSafeNat()), property), { numRuns: 1_000 });
    for (const value of [0, 9, 10, 99, 100, 999_999_999_999_999, 10 ** 15, Number.MAX_SAFE_INTEGER]) property(value);
  });

  it("are −1 if they are malformed", () => {
    for (const text of ["", "-1", "+1", "1 ", " 1", "1x", "0x1", "9007199254740992", "99999999999999999"]) {
      expect([text, readDecimal(Buffer.from(text), 0, text.length)]).toEqual([text, -1]);
    }
  });
});

describe("bytes", () => {
  it("are copied to their place and nowhere else", () => {
    fc.assert(
      fc.property(bytes, fc.nat(10), (source, at) => {
        const target = Buffer.alloc(source.length + 20, 0x2a);
        expect(copyBytes(source, 0, source.length, target, at)).toBe(at + source.length);
        expect(target.subarray(at, at + source.length).equals(source)).toBe(true);
        expect(target.subarray(0, at).every((byte) => byte === 0x2a)).toBe(true);
        expect(target.subarray(at + source.length).every((byte) => byte === 0x2a)).toBe(true);
      }),
    );
  });

  it("are equal if their content is equal", () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        const other = Buffer.concat([b, a, b]);
        expect(equalBytes(a, 0, a.length, other, b.length)).toBe(true);
        if (a.length === b.length) expect(equalBytes(a, 0, a.length, b, 0)).toBe(a.equals(b));
      }),
    );
  });

  it("are split into words and blanks", () => {
    const line = Buffer.from("  get a\tb  ");
    expect(skipSpaces(line, 0, line.length)).toBe(2);
    expect(tokenEnd(line, 2, line.length)).toBe(5);
    expect(tokenEnd(line, 6, line.length)).toBe(9);
    expect(skipSpaces(line, 9, line.length)).toBe(line.length);
    expect(tokenEnd(line, 6, 7)).toBe(7);
  });
});
