/** What a refresh does to an item in the pool: the same value, a stale value, a value of a client, a source that fails. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { SourceError } from "../../src/errors.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const TICK_MS = 100;

let rig: RefreshRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let rules: Rules;
let scheduler: Scheduler;
let logged: string[];

/** ttl 10 s, due after 9 s. */
const rule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 3_600_000 };

beforeEach(() => start());

function start(changes: Partial<RuleConfig> = {}, pickUpRate = 1_000): void {
  rig = new RefreshRig({ rules: [{ ...rule, ...changes }], pickUpRate });
  ({ clock, source, pool, rules, scheduler, logged } = rig);
}

const process = () => rig.process();
const get = (at?: { readonly filler: Filler }, key?: string) => rig.get(key, at);
const pass = (ms: number) => clock.pass(ms);
const counters = () => rig.counters;

async function fill(value: string, said?: Parameters<RefreshRig["answer"]>[1]): Promise<void> {
  await rig.settledGet();
  await rig.answer(value, said);
}

/** Passes the time until the source is asked for the `count`-th time. */
async function untilAsked(count: number, limitMs = 100_000): Promise<void> {
  for (let ms = 0; source.fetches.length < count && ms < limitMs; ms += TICK_MS) await pass(TICK_MS);
  expect(source.fetches).toHaveLength(count);
}

/** Calls of the pool since the last time. */
function calls(): string[] {
  return pool.calls.splice(0);
}

describe("a refresh whose source takes longer than the item lives", () => {
  /** Refreshes an item until it has expired, with the lease held. */
  async function expireDuringFetch(): Promise<void> {
    start({ lease: "fleet" });
    pool.isFleet = true;
    await fill("old");
    await untilAsked(2);
    await pass(3_000);
    expect(pool.value("k")).toBeNull();
  }

  it("stores the value, and the key stays tracked", async () => {
    await expireDuringFetch();
    source.last.answer("new");
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["new", 11]);
    expect(counters()).toMatchObject({ refreshed: 1 });
    await untilAsked(3);
  });

  it("stores the value too if the bytes are the same as before", async () => {
    await expireDuringFetch();
    source.last.answer("old");
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["old", 11]);
  });

  it.each(["new", "old"])("replaces an item that has not expired yet at that time: %s", async (value) => {
    start({ lease: "fleet" });
    pool.isFleet = true;
    await fill("old");
    await untilAsked(2);
    // The item has less than a second left, within which memcached may drop it.
    await pass(1_500);
    expect(pool.value("k")).toBe("old");
    source.last.answer(value);
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual([value, 11]);
    expect(counters()).toMatchObject({ refreshed: 1, dropped: 0 });
  });

  it("does not restore an item that a client has deleted through another process", async () => {
    await expireDuringFetch();
    process().filler.beforeWrite("k");
    source.last.answer("new");
    await settled();
    expect(pool.value("k")).toBeNull();
  });

  it("does not replace a client's value", async () => {
    await expireDuringFetch();
    pool.set("k", "theirs");
    source.last.answer("new");
    await settled();
    expect(pool.value("k")).toBe("theirs");
  });
});

describe("a refresh that an operator asks for", () => {
  it("happens at the next tick, whether or not the key is due or needed, and its end is reported once", async () => {
    start({ expiryMs: 1_000 });
    await fill("old");
    await pass(5_000);
    const ends: string[] = [];
    scheduler.refreshNow("k", (end) => ends.push(end));
    await pass(TICK_MS);
    expect(source.fetches).toHaveLength(2);
    expect(ends).toEqual([]);
    source.last.answer("new");
    await settled();
    expect([ends, pool.value("k")]).toEqual([["stored"], "new"]);
    scheduler.refreshNow("k", (end) => ends.push(end));
    await pass(TICK_MS);
    source.last.answer("new");
    await settled();
    expect(ends).toEqual(["stored", "unchanged"]);
  });

  it("waits for room at its source, and follows a refresh that is in progress", async () => {
    await fill("old");
    source.hasRoomForRefresh = false;
    const ends: string[] = [];
    scheduler.refreshNow("k", (end) => ends.push(`first ${end}`));
    await pass(1_000);
    expect(source.fetches).toHaveLength(1);
    source.hasRoomForRefresh = true;
    await untilAsked(2);
    scheduler.refreshNow("k", (end) => ends.push(`second ${end}`));
    source.last.answer("new");
    await settled();
    expect(ends.sort()).toEqual(["first stored", "second stored"]);
  });

  it("is reported as gone for a key that is not tracked, and as failed if its source fails", async () => {
    const ends: string[] = [];
    scheduler.refreshNow("unknown", (end) => ends.push(end));
    expect(ends).toEqual(["gone"]);
    await fill("old");
    scheduler.refreshNow("k", (end) => ends.push(end));
    await pass(TICK_MS);
    source.last.fail();
    await settled();
    expect(ends).toEqual(["gone", "failed"]);
    scheduler.refreshNow("k", (end) => ends.push(end));
    scheduler.stop();
    expect(ends).toEqual(["gone", "failed", "gone"]);
  });
});

