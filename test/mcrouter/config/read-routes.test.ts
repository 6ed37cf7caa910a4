import { describe, expect, it } from "vitest";
import type { ParentConfig } from "../../../src/mcrouter/config/route-input.ts";
import type { AsyncLogRouteConfig } from "../../../src/mcrouter/routes/async-log-route.ts";
import { isPrefixSelector } from "../../../src/mcrouter/routes/prefix-selector-route.ts";
import { a, a0, a1, b, childrenOf, options, pools, problems, read, warnings } from "../../support/rigs/read-route.ts";
import { treeConfig, treeProblems } from "../../support/rigs/tree-config.ts";

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
    [{ type: "LoadBalancerRoute", children: [] }, /memcached servers do not report it/],
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
    [{ hash_func: "LoadBalancer" }, /memcached servers do not report it/],
    [{ hash_func: "WeightedCh3", weights: [1, 2] }, /weights\[1\]: expected a weight from 0 to 1/],
  ])("are otherwise refused: %j", async (settings, message) => {
    expect((await problems({ type: "HashRoute", children: "Pool|A", ...settings }))[0]).toMatch(message);
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
