/** What a refresh does to the pool, and when: same values, stale values, other people's values, keys nobody here filled. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { SourceError } from "../../src/errors.ts";
import { Filler } from "../../src/refresh/filler.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { Scheduler } from "../../src/refresh/scheduler.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import { SlowPool } from "../support/fakes/slow-pool.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const TICK_MS = 100;

let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let rules: Rules;
let scheduler: Scheduler;
let filler: Filler;
let logged: string[];

/** ttl 10 s, due after 9 s. */
const rule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 3_600_000 };

beforeEach(() => start());

function start(changes: Partial<RuleConfig> = {}, pickUpRate = 1_000): void {
  clock = new ManualClock();
  source = new ManualSource();
  pool = new SlowPool(clock);
  logged = [];
  rules = testRules(source, { ...rule, ...changes });
  ({ scheduler, filler } = process(pickUpRate));
}

/** A process over the pool, with nothing in its memory. */
function process(pickUpRate = 1_000) {
  const log = {
    sourceFailed: () => logged.push("source"),
    poolFailed: (_rule: unknown, error: unknown) => logged.push(`pool: ${String(error)}`),
    observed: () => {},
  };
  const shared = { rules, port: pool, clock, log };
  const bounds = { maxTrackedKeys: 1_000, pickUpRate };
  const own = new Scheduler({ ...shared, random: () => 0, bounds });
  return { scheduler: own, filler: new Filler({ ...shared, events: own, holdBytes: 1 << 20 }) };
}

/** A client's get, of the process given. */
function get(at: { filler: Filler } = { filler }, key = "k"): void {
  const isHit = pool.value(key) !== null;
  const bytes = Buffer.from(key, "latin1");
  at.filler.noteGet(bytes, 0, bytes.length, isHit);
  if (!isHit) at.filler.fill(key, new RecordingWaiter());
}

async function fill(value: string, said: Parameters<ManualSource["last"]["answer"]>[1] = {}): Promise<void> {
  get();
  await settled();
  source.last.answer(value, said);
  await settled();
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= TICK_MS) {
    clock.advance(Math.min(left, TICK_MS));
    await settled();
  }
}

/** Passes the time until the source is asked for the `count`-th time. */
async function untilAsked(count: number, limitMs = 100_000): Promise<void> {
  for (let ms = 0; source.fetches.length < count && ms < limitMs; ms += TICK_MS) await pass(TICK_MS);
  expect(source.fetches).toHaveLength(count);
}

function counters() {
  return rules.list[0]!.counters;
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

describe("refresh_after_gets", () => {
  it("prevents refreshes of keys with fewer gets", async () => {
    start({ refreshAfterGets: 3 });
    await fill("value");
    get();
    await pass(20_000);
    expect(source.fetches).toHaveLength(1);
    expect(counters().dropped).toBe(1);
    await fill("value");
    get();
    get();
    await untilAsked(3);
  });
});

describe("a key that this process did not fill", () => {
  /** As left behind by a process that is gone, `ageSeconds` ago. */
  function leave(ageSeconds: number, stale = 0): void {
    pool.set("k", "left", 11 + stale - ageSeconds);
    ({ scheduler, filler } = process());
  }

  it("is probed on its second hit, and refreshed before it expires", async () => {
    leave(2);
    await pass(1_000);
    get();
    await settled();
    expect(calls()).toEqual([]);
    for (let i = 0; i < 20; i++) get();
    await settled();
    expect(calls()).toEqual(["read k"]);
    expect([scheduler.tracked, counters().pickedUp]).toEqual([1, 1]);
    await untilAsked(1, 7_000);
    source.last.answer("new");
    await settled();
    expect([pool.value("k"), pool.ttl("k")]).toEqual(["new", 11]);
  });

  it("is refreshed at once if it is stale", async () => {
    start({ staleMs: 60_000 });
    leave(30, 60);
    await pass(1_000);
    for (let i = 0; i < 20; i++) get();
    await settled();
    await untilAsked(1, 300);
  });

  it("is not probed if no rule covers it", async () => {
    start({ match: "other" });
    leave(2);
    await pass(1_000);
    for (let i = 0; i < 100; i++) get();
    await settled();
    expect(calls()).toEqual([]);
  });

  it("is probed once per half ttl, whatever the result", async () => {
    leave(2);
    await pass(1_000);
    pool.isDown = true;
    for (let i = 0; i < 100; i++) get();
    await pass(4_000);
    for (let i = 0; i < 100; i++) get();
    await settled();
    expect(calls()).toEqual(["read k"]);
    pool.isDown = false;
    await pass(1_500);
    get();
    await settled();
    expect(calls()).toEqual(["read k"]);
    expect(scheduler.tracked).toBe(1);
  });

  it("is probed for at most a tenth of the gets, and at most pickup_rate times per second", async () => {
    start({}, 20);
    ({ scheduler, filler } = process(20));
    const keys = Array.from({ length: 1_000 }, (_, i) => `key-${i}`);
    for (const key of keys) pool.set(key, "left", 9);
    await pass(1_000);
    for (let round = 0; round < 3; round++) for (const key of keys) get({ filler }, key);
    await settled();
    expect(calls().length).toBeLessThanOrEqual(20);
    const few = process(1_000_000);
    for (const key of keys) get(few, key);
    for (const key of keys.slice(0, 200)) get(few, key);
    await settled();
    expect(calls().length).toBeLessThanOrEqual(120);
  });
});

describe("a fleet", () => {
  beforeEach(() => {
    start();
    pool.isFleet = true;
  });

  it("refreshes a key once; the other processes read the TTL", async () => {
    const other = process();
    await fill("value");
    for (let i = 0; i < 20; i++) get(other);
    await pass(1_000);
    for (let i = 0; i < 20; i++) get(other);
    await settled();
    expect(other.scheduler.tracked).toBe(1);
    await untilAsked(2);
    source.last.answer("new");
    await pass(8_500);
    expect(source.fetches).toHaveLength(2);
    await untilAsked(3, 2_000);
  });

  it("follows the process that found the value unchanged, which keeps the cas", async () => {
    const other = process();
    await fill("same");
    for (let i = 0; i < 20; i++) get(other);
    await pass(1_000);
    for (let i = 0; i < 20; i++) get(other);
    await settled();
    expect(other.scheduler.tracked).toBe(1);
    for (let count = 2; count <= 4; count++) {
      await untilAsked(count, 11_000);
      source.last.answer("same");
      await pass(7_000);
      expect(source.fetches).toHaveLength(count);
    }
    // Who has not seen the bytes itself writes them once.
    expect(counters().unchanged).toBeGreaterThan(0);
    expect(counters().unchanged + counters().refreshed).toBe(3);
  });

  it("leaves a key to the process that holds its lease, and checks again shortly", async () => {
    await fill("value");
    const other = process();
    await pass(1_000);
    for (let i = 0; i < 20; i++) get(other);
    await settled();
    // Both are due in the same tick; one is slow.
    await untilAsked(2);
    await pass(500);
    expect(source.fetches).toHaveLength(2);
    source.last.answer("new");
    await pass(3_000);
    expect(source.fetches).toHaveLength(2);
  });
});

describe("a source without free capacity", () => {
  it("receives no refreshes; they wait rather than fail", async () => {
    await fill("value");
    source.hasRoomForRefresh = false;
    await pass(9_500);
    expect(source.fetches).toHaveLength(1);
    expect(counters()).toMatchObject({ refreshFailed: 0, due: 0 });
    expect(counters().deferred).toBeGreaterThan(0);
    source.hasRoomForRefresh = true;
    await untilAsked(2, 3_000);
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
