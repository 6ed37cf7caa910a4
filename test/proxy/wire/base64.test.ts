import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeBase64Key } from "../../../src/proxy/wire/base64.ts";

describe("base64 of a key", () => {
  it("is what everybody writes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 180 }), (bytes) => {
        const key = Buffer.from(bytes);
        expect(decodeBase64Key(key.toString("base64"))).toEqual(key);
      }),
    );
  });

  // Each as memcached 1.6.18 takes it: the key is what `me` and the flag k show.
  it.each([
    ["Y=Q=", "`"],
    ["YQ==YQ==", "a"],
    ["Y-Q=_=", "a"],
    ["YWI", null],
    ["====", null],
    ["-", null],
    ["", null],
  ])("%s is what memcached makes of it", (text, key) => {
    expect(decodeBase64Key(text)?.toString("latin1") ?? null).toBe(key);
  });
});
