import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { md5Word } from "../../../src/proxy/hash/md5.ts";

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
});
