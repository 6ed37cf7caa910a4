/** What becomes of a fill, a refresh or a probe that is in flight during a reload. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import { MAX_STARTS_PER_TURN } from "../../src/refresh/starts.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const TICK_MS = 100;
const rule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 20_000, negativeTtlMs: 3_000 };
/** Its tags mean nothing to the other source, which takes them for its own. */
const oldSays = { tag: "etag" };

let rig: RefreshRig;
let clock: ManualClock;
let oldSource: ManualSource;
let newSource: ManualSource;
let pool: SlowPool;
let scheduler: Scheduler;
let filler: Filler;
let waiters: RecordingWaiter[];

beforeEach(() => {
  rig = new RefreshRig({ rules: [rule], isFleet: true });
  ({ clock, source: oldSource, pool, scheduler, filler, waiters } = rig);
  newSource = new ManualSource();
});

const get = () => rig.settledGet();
const pass = (ms: number) => clock.pass(ms);
const answer = (value: string | null) => rig.answer(value, oldSays);
const reload = (rules: Rules, port?: SlowPool) => rig.reload(rules, port);
const otherPort = (store?: SlowPool["store"]) => rig.otherPort(store);

async function filled(): Promise<void> {
  await get();
  await answer("old");
}

async function due(count = 2): Promise<void> {
  for (let ms = 0; oldSource.fetches.length < count && ms < 9_500; ms += TICK_MS) await pass(TICK_MS);
}

describe("a fill in flight during a reload", () => {
  it("fetches under the new rule if it has not begun to fetch", async () => {
    const theirs = new Lease(pool, "k");
    const proof = await theirs.take(5_000);
    await get();
    reload(testRules(newSource, rule));
    await theirs.release(proof!);
    await pass(100);
    newSource.last.answer("new");
    await settled();
    expect(waiters[0]!.told).toEqual(["value new"]);
    expect(oldSource.fetches).toHaveLength(0);
  });

  it("is not joined by clients that have missed in the new pool", async () => {
    await get();
    reload(testRules(oldSource, rule), otherPort());
    await get();
    expect(oldSource.fetches).toHaveLength(2);
  });

  it("does not store a value that it fetched under a lease of the old pool", async () => {
    await get();
    const other = otherPort();
    reload(testRules(oldSource, rule), other);
    await answer("old");
    expect(waiters[0]!.told).toEqual(["value old"]);
    expect([pool.value("k"), other.value("k")]).toEqual([null, null]);
  });

  it("releases its lease if the old port's connections are closed", async () => {
    await get();
    reload(testRules(oldSource, rule), otherPort(pool.store));
    pool.isDown = true;
    await answer("old");
    expect(await new Lease(rig.port, "k").look()).toBe("gone");
  });

  it("stores through the new port if only writes through this process can overtake it", async () => {
    reload(testRules(oldSource, { ...rule, lease: "process" }));
    await get();
    const other = otherPort();
    reload(testRules(oldSource, { ...rule, lease: "process" }), other);
    await answer("v");
    expect([pool.value("k"), other.value("k")]).toEqual([null, "v"]);
  });

  it("does not store through the new port if a client has written since", async () => {
    reload(testRules(oldSource, { ...rule, lease: "process" }));
    await get();
    const other = otherPort();
    reload(testRules(oldSource, { ...rule, lease: "process" }), other);
    filler.beforeWrite("k");
    await answer("old");
    expect(other.value("k")).toBeNull();
  });

  it("does not fetch from a source that left the configuration if it waits for its turn", async () => {
    const withoutLeases = { ...rule, lease: "process" as const };
    reload(testRules(oldSource, withoutLeases));
    for (let i = 0; i < MAX_STARTS_PER_TURN; i++) filler.fill(`k${i}`, new RecordingWaiter());
    const waiter = new RecordingWaiter();
    filler.fill("late", waiter);
    reload(testRules(newSource, withoutLeases));
    await settled();
    expect(oldSource.keys).not.toContain("late");
    newSource.last.answer("new");
    await settled();
    expect([waiter.told, rig.port.value("late"), oldSource.admitted]).toEqual([["value new"], "new", 0]);
  });

  it("does not store a value that it fetched before leases came into use", async () => {
    reload(testRules(oldSource, { ...rule, lease: "process" }));
    await get();
    reload(testRules(oldSource, rule));
    await answer("v");
    expect(waiters[0]!.told).toEqual(["value v"]);
    expect(pool.value("k")).toBeNull();
  });

  it("tracks its key no longer than the new rule allows", async () => {
    reload(testRules(oldSource, { ...rule, ttlMs: 3_600_000 }));
    await get();
    reload(testRules(oldSource, rule));
    await answer("v");
    await pass(10_000);
    expect(oldSource.fetches).toHaveLength(2);
  });

  it("leaves no value of the old source in memory", async () => {
    await get();
    pool.isDown = true;
    reload(testRules(newSource, rule));
    await answer("old");
    await get();
    expect(newSource.fetches).toHaveLength(1);
  });

  it("leaves no negative result of the old source, in this process or in the fleet", async () => {
    await get();
    reload(testRules(newSource, rule));
    await answer(null);
    expect(await new Lease(pool, "k").look()).toBe("gone");
    pool.isDown = true;
    await get();
    expect(newSource.fetches).toHaveLength(1);
  });
});

