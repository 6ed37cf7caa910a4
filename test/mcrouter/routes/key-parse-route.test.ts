/** The expected keys and buckets are those of mcrouter's own tests (KeyParseRouteTest.cpp). */
import { describe, expect, it } from "vitest";
import { KeyParseRoute } from "../../../src/mcrouter/routes/key-parse-route.ts";
import { Buckets } from "../../../src/proxy/hash/buckets.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { buildTree } from "../../support/rigs/built-tree.ts";
import { treeProblems } from "../../support/rigs/tree-config.ts";

const servers = Array.from({ length: 20 }, (_, i) => `a:${i + 1}`);
const pools = { A: { servers, weights: servers.map(() => 1) }, B: { servers: ["b:1"] } };
const bucketized = {
  type: "PoolRoute",
  pool: "A",
  bucketize: true,
  total_buckets: 100,
  bucketization_keyspace: "testRegion:testPool",
};
const parsed = (target: unknown) => ({ type: "KeyParseRoute", num_routing_parts: 3, delimiter: ":", target });

/** The servers that get the keys. */
async function serversOf(route: unknown, commands: readonly string[]): Promise<(string | undefined)[]> {
  const tree = await buildTree({ pools, route }, (name) => new LeafRoute(name), { asynclog_disable: "1" });
  return commands.map((command) => {
    const before = new Map([...tree.leaves].map(([name, leaf]) => [name, leaf.sent.length]));
    ask(tree.root, `${command}\r\n`);
    return [...tree.leaves].find(([name, leaf]) => leaf.sent.length > before.get(name)!)?.[0];
  });
}

describe("KeyParseRoute", () => {
  it.each([
    ["get:Request:part3:part4", "get:Request:part3:"],
    ["get:Request:part3:", "get:Request:part3:"],
    ["get:Request:part3", "get:Request:part3"],
    ["get:Request", "get:Request"],
    ["getTest", "getTest"],
    ["getTest::asff:", "getTest::asff:"],
    ["getTest:::asff:", "getTest:::"],
    ["::::::", ":::"],
    ["a:b|#|:c:d", "a:b"],
  ])("takes the first parts of %j", (key, expected) => {
    const leaf = new LeafRoute();
    ask(new KeyParseRoute(leaf, { parts: 3, delimiter: ":" }), `get ${key}\r\n`);
    expect(leaf.requests[0]!.bucketKey!.toString()).toBe(expected);
    expect(leaf.sent).toEqual([`get ${key}\r\n`]);
  });

  it("selects the server by the bucket of the first parts, also for many keys and routes' own requests", async () => {
    const begin = Buffer.from("cache:is:key:");
    expect(new Buckets({ total: 100, byPrefix: [] }).of(begin, 0, begin.length)).toBe(80);
    const commands = ["get cache:is:key:to:scaling", "md cache:is:key:", "get cache:is:key:1 cache:is:key:2"];
    const [first, ...others] = await serversOf(parsed(bucketized), commands);
    expect(others).toEqual([first, first]);
    expect(
      new Set(
        await serversOf(
          bucketized,
          ["a", "b", "c", "d", "e", "f"].map((end) => `get cache:is:key:${end}`),
        ),
      ).size,
    ).toBeGreaterThan(1);
    const warm = parsed({ type: "WarmUpRoute", cold: "NullRoute", warm: bucketized });
    expect(await serversOf(warm, ["get cache:is:key:1", "get cache:is:key:2"])).toEqual([first, first]);
  });

  it("has no effect on routes beside it or without buckets", async () => {
    const keys = ["a", "b", "c", "d", "e", "f"].map((end) => `get cache:is:key:${end}`);
    expect(await serversOf(parsed("PoolRoute|A"), keys)).toEqual(await serversOf("PoolRoute|A", keys));
    const failing = { type: "FailoverRoute", children: [parsed("ErrorRoute"), bucketized] };
    expect(await serversOf(failing, keys)).toEqual(await serversOf(bucketized, keys));
  });

  it("lets KeySplitRoute change the bucket instead of the key", async () => {
    const route = parsed({ type: "KeySplitRoute", destination: bucketized, replicas: 3, all_sync: false });
    const tree = await buildTree({ pools, route }, (name) => new LeafRoute(name), { asynclog_disable: "1" });
    ask(tree.root, "delete a:b:c:d\r\n");
    const asked = [...tree.leaves.values()].flatMap(({ requests }) => requests);
    expect(asked.map((request) => request.keyText())).toEqual(["a:b:c:d", "a:b:c:d", "a:b:c:d"]);
    expect(asked.map(({ bucketKey }) => bucketKey!.toString()).sort()).toEqual(["a:b:c:", "a:b:c:::1", "a:b:c:::2"]);
  });

  it("passes replies on", () => {
    const leaf = new LeafRoute();
    const asked = ask(new KeyParseRoute(leaf, { parts: 1, delimiter: ":" }), "set a:b 0 0 1\r\nx\r\n");
    leaf.answer(0, failures.timeout);
    expect(told(asked)).toBe("SERVER_ERROR timeout\r\n");
  });

  it("refuses settings that mcrouter refuses", async () => {
    const valid = { type: "KeyParseRoute", target: "NullRoute", num_routing_parts: 1, delimiter: ":" };
    expect(await treeProblems({ route: valid })).toEqual([]);
    for (const wrong of [{ num_routing_parts: 0 }, { delimiter: "::" }, { delimiter: "" }]) {
      expect(await treeProblems({ route: { ...valid, ...wrong } })).toHaveLength(1);
    }
    expect(await treeProblems({ route: { type: "KeyParseRoute" } })).toHaveLength(3);
  });
});
