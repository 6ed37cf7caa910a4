/** How failover and shadow routes are read. */
import { describe, expect, it } from "vitest";
import { a, a0, a1, b, pools, problems, read, warnings } from "../../support/rigs/read-route.ts";

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
