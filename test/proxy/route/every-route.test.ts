/**
 * Laws of all routes, over servers that are embedded stores and answer late, each in the order that it was asked, and one
 * after the other in any order:
 * - a request is completed once, and by a tree that comes to one server in the end with what that server would have said;
 * - no request gets the answer of another one, whether a server fails or answers at once, late or never.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { failures } from "../../../src/proxy/reply.ts";
import { ask, told } from "../../support/fakes/ask.ts";
import type { Asked } from "../../support/fakes/asked.ts";
import { StoreLeaf } from "../../support/fakes/store-leaf.ts";
import { type BuiltTree, buildTree } from "../../support/rigs/built-tree.ts";
import { treeCommand } from "../../support/vectors/tree-commands.ts";

const A = "PoolRoute|A";
const pools = {
  A: { servers: ["a:1"] },
  B: { servers: ["b:1"] },
  /** Takes nothing and tells of nothing. */
  Other: { servers: ["other:1"] },
};
const dead = { type: "ErrorRoute", response: "dead" };

/** Trees that come to what one server says. */
const single: Readonly<Record<string, object | string>> = {
  "a pool": A,
  "a server": "Pool|A",
  "HashRoute over one place": { type: "HashRoute", children: [A, A, { type: "HashRoute", children: ["Pool|A", A] }] },
  FailoverRoute: { type: "FailoverRoute", children: [A, A] },
  "FailoverRoute whose first child is dead": { type: "FailoverRoute", children: [dead, A] },
  "FailoverRoute that marks keys, in one that goes by failures": {
    type: "FailoverRoute",
    failover_policy: { type: "LeastFailuresPolicy", max_tries: 3 },
    children: [dead, { type: "FailoverRoute", failover_tag: true, children: [A, dead] }, dead],
  },
  "AllSyncRoute over two in step": { type: "AllSyncRoute", children: [A, "PoolRoute|B"] },
  AllInitialRoute: { type: "AllInitialRoute", children: [A, "PoolRoute|Other", "NullRoute"] },
  "AllMajorityRoute over two in step": { type: "AllMajorityRoute", children: [A, "PoolRoute|B"] },
  "AllFastestRoute beside the dead": { type: "AllFastestRoute", children: [dead, A, dead] },
  RandomRoute: { type: "RandomRoute", children: [A, "Pool|A"] },
  ShadowRoute: {
    type: "ShadowRoute",
    children: A,
    shadows: [{ target: "PoolRoute|Other", index_range: [0, 1], key_fraction_range: [0, 1] }],
  },
  OperationSelectorRoute: {
    type: "OperationSelectorRoute",
    default_policy: A,
    operation_policies: { get: A, set: "Pool|A", gat: A },
  },
  PrefixSelectorRoute: { type: "PrefixSelectorRoute", policies: { a: A, "user:": "Pool|A" }, wildcard: A },
  "WarmUpRoute over nothing": { type: "WarmUpRoute", cold: A, warm: "NullRoute" },
  "L1L2CacheRoute over nothing": { type: "L1L2CacheRoute", l1: A, l2: "NullRoute", upgradingL1Exptime: 10 },
  "MigrateRoute before its time": { type: "MigrateRoute", from: A, to: "PoolRoute|Other", start_time: 4_000_000_000 },
  "ModifyKeyRoute, there and back": {
    type: "ModifyKeyRoute",
    ensure_key_prefix: "some:",
    target: {
      type: "ModifyKeyRoute",
      replace_key_prefix: "some:",
      ensure_key_prefix: "other:",
      set_key_suffix: ":end",
      target: A,
    },
  },
  "ModifyExptimeRoute that changes nothing": {
    type: "ModifyExptimeRoute",
    target: A,
    exptime: 1_000_000,
    action: "set",
  },
  KeySplitRoute: { type: "KeySplitRoute", destination: A, replicas: 4, all_sync: true },
  "LoggingRoute and DevNullRoute": {
    type: "AllInitialRoute",
    children: [{ type: "LoggingRoute", target: A }, "DevNullRoute"],
  },
  "a pool with no more than one request under way": { type: "PoolRoute", pool: "A", max_outstanding: 1 },
  "HostIdRoute and LatestRoute": { type: "HostIdRoute", children: [{ type: "LatestRoute", children: [A, "Pool|A"] }] },
  BlackholeRoute: { type: "BlackholeRoute", policies: { key: [{ op: "equals", value: "none" }] }, default: A },
  "BigValueRoute over its threshold": { type: "BigValueRoute", target: A, split_threshold: 100_000, batch_size: 2 },
  "all of that": {
    type: "FailoverRoute",
    children: [
      dead,
      {
        type: "OperationSelectorRoute",
        default_policy: {
          type: "ModifyKeyRoute",
          set_key_suffix: ":x",
          target: {
            type: "WarmUpRoute",
            warm: "NullRoute",
            cold: {
              type: "KeySplitRoute",
              replicas: 3,
              all_sync: false,
              destination: { type: "PoolRoute", pool: "A", max_outstanding: 2 },
            },
          },
        },
      },
      dead,
    ],
  },
};

