/**
 * A get of many keys through any tree is answered as gets of the single keys are, asks the servers for the same keys, and
 * counts the same: sending keys together is only an optimisation.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failures, type Reply } from "../../src/proxy/reply.ts";
import type { Request } from "../../src/proxy/request.ts";
import { ask, told } from "../support/fakes/ask.ts";
import { LeafRoute } from "../support/fakes/leaf-route.ts";
import { buildTree } from "../support/rigs/built-tree.ts";

const servers = ["a:1", "a:2", "a:3", "b:1", "b:2", "c:1", "s:1"];
const pools = {
  A: { servers: ["a:1", "a:2", "a:3"] },
  B: { servers: ["b:1", "b:2"] },
  C: { servers: ["c:1"] },
  S: { servers: ["s:1"] },
};
const keyNames = ["a", "b", "user:1", "user:2", "user:|#|3", "noreply", "x".repeat(250), "/other/way/k", "/*/*/b"];
const mirrored = { target: "PoolRoute|S", index_range: [0, 3], key_fraction_range: [0, 1] };

/** Trees without races: the replies do not depend on the order in which servers reply. */
const { tree: trees } = fc.letrec<{ tree: unknown; leaf: unknown }>((tie) => ({
  leaf: fc.constantFrom(
    "PoolRoute|A",
    "PoolRoute|B",
    "Pool|C",
    { type: "PoolRoute", pool: "A", shadows: [mirrored] },
    { type: "PoolRoute", pool: "B", max_outstanding: 2 },
    { type: "HashRoute", children: "Pool|A", hash_func: "Crc32" },
    { type: "HashRoute", children: ["PoolRoute|B", "Pool|C"].map((next) => failover("PoolRoute|A", next)) },
    "NullRoute",
    "ErrorRoute",
  ),
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    tie("leaf"),
    fc.record({ type: fc.constant("FailoverRoute"), children: two(tie("tree")), failover_tag: fc.boolean() }),
    fc.record({
      type: fc.constant("FailoverRoute"),
      children: two(tie("tree")),
      failover_errors: fc.constantFrom(["timeout"], ["tko", "connect_error"], { gets: [] }),
    }),
    fc.record({ type: fc.constant("MissFailoverRoute"), children: two(tie("tree")) }),
    fc.record({ type: fc.constant("WarmUpRoute"), cold: tie("tree"), warm: tie("tree") }),
    fc.record({ type: fc.constant("AllSyncRoute"), children: two(tie("tree")) }),
    fc.record({ type: fc.constant("AllInitialRoute"), children: two(tie("tree")) }),
    fc.record({ type: fc.constant("HashRoute"), children: two(tie("tree")) }),
    fc.record({
      type: fc.constant("BlackholeRoute"),
      policies: fc.constantFrom(
        { key: [{ op: "equals", value: "a" }] },
        { exptime: [{ op: "not_equals", value: 100 }] },
      ),
      default: tie("tree"),
      blackhole_child: tie("tree"),
    }),
    fc.record({ type: fc.constant("RandomRoute"), children: two(tie("tree")) }),
    fc.record({ type: fc.constant("LoggingRoute"), target: tie("tree") }),
    fc.record({ type: fc.constant("ModifyKeyRoute"), target: tie("tree"), set_key_suffix: fc.constantFrom("", ":z") }),
    fc.record({ type: fc.constant("ModifyExptimeRoute"), target: tie("tree"), exptime: fc.constant(9) }),
    fc.record({ type: fc.constant("HashStopAllowListRoute"), target: tie("tree"), prefixes: fc.constant(["none"]) }),
    fc.record({
      type: fc.constant("MigrateRoute"),
      from: tie("tree"),
      to: tie("tree"),
      start_time: fc.constantFrom(4_000_000_000, 1),
    }),
    fc.record({
      type: fc.constant("RateLimitRoute"),
      target: tie("tree"),
      fallback: tie("tree"),
      rates: fc.constantFrom({ sets_rate: 1 }, { gets_rate: 1e-9 }),
    }),
    fc.record({
      type: fc.constant("OperationSelectorRoute"),
      default_policy: tie("tree"),
      operation_policies: fc.record({ gat: tie("tree"), gets: tie("tree") }),
    }),
  ),
}));

