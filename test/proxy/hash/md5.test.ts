import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { md5Word, md5Words } from "../../../src/proxy/hash/md5.ts";

function expected(bytes: Buffer): number {
  return createHash("md5").update(bytes).digest().readUInt32LE();
}

describe("the first word of an MD5", () => {
  it("equals that of the whole digest, at every length over several blocks", () => {
    for (let length = 0; length <= 300; length++) {
      const bytes = Buffer.from(Array.from({ length }, (_, i) => (i * 37 + length) & 0xff));
      expect([length, md5Word(bytes, 0, length)]).toEqual([length, expected(bytes)]);
    }
  });

  it("covers only the bytes between start and end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 250 }), fc.nat(9), fc.nat(9), (key, before, behind) => {
        const chunk = Buffer.concat([Buffer.alloc(before, 0xff), key, Buffer.alloc(behind, 0xff)]);
        expect(md5Word(chunk, before, before + key.length)).toBe(expected(Buffer.from(key)));
      }),
      { numRuns: 1_000 },
    );
  });

  it("is the same for each of many keys, short or long, of an even or odd number", () => {
    const keys = fc.array(fc.uint8Array({ maxLength: 130 }), { maxLength: 9 });
    fc.assert(
      fc.property(keys, (some) => {
        const starts = some.map((_, i) => some.slice(0, i).reduce((sum, { length }) => sum + length, 0));
        const ends = some.map(({ length }, i) => starts[i]! + length);
        const hashes = new Uint32Array(some.length + 1).fill(7);
        md5Words(Buffer.concat(some), starts, ends, hashes);
        expect([...hashes]).toEqual([...some.map((key) => expected(Buffer.from(key))), 7]);
      }),
      { numRuns: 1_000 },
    );
  });
});
