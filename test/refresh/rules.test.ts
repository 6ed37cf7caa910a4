import { describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { testRules } from "../support/rigs/test-rules.ts";

function nameOf(key: string, ...configs: Partial<RuleConfig>[]): string | undefined {
  return testRules(new ManualSource(), ...configs).match(key)?.rule.config.name;
}

describe("rules", () => {
  it("cover a key by the first match, in file order", () => {
    const configs = [
      { name: "one", match: "a/b/.*" },
      { name: "two", match: "a/.*" },
      { name: "three", match: ".*" },
    ];
    expect(nameOf("a/b/c", ...configs)).toBe("one");
    expect(nameOf("a/c", ...configs)).toBe("two");
    expect(nameOf("c", ...configs)).toBe("three");
    expect(nameOf("a/b/c", ...configs.toReversed())).toBe("three");
  });

  it("do not cover a key that none of them matches as a whole", () => {
    expect(nameOf("xa", { match: "a" })).toBeUndefined();
    expect(nameOf("a")).toBeUndefined();
  });

  it("skip rules that are off, and keep rules that only observe", () => {
    expect(nameOf("a", { name: "off", mode: "off" }, { name: "on" })).toBe("on");
    expect(nameOf("a", { name: "observe", mode: "observe" }, { name: "on" })).toBe("observe");
  });

  it("match and capture without the prefix to be stripped, and match only keys that have it", () => {
    const rules = testRules(new ManualSource(), { match: "user/(.*)", stripPrefix: "myapp:" });
    const { captures } = rules.match("myapp:user/1")!;
    expect([captures.key, captures.groups.get("1")]).toEqual(["user/1", "1"]);
    expect(rules.match("user/1")).toBeNull();
    expect(rules.match("myapp:myapp:user/1")).toBeNull();
  });

  it("strip a prefix that is not ASCII by its bytes", () => {
    const rules = testRules(new ManualSource(), { match: "(.)", stripPrefix: "имя:" });
    const { captures } = rules.match(Buffer.from("имя:я").toString("latin1"))!;
    expect([captures.key, captures.groups.get("1"), captures.encoding]).toEqual(["я", "я", "utf8"]);
  });

  it("see the rest of a key that is not UTF-8 as bytes", () => {
    const rules = testRules(new ManualSource(), { match: "(.*)", stripPrefix: "p:" });
    const { captures } = rules.match("p:\xff\xfe")!;
    expect([captures.key, captures.encoding]).toEqual(["\xff\xfe", "latin1"]);
  });

  describe("rules for Rails keys", () => {
    const digest = "0123456789abcdef0123456789abcdef";
    const rails = { name: "rails", match: "user/(.*)", keyEncoding: "rails" } as const;

    it("decode captures, while captures of other rules stay unchanged", () => {
      const rules = testRules(new ManualSource(), rails, { match: "(.*)" });
      const { captures } = rules.match("user/cl%C3%A9")!;
      expect([captures.key, captures.groups.get("1")]).toEqual(["user/clé", "clé"]);
      expect(rules.match("shop/cl%C3%A9")!.captures.groups.get("1")).toBe("shop/cl%C3%A9");
    });

    it("do not cover a key that ends in a digest, and no other rule covers it", () => {
      const key = `user/x:hash:${digest}`;
      expect(nameOf(key, rails)).toBeUndefined();
      expect(nameOf(key, rails, { name: "rest" })).toBeUndefined();
      expect(nameOf(key, { ...rails, mode: "off" }, { name: "rest" })).toBe("rest");
      expect(nameOf(`shop/x:md5:${digest}`, rails, { name: "rest" })).toBe("rest");
    });
  });
});
