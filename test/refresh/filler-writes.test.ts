/** Writes of clients, pools that cannot store and reloads, while the filler fetches. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { FillRig } from "../support/rigs/fill-rig.ts";
import { testRules } from "../support/rigs/test-rules.ts";

let rig: FillRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let populated: string[];
let logged: string[];
let rules: Rules;
let filler: Filler;

beforeEach(() => start({}));

function start(...configs: Partial<RuleConfig>[]): void {
  rig = new FillRig({ rules: configs });
  ({ clock, source, pool, populated, logged, rules, filler } = rig);
}

const get = (key?: string) => rig.get(key);
const write = (value: string | null, key?: string) => rig.write(value, key);
const counters = () => rig.counters;

describe("a client's write", () => {
  it("wins during the fetch: no client gets the older value, and waiting clients get a newer one", async () => {
    const waiter = get();
    write(null);
    source.fetches[0]!.answer("old");
    await settled();
    expect(waiter.told).toEqual([]);
    expect(pool.value("k")).toBeNull();
    expect(source.fetches).toHaveLength(2);
    source.fetches[1]!.answer("new");
    await settled();
    expect(waiter.told).toEqual(["value new"]);
    expect(pool.value("k")).toBe("new");
    expect(counters()).toMatchObject({ fills: 2, overtaken: 1, filled: 1 });
  });

  it("keeps its value if it arrives during the fetch, and waiters get that value", async () => {
    const waiter = get();
    write("theirs");
    source.fetches[0]!.answer("old");
    await settled();
    source.fetches[1]!.answer("also old");
    await settled();
    expect(waiter.told).toEqual(["ask again"]);
    expect(pool.value("k")).toBe("theirs");
    expect(populated).toEqual([]);
  });

  it("closes the flight to new misses at once", async () => {
    const before = get();
    write(null);
    const after = get();
    expect(source.fetches).toHaveLength(2);
    source.fetches[1]!.answer("new");
    await settled();
    expect(after.told).toEqual(["value new"]);
    expect(before.told).toEqual([]);
    source.fetches[0]!.answer("old");
    await settled();
    // Its second fetch loses against the value that is there.
    source.last.answer("newest");
    await settled();
    expect(before.told).toEqual(["ask again"]);
    expect(pool.value("k")).toBe("new");
  });

  it("causes a miss rather than a third fetch if two writes arrive during the fetches", async () => {
    const waiter = get();
    write(null);
    source.fetches[0]!.answer("old");
    await settled();
    write(null);
    source.fetches[1]!.answer("old too");
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(2);
    expect(pool.value("k")).toBeNull();
  });

  it("moves the waiters to the flight that a later miss opened", async () => {
    const before = get();
    write(null);
    const after = get();
    source.fetches[0]!.answer("old");
    await settled();
    expect(source.fetches).toHaveLength(2);
    source.fetches[1]!.answer("new");
    await settled();
    expect([before.told, after.told]).toEqual([["value new"], ["value new"]]);
  });

  it("extends no waiter's fill_timeout, not even in a later flight", async () => {
    const before = get();
    clock.advance(100);
    write(null);
    clock.advance(200);
    const after = get();
    source.fetches[0]!.answer("old");
    await settled();
    clock.advance(99);
    expect(before.told).toEqual([]);
    clock.advance(1);
    expect([before.told, after.told]).toEqual([["miss"], []]);
    clock.advance(300);
    expect(after.told).toEqual(["miss"]);
  });

  it("causes no second fetch for waiters that have timed out", async () => {
    const waiter = get();
    write(null);
    clock.advance(400);
    source.last.answer("old");
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
    expect(pool.value("k")).toBeNull();
  });

  it("remains in the pool if it arrives while a value is on its way to the pool", async () => {
    pool.isHolding = true;
    const waiter = get();
    source.last.answer("fetched");
    await settled();
    write("theirs");
    pool.release();
    await settled();
    expect(pool.value("k")).toBe("theirs");
    // It asked before the client wrote.
    expect(waiter.told).toEqual(["value fetched"]);
  });

  it("keeps the fetched value out if it arrives before that value is sent to the pool", async () => {
    pool.set("k", "theirs");
    const waiter = get();
    source.last.answer("fetched");
    await settled();
    expect(waiter.told).toEqual(["ask again"]);
    expect(pool.value("k")).toBe("theirs");
    expect(populated).toEqual([]);
    expect(counters()).toMatchObject({ filled: 0, overtaken: 1 });
  });

  it("causes a miss if it arrives during a fetch that fails", async () => {
    const waiter = get();
    write(null);
    source.last.fail();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
  });

  it("overtakes every fetch if it affects every key, as a flush does", async () => {
    const [a, b] = [get("a"), get("b")];
    filler.beforeFlush();
    source.fetches[0]!.answer("old");
    source.fetches[1]!.answer("old");
    await settled();
    expect([pool.value("a"), pool.value("b")]).toEqual([null, null]);
    expect(source.keys).toEqual(["a", "b", "a", "b"]);
    source.fetches[2]!.answer("new");
    source.fetches[3]!.answer("new");
    await settled();
    expect([a.told, b.told]).toEqual([["value new"], ["value new"]]);
  });
});

describe("a pool that cannot store", () => {
  it("leaves the fetched value to the waiters and, for five seconds, to later clients", async () => {
    pool.isDown = true;
    const waiter = get();
    source.last.answer("kept");
    await settled();
    expect(waiter.told).toEqual(["value kept"]);
    expect(logged).toEqual(["pool rule the pool is down"]);
    expect(counters()).toMatchObject({ held: 1, filled: 0 });
    expect(populated).toEqual([]);
    clock.advance(4_999);
    expect(get().told).toEqual(["value kept"]);
    expect(source.fetches).toHaveLength(1);
    clock.advance(1);
    get();
    expect(source.fetches).toHaveLength(2);
  });

  it("has values held no longer than the ttl", async () => {
    start({ ttlMs: 2_000 });
    pool.isDown = true;
    get();
    source.last.answer("kept");
    await settled();
    clock.advance(1_999);
    expect(get().told).toEqual(["value kept"]);
    clock.advance(1);
    expect(get().told).toEqual([]);
  });

  it.each([
    ["a write to the key", () => write(null)],
    ["a flush", () => filler.beforeFlush()],
    ["a new configuration", () => filler.replace(rules, pool, 1 << 20)],
  ])("has its held value forgotten by %s", async (_what, forget) => {
    pool.isDown = true;
    get();
    source.last.answer("kept");
    await settled();
    forget();
    get();
    expect(source.fetches).toHaveLength(2);
  });

  it("has no value held that a client's write has overtaken, and the waiters get a miss", async () => {
    pool.isDown = true;
    pool.isHolding = true;
    const waiter = get();
    source.last.answer("old");
    await settled();
    write(null);
    pool.release();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(get().told).toEqual([]);
    expect(source.fetches).toHaveLength(2);
    expect(counters().held).toBe(0);
  });

  it("has no value held from the older of two flights that a write has overtaken", async () => {
    pool.isDown = true;
    pool.isHolding = true;
    get();
    source.last.answer("first");
    await settled();
    get();
    source.last.answer("second");
    await settled();
    write(null);
    pool.release();
    await settled();
    expect(counters().held).toBe(0);
    expect(get().told).toEqual([]);
  });

  it("has values held up to the bound in bytes", async () => {
    pool.isDown = true;
    for (const key of ["a", "b"]) {
      get(key);
      source.last.answer(Buffer.alloc(600_000));
      await settled();
    }
    expect(get("b").told).toHaveLength(1);
    expect(get("a").told).toEqual([]);
  });
});

describe("a new configuration", () => {
  it("lets flights end under the rules they began with, and starts new flights under its rules", async () => {
    const waiter = get();
    const other = new ManualSource();
    filler.replace(testRules(other, { name: "other" }), pool, 1 << 20);
    const joined = get();
    get("new");
    expect(other.keys).toEqual(["new"]);
    source.last.answer("v");
    await settled();
    expect([waiter.told, joined.told]).toEqual([["value v"], ["value v"]]);
    expect(counters()).toMatchObject({ fills: 1, filled: 1 });
  });

  it("applies its rules to waiters that a write sends to a second fetch", async () => {
    const waiters = [get("k"), get("gone")];
    const other = new ManualSource();
    filler.replace(testRules(other, { name: "other", match: "k" }), pool, 1 << 20);
    for (const key of ["k", "gone"]) write(null, key);
    for (const fetch of source.fetches) fetch.answer("old");
    await settled();
    expect(other.keys).toEqual(["k"]);
    other.last.answer("new");
    await settled();
    expect(waiters.map(({ told }) => told)).toEqual([["value new"], ["miss"]]);
    expect([source.fetches.length, filler.inFlight]).toEqual([2, 0]);
  });
});
