/** Which keys a process refreshes: those that it did not fill, those with few gets, and those that other processes refresh. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";

const TICK_MS = 100;

let rig: RefreshRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let scheduler: Scheduler;
let filler: Filler;

/** ttl 10 s, due after 9 s. */
const rule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 3_600_000 };

beforeEach(() => start());

function start(changes: Partial<RuleConfig> = {}, pickUpRate = 1_000): void {
  rig = new RefreshRig({ rules: [{ ...rule, ...changes }], pickUpRate });
  ({ clock, source, pool, scheduler, filler } = rig);
}

/** Another process over the pool. */
const process = (pickUpRate?: number) => rig.process({ pickUpRate });
const get = (at: { readonly filler: Filler } = { filler }, key?: string) => rig.get(key, at);
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
