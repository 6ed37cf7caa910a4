import { describe, expect, it } from "vitest";
import { failures } from "../../src/proxy/reply.ts";
import { ask, told } from "../support/fakes/ask.ts";
import { LeafRoute } from "../support/fakes/leaf-route.ts";
import { valueText } from "../support/fakes/recording-route.ts";
import { buildTree } from "../support/rigs/built-tree.ts";

const silent = (name: string) => new LeafRoute(name);
const pools = { A: { servers: ["a:1", "a:2", "a:3"] } };
const get = "get k\r\n";

async function askedOf(route: object | string, hostId = 1, frame = get): Promise<string[]> {
  const { root, sent } = await buildTree({ pools, route }, silent, {}, { hostId });
  ask(root, frame);
  return Object.keys(sent());
}

describe("HostIdRoute", () => {
  it("asks one child for all keys of a host, chosen by the host's number, or by that number with a salt", async () => {
    const route = { type: "HostIdRoute", children: "Pool|A" };
    expect([await askedOf(route, 3), await askedOf(route, 4), await askedOf(route, 5)]).toEqual([
      ["a:1"],
      ["a:2"],
      ["a:3"],
    ]);
    const salted = await Promise.all([0, 1, 2, 3, 4, 5].map((salt) => askedOf({ ...route, salt: `${salt}` }, 3)));
    expect(new Set(salted.flat()).size).toBeGreaterThan(1);
  });
});

describe("LatestRoute", () => {
  it("asks the same child for all keys of a host, and on failures the same other children, up to its limit", async () => {
    const route = { type: "LatestRoute", children: "Pool|A", failover_count: 2 };
    const orders = await Promise.all(
      Array.from({ length: 12 }, async (_, hostId) => {
        const { root, leaves } = await buildTree({ pools, route }, silent, {}, { hostId });
        const order: string[] = [];
        for (const [name, leaf] of leaves) {
          leaf.script = () => {
            order.push(name);
            return failures.timeout;
          };
        }
        ask(root, get);
        ask(root, "get another\r\n");
        return order;
      }),
    );
    for (const [first, second, third, fourth, ...more] of orders) {
      expect([third, fourth, more]).toEqual([first, second, []]);
      expect(second).not.toBe(first);
    }
    expect(new Set(orders.map(([first]) => first)).size).toBe(3);
  });
});

describe("FailoverWithExptimeRoute", () => {
  it("limits the exptime of requests that fail over, except that of a delete", async () => {
    const route = {
      type: "FailoverWithExptimeRoute",
      normal: "PoolRoute|A",
      failover: ["PoolRoute|B"],
      failover_exptime: 60,
    };
    const tree = await buildTree({ pools: { A: { servers: ["a:1"] }, B: { servers: ["b:1"] } }, route }, silent, {
      asynclog_disable: "1",
    });
    tree.leaves.get("a:1")!.script = () => failures.timeout;
    for (const frame of ["set k 0 0 1\r\nx\r\n", "set k 0 5 1\r\nx\r\n", "delete k\r\n", get]) ask(tree.root, frame);
    expect(tree.sent()["b:1"]).toEqual(["set k 0 60 1\r\nx\r\n", "set k 0 5 1\r\nx\r\n", "delete k\r\n", get]);
  });
});

describe("a handle that is used in several places", () => {
  it("is one route, whose limits apply to all places together", async () => {
    const limited = {
      type: "RateLimitRoute",
      name: "limited",
      target: "PoolRoute|A",
      rates: { gets_rate: 1, gets_burst: 2 },
    };
    const route = {
      type: "OperationSelectorRoute",
      operation_policies: { get: limited, gets: "limited" },
      default_policy: "NullRoute",
    };
    const { root, sent, clock } = await buildTree({ pools, route }, silent);
    clock.advance(10_000);
    for (let i = 0; i < 3; i++) for (const verb of ["get", "gets"]) ask(root, `${verb} k\r\n`);
    expect(Object.values(sent()).flat()).toEqual(["get k\r\n", "gets k\r\n"]);
  });
});

describe("PoolRoute's parts", () => {
  it("are in mcrouter's order: limits and shadows below the hash, rates above it, the log above all", async () => {
    const route = {
      type: "PoolRoute",
      pool: "A",
      max_outstanding: 1,
      shadows: [{ target: "PoolRoute|S", index_range: [0, 3], key_fraction_range: [0, 1] }],
      rates: { gets_rate: 1, gets_burst: 2 },
    };
    const tree = await buildTree({ pools: { ...pools, S: { servers: ["s:1"] } }, route }, silent);
    tree.clock.advance(5000);
    const asked = [1, 2, 3].map(() => ask(tree.root, get));
    expect(told(asked[2]!)).toBe("END\r\n");
    const [[owner, sent]] = Object.entries(tree.sent()).filter(([name]) => name !== "s:1") as [[string, string[]]];
    expect([sent, tree.sent()["s:1"]]).toEqual([[get], [get, get]]);
    tree.leaves.get(owner)!.answer(0, valueText("k", "x"));
    expect(tree.leaves.get(owner)!.sent).toEqual([get, get]);
    ask(tree.root, "delete k\r\n");
    tree.leaves.get(owner)!.answer(1, "END\r\n");
    tree.leaves.get(owner)!.answer(2, failures.timeout);
    expect(tree.spooled).toEqual([`${owner} A k`]);
  });
});
