import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeBase64 } from "../../../src/proxy/wire/base64.ts";

it("base64 decodes what it encoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(decodeBase64(Buffer.from(bytes).toString("base64"))).toEqual(Buffer.from(bytes));
    }),
  );
});

it.each([
  ["Y=Q=", "`"],
  ["YQ==YQ==", "a"],
  ["YWJj\t", "abc"],
  ["YQ", ""],
  ["-_-_", ""],
  ["====", ""],
  ["Y===", ""],
  ["", ""],
])("base64 reads %j as memcached does", (text, key) => {
  expect(decodeBase64(text).toString("latin1")).toBe(key);
});