/** Trees in which answers race, values are copied or made up: what they say is not one server's word. */
const others: Readonly<Record<string, object | string>> = {
  AllSyncRoute: { type: "AllSyncRoute", children: [A, "PoolRoute|B", "Pool|Other"] },
  AllAsyncRoute: { type: "AllAsyncRoute", children: [A, "PoolRoute|B"] },
  AllFastestRoute: { type: "AllFastestRoute", children: [A, "PoolRoute|B", dead] },
  AllMajorityRoute: { type: "AllMajorityRoute", children: [A, "PoolRoute|B", "PoolRoute|Other"] },
  MissFailoverRoute: {
    type: "MissFailoverRoute",
    children: [A, "PoolRoute|B", "NullRoute"],
    return_best_on_error: true,
  },
  WarmUpRoute: { type: "WarmUpRoute", cold: A, warm: "PoolRoute|B", enable_metaget: true },
  L1L2CacheRoute: { type: "L1L2CacheRoute", l1: A, l2: "PoolRoute|B", upgradingL1Exptime: 10, ncacheUpdatePeriod: 2 },
  "KeySplitRoute to the first hit": {
    type: "KeySplitRoute",
    destination: A,
    replicas: 3,
    all_sync: true,
    first_hit: true,
  },
  BigValueRoute: { type: "BigValueRoute", target: A, split_threshold: 50, batch_size: 2 },
  L1L2SizeSplitRoute: { type: "L1L2SizeSplitRoute", l1: A, l2: "PoolRoute|B", threshold: 50 },
  "FailoverRoute, nested": {
    type: "FailoverRoute",
    failover_tag: true,
    children: [
      { type: "FailoverRoute", children: [A, "PoolRoute|B"] },
      { type: "MissFailoverRoute", children: [A, "PoolRoute|Other"] },
    ],
  },
  RateLimitRoute: { type: "RateLimitRoute", target: A, rates: { gets_rate: 1, sets_rate: 1 }, fallback: "PoolRoute|B" },
  "MigrateRoute in its time": {
    type: "MigrateRoute",
    from: A,
    to: "PoolRoute|B",
    start_time: 1_700_000_000,
    interval: 3600,
  },
};

type Tree = BuiltTree<StoreLeaf>;

const leafOf = (name: string) => new StoreLeaf(name);
const build = (route: object | string, random: () => number = () => 0) =>
  buildTree({ pools, route }, leafOf, { asynclog_disable: "1" }, { random });

/** Has servers answer, in the order that `picks` gives, until nothing is due. */
function settle({ leaves, clock }: Tree, picks: readonly number[]): void {
  for (let i = 0; ; i++) {
    const due = [...leaves.values()].filter(({ dueCount }) => dueCount > 0);
    if (due.length === 0) break;
    const pick = picks[i % picks.length]!;
    due[pick % due.length]!.answerNext(pick % 3 === 0);
  }
  clock.advance(10_000);
}

/** cas numbers are a server's own; binary answers have them in their headers. */
function comparable(text: string | null): string | null {
  if (text === null || text.charCodeAt(0) !== 0x81)
    return text?.replace(/^(VALUE \S+ \d+ \d+) \d+\r\n/gm, "$1 cas\r\n") ?? null;
  const bytes = Buffer.from(text, "latin1");
  bytes.fill(0, 16, 24);
  return bytes.toString("latin1");
}

