import { describe, expect, it } from "vitest";
import { addressText, type PoolConfig } from "../../../src/config/config.ts";
import { treeConfig, treeProblems } from "../../support/rigs/tree-config.ts";

const route = "PoolRoute|A";

async function poolOf(pool: object, options: Record<string, string> = {}): Promise<PoolConfig> {
  return (await treeConfig({ pools: { A: pool }, route }, options)).pools[0]!;
}

const problemsOf = (pool: object, options: Record<string, string> = {}) =>
  treeProblems(JSON.stringify({ pools: { A: pool }, route }, null, 1), options);

describe("servers of a pool", () => {
  it("have a host and a port, optionally followed by protocol and security", async () => {
    const servers = [
      ...[
        "10.0.0.1:11211",
        "cache.example:11211:ascii",
        "10.0.0.2:11211:ASCII:plain",
        "10.0.0.3:1:ascii:plain:notcompressed",
      ],
      ...["[::1]:11211", "[2001:db8::1]:11211:ascii", "unix:/run/memcached.sock", "unix:/run/m.sock:ascii"],
    ];
    const pool = await poolOf({ servers });
    expect(pool.servers.map(({ address }) => addressText(address))).toEqual([
      ...["10.0.0.1:11211", "cache.example:11211", "10.0.0.2:11211", "10.0.0.3:1"],
      ...["[::1]:11211", "[2001:db8::1]:11211", "unix:/run/memcached.sock", "unix:/run/m.sock"],
    ]);
    expect(pool.tls).toBeNull();
  });

  it.each(["10.0.0.1", "[]:1", "10.0.0.1:65536", "10.0.0.1:http", ":11211", "::1:11211", "a b:11211", 11211])(
    "are otherwise refused with their line: %j",
    async (server) => {
      const [problem, ...more] = await problemsOf({ servers: ["10.0.0.9:11211", server] });
      expect(problem).toMatch(/^6: pools\.A\.servers\[1\]: expected "host:port"/);
      expect(more).toEqual([]);
    },
  );

  it("use the pool's port instead of their own", async () => {
    const pool = await poolOf({ servers: ["10.0.0.1", "10.0.0.2:11211"], port_override: 5000 });
    expect(pool.servers.map(({ address }) => addressText(address))).toEqual(["10.0.0.1:5000", "10.0.0.2:5000"]);
  });

  it("can be any routes", async () => {
    const { tree, pools } = await treeConfig({
      pools: { A: { servers: ["10.0.0.1:1", { type: "ErrorRoute", response: "no" }, "10.0.0.2:1"] } },
      route: { type: "PoolRoute", pool: "A", asynclog: false },
    });
    expect(pools[0]!.servers.length).toBe(2);
    expect(tree!.routes.get("/././")).toMatchObject({
      type: "hash",
      children: [
        { type: "destination", pool: "A", index: 0 },
        { type: "error", message: "no" },
        { type: "destination", pool: "A", index: 1 },
      ],
    });
  });

  it("can be an empty list, and the pool is then an error or empty as configured", async () => {
    const empty = async (settings: object) => {
      const config = await treeConfig({
        pools: { A: { servers: [], ...settings } },
        route: { type: "PoolRoute", pool: "A", asynclog: false },
      });
      return config.tree!.routes.get("/././");
    };
    expect(await empty({})).toMatchObject({ type: "error", message: "HashRoute with empty children, name: A" });
    expect(await empty({ error_on_empty: false })).toEqual({ type: "null" });
  });

  it("are required, and must be a list", async () => {
    expect(await problemsOf({})).toEqual([expect.stringMatching(/^3: pools\.A: no "servers"/)]);
    expect(await problemsOf({ servers: "10.0.0.1:1" })).toEqual([
      expect.stringMatching(/^4: pools\.A\.servers: expected a list/),
    ]);
  });
});

