import { describe, expect, it } from "vitest";
import type { RouteConfig } from "../../../src/config/config.ts";
import type { ParentConfig } from "../../../src/mcrouter/config/route-input.ts";
import type { AsyncLogRouteConfig } from "../../../src/mcrouter/routes/async-log-route.ts";
import { isPrefixSelector } from "../../../src/mcrouter/routes/prefix-selector-route.ts";
import { treeConfig, treeProblems } from "../../support/rigs/tree-config.ts";

const pools = {
  A: { servers: ["10.0.0.1:1", "10.0.0.2:1"] },
  B: { servers: ["10.0.1.1:1"] },
};
/** Without the log around each pool. */
const options = { asynclog_disable: "1" };
const a = { type: "pool", pool: "A", placement: null };
const a0 = { type: "destination", pool: "A", index: 0 };
const a1 = { type: "destination", pool: "A", index: 1 };
const b = { type: "pool", pool: "B", placement: null };

/** The children of a node. */
function childrenOf(node: RouteConfig): readonly RouteConfig[] {
  expect(node).toHaveProperty("children");
  return (node as ParentConfig<string>).children;
}

async function read(route: object | string, more: object = {}): Promise<RouteConfig> {
  const { tree } = await treeConfig({ pools, ...more, route }, options);
  return tree!.routes.get("/././")!;
}

async function problems(route: object | string, more: object = {}): Promise<string[]> {
  return treeProblems(JSON.stringify({ pools, ...more, route }, null, 1), options);
}

async function warnings(route: object | string): Promise<readonly string[]> {
  return (await treeConfig({ pools, route }, options)).warnings;
}

describe("forms of a handle", () => {
  it("include an object, a short form, a bare name and a list of one", async () => {
    expect(await read({ type: "PoolRoute", pool: "A" })).toEqual(a);
    expect(await read("PoolRoute|A")).toEqual(a);
    expect(await read("NullRoute")).toEqual({ type: "null" });
    expect(await read("ErrorRoute|go | away")).toMatchObject({ type: "error", message: "go | away" });
    expect(await read(["PoolRoute|A"])).toEqual(a);
    expect(await read("HashRoute|Pool|A")).toEqual({
      type: "hash",
      placement: { type: "ch3", salt: "" },
      children: [a0, a1],
    });
    expect(await read("AllSyncRoute|Pool|A")).toEqual({ type: "all-sync", children: [a0, a1] });
  });

  it("expand to flat lists, and an empty text expands to none", async () => {
    expect(
      await read({ type: "AllSyncRoute", children: ["PoolRoute|B", ["Pool|A", [""]], { type: "Pool", name: "A" }] }),
    ).toEqual({
      type: "all-sync",
      children: [b, a0, a1, a0, a1],
    });
  });

  it("must be one handle if one is expected", async () => {
    expect(await problems("Pool|A")).toEqual(["15: route: 2 route handles where one is expected"]);
    expect(await problems([])).toEqual([expect.stringMatching(/^15: .*: 0 route handles/)]);
    expect(await problems({ type: "LoggingRoute", target: "Pool|A" })).toEqual([
      expect.stringMatching(/^17: .*2 route handles/),
    ]);
  });

  it.each([
    [7, /expected a route handle/],
    [{ pool: "A" }, /no "type"/],
    [{ type: 7 }, /expected a string as "type"/],
    [{ type: "PoolRoot", pool: "A" }, /Unknown RouteHandle: PoolRoot.*PoolRoute/],
    ["Nonsense", /Unknown RouteHandle: Nonsense/],
    [{ type: "StagingRoute" }, /StagingRoute needs servers or tools that only Facebook has/],
    [{ type: "LoadBalancerRoute", children: [] }, /memcached servers report none/],
  ])("are otherwise refused with their line: %j", async (route, message) => {
    expect(await problems(route as object)).toEqual([expect.stringMatching(new RegExp(`^1[45]: .*${message.source}`))]);
  });

  it("share one handle if they have the same text", async () => {
    const tree = await read({ type: "AllSyncRoute", children: ["PoolRoute|A", "PoolRoute|A"] });
    expect(tree.type).toBe("all-sync");
    expect(childrenOf(tree)[0]).toBe(childrenOf(tree)[1]);
  });
});