describe("a refresh in flight during a reload", () => {
  it("releases its lease if the old port's connections are closed", async () => {
    await filled();
    await due();
    reload(testRules(oldSource, rule), otherPort(pool.store));
    pool.isDown = true;
    await answer("newer");
    expect(await new Lease(rig.port, "k").look()).toBe("gone");
  });

  it("does not end the tracking of a key in the new pool if it finds nothing in the old pool", async () => {
    await filled();
    await pass(8_000);
    pool.isHolding = true;
    pool.store.delete("k");
    await pass(1_500);
    const other = otherPort();
    other.set("k", "there", 100);
    reload(testRules(oldSource, rule), other);
    pool.release();
    await settled();
    expect(scheduler.tracked).toBe(1);
    await pass(3_000);
    expect(other.calls).toContain("read k");
  });

  it("does not end the tracking of a key that another rule has filled meanwhile", async () => {
    await filled();
    await due();
    reload(testRules(newSource, { ...rule, name: "other" }));
    pool.store.delete("k");
    await get();
    expect(newSource.fetches).toHaveLength(0);
    new Lease(pool, "k").drop();
    await pass(200);
    newSource.last.answer("other");
    await settled();
    expect(scheduler.tracked).toBe(1);
    pool.store.delete("k");
    await answer("older");
    expect([pool.value("k"), scheduler.tracked]).toEqual([null, 1]);
  });

  it("does not lose an announced change of a key that another rule has filled meanwhile", async () => {
    await filled();
    await due();
    reload(testRules(newSource, { ...rule, name: "other" }));
    pool.store.delete("k");
    await get();
    new Lease(pool, "k").drop();
    await pass(200);
    newSource.last.answer("other");
    await settled();
    scheduler.changed("k");
    await answer("older");
    await pass(300);
    expect(newSource.fetches.map(({ priority }) => priority)).toEqual(["fill", "refresh"]);
  });

  it("does not restore an expired item that was deleted after its rule had been removed", async () => {
    await filled();
    await due();
    reload(testRules(oldSource, { ...rule, match: "other" }));
    await pass(4_000);
    filler.beforeWrite("k");
    pool.store.delete("k");
    await answer("older");
    expect(pool.value("k")).toBeNull();
  });

  it("does not fetch from a source that left the configuration if it has not begun to fetch", async () => {
    await filled();
    await pass(8_000);
    pool.isHolding = true;
    await pass(1_500);
    reload(testRules(newSource, rule));
    pool.release();
    await pass(3_000);
    expect(oldSource.fetches).toHaveLength(1);
    expect(newSource.fetches).toHaveLength(1);
  });
});

describe("a probe in flight during a reload", () => {
  it("does not report on an item in the new pool", async () => {
    pool.set("k", "theirs", 11);
    for (let i = 0; i < 12; i++) await get();
    await pass(1_000);
    pool.isHolding = true;
    for (let i = 0; i < 12; i++) await get();
    reload(testRules(oldSource, rule), otherPort());
    pool.release();
    await settled();
    expect(scheduler.tracked).toBe(0);
  });
});