const picks = fc.array(fc.nat(20), { minLength: 1, maxLength: 10 });
const batches = fc.array(fc.array(treeCommand, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 });
const shown = (command: string | Buffer) => (typeof command === "string" ? command : command.toString("latin1"));

describe.each(Object.entries(single))("%s", (_name, route) => {
  it("answers any commands as the server alone does", async () => {
    const property = async (all: readonly (readonly (string | Buffer)[])[], order: readonly number[]) => {
      const tree = await build(route);
      const plain = await build("Pool|A");
      for (const leaf of tree.leaves.values()) leaf.isLate = true;
      for (const commands of all) {
        const asked = commands.map((command) => ask(tree.root, command));
        const expected = commands.map((command) => ask(plain.root, command));
        settle(tree, order);
        const answers = (each: readonly Asked[]) => each.map((one, i) => [shown(commands[i]!), comparable(told(one))]);
        expect(answers(asked)).toEqual(answers(expected));
      }
    };
    await fc.assert(fc.asyncProperty(batches, picks, property), { numRuns: 60 });
  });
});

/** What may be wrong with servers for the time of a batch. */
const troubles = fc.array(fc.constantFrom("well", "well", "late", "dead", "refusing", "timeout"), {
  minLength: 3,
  maxLength: 3,
});

/** Values tell whose they are. */
const valued = fc.oneof(
  fc.tuple(fc.constantFrom("a", "b", "user:1"), fc.integer({ min: 1, max: 300 })).map(([key, length]) => {
    const value = `<${key}>`.repeat(length);
    return `set ${key} 0 0 ${value.length}\r\n${value}\r\n`;
  }),
  fc
    .tuple(
      fc.constantFrom("get", "gets", "gat 100"),
      fc.array(fc.constantFrom("a", "b", "user:1"), { minLength: 1, maxLength: 4 }),
    )
    .map(([verb, keys]) => `${verb} ${keys.join(" ")}\r\n`),
  fc.constantFrom("a", "b", "user:1").map((key) => `mg ${key} v k\r\n`),
  fc.constantFrom("a", "b", "user:1").map((key) => `delete ${key}\r\n`),
);

describe.each(Object.entries({ ...single, ...others }))("%s among servers that fail", (_name, route) => {
  it("answers each request once, with values of the requested keys", async () => {
    const property = async (
      all: readonly (readonly [readonly string[], readonly string[]])[],
      order: readonly number[],
    ) => {
      const tree = await build(route, () => 0.5);
      for (const [commands, conditions] of all) {
        for (const [i, leaf] of [...tree.leaves.values()].entries()) {
          const condition = conditions[i % conditions.length]!;
          leaf.isLate = condition === "late" || condition === "timeout";
          leaf.failure =
            { dead: failures.connectError, refusing: failures.tko, timeout: failures.timeout }[condition] ?? null;
        }
        const asked = commands.map((command) => ask(tree.root, command));
        settle(tree, order);
        for (const [i, one] of asked.entries()) expectOwn(commands[i]!, told(one));
      }
    };
    const batch = fc.tuple(fc.array(valued, { minLength: 1, maxLength: 8 }), troubles);
    await fc.assert(fc.asyncProperty(fc.array(batch, { minLength: 1, maxLength: 4 }), picks, property), {
      numRuns: 40,
    });
  });
});

/** An answer, in which values are those of their keys. */
function expectOwn(command: string, answer: string | null): void {
  expect([command, answer]).not.toEqual([command, null]);
  const asked = command.split("\r\n")[0]!.split(" ");
  const values = [...answer!.matchAll(/^VALUE (\S+) \d+ (\d+).*\r\n/gm), ...answer!.matchAll(/^VA (\d+) k(\S+)\r\n/gm)];
  for (const match of values) {
    const isMeta = match[0].startsWith("VA ");
    const [key, length] = isMeta ? [match[2]!, Number(match[1])] : [match[1]!, Number(match[2])];
    expect(asked).toContain(key);
    const start = match.index + match[0].length;
    expect(answer!.slice(start, start + length)).toBe(`<${key}>`.repeat(length / (key.length + 2)));
  }
}
