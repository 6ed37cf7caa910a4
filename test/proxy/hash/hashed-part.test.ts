import { describe, expect, it } from "vitest";
import { PrefixedPlacement, RoutingKeyPlacement, TaggedPlacement } from "../../../src/proxy/hash/hashed-part.ts";
import type { Placement } from "../../../src/proxy/hash/placement.ts";

/** Keeps what it is asked for. */
class SeenKeys implements Placement {
  readonly keyHash = 7;
  readonly seen: string[] = [];

  locate(chunk: Buffer, start: number, end: number): number {
    this.seen.push(chunk.toString("latin1", start, end));
    return 3;
  }
}

/** What is hashed of each key. */
function hashed(make: (inner: Placement) => Placement, keys: readonly string[]): string[] {
  const inner = new SeenKeys();
  const placement = make(inner);
  for (const key of keys) {
    const chunk = Buffer.from(`<{${key}}>|#|`, "latin1");
    expect(placement.locate(chunk, 2, 2 + key.length)).toBe(3);
    expect(placement.keyHash).toBe(7);
  }
  return inner.seen;
}

describe("the hashed part of a key", () => {
  it("starts with the prefix", () => {
    const long = "k".repeat(2_000);
    const keys = ["a", "bcd", "", long, "é"];
    const prefixed = hashed((inner) => new PrefixedPlacement(inner, Buffer.from("app:")), keys);
    expect(prefixed).toEqual(keys.map((key) => `app:${key}`));
  });

  it("ends before the hash stop, and is followed by the salt", () => {
    const keys = ["user:1|#|x", "user:1", "|#|x", "a|#", "a|#|", "a|#|b|#|c", "", `${"k".repeat(2_000)}|#|x`];
    const parts = ["user:1", "user:1", "", "a|#", "a", "a", "", "k".repeat(2_000)];
    expect(hashed((inner) => new RoutingKeyPlacement(inner, Buffer.alloc(0)), keys)).toEqual(parts);
    const salted = hashed((inner) => new RoutingKeyPlacement(inner, Buffer.from("_salt")), keys);
    expect(salted).toEqual(parts.map((part) => `${part}_salt`));
  });

  it("is the part between the characters of a tag, if it is not empty", () => {
    const keys = ["user:{1}:a", "{}x", "a}b{c}d", "a{b", "a}b", "{a}{b}", "{{a}}", "", "{x}"];
    const parts = ["1", "{}x", "c", "a{b", "a}b", "a", "{a", "", "x"];
    expect(hashed((inner) => new TaggedPlacement(inner, Buffer.from("{}")), keys)).toEqual(parts);
    expect(hashed((inner) => new TaggedPlacement(inner, Buffer.from("$$")), ["a$b$c", "a$$b"])).toEqual(["b", "a$$b"]);
  });
});