describe("timeouts of a pool", () => {
  it("default to the options' timeouts, and the connect timeout follows the server timeout", async () => {
    const servers = ["10.0.0.1:1"];
    expect(await poolOf({ servers })).toMatchObject({ serverTimeoutMs: 1000, connectTimeoutMs: 1000 });
    expect(await poolOf({ servers }, { server_timeout_ms: "250" })).toMatchObject({
      serverTimeoutMs: 250,
      connectTimeoutMs: 250,
    });
    expect(await poolOf({ servers, server_timeout: 300 })).toMatchObject({
      serverTimeoutMs: 300,
      connectTimeoutMs: 300,
    });
    expect(await poolOf({ servers, server_timeout: 300, connect_timeout: 50 })).toMatchObject({
      serverTimeoutMs: 300,
      connectTimeoutMs: 50,
    });
  });

  it("depend on the pool's distance", async () => {
    const near = { servers: ["10.0.0.1:1"], server_timeout: 300, region: "a", cluster: "one" };
    const options = {
      default_route: "/a/one/",
      within_cluster_timeout_ms: "10",
      cross_cluster_timeout_ms: "20",
      cross_region_timeout_ms: "30",
    };
    const timeouts = await Promise.all(
      [near, { ...near, cluster: "two" }, { ...near, region: "b" }].map((pool) => poolOf(pool, options)),
    );
    expect(timeouts.map(({ serverTimeoutMs }) => serverTimeoutMs)).toEqual([10, 20, 30]);
    // It is the reply's alone.
    expect(timeouts.map(({ connectTimeoutMs }) => connectTimeoutMs)).toEqual([300, 300, 300]);
    expect(await poolOf(near, { default_route: "/a/one/" })).toMatchObject({ serverTimeoutMs: 300 });
  });

  it.each([0, 1_000_001, 1.5, "100"])("must be integers in ms: %j", async (timeout) => {
    expect(await problemsOf({ servers: ["10.0.0.1:1"], server_timeout: timeout })).toEqual([
      expect.stringMatching(/^7: pools\.A\.server_timeout: expected a whole number from 1 to 1000000/),
    ]);
  });
});

describe("inheritance of pools", () => {
  it("takes missing settings from another pool, and that pool's from a third", async () => {
    const { pools } = await treeConfig({
      pools: {
        A: { inherit: "B", server_timeout: 5 },
        B: { inherit: "C", server_timeout: 7, connect_timeout: 8 },
        C: { servers: ["10.0.0.1:1"], connect_timeout: 9, keep_routing_prefix: true },
      },
      route,
    });
    expect(pools).toMatchObject([{ name: "A", serverTimeoutMs: 5, connectTimeoutMs: 8, keepsRoutingPrefix: true }]);
    expect(pools.length).toBe(1);
  });

  it("is refused if it is circular or refers to a missing pool", async () => {
    const circle = { pools: { A: { inherit: "B" }, B: { inherit: "A", servers: ["10.0.0.1:1"] } }, route };
    expect((await treeProblems(circle))[0]).toMatch(/circle: .*A.* → .*B/);
    expect(await problemsOf({ inherit: "Bee", servers: ["10.0.0.1:1"] })).toEqual([expect.stringMatching(/Bee/)]);
  });
});

describe("weights and tags of a pool", () => {
  const servers = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];
  const placementOf = async (pool: object, hash?: object | string) => {
    const config = await treeConfig({
      pools: { A: { servers, ...pool } },
      route: { type: "PoolRoute", pool: "A", asynclog: false, ...(hash && { hash }) },
    });
    return config.tree!.routes.get("/././");
  };

  it("make the pool weighted, and are overridden by the hash of a route", async () => {
    expect(await placementOf({ weights: [1, 0.25, 0] })).toMatchObject({
      placement: { type: "weighted_ch3", weights: [1, 0.25, 0] },
    });
    expect(await placementOf({ weights: [1, 0.25, 0] }, "Crc32")).toMatchObject({ placement: { type: "crc32" } });
    expect(await placementOf({ weights: [1, 1, 1] }, { salt: "x" })).toMatchObject({
      placement: { type: "weighted_ch3", salt: "x" },
    });
    expect(await placementOf({}, { hash_func: "Ch3", salt: "x" })).toMatchObject({
      placement: { type: "ch3", salt: "x" },
    });
    expect(await placementOf({}, "Ch3")).toEqual({ type: "pool", pool: "A", placement: null });
  });

  it("default to 0.5 if missing, and surplus ones have no effect", async () => {
    expect(await placementOf({ weights: [1] })).toMatchObject({ placement: { weights: [1, 0.5, 0.5] } });
    expect(await placementOf({ weights: [1, 1, 1, 0.1] })).toMatchObject({ placement: { weights: [1, 1, 1] } });
  });

  it("determine the rendezvous hash", async () => {
    const tags = ["a", "b", "c"];
    expect(await placementOf({ tags }, "Rendezvous")).toMatchObject({ placement: { type: "rendezvous", tags } });
    expect(await placementOf({ tags, weights: [1, 1, 0.5] }, "WeightedRendezvous")).toMatchObject({
      placement: { type: "weighted_rendezvous", tags, weights: [1, 1, 0.5] },
    });
    const few = { pools: { A: { servers, tags: ["a"] } }, route: { type: "PoolRoute", pool: "A", hash: "Rendezvous" } };
    expect((await treeProblems(few))[0]).toMatch(/expected "tags" with one for each of the 3 members, got 1/);
  });
});