describe("a refresh whose source has not changed", () => {
  it("extends the item's TTL without rewriting it if the bytes are equal", async () => {
    await fill("same");
    const cas = pool.store.peek("k")!.cas;
    calls();
    await untilAsked(2);
    source.last.answer("same");
    await settled();
    expect(calls()).toEqual(["read k", "touch k"]);
    expect([pool.store.peek("k")!.cas, pool.ttl("k")]).toEqual([cas, 11]);
    expect(counters()).toMatchObject({ unchanged: 1, refreshed: 0 });
  });

  it("sends the validator from the source's last answer", async () => {
    await fill("value", { tag: "v1" });
    await untilAsked(2);
    source.last.unchanged(undefined, "v1, confirmed");
    await untilAsked(3);
    expect(source.last.tag).toBe("v1, confirmed");
  });

  it("sends the validator from the last answer and keeps it after an unchanged answer", async () => {
    await fill("value", { tag: "v1" });
    await untilAsked(2);
    expect(source.last.tag).toBe("v1");
    source.last.unchanged();
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["value", 11]);
    await untilAsked(3);
    expect(source.last.tag).toBe("v1");
    source.last.answer("new", { tag: "v2" });
    await settled();
    expect(pool.value("k")).toBe("new");
    await untilAsked(4);
    expect(source.last.tag).toBe("v2");
  });

  it("fetches the full value if a client wrote the item, and replaces the item", async () => {
    await fill("value", { tag: "v1" });
    pool.set("k", "client's", 60);
    await untilAsked(2);
    expect(source.last.tag).toBeNull();
    source.last.answer("value", { tag: "v1" });
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["value", 11]);
  });

  it("writes the value at the next refresh if a client wrote between the read and the extension", async () => {
    await fill("value");
    await untilAsked(2);
    pool.set("k", "client's", 5);
    source.last.answer("value");
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["client's", 11]);
    await untilAsked(3);
    source.last.answer("value");
    await settled();
    expect(pool.value("k")).toBe("value");
  });
});

describe("a new configuration", () => {
  const bounds = { maxTrackedKeys: 1_000, pickUpRate: 0 };

  it("does not reuse the validators of the old source for another source", async () => {
    await fill("value", { tag: "v1" });
    const other = new ManualSource();
    scheduler.replace(testRules(other, rule), pool, bounds);
    await pass(9_500);
    expect(other.last.tag).toBeNull();
    other.last.answer("other");
    await settled();
    expect(pool.value("k")).toBe("other");
  });

  it("keeps the validators if it does not change the rule", async () => {
    await fill("value", { tag: "v1" });
    scheduler.replace(testRules(source, rule), pool, bounds);
    await untilAsked(2);
    expect(source.last.tag).toBe("v1");
  });
});

describe("a client's touch", () => {
  it.each([0, 1_000_000, 8])("is corrected by the next refresh: an exptime of %d", async (exptime) => {
    await fill("value");
    await pass(5_000);
    pool.store.touch("k", exptime);
    await untilAsked(2);
    source.last.answer("value");
    await settled();
    expect(pool.ttl("k")).toBe(11);
  });
});

describe("a client that touches a key repeatedly", () => {
  it.each([false, true])("does not prevent the key's refresh (fleet: %s)", async (isFleet) => {
    pool.isFleet = isFleet;
    await fill("value");
    for (let i = 0; i < 100; i++) {
      await pass(200);
      pool.store.touch("k", 10);
      get();
    }
    expect(source.fetches.length).toBeGreaterThanOrEqual(2);
  });
});