const roots = fc.oneof(
  trees,
  fc.record({
    type: fc.constant("PrefixSelectorRoute"),
    policies: fc.record({ user: trees, b: trees }),
    wildcard: trees,
  }),
);

function failover(...children: readonly string[]): object {
  return { type: "FailoverRoute", children };
}

function two<T>(child: fc.Arbitrary<T>): fc.Arbitrary<readonly T[]> {
  return fc.array(child, { minLength: 2, maxLength: 3 });
}

/**
 * The keys of each server, and the servers that fail. All fail in one way: of two failures, AllSyncRoute returns the
 * first.
 */
const states = fc.record({
  has: fc.array(fc.subarray([...keyNames, "k", ...keyNames.map((key) => `${key}:z`)]), {
    minLength: servers.length,
    maxLength: servers.length,
  }),
  failing: fc.subarray(servers),
  failure: fc.constantFrom(failures.connectError, failures.tko, failures.timeout),
});

const verbs = fc.constantFrom("get", "get", "gets", "gat 100");
const keyLists = fc.array(fc.constantFrom(...keyNames), { minLength: 2, maxLength: 20 });
const picks = fc.array(fc.nat(20), { minLength: 1, maxLength: 10 });

/**
 * A value that is the same with and without the suffix of ModifyKeyRoute: of equal replies, AllSyncRoute returns the first
 * received.
 */
function valueBlock(key: string, cas: string): string {
  const value = `<${key.replace(/(:z)+$/, "")}>`;
  return `VALUE ${key} 5 ${value.length}${cas}\r\n${value}\r\n`;
}

/** A server whose items never change. Its replies are due until `answerNext`. */
class FixedLeaf extends LeafRoute {
  items: ReadonlySet<string> = new Set();
  failure: Reply | null = null;
  private readonly due: number[] = [];

  get isDue(): boolean {
    return this.due.length > 0;
  }

  override route(request: Request): void {
    super.route(request);
    this.due.push(this.requests.length - 1);
  }

  answerNext(): void {
    const index = this.due.shift()!;
    this.answer(index, this.failure ?? this.answerTo(this.sent[index]!));
  }

  private answerTo(sent: string): string {
    const [verb, ...words] = sent.split("\r\n")[0]!.split(" ");
    if (verb === "add") return "STORED\r\n";
    const cas = verb === "gets" ? " 7" : "";
    const asked = verb === "gat" ? words.slice(1) : words;
    const found = asked.filter((key) => this.items.has(key));
    return `${found.map((key) => valueBlock(key, cas)).join("")}END\r\n`;
  }

  /** The commands, with a get of many keys as gets of single keys, sorted. */
  get askedKeys(): readonly string[] {
    return this.sent
      .flatMap((sent) => {
        const [verb, ...words] = sent.split("\r\n")[0]!.split(" ");
        if (verb === "add") return [sent];
        return verb === "gat"
          ? words.slice(1).map((key) => `gat ${words[0]} ${key}`)
          : words.map((key) => `${verb} ${key}`);
      })
      .sort();
  }
}

type States = typeof states extends fc.Arbitrary<infer T> ? T : never;

async function build(route: unknown, all: States) {
  const tree = await buildTree({ pools, route }, (name) => new FixedLeaf(name));
  for (const [name, leaf] of tree.leaves) {
    leaf.items = new Set(all.has[servers.indexOf(name)]);
    leaf.failure = all.failing.includes(name) ? all.failure : null;
  }
  return tree;
}