describe("named handles", () => {
  it("can be used by name before they are read, and in each other", async () => {
    const named = {
      outer: { type: "FailoverRoute", name: "outer", children: ["inner", "PoolRoute|A"] },
      inner: { type: "LoggingRoute", name: "inner", target: "PoolRoute|B" },
      list: ["PoolRoute|A", "inner"],
    };
    expect(await read({ type: "AllSyncRoute", children: ["outer", "list"] }, { named_handles: named })).toMatchObject({
      type: "all-sync",
      children: [{ type: "failover", children: [{ type: "logging" }, a] }, a, { type: "logging" }],
    });
  });

  it("are read in the order of their list, and have their own names", async () => {
    const named = [
      { type: "LoggingRoute", name: "first", target: "PoolRoute|A" },
      { type: "LoggingRoute", name: "second", target: "first" },
    ];
    expect(await read("second", { named_handles: named })).toMatchObject({
      type: "logging",
      target: { type: "logging", target: a },
    });
  });

  it("are known by their inner name wherever they stand, and the first of a name counts", async () => {
    const one = { type: "ErrorRoute", name: "e", response: "one" };
    const tree = await read({ type: "AllSyncRoute", children: [one, "e", { ...one, response: "two" }] });
    expect(tree).toMatchObject({ children: [{ message: "one" }, { message: "one" }, { message: "one" }] });
    expect(tree.type).toBe("all-sync");
    expect(childrenOf(tree)[0]).toBe(childrenOf(tree)[2]);
  });

  it("have the name of their entry if they give no other", async () => {
    expect(await read("x", { named_handles: { x: { type: "NullRoute" } } })).toEqual({ type: "null" });
  });

  it.each([
    [{ x: { type: "NullRoute", name: "y" } }, /has another "name" than "x"/],
    [{ x: { type: "LoggingRoute", name: "x", target: "x" } }, /is a part of itself/],
    [7, /named_handles: expected an object or a list/],
  ])("are refused if invalid: %j", async (named, message) => {
    expect((await problems("x", { named_handles: named })).join("\n")).toMatch(message);
  });
});

