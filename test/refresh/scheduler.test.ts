import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Stored } from "../../src/refresh/populator.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { Scheduler } from "../../src/refresh/scheduler.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { SlowPool } from "../support/fakes/slow-pool.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const TICK_MS = 100;
const bounds = { maxTrackedKeys: 1_000, pickUpRate: 1_000 };

let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let rules: Rules;
let random: () => number;
let logged: string[];
let scheduler: Scheduler;

/** ttl 10 s, due 1 s before its end; needed for 25 s. */
const shortRule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 25_000 };

beforeEach(() => start(shortRule));

function start(...configs: Partial<RuleConfig>[]): void {
  startWith({}, ...configs);
}

function startWith(options: { maxKeys?: number }, ...configs: Partial<RuleConfig>[]): void {
  clock = new ManualClock();
  source = new ManualSource();
  pool = new SlowPool(clock);
  random = () => 0;
  logged = [];
  rules = testRules(source, ...configs);
  scheduler = new Scheduler({
    rules,
    port: pool,
    clock,
    random: () => random(),
    log: {
      sourceFailed: (_rule, error) => logged.push(`source: ${(error as Error).message}`),
      poolFailed: (_rule, error) => logged.push(`pool: ${(error as Error).message}`),
    },
    bounds: { maxTrackedKeys: options.maxKeys ?? 1_000, pickUpRate: 1_000 },
  });
}

/** What a fill tells of the value that the pool has now. */
function storedNow(key = "k", value = "v0", tag: string | null = null): Stored {
  const { config } = rules.match(key)!.rule;
  const item = pool.store.peek(key);
  return { cas: BigInt(item?.cas ?? 1), value: Buffer.from(value), tag, ttlMs: config.ttlMs, staleMs: config.staleMs };
}

/** As after a fill: the value is in the pool, with the rule's exptime. */
function populate(key = "k", value = "v0"): void {
  const { rule } = rules.match(key)!;
  pool.set(key, value, Math.ceil(rule.config.ttlMs / 1000) + 1);
  scheduler.populated(key, rule, storedNow(key, value));
}

const pass = (ms: number) => clock.pass(ms);

function clientGets(key = "k"): void {
  const bytes = Buffer.from(`....${key}..`, "latin1");
  scheduler.got(bytes, 4, 4 + Buffer.byteLength(key, "latin1"), true);
}

function counters() {
  return rules.list[0]!.counters;
}

describe("a populated key", () => {
  it("is refreshed before its ttl ends, without a request from a client", async () => {
    populate();
    await pass(8_900);
    expect(pool.calls).toEqual([]);
    await pass(200);
    expect(pool.calls).toEqual(["read k"]);
    expect(source.last.priority).toBe("refresh");
    expect(scheduler.inFlight).toBe(1);
    source.last.answer("v1");
    await settled();
    expect(pool.calls).toEqual(["read k", "cas k"]);
    expect(pool.value("k")).toBe("v1");
    expect(pool.ttl("k")).toBe(11);
    expect(counters().refreshed).toBe(1);
    expect([scheduler.inFlight, scheduler.tracked]).toEqual([0, 1]);
  });

  it("is refreshed repeatedly until expiry after the last get, then dropped with its item left alone", async () => {
    populate();
    for (let i = 1; i <= 40 && scheduler.tracked > 0; i++) {
      await pass(1_000);
      if (scheduler.inFlight > 0) source.last.answer(`v${i}`);
      await settled();
    }
    // Due after 9 s and 18 s. At 27 s, the last get is more than 25 s ago.
    expect(source.fetches).toHaveLength(2);
    expect(scheduler.tracked).toBe(0);
    expect(counters().dropped).toBe(1);
    expect(pool.ttl("k")).toBeGreaterThan(0);
    await pass(60_000);
    expect(source.fetches).toHaveLength(2);
    expect(pool.value("k")).toBeNull();
  });

  it("is refreshed for longer after every get", async () => {
    populate();
    for (let i = 1; i <= 100; i++) {
      await pass(1_000);
      clientGets();
      if (scheduler.inFlight > 0) source.last.answer(`v${i}`);
      await settled();
    }
    expect(source.fetches.length).toBeGreaterThanOrEqual(10);
    expect(scheduler.tracked).toBe(1);
    expect(pool.value("k")).not.toBeNull();
  });

  it("is not refreshed for longer because of gets of other keys", async () => {
    populate();
    for (let i = 0; i < 40; i++) {
      await pass(1_000);
      clientGets("other");
      if (scheduler.inFlight > 0) source.last.answer("v");
    }
    expect(scheduler.tracked).toBe(0);
  });

  it.each([
    ["was just within expiry", 600, 2],
    ["was longer ago than expiry", 200, 1],
  ])("is judged by the get itself, not by its second: a get that %s", async (_what, getAtMs, fetches) => {
    // Due at 1 s, and again at 2 s; there the get must be at most 1.5 s old.
    start({ ttlMs: 2_000, expiryMs: 1_500 });
    populate();
    await pass(getAtMs);
    clientGets();
    await pass(1_000 - getAtMs);
    await settled();
    source.last.answer("v1");
    await pass(1_100);
    expect(source.fetches).toHaveLength(fetches);
  });

  it("starts over when it is populated again", async () => {
    populate();
    await pass(5_000);
    populate("k", "again");
    await pass(8_900);
    expect(source.fetches).toHaveLength(0);
    await pass(200);
    expect(source.fetches).toHaveLength(1);
  });

  it("is not tracked under a rule that is no longer in use", () => {
    const { rule } = rules.match("k")!;
    scheduler.replace(testRules(source), pool, bounds);
    scheduler.replace(testRules(source, { name: "other" }), pool, bounds);
    scheduler.populated("k", rule, storedNow());
    expect(scheduler.tracked).toBe(0);
  });

  it("is tracked under the rule of the same name if its fetch began under the previous configuration", async () => {
    const { rule } = rules.match("k")!;
    pool.set("k", "v0", 11);
    const stored = storedNow();
    rules = testRules(source, { name: "first", match: "none" }, { ...shortRule, ttlMs: 20_000 });
    scheduler.replace(rules, pool, bounds);
    scheduler.populated("k", rule, stored);
    expect(scheduler.tracked).toBe(1);
    await pass(9_100);
    source.last.answer("v1");
    await settled();
    expect(pool.ttl("k")).toBe(21);
  });
});