/** Lets the servers reply, in an order given by `order`. */
function settle(leaves: ReadonlyMap<string, FixedLeaf>, order: readonly number[]): void {
  for (let i = 0; ; i++) {
    const due = [...leaves.values()].filter(({ isDue }) => isDue);
    if (due.length === 0) return;
    due[order[i % order.length]! % due.length]!.answerNext();
  }
}

describe("a get of many keys through a tree", () => {
  it("sends each server its keys in one command, and only the failed keys to the next route", async () => {
    const route = { type: "OperationSelectorRoute", default_policy: failover("PoolRoute|B", "Pool|C") };
    const tree = await buildTree({ pools, route }, (name) => new FixedLeaf(name));
    tree.leaves.get("b:2")!.failure = failures.timeout;
    ask(tree.root, `get ${"abcdefgh".split("").join(" ")}\r\n`);
    settle(tree.leaves, [0]);
    const { "b:1": first, "b:2": second, "c:1": spare } = tree.sent();
    expect([first!.length, second!.length]).toEqual([1, 1]);
    const failed = second![0]!.trim().split(" ").slice(1);
    expect(failed.length).toBeGreaterThan(1);
    expect(spare).toEqual(failed.map((key) => `get ${key}\r\n`));
    expect(tree.counters).toMatchObject({ failoverAll: failed.length, failoverResultErrors: failed.length });
  });

  it("sends failed keys of one server to the next routes of their own ways", async () => {
    const policies = { a: failover("Pool|C", "PoolRoute|B"), b: failover("Pool|C", "Pool|S") };
    const route = { type: "PrefixSelectorRoute", policies };
    const tree = await buildTree({ pools, route }, (name) => new FixedLeaf(name));
    tree.leaves.get("c:1")!.failure = failures.timeout;
    for (const leaf of tree.leaves.values()) leaf.items = new Set(["a1", "b1", "a2", "b2"]);
    const asked = ask(tree.root, "get a1 b1 a2 b2\r\n");
    settle(tree.leaves, [0]);
    const { "b:1": first = [], "b:2": second = [], "s:1": spare } = tree.sent();
    expect([...first, ...second].sort()).toEqual(["get a1\r\n", "get a2\r\n"]);
    expect(spare).toEqual(["get b1\r\n", "get b2\r\n"]);
    expect(told(asked)).toBe(
      `${["a1", "b1", "a2", "b2"].map((key) => `VALUE ${key} 5 4\r\n<${key}>\r\n`).join("")}END\r\n`,
    );
  });

  it("asks for the key noreply in a separate command, since a server may read it as the option", async () => {
    const route = failover("Pool|C", "Pool|S");
    const tree = await buildTree({ pools, route }, (name) => new FixedLeaf(name));
    ask(tree.root, "get a noreply b\r\n");
    expect(tree.sent()["c:1"]).toEqual(["get a b\r\n", "get noreply\r\n"]);
  });

  it("is answered, asks and counts as gets of the single keys", async () => {
    const property = async (
      route: unknown,
      all: States,
      verb: string,
      keys: readonly string[],
      order: readonly number[],
    ) => {
      const many = await build(route, all);
      const single = await build(route, all);
      const asked = ask(many.root, `${verb} ${keys.join(" ")}\r\n`);
      const others = keys.map((key) => ask(single.root, `${verb} ${key}\r\n`));
      settle(many.leaves, order);
      settle(single.leaves, order);
      const blocks = others.map((one) => told(one)!).filter((text) => text.startsWith("VALUE "));
      const asWas = ({ leaves, counters, lines }: typeof many) => ({
        counters,
        lines: [...lines].sort(),
        asked: [...leaves].map(([name, leaf]) => [name, leaf.askedKeys]),
      });
      expect(told(asked)).toBe(`${blocks.map((text) => text.slice(0, -"END\r\n".length)).join("")}END\r\n`);
      expect(asWas(many)).toEqual(asWas(single));
    };
    await fc.assert(fc.asyncProperty(roots, states, verbs, keyLists, picks, property), { numRuns: 300 });
  });
});