describe("a pool's tracker of TKO servers", () => {
  const servers = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"];
  const trackerOf = async (tracker: object) => (await poolOf({ servers, tko_tracker: tracker })).health.failOpen;

  it("fails open when the configured number of servers is down", async () => {
    expect(await trackerOf({ num_tko_threshold_upper: 3, num_tko_threshold_lower: 1 })).toEqual({ upper: 3, lower: 1 });
    expect(await trackerOf({ percent_tko_threshold_upper: 75, percent_tko_threshold_lower: 30 })).toEqual({
      upper: 3,
      lower: 1,
    });
    expect(
      await trackerOf({ num_tko_threshold_upper: 2, percent_tko_threshold_upper: 99, num_tko_threshold_lower: 2 }),
    ).toEqual({ upper: 2, lower: 2 });
    expect((await poolOf({ servers })).health.failOpen).toBeNull();
  });

  it.each([
    [{ num_tko_threshold_upper: 3 }],
    [{ num_tko_threshold_upper: 1, num_tko_threshold_lower: 2 }],
    [{ percent_tko_threshold_upper: 10, percent_tko_threshold_lower: 10 }],
  ])("requires thresholds above 0 and in order: %j", async (tracker) => {
    expect(await problemsOf({ servers, tko_tracker: tracker })).toEqual([
      expect.stringMatching(/tko_tracker: expected thresholds/),
    ]);
  });
});

describe("an unsupported pool setting", () => {
  const servers = ["10.0.0.1:1"];
  it.each([
    [{ servers, protocol: "caret" }, /pools\.A\.protocol: expected "ascii"/],
    [{ servers: ["10.0.0.1:1:caret"] }, /servers\[0\]: expected the protocol "ascii"/],
    [{ servers, security_mech: "fizz" }, /security_mech: expected security "plain" or "ssl"/],
    [{ servers, security_mech: "ssl" }, /speaks TLS; give --pem-cert-path/],
    [{ servers: ["a:1", "b:1"], failure_domains: [1] }, /failure_domains has 1 entries for 2 servers/],
    [{ servers, keep_routing_prefix: 1 }, /keep_routing_prefix: expected true or false/],
  ])("is refused: %j", async (pool, message) => {
    expect(await problemsOf(pool)).toEqual([expect.stringMatching(message)]);
  });

  it("is named in a warning if it is only ignored", async () => {
    const { warnings } = await treeConfig({
      pools: { A: { servers, qos: {}, hostnames: ["a"], colour: "red" } },
      route,
    });
    expect(warnings).toHaveLength(3);
    for (const name of ["qos", "hostnames", "colour"]) expect(warnings.join()).toContain(`pools.A.${name}`);
  });
});

describe("the source of pools", () => {
  it("can be a file, which combines with the configuration's own pools", async () => {
    const { pools, files, mcrouter } = await treeConfig(
      { route: "PoolRoute|file:/pools/main.json" },
      {},
      { "/pools/main.json": '{ "servers": ["10.0.0.1:1"] /* one */, }' },
    );
    expect(pools).toMatchObject([{ name: "file:/pools/main.json" }]);
    expect(files).toContain("/pools/main.json");
    expect([...mcrouter!.sources.pools.keys()]).toEqual(["/pools/main.json"]);
  });

  it("is refused with the line in the file", async () => {
    const files = { "/p.json": '{\n "servers": [\n  "10.0.0.1"\n ]\n}' };
    expect(await treeProblems({ route: "PoolRoute|file:/p.json" }, {}, files)).toEqual([
      expect.stringMatching(/^3: .*servers\[0\]/),
    ]);
    expect((await treeProblems({ route: "PoolRoute|file:/none.json" }))[0]).toMatch(/none\.json/);
  });

  it("can be the place of use: with a name, of which the first occurrence counts", async () => {
    const inline = (server: string) => ({ type: "PoolRoute", pool: { name: "X", servers: [server] } });
    const { pools } = await treeConfig({
      route: { type: "AllSyncRoute", children: [inline("10.0.0.1:1"), inline("10.0.0.2:1")] },
    });
    expect(pools.map(({ servers }) => servers.map(({ address }) => addressText(address)))).toEqual([["10.0.0.1:1"]]);
    expect((await treeProblems({ route: { type: "PoolRoute", pool: { servers: ["10.0.0.1:1"] } } }))[0]).toMatch(
      /needs a "name"/,
    );
  });

  it("is required, and the error suggests a similar name", async () => {
    const [problem] = await treeProblems({ pools: { main: { servers: ["10.0.0.1:1"] } }, route: "PoolRoute|man" });
    expect(problem).toMatch(/man.*main/);
  });

  it("is not checked for pools that no route names", async () => {
    const { pools } = await treeConfig({ pools: { A: { servers: ["10.0.0.1:1"] }, Broken: {} }, route });
    expect(pools.map(({ name }) => name)).toEqual(["A"]);
  });
});