describe("many tracked keys", () => {
  it("fall due at different times after they are populated together, with one pool read each", async () => {
    start({ ttlMs: 3_600_000, expiryMs: 36_000_000 });
    let seed = 1;
    random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    for (let i = 0; i < 200; i++) populate(`key${i}`);
    const firstMs: number[] = [];
    while (firstMs.length < 200) {
      clock.advance(1_000);
      await settled();
      for (const fetch of source.fetches.splice(0)) {
        firstMs.push(clock.nowMs());
        fetch.answer("v");
      }
      await settled();
      if (clock.nowMs() > 3_600_000) break;
    }
    expect(firstMs).toHaveLength(200);
    // A tenth of 54 minutes is 324 s: with jitter over all of it the halves of the keys are about 160 s apart.
    expect(firstMs[150]! - firstMs[50]!).toBeGreaterThan(100_000);
    expect(pool.calls.filter((call) => call.startsWith("read"))).toHaveLength(200);
  });

  it("are evicted past the bound, least recently needed first, while the others continue", async () => {
    startWith({ maxKeys: 10 }, shortRule);
    for (let i = 0; i < 50; i++) populate(`key${i}`);
    expect(scheduler.tracked).toBe(10);
    await pass(9_100);
    expect(source.fetches).toHaveLength(10);
  });
});

describe("a source that fails", () => {
  it("leaves the item alone, is retried with backoff, and recovers", async () => {
    start({ ttlMs: 60_000 });
    populate();
    await pass(54_100);
    const fetchedAtMs: number[] = [];
    for (let i = 0; i < 2; i++) {
      const before = source.fetches.length;
      source.last.fail();
      await settled();
      while (source.fetches.length === before) await pass(TICK_MS);
      fetchedAtMs.push(clock.nowMs());
    }
    expect(pool.value("k")).toBe("v0");
    expect(counters()).toMatchObject({ refreshFailed: 2, refreshed: 0 });
    expect(logged).toHaveLength(2);
    expect(fetchedAtMs[1]! - fetchedAtMs[0]!).toBeGreaterThan(fetchedAtMs[0]! - 54_100);
    source.last.answer("v1");
    await settled();
    expect(pool.value("k")).toBe("v1");
    expect(pool.ttl("k")).toBe(61);
    // Back in the rhythm of the ttl.
    await pass(53_000);
    expect(source.fetches).toHaveLength(3);
    await pass(1_100);
    expect(source.fetches).toHaveLength(4);
  });

  it("is treated the same if it throws before it returns a promise", async () => {
    populate();
    source.throwNext = new Error("thrown");
    await pass(9_100);
    expect(logged).toEqual(["source: thrown"]);
    expect([scheduler.inFlight, scheduler.tracked]).toEqual([0, 1]);
    await pass(1_000);
    expect(source.fetches).toHaveLength(1);
  });

  it("ends tracking if it fails until the item expires", async () => {
    populate();
    for (let i = 0; i < 200 && scheduler.tracked > 0; i++) {
      await pass(TICK_MS);
      if (scheduler.inFlight > 0) source.last.fail();
      await settled();
    }
    expect(pool.value("k")).toBeNull();
    expect(scheduler.tracked).toBe(0);
    expect(source.fetches.length).toBeLessThan(4);
  });

  it("is never asked twice at a time for one key", async () => {
    populate();
    await pass(9_100);
    // Filled anew meanwhile, and due again: the first fetch has not ended yet.
    populate();
    await pass(20_000);
    expect(source.fetches).toHaveLength(1);
    source.last.answer("v1");
    await settled();
    expect(scheduler.inFlight).toBe(0);
  });
});

