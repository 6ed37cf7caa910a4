import { describe, expect, it } from "vitest";
import { ask, base64, told } from "../../support/fakes/ask.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";
import { buildTree } from "../../support/rigs/built-tree.ts";
import { treeConfig, treeProblems } from "../../support/rigs/tree-config.ts";

const pools = { A: { servers: ["a:1"] } };

/** True if the command goes to blackhole_child. */
async function isDropped(policies: object, command: string): Promise<boolean> {
  const route = { type: "BlackholeRoute", policies, default: "PoolRoute|A", blackhole_child: "ErrorRoute|dropped" };
  const tree = await buildTree({ pools, route }, (name) => new LeafRoute(name), { asynclog_disable: "1" });
  ask(tree.root, `${command}\r\n`);
  return (tree.sent()["a:1"] ?? []).length === 0;
}

const equals = (value: unknown) => ({ op: "equals", value });
const other = (value: unknown) => ({ op: "not_equals", value });

describe("BlackholeRoute", () => {
  it("answers like NullRoute without blackhole_child, and sends other requests to the default route", async () => {
    const route = { type: "BlackholeRoute", policies: { key: [equals("k")] }, default: "PoolRoute|A" };
    const tree = await buildTree({ pools, route }, (name) => new LeafRoute(name));
    expect(told(ask(tree.root, "get k\r\n"))).toBe("END\r\n");
    expect(told(ask(tree.root, "get k k\r\n"))).toBe("END\r\n");
    ask(tree.root, "get other k\r\n");
    expect(tree.sent()).toEqual({ "a:1": ["get other\r\n"] });
  });

  it.each<[policy: object, command: string, isDropped: boolean]>([
    [{ key: [equals("k")] }, "set k 0 0 1\r\nx", true],
    [{ key: [equals("k")] }, `mg ${base64("k")} b v`, true],
    [{ key: [equals("/a/b/k")] }, "get k", false],
    [{ key: [equals(1)] }, "get 1", false],
    [{ key: [other("k")] }, "get j", true],
    [{ key: [equals("j"), equals("k")] }, "get k", true],
    [{ key: [equals("k")], flags: [equals(5)] }, "set k 5 0 1\r\nx", true],
    [{ key: [equals("k")], flags: [equals(5)] }, "set k 6 0 1\r\nx", false],
    [{ flags: [equals(0)] }, "get k", true],
    [{ flags: [equals(5)] }, "ms k 1 F5\r\nx", true],
    [{ flags: [equals(true)] }, "set k 7 0 1\r\nx", true],
    [{ flags: [equals(7.0)] }, "set k 7 0 1\r\nx", true],
    [{ flags: [equals("7")] }, "set k 7 0 1\r\nx", false],
    [{ flags: [other("7")] }, "set k 7 0 1\r\nx", false],
    [{ exptime: [equals(60)] }, "touch k 60", true],
    [{ exptime: [equals(60)] }, "gat 60 k", true],
    [{ exptime: [equals(60)] }, "gat 61 k j", false],
    [{ exptime: [equals(60)] }, "get k", true],
    [{ exptime: [equals(0)] }, "delete k", true],
    [{ delta: [equals(2)] }, "incr k 2", true],
    [{ delta: [equals(1)] }, "ma k", true],
    [{ delta: [equals(3)] }, "ma k D2", false],
    [{ casToken: [equals(9)] }, "cas k 0 0 1 9\r\nx", true],
    [{ casToken: [equals(9)] }, "ms k 1 C8\r\nx", false],
    [{ casToken: [equals(9)] }, "set k 0 0 1\r\nx", true],
    [{ value: [equals("x")] }, "set k 0 0 1\r\nx", false],
    [{ value: [equals("x")] }, "get k", true],
    [{ bucketId: [equals("1")] }, "get k", false],
    [{ shardId: [equals(1)] }, "get k", true],
    [{ key: [] }, "get k", false],
    [{}, "get k", true],
  ])("with policies %j, for %j: is dropped %j", async (policies, command, expected) => {
    expect(await isDropped(policies, command)).toBe(expected);
  });

  it("refuses policies without a known comparison, and warns of unknown fields", async () => {
    const problems = (policies: unknown) =>
      treeProblems({ route: { type: "BlackholeRoute", policies, default: "NullRoute" } });
    for (const policies of [
      { key: 1 },
      { key: [1] },
      { key: [{ op: "equals" }] },
      { key: [{ op: "less", value: 1 }] },
      [],
    ]) {
      expect(await problems(policies)).not.toEqual([]);
    }
    expect((await treeProblems({ route: { type: "BlackholeRoute", policies: {} } }))[0]).toContain('no "default"');
    const policies = { shard: [equals(1)] };
    const { warnings } = await treeConfig({ route: { type: "BlackholeRoute", policies, default: "NullRoute" } });
    expect(warnings.join()).toMatch(/route\.policies\.shard:? is no field/);
  });
});
