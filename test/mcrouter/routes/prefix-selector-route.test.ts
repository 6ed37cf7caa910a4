import { describe, expect, it } from "vitest";
import { PrefixSelectorRoute } from "../../../src/mcrouter/routes/prefix-selector-route.ts";
import { ask, base64, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

function setUp(hasWildcard = true) {
  const leaves = new Map(["a", "ab", "user:"].map((prefix) => [prefix, new LeafRoute(prefix)] as const));
  const wildcard = new LeafRoute("*");
  const route = new PrefixSelectorRoute(leaves, hasWildcard ? wildcard : null);
  return { route, all: [...leaves.values(), wildcard] };
}

describe("PrefixSelectorRoute", () => {
  it("asks the route of the longest matching prefix, or else the wildcard", () => {
    const { route, all } = setUp();
    const chosen = ["a", "ab", "abc", "ac", "user:1", "user", "b"].map((key) => {
      ask(route, `get ${key}\r\n`);
      return all.find(({ sent }) => sent.includes(`get ${key}\r\n`))!.name;
    });
    expect(chosen).toEqual(["a", "ab", "ab", "a", "user:", "*", "*"]);
  });

  it("matches the bytes of a base64 key", () => {
    const { route, all } = setUp();
    ask(route, `md ${base64("user: 1")} b\r\n`);
    expect(all[2]!.sent).toEqual([`md ${base64("user: 1")} b\r\n`]);
  });

  it("answers with an error for keys without a matching route", () => {
    expect(told(ask(setUp(false).route, "set b 0 0 1\r\nx\r\n"))).toBe("SERVER_ERROR RootRoute: No rh found\r\n");
  });
});