describe("a key that the source no longer has", () => {
  it("is deleted from the pool and dropped", async () => {
    populate();
    await pass(9_100);
    source.last.notThere();
    await settled();
    expect(pool.calls).toEqual(["read k", "deleteIf k"]);
    expect(pool.value("k")).toBeNull();
    expect(scheduler.tracked).toBe(0);
    expect(counters().dropped).toBe(1);
  });

  it("stays in the pool until it is due again if a client has written meanwhile", async () => {
    populate();
    await pass(9_100);
    pool.set("k", "client", 60);
    source.last.notThere();
    await settled();
    expect(pool.value("k")).toBe("client");
    await pass(9_100);
    source.last.notThere();
    await settled();
    expect(pool.value("k")).toBeNull();
    expect(scheduler.tracked).toBe(0);
  });

  it("is kept with not_found keep, and requested again with backoff", async () => {
    start({ ...shortRule, notFound: "keep" });
    populate();
    await pass(9_100);
    source.last.notThere();
    await settled();
    expect(pool.value("k")).toBe("v0");
    expect(scheduler.tracked).toBe(1);
    await pass(1_000);
    expect(source.fetches).toHaveLength(2);
    source.last.answer("back");
    await settled();
    expect(pool.value("k")).toBe("back");
  });
});

describe("a pool that fails", () => {
  it("is logged and retried with backoff, without a request to the source", async () => {
    populate();
    pool.isDown = true;
    await pass(9_500);
    expect(logged).toEqual(["pool: the pool is down"]);
    expect([scheduler.tracked, scheduler.inFlight, source.fetches.length]).toEqual([1, 0, 0]);
    pool.isDown = false;
    await pass(1_000);
    expect(source.fetches).toHaveLength(1);
  });

  it("keeps the key tracked if it fails when the value is written", async () => {
    populate();
    await pass(9_100);
    pool.isDown = true;
    source.last.answer("v1");
    await settled();
    expect(logged).toEqual(["pool: the pool is down"]);
    pool.isDown = false;
    await pass(1_000);
    source.last.answer("v2");
    await settled();
    expect(pool.value("k")).toBe("v2");
  });
});

describe("a new configuration", () => {
  it("drops the keys of removed rules and keeps keys under the rule of the same name", async () => {
    start({ ...shortRule, name: "a", match: "a/.*" }, { ...shortRule, name: "b", match: "b/.*" });
    populate("a/1");
    populate("b/1");
    rules = testRules(
      source,
      { ...shortRule, name: "new", match: "new/.*" },
      { ...shortRule, name: "b", match: "b/.*" },
    );
    scheduler.replace(rules, pool, bounds);
    expect(scheduler.tracked).toBe(1);
    await pass(9_100);
    expect(source.keys).toEqual(["b/1"]);
  });

  it("drops the keys of a removed rule even if another rule covers them", () => {
    start({ ...shortRule, name: "a", match: "a/.*" }, { ...shortRule, name: "rest" });
    populate("a/1");
    scheduler.replace(testRules(source, { ...shortRule, name: "rest" }), pool, bounds);
    expect(scheduler.tracked).toBe(0);
  });

  it.each(["off", "observe"] as const)("drops the keys of a rule that is now %s", async (mode) => {
    populate();
    scheduler.replace(testRules(source, { ...shortRule, mode }), pool, bounds);
    expect(scheduler.tracked).toBe(0);
    await pass(30_000);
    expect(source.fetches).toHaveLength(0);
  });

  it("gives keys the times of their rule from the next refresh on", async () => {
    populate();
    scheduler.replace(testRules(source, { ...shortRule, ttlMs: 60_000 }), pool, bounds);
    await pass(9_100);
    source.last.answer("v1");
    await settled();
    expect(pool.ttl("k")).toBe(61);
  });

  it("makes a running refresh write to the pool that it has read from", async () => {
    populate();
    await pass(9_100);
    const other = new SlowPool(clock);
    other.set("k", "another server's", 60);
    scheduler.replace(testRules(source, shortRule), other, bounds);
    source.last.answer("v1");
    await settled();
    expect(other.value("k")).toBe("another server's");
    expect(pool.value("k")).toBe("v1");
  });
});

describe("a stopped scheduler", () => {
  it("ends all refreshes", async () => {
    populate();
    scheduler.stop();
    await pass(30_000);
    expect(pool.calls).toEqual([]);
    scheduler.populated("other", rules.list[0]!, storedNow());
    expect(scheduler.tracked).toBe(1);
  });
});