describe("routes by prefix", () => {
  const routing = { ...options, default_route: "/a/one/" };

  it("can be a list with aliases, or an object, and a single route serves the default prefix", async () => {
    const list = await treeConfig(
      { pools, routes: [{ aliases: ["/a/one/", "/a/two/"], route: "PoolRoute|A" }] },
      routing,
    );
    expect([...list.tree!.routes]).toEqual([
      ["/a/one/", a],
      ["/a/two/", a],
    ]);
    const object = await treeConfig({ pools, routes: { "/a/one/": "PoolRoute|A", "/b/c/": "PoolRoute|B" } }, routing);
    expect([...object.tree!.routes]).toEqual([
      ["/a/one/", a],
      ["/b/c/", b],
    ]);
    expect((await treeConfig({ pools, route: "PoolRoute|A" }, routing)).tree).toEqual({
      routes: new Map([["/a/one/", a]]),
      defaultPrefix: "/a/one/",
    });
    const slashed = await treeConfig({ pools, route: "PoolRoute|A" }, { ...options, default_route: "a/one" });
    expect(slashed.tree!.defaultPrefix).toBe("/a/one/");
  });

  it.each([
    [{ routes: { "/b/c/": "NullRoute" } }, /invalid default route: \/a\/one\//],
    [{ route: "NullRoute", routes: {} }, /"route" and "routes" do not go together/],
    [{}, /no route; expected "route" or "routes"/],
    [{ routes: [{ route: "NullRoute" }] }, /no "aliases"/],
    [{ routes: [{ aliases: ["/a/one/"] }] }, /no "route"/],
    [{ routes: 7 }, /expected an object or a list/],
  ])("are refused if invalid: %j", async (document, message) => {
    expect((await treeProblems(document, routing)).join("\n")).toMatch(message);
  });
});

describe("PoolRoute", () => {
  it("places its parts around the servers in mcrouter's order", async () => {
    const route = {
      type: "PoolRoute",
      pool: "A",
      max_outstanding: 5,
      slow_warmup: { failoverTarget: "NullRoute", settings: { start: 0.2 } },
      shadows: [{ target: "PoolRoute|B", index_range: [0, 1] }],
      hash: "Crc32",
      rates: { gets_rate: 3 },
      asynclog_name: "other",
    };
    const { tree } = await treeConfig({ pools, route });
    expect(tree!.routes.get("/././")).toMatchObject({
      type: "asynclog",
      name: "other",
      target: {
        type: "rate-limit",
        gets: { rate: 3, burst: 3 },
        target: {
          type: "hash",
          placement: { type: "crc32" },
          children: [
            {
              type: "shadow",
              child: {
                type: "slow-warmup",
                start: 0.2,
                minRequests: 100,
                target: { type: "outstanding-limit", target: a0 },
              },
            },
            { type: "slow-warmup", target: { type: "outstanding-limit", maxOutstanding: 5, target: a1 } },
          ],
        },
      },
    });
  });

  it("logs failed deletes under its pool's name or a configured name, unless the log is off", async () => {
    const logged = async (settings: object, given: Record<string, string> = {}) => {
      const { tree } = await treeConfig({ pools, route: { type: "PoolRoute", pool: "A", ...settings } }, given);
      const route = tree!.routes.get("/././")!;
      return route.type === "asynclog" ? (route as AsyncLogRouteConfig).name : null;
    };
    expect([await logged({}), await logged({ name: "n" }), await logged({ name: "n", asynclog_name: "l" })]).toEqual([
      "A",
      "n",
      "l",
    ]);
    expect([await logged({ asynclog: false }), await logged({}, options)]).toEqual([null, null]);
  });

  it("refuses invalid shard splits", async () => {
    const splits = { "1": 0, "2": "x", "3": { new_split_size: -1 } };
    const found = await problems({ type: "PoolRoute", pool: "A", shard_splits: splits });
    expect(found).toEqual(
      ["1", "2", "3.new_split_size"].map((name) => expect.stringContaining(`shard_splits.${name}: `)),
    );
  });
});

describe("handles with 0 or 1 children", () => {
  it.each([
    "AllSyncRoute",
    "AllFastestRoute",
    "AllInitialRoute",
    "AllMajorityRoute",
    "RandomRoute",
    "FailoverRoute",
    "MissFailoverRoute",
  ])("of %s are empty without children, and the child itself with one", async (type) => {
    expect([
      await read({ type, children: [] }),
      await read({ type }),
      await read({ type, children: ["PoolRoute|A"] }),
    ]).toEqual([{ type: "null" }, { type: "null" }, a]);
  });

  it("of HashRoute are an error or empty as configured without children, and the child itself with one", async () => {
    expect(await read({ type: "HashRoute", children: [] })).toMatchObject({ type: "error" });
    expect(await read({ type: "HashRoute", children: [], error_on_empty: false })).toEqual({ type: "null" });
    expect(await read({ type: "HashRoute", children: "PoolRoute|A", hash_func: "Crc32" })).toEqual(a);
  });
});

describe("hash functions of a HashRoute", () => {
  const hashed = (settings: object) => read({ type: "HashRoute", children: "Pool|A", ...settings });

  it("match mcrouter's", async () => {
    expect(await hashed({ hash_func: "ConstShard", salt: "s" })).toMatchObject({
      placement: { type: "const_shard", salt: "s" },
    });
    expect(await hashed({ hash_func: "WeightedCh3", weights: [1, 0] })).toMatchObject({
      placement: { weights: [1, 0] },
    });
    expect(await hashed({ hash_func: "Rendezvous", tags: ["x", "y"] })).toMatchObject({
      placement: { tags: ["x", "y"] },
    });
    expect(await hashed({ hash_func: "Latest" })).toMatchObject({ type: "latest", children: [a0, a1] });
  });

  it.each([
    [{ hash_func: "Ch4" }, /Unknown hash function: Ch4/],
    [{ hash_func: "LoadBalancer" }, /memcached servers report none/],
    [{ hash_func: "WeightedCh3", weights: [1, 2] }, /weights\[1\]: expected a weight from 0 to 1/],
  ])("are otherwise refused: %j", async (settings, message) => {
    expect((await problems({ type: "HashRoute", children: "Pool|A", ...settings }))[0]).toMatch(message);
  });
});

describe("FailoverRoute", () => {
  const children = ["PoolRoute|A", "PoolRoute|B"];
  const failover = (settings: object) => read({ type: "FailoverRoute", children, ...settings });

  it("defaults to mcrouter's settings", async () => {
    expect(await failover({})).toEqual({
      type: "failover",
      children: [a, b],
      name: "",
      errors: { gets: null, updates: null, deletes: null },
      limit: null,
      isTagged: false,
      policy: { type: "in-order" },
      maxTries: Number.MAX_SAFE_INTEGER,
      maxErrorTries: Number.MAX_SAFE_INTEGER,
      uncountedErrors: [],
    });
  });

  it("accepts errors for all commands or per kind, under every name that mcrouter has for them", async () => {
    expect(await failover({ failover_errors: ["timeout", "tko"] })).toMatchObject({
      errors: { gets: ["timeout", "tko"], updates: ["timeout", "tko"], deletes: ["timeout", "tko"] },
    });
    expect(await failover({ failover_errors: { gets: [], deletes: ["busy"] } })).toMatchObject({
      errors: { gets: [], updates: null, deletes: ["busy"] },
    });
    const all = [
      ...["ooo", "timeout", "connect_timeout", "connect_error", "busy", "try_again", "shutdown", "tko", "bad_command"],
      ...["bad_key", "bad_flags", "bad_exptime", "bad_lease_id", "bad_cas_id", "bad_value", "aborted", "client_error"],
      ...["local_error", "remote_error", "deadline_exceeded", "overloaded"],
    ];
    expect(await failover({ failover_errors: all })).toMatchObject({ errors: { gets: all } });
    for (const bad of ["notfound", "unknown", "mc_res_timeout", 7]) {
      expect(
        (await problems({ type: "FailoverRoute", children, failover_errors: { updates: ["tko", bad] } }))[0],
      ).toMatch(/^\d+: .*failover_errors\.updates\[1\]: expected one of/);
    }
  });

  it("reads the settings of DeterministicOrderPolicy", async () => {
    const policy = { type: "DeterministicOrderPolicy", max_tries: 9, max_error_tries: 8, exclude_errors: ["busy"] };
    expect(await failover({ failover_policy: policy })).toMatchObject({
      policy: { type: "deterministic-order", placement: { type: "ch3" }, skipsAsked: true },
      maxTries: 2,
      maxErrorTries: 2,
      uncountedErrors: ["busy"],
    });
    const weighted = { ...policy, ignore_normal_reply_index: true, hash: { hash_func: "WeightedCh3", weights: [0.1] } };
    expect(await failover({ failover_policy: weighted })).toMatchObject({
      policy: { placement: { type: "weighted_ch3", weights: [0.1, 0.5] }, skipsAsked: false },
    });
    // The route's hash comes before the policy's.
    expect(await failover({ failover_policy: weighted, hash: { hash_func: "Ch3" } })).toMatchObject({
      policy: { placement: { type: "ch3" } },
    });
    const wrong = (failover_policy: object) => problems({ type: "FailoverRoute", children, failover_policy });
    expect((await wrong({ type: "DeterministicOrderPolicy", max_tries: 2 }))[0]).toMatch(/no "max_error_tries"/);
    expect((await wrong({ type: "DeterministicOrderPolicy", max_error_tries: 2 }))[0]).toMatch(/no "max_tries"/);
    expect((await wrong({ ...policy, hash: { hash_func: "Crc32" } }))[0]).toMatch(/Ch3 and WeightedCh3 only/);
    expect((await wrong({ ...policy, exclude_errors: ["notfound"] }))[0]).toMatch(
      /exclude_errors\[0\]: expected one of/,
    );
  });

  it("reads SaltedFailoverRoute as a PoolRoute before the pool's servers", async () => {
    const policy = { type: "DeterministicOrderPolicy", max_tries: 3, max_error_tries: 3 };
    const hash = { hash_func: "WeightedCh3", weights: [0.7, 1] };
    const route = { type: "SaltedFailoverRoute", pool: "A", hash, failover_policy: policy };
    expect(await read(route)).toMatchObject({
      type: "failover",
      children: [
        { type: "pool", pool: "A", placement: { type: "weighted_ch3", weights: [0.7, 1] } },
        { type: "destination", pool: "A", index: 0 },
        { type: "destination", pool: "A", index: 1 },
      ],
      policy: { type: "deterministic-order", placement: { type: "weighted_ch3", weights: [0.7, 1, 0.5] } },
    });
    const inline = { type: "Pool", name: "own", servers: ["127.0.0.1:1", "127.0.0.1:2"] };
    expect(await read({ type: "SaltedFailoverRoute", pool: inline })).toMatchObject({
      type: "failover",
      children: [
        { type: "pool", pool: "own" },
        { type: "destination", pool: "own", index: 0 },
        { type: "destination", pool: "own", index: 1 },
      ],
    });
  });

  it("reads RendezvousPolicy, whose tags name the children after the first", async () => {
    const policy = { type: "RendezvousPolicy", tags: ["one"] };
    expect(await failover({ failover_policy: policy })).toMatchObject({
      policy: { type: "rendezvous", tags: ["one"], weights: null },
    });
    const weighted = { hash: "WeightedRendezvous", failover_policy: { ...policy, weights: [0.7] } };
    expect(await failover(weighted)).toMatchObject({ policy: { weights: [0.7] } });
    expect(await failover({ tags: ["other"], failover_policy: policy })).toMatchObject({ policy: { tags: ["other"] } });
    expect(
      (await problems({ type: "FailoverRoute", children, failover_policy: { ...policy, tags: ["a", "b"] } }))[0],
    ).toMatch(/for each of the 1 members, got 2/);
  });

  it("limits its failovers as mcrouter does", async () => {
    expect(await failover({ failover_limit: { rate: 0.3 } })).toMatchObject({ limit: { rate: 0.3, burst: 1000 } });
    expect(await failover({ failover_limit: { rate: 7, burst: 0 } })).toMatchObject({ limit: { rate: 1, burst: 1 } });
    expect((await problems({ type: "FailoverRoute", children, failover_limit: {} }))[0]).toMatch(/no "rate"/);
  });

  it("supports the other policies", async () => {
    const least = { type: "LeastFailuresPolicy", max_tries: 2 };
    expect(await failover({ failover_policy: least })).toMatchObject({
      policy: { type: "least-failures" },
      maxTries: 2,
    });
    expect(
      (await problems({ type: "FailoverRoute", children, failover_policy: { type: "LeastFailuresPolicy" } }))[0],
    ).toMatch(/max_tries/);
    expect(await warnings({ type: "FailoverRoute", children, failover_policy: { type: "Odd" } })).toEqual([
      expect.stringMatching(/failover_policy: is of no known type/),
    ]);
  });

  it("limits the exptime of all children but the first with an exptime, and of none with 0", async () => {
    const route = { type: "FailoverWithExptimeRoute", normal: "PoolRoute|A", failover: ["PoolRoute|B", "NullRoute"] };
    expect(await read(route)).toMatchObject({
      children: [
        a,
        { type: "modify-exptime", action: "min", exptime: 60, target: b },
        { type: "modify-exptime", target: { type: "null" } },
      ],
    });
    expect(await read({ ...route, failover_exptime: 0 })).toMatchObject({ children: [a, b, { type: "null" }] });
    expect(await read({ ...route, failover: [] })).toEqual(a);
  });
});

describe("ShadowRoute", () => {
  const shadow = { target: "PoolRoute|B", index_range: [0, 1], key_fraction_range: [0.25, 0.5] };
  const shadowed = (shadows: unknown) => ({
    type: "AllSyncRoute",
    children: { type: "ShadowRoute", children: "Pool|A", shadows },
  });

  it("mirrors requests of the children in its range, without the range's end", async () => {
    expect(await read(shadowed([{ ...shadow, requests_fraction: 0.5 }]))).toMatchObject({
      children: [
        {
          type: "shadow",
          child: a0,
          shadows: [{ target: b, keyFraction: [0.25, 0.5], keys: null, requestsFraction: 0.5 }],
        },
        a1,
      ],
    });
    expect(await read(shadowed([{ target: "PoolRoute|B", key_fraction_range: [0, 1] }]))).toMatchObject({
      children: [a0, a1],
    });
  });

  it("mirrors listed keys of all children", async () => {
    expect(await read(shadowed([{ target: "PoolRoute|B", keys_to_shadow: ["k", "é"] }]))).toMatchObject({
      children: [{ shadows: [{ keys: ["k", "\xc3\xa9"] }] }, { shadows: [{ keys: ["k", "\xc3\xa9"] }] }],
    });
  });

  it.each([
    [7, /is no object/],
    [{ index_range: [0, 1] }, /no "target"/],
    [{ ...shadow, index_range: [2, 1] }, /index_range/],
    [{ ...shadow, key_fraction_range: [0, 1.5] }, /key_fraction_range/],
    [{ ...shadow, key_fraction_range: "all" }, /key_fraction_range/],
    [{ ...shadow, keys_to_shadow: ["k"] }, /keys_to_shadow does not go together with index_range/],
    [{ ...shadow, requests_fraction: 2 }, /requests_fraction/],
    [{ target: "PoolRoute|B", key_fraction_range_rv: "x" }, /runtime variables/],
    [{ ...shadow, target: "PoolRoute|none" }, /is left out: .*no pool "none"/],
    [{ ...shadow, target: { type: "NoSuchRoute" } }, /is left out: .*Unknown RouteHandle: NoSuchRoute/],
  ])("omits an invalid shadow, and reports it: %j", async (wrong, message) => {
    expect(await read(shadowed([wrong]))).toEqual({ type: "all-sync", children: [a0, a1] });
    expect((await warnings(shadowed([wrong]))).join("\n")).toMatch(message);
  });

  describe("an ignored part of a shadow", () => {
    const { key_fraction_range: range, ...rest } = { ...shadow, key_fraction_range: [0.25, 0.5] };

    it("includes key_fraction_range_rv if key_fraction_range is also present", async () => {
      const both = { ...rest, key_fraction_range: range, key_fraction_range_rv: "x" };
      expect(await read(shadowed([both]))).toEqual(await read(shadowed([{ ...rest, key_fraction_range: range }])));
      expect((await warnings(shadowed([both]))).join()).toMatch(/runtime variables.*key_fraction_range counts/);
    });

    it("does not include a broken pool that a route uses, which is still refused", async () => {
      const broken = { C: { servers: ["nowhere"] } };
      const inShadow = shadowed([{ ...shadow, target: "PoolRoute|C" }]);
      expect(await problems(inShadow, { pools: { ...pools, ...broken } })).toEqual([]);
      const inBoth = { type: "AllSyncRoute", children: [inShadow, "PoolRoute|C"] };
      expect((await problems(inBoth, { pools: { ...pools, ...broken } })).join()).toMatch(/pools\.C\.servers\[0\]/);
    });
  });
});

describe("a pool that is defined where it is used", () => {
  it("is read as a child with its servers", async () => {
    const children = { type: "Pool", name: "B1", servers: ["10.0.2.1:1", "10.0.2.2:1"] };
    const {
      pools: read,
      tree,
      warnings,
    } = await treeConfig({ pools, route: { type: "AllSyncRoute", children: [children] } }, options);
    expect(read.map(({ name }) => name)).toEqual(["B1"]);
    expect(tree!.routes.get("/././")).toEqual({
      type: "all-sync",
      children: [0, 1].map((index) => ({ type: "destination", pool: "B1", index })),
    });
    expect(warnings).toEqual([]);
  });
});

describe("buckets of a route", () => {
  const buckets = { bucketize: true, total_buckets: 1000, bucketization_keyspace: "test" };
  const weighted = { type: "PoolRoute", pool: "A", hash: "WeightedCh3" };
  const placement = { type: "bucketized", salt: "", weights: [0.5, 0.5], buckets: { total: 1000, byPrefix: [] } };

  it("determine the placement of a pool's keys", async () => {
    expect(await read({ ...weighted, ...buckets })).toEqual({ type: "pool", pool: "A", placement });
    const byPrefix = { ...buckets, total_buckets_by_prefix: { a: 10, b: 20 } };
    expect(await read({ ...weighted, ...byPrefix })).toMatchObject({
      placement: {
        buckets: {
          byPrefix: [
            ["a", 10],
            ["b", 20],
          ],
        },
      },
    });
  });

  it("determine the placement of keys over any routes", async () => {
    const route = { type: "HashRoute", children: ["PoolRoute|A", "PoolRoute|B"], hash_func: "WeightedCh3", ...buckets };
    expect(await read(route)).toMatchObject({ type: "hash", placement });
  });

  it("determine the keys of a shadow, even if its target takes the buckets from the route", async () => {
    const target = { type: "PoolRoute", pool: "A", hash: "WeightedCh3", useBucketHashSelector: true };
    const shadows = [{ target, index_range: [0, 2], key_fraction_range: [0, 0.5] }];
    const { children } = (await read({ ...weighted, ...buckets, shadows })) as ParentConfig<string>;
    expect(children[0]).toMatchObject({
      type: "shadow",
      shadows: [{ buckets: { total: 1000 }, target: { placement } }],
    });
  });

  it.each([
    [{ ...weighted, ...buckets, hash: "Ch3" }, /bucketize goes with the hash WeightedCh3 only, not with Ch3/],
    [{ ...weighted, bucketize: true, bucketization_keyspace: "t" }, /no "total_buckets"/],
    [{ ...weighted, bucketize: true, total_buckets: 10 }, /no "bucketization_keyspace"/],
    [{ ...weighted, ...buckets, total_buckets: 0 }, /total_buckets: expected a whole number from 1/],
    [
      { ...weighted, ...buckets, total_buckets_by_prefix: { a: 2000 } },
      /total_buckets_by_prefix\.a: expected a whole number from 1 to 1000/,
    ],
  ])("are refused rather than ignored if invalid, so that no key moves: %j", async (route, message) => {
    expect((await problems(route)).join()).toMatch(message);
  });
});

describe("other handles", () => {
  it.each<[object | string, object]>([
    [
      { type: "WarmUpRoute", cold: "PoolRoute|A", warm: "PoolRoute|B" },
      { type: "warm-up", cold: a, warm: b, exptime: 0 },
    ],
    [{ type: "WarmUpRoute", cold: "PoolRoute|A", warm: "PoolRoute|B", exptime: 60 }, { exptime: 60 }],
    [{ type: "WarmUpRoute", cold: "PoolRoute|A", warm: "PoolRoute|B", enable_metaget: true }, { exptime: null }],
    [
      { type: "MigrateRoute", from: "PoolRoute|A", to: "PoolRoute|B", start_time: 1000 },
      { type: "migrate", from: a, to: b, startUnixSeconds: 1000, intervalSeconds: 3600 },
    ],
    [
      { type: "OperationSelectorRoute", default_policy: "PoolRoute|A", operation_policies: { delete: "PoolRoute|B" } },
      { type: "operation-selector", otherwise: a },
    ],
    [
      { type: "PrefixPolicyRoute", operation_policies: { get: "PoolRoute|B" } },
      { type: "operation-selector", otherwise: null },
    ],
    ["OperationSelectorRoute|PoolRoute|A", a],
    [
      { type: "PrefixSelectorRoute", policies: { é: "PoolRoute|A" }, wildcard: "PoolRoute|B" },
      { type: "prefix-selector", policies: new Map([["\xc3\xa9", a]]), wildcard: b },
    ],
    [
      { type: "HostIdRoute", children: "Pool|A", salt: "s" },
      { type: "host-id", children: [a0, a1], salt: "s" },
    ],
    [
      { type: "LatestRoute", children: "Pool|A" },
      { type: "latest", weights: [1, 1], failover: { maxTries: 2 } },
    ],
    [
      { type: "RateLimitRoute", target: "PoolRoute|A", rates: { gets_rate: 5, deletes_rate: 1, deletes_burst: 9 } },
      { type: "rate-limit", gets: { rate: 5, burst: 5 }, sets: null, deletes: { rate: 1, burst: 9 }, fallback: null },
    ],
    [
      { type: "ModifyKeyRoute", target: "PoolRoute|A", set_routing_prefix: "/a/b", ensure_key_prefix: "é" },
      {
        type: "modify-key",
        routingPrefix: "/a/b/",
        ensurePrefix: "\xc3\xa9",
        replacePrefix: null,
        suffix: "",
        isInPlace: false,
      },
    ],
    [
      { type: "ModifyExptimeRoute", target: "PoolRoute|A", exptime: -1 },
      { type: "modify-exptime", action: "set", exptime: -1 },
    ],
    [{ type: "ModifyExptimeRoute", target: "PoolRoute|A", exptime: 0, action: "min" }, a],
    ["LoggingRoute|PoolRoute|A", { type: "logging", target: a }],
    [{ type: "LoggingRoute" }, { type: "logging", target: { type: "null" } }],
    [
      { type: "L1L2CacheRoute", l1: "PoolRoute|A", l2: "PoolRoute|B", upgradingL1Exptime: 9 },
      { type: "l1l2-cache", upgradingL1Exptime: 9, ncacheExptime: 0, ncacheUpdatePeriod: 0 },
    ],
    [
      { type: "KeySplitRoute", destination: "PoolRoute|A", replicas: 3, all_sync: true },
      { type: "keysplit", replicas: 3, isAllSync: true, isFirstHit: false },
    ],
    [
      { type: "LatencyInjectionRoute", child: "PoolRoute|A", total_latency_ms: 5 },
      { type: "latency-injection", beforeMs: 0, afterMs: 0, totalMs: 5 },
    ],
    [{ type: "LatencyInjectionRoute", child: "PoolRoute|A", before_latency_ms: 0 }, a],
    [
      { type: "BigValueRoute", target: "PoolRoute|A", split_threshold: 100, batch_size: 0 },
      { type: "big-value", thresholdBytes: 100, batchSize: 0 },
    ],
    [
      { type: "ErrorRoute", response: "no", result: "mc_res_busy", enable_logging: false },
      { type: "error", message: "no", result: "busy", isLogged: false },
    ],
    [
      { type: "RoutingGroupRoute", routing_group_policies: { get_like: "PoolRoute|A" }, default_policy: "PoolRoute|B" },
      { type: "operation-selector", otherwise: b },
    ],
    ["DevNullRoute", { type: "devnull" }],
  ])("are read: %j", async (route, expected) => {
    expect(await read(route)).toMatchObject(expected);
  });

  it.each([
    [{ type: "WarmUpRoute", warm: "NullRoute" }, /no "cold"/],
    [{ type: "MigrateRoute", from: "NullRoute", to: "NullRoute" }, /no "start_time"/],
    [{ type: "OperationSelectorRoute" }, /"default_policy" or "operation_policies"/],
    [{ type: "OperationSelectorRoute", operation_policies: { fetch: "NullRoute" } }, /fetch: unknown operation/],
    [{ type: "PrefixSelectorRoute" }, /"policies" or "wildcard"/],
    [{ type: "RateLimitRoute", target: "NullRoute" }, /no "rates"/],
    [{ type: "RateLimitRoute", target: "NullRoute", rates: { gets_rate: 0 } }, /gets_rate/],
    [{ type: "ModifyKeyRoute", target: "NullRoute", ensure_key_prefix: "a b" }, /no spaces/],
    [
      { type: "ModifyKeyRoute", target: "NullRoute", replace_key_prefix: "a", modify_inplace: true },
      /do not go together/,
    ],
    [{ type: "ModifyKeyRoute", target: "NullRoute", set_routing_prefix: "/a/" }, /"\/region\/cluster\/"/],
    [{ type: "ModifyExptimeRoute", target: "NullRoute" }, /no "exptime"/],
    [{ type: "ModifyExptimeRoute", target: "NullRoute", exptime: 1, action: "max" }, /"set" or "min"/],
    [{ type: "KeySplitRoute", destination: "NullRoute", replicas: 1, all_sync: true }, /replicas/],
    [{ type: "LatencyInjectionRoute", child: "NullRoute" }, /before_latency_ms/],
    [{ type: "ErrorRoute", result: "mc_res_found" }, /expected an error/],
    [{ type: "L1L2CacheRoute", l1: "NullRoute", l2: "NullRoute" }, /upgradingL1Exptime/],
    [{ type: "CarbonLookasideRoute" }, /CarbonLookasideRoute/],
  ])("are refused if invalid: %j", async (route, message) => {
    expect((await problems(route))[0]).toMatch(message);
  });

  it("report unknown settings", async () => {
    expect(await warnings({ type: "LoggingRoute", target: "NullRoute", colour: "red" })).toEqual([
      expect.stringMatching(/route\.colour: is not known to LoggingRoute and has no effect/),
    ]);
  });
});

describe("--enable-logging-route", () => {
  it("logs every request, above all other routes", async () => {
    const more = {
      ...options,
      enable_logging_route: "1",
      big_value_split_threshold: "1000",
      big_value_hide_reply_flag: "1",
    };
    const { tree } = await treeConfig({ pools, route: "PoolRoute|A" }, more);
    const big = { type: "big-value", thresholdBytes: 1000, batchSize: 10, hidesFlag: true, target: a };
    expect(tree!.routes.get("/././")).toEqual({ type: "logging", target: big });
  });
});

describe("large values", () => {
  it("are split above all other routes, or above each route of a prefix selector, and each route is wrapped once", async () => {
    const route = { type: "PrefixSelectorRoute", policies: { a: "PoolRoute|A" }, wildcard: "PoolRoute|A" };
    const { tree } = await treeConfig({ pools, route }, { ...options, big_value_split_threshold: "1000" });
    const big = { type: "big-value", thresholdBytes: 1000, batchSize: 10, hidesFlag: false, target: a };
    const top = tree!.routes.get("/././")!;
    expect(top).toEqual({ type: "prefix-selector", policies: new Map([["a", big]]), wildcard: big });
    expect(isPrefixSelector(top) && top.policies.get("a") === top.wildcard).toBe(true);
  });
});
