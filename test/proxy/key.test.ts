import { describe, expect, it } from "vitest";
import { routingKeyEnd, routingPrefixLength } from "../../src/proxy/key.ts";
import { vectors } from "../support/vectors/mcrouter-vectors.ts";

/** The prefix and the routing key of a key that lies between other bytes. */
function partsOf(key: Buffer): [string, string] {
  const chunk = Buffer.concat([Buffer.from("/a/b|#|"), key, Buffer.from("|#|/c/")]);
  const [start, end] = [7, 7 + key.length];
  const from = start + routingPrefixLength(chunk, start, end);
  return [chunk.toString("latin1", start, from), chunk.toString("latin1", from, routingKeyEnd(chunk, from, end))];
}

describe("the parts of a key", () => {
  it("match mcrouter's", () => {
    for (const { hex, prefix, rk_hex } of vectors.keys) {
      expect(partsOf(Buffer.from(hex, "hex"))).toEqual([prefix, Buffer.from(rk_hex, "hex").toString("latin1")]);
    }
  });

  it("can be missing or empty", () => {
    const parts = (key: string) => partsOf(Buffer.from(key, "latin1"));
    expect(parts("")).toEqual(["", ""]);
    expect(parts("/only/two")).toEqual(["", "/only/two"]);
    expect(parts("//x/y")).toEqual(["//x/", "y"]);
    expect(parts("///y")).toEqual(["///", "y"]);
    expect(parts("/a/b/")).toEqual(["/a/b/", ""]);
    expect(parts("a/b/c/d")).toEqual(["", "a/b/c/d"]);
    expect(parts("/a/b/|#|c")).toEqual(["/a/b/", ""]);
    expect(parts("/a/|#|b/c")).toEqual(["/a/|#|b/", "c"]);
    expect(parts("k|#|")).toEqual(["", "k"]);
    expect(parts("k|#")).toEqual(["", "k|#"]);
  });
});
