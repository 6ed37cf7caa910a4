import { describe, expect, it } from "vitest";
import { ModifyKeyRoute, type ModifyKeyRouteConfig } from "../../../src/mcrouter/routes/modify-key-route.ts";
import { ask, base64, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { valueText } from "../../support/fakes/recording-route.ts";

type Options = Omit<ModifyKeyRouteConfig, "type" | "target">;

function setUp(options: Partial<Options>) {
  const leaf = new LeafRoute();
  const none = { routingPrefix: null, ensurePrefix: "", isInPlace: false, replacePrefix: null, suffix: "" };
  return { leaf, route: new ModifyKeyRoute(leaf, { ...none, ...options }) };
}

function changed(options: Partial<Options>, key: string): string | undefined {
  const { leaf, route } = setUp(options);
  ask(route, `get ${key}\r\n`);
  return leaf.requests[0]?.keyText();
}

describe("ModifyKeyRoute", () => {
  it("adds a prefix to keys that lack it", () => {
    expect([changed({ ensurePrefix: "foo:" }, "bar"), changed({ ensurePrefix: "foo:" }, "foo:bar")]).toEqual([
      "foo:bar",
      "foo:bar",
    ]);
  });

  it("overwrites the beginning of the key with the prefix if it modifies in place", () => {
    const options = { ensurePrefix: "foo:", isInPlace: true };
    expect(["abcdef", "abc", "foo:x"].map((key) => changed(options, key))).toEqual(["foo:ef", "foo:abc", "foo:x"]);
  });

  it("replaces a prefix, and ensures the other prefix if the first is missing", () => {
    const options = { replacePrefix: "old:", ensurePrefix: "new:" };
    expect(["old:a", "new:a", "a"].map((key) => changed(options, key))).toEqual(["new:a", "new:a", "new:a"]);
  });

  it("adds a suffix to keys, after all other changes", () => {
    const options = { ensurePrefix: "p:", suffix: ":s" };
    expect([changed(options, "k"), changed(options, "p:k"), changed({ suffix: ":s" }, "k")]).toEqual([
      "p:k:s",
      "p:k:s",
      "k:s",
    ]);
  });

  it("gives the key another routing prefix, for servers that receive it", () => {
    const { leaf, route } = setUp({ routingPrefix: "/a/b/" });
    ask(route, "get k\r\n");
    expect([leaf.requests[0]!.keyText(), leaf.requests[0]!.routingPrefix?.toString()]).toEqual(["k", "/a/b/"]);
  });

  it("passes on a request that it does not change", () => {
    const { leaf, route } = setUp({ ensurePrefix: "k" });
    ask(route, "set key 0 0 1\r\nx\r\n");
    expect(leaf.sent).toEqual(["set key 0 0 1\r\nx\r\n"]);
  });

  it("answers with the client's key", () => {
    const { leaf, route } = setUp({ ensurePrefix: "p:" });
    const asked = [ask(route, "get k\r\n"), ask(route, "mg k k v\r\n"), ask(route, `mg ${base64("a b")} b k v\r\n`)];
    leaf.answer(0, valueText("p:k", "x"));
    leaf.answer(1, "VA 1 kp:k\r\nx\r\n");
    leaf.answer(2, `VA 1 k${base64("p:a b")} b\r\nx\r\n`);
    expect(asked.map(told)).toEqual([valueText("k", "x"), "VA 1 kk\r\nx\r\n", `VA 1 k${base64("a b")} b\r\nx\r\n`]);
  });

  it("refuses keys that become too long, in base64 as they are sent, and keys that become empty", () => {
    const long = setUp({ ensurePrefix: "p:" });
    const tooLong = "SERVER_ERROR ModifyKeyRoute: invalid key: invalid key: too long\r\n";
    const encoded = base64(`${" ".repeat(185)}`);
    for (const frame of [`set ${"k".repeat(249)} 0 0 1\r\nx\r\n`, `ms ${encoded} 1 b\r\nx\r\n`]) {
      expect(told(ask(long.route, frame))).toBe(tooLong);
    }
    const none = setUp({ replacePrefix: "k" });
    expect(told(ask(none.route, "set k 0 0 8\r\nflush_it\r\n"))).toBe(
      "SERVER_ERROR ModifyKeyRoute: invalid key: invalid key: missing\r\n",
    );
    expect([long.leaf.sent, none.leaf.sent]).toEqual([[], []]);
  });
});