describe("a stale value", () => {
  it("is served for as long as the rule allows, and no longer", async () => {
    start({ staleMs: 20_000 });
    await fill("value");
    expect(pool.ttl("k")).toBe(31);
    source.isDeaf = true;
    for (let i = 0; i < 29; i++) {
      await pass(1_000);
      for (const fetch of source.fetches.slice(1)) fetch.fail();
    }
    expect(pool.value("k")).toBe("value");
    await pass(3_000);
    expect(pool.value("k")).toBeNull();
    expect(counters().refreshFailed).toBeGreaterThan(2);
  });

  it("is replaced when its source recovers", async () => {
    start({ staleMs: 20_000 });
    await fill("value");
    await untilAsked(2);
    source.last.fail();
    await pass(3_000);
    await untilAsked(3);
    source.last.answer("new");
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["new", 31]);
  });

  it("is served for a shorter time if the source says so", async () => {
    start({ staleMs: 20_000, isSourceTtl: true });
    await fill("value", { freshness: { ttlMs: 10_000, staleMs: 3_000 } });
    expect(pool.ttl("k")).toBe(31);
    let last = 0;
    for (let ms = 0; ms < 12_900; ms += TICK_MS) {
      await pass(TICK_MS);
      if (source.fetches.length > 1) source.last.fail();
      if (pool.value("k") !== null) last = clock.nowMs();
    }
    expect(last).toBeGreaterThan(12_800);
    await pass(1_000);
    source.last.fail();
    await settled();
    expect(pool.value("k")).toBeNull();
  });
});

describe("the source's freshness", () => {
  it("decides when a value expires and is refreshed", async () => {
    start({ isSourceTtl: true });
    await fill("value", { freshness: { ttlMs: 100_000, staleMs: null } });
    expect(pool.ttl("k")).toBe(101);
    await pass(89_000);
    expect(source.fetches).toHaveLength(1);
    await untilAsked(2, 2_000);
    source.last.answer("value", { freshness: { ttlMs: 20_000, staleMs: null } });
    await settled();
    expect(pool.ttl("k")).toBe(21);
    await untilAsked(3, 18_500);
  });
});

describe("a refresh that fails", () => {
  it("is retried with backoff while the item lives, and keeps the item", async () => {
    start({ staleMs: 100_000 });
    await fill("value");
    for (let i = 2; i <= 5; i++) {
      await untilAsked(i, 10_000);
      source.last.fail(new SourceError("SOURCE_STATUS", "status 500"));
      await settled();
    }
    expect(pool.value("k")).toBe("value");
    expect(counters().refreshFailed).toBe(4);
    expect(logged).toEqual(["source", "source", "source", "source"]);
  });
});

describe("a refresh of a value that the source no longer has", () => {
  it("deletes the item and drops the key", async () => {
    await fill("value");
    await untilAsked(2);
    source.last.notThere();
    await settled();
    expect([pool.value("k"), scheduler.tracked]).toEqual([null, 0]);
  });

  it("does not override a client's write that came in between", async () => {
    await fill("value");
    await untilAsked(2);
    pool.set("k", "client's", 60);
    source.last.notThere();
    await settled();
    expect(pool.value("k")).toBe("client's");
  });
});

describe("the metrics of refreshes", () => {
  it("report how late refreshes are and how long fetches take", async () => {
    await fill("value");
    source.hasRoomForRefresh = false;
    await pass(9_900);
    source.hasRoomForRefresh = true;
    await untilAsked(2, 3_000);
    await pass(300);
    source.last.answer("value");
    await settled();
    const { fetch, lag } = rules.list[0]!.timings;
    expect(lag.maxMs).toBeGreaterThanOrEqual(900);
    expect([fetch.count, fetch.maxMs]).toEqual([2, 300]);
  });

  it("report no delay for punctual refreshes, whatever TTL the source gives a value", async () => {
    for (const ttlMs of [10_000, 30_000, 5_000]) {
      start({ isSourceTtl: true, ttlMs: 60_000 });
      await fill("value", { freshness: { ttlMs, staleMs: null } });
      await untilAsked(2, ttlMs);
      source.last.answer("value");
      await settled();
      const { lag } = rules.list[0]!.timings;
      expect(lag.count).toBe(1);
      expect(lag.maxMs).toBeLessThanOrEqual(2 * TICK_MS);
    }
  });
});
