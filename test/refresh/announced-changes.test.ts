/** A source announces another value for a key at any moment of a fill, a refresh or a probe: the key is refreshed again. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";

/** ttl 1 h: no refresh falls due by itself. */
const rule: Partial<RuleConfig> = { ttlMs: 3_600_000, expiryMs: 36_000_000 };

let rig: RefreshRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let scheduler: Scheduler;
let filler: Filler;

beforeEach(() => start());

function start(changes: Partial<RuleConfig> = {}): void {
  rig = new RefreshRig({ rules: [{ ...rule, ...changes }], isFleet: true });
  ({ clock, source, pool, scheduler, filler } = rig);
}

const get = () => rig.settledGet();
const pass = (ms: number) => clock.pass(ms);
const answer = (value: string) => rig.answer(value);

/** As Platypus passes it on. */
function announce(): void {
  filler.changed("k");
  scheduler.changed("k");
}

/** The next fetch is asked for within a moment, and its value is in the pool. */
async function isRefreshed(fetches: number, withinMs = 500): Promise<void> {
  await pass(withinMs);
  expect(source.fetches).toHaveLength(fetches);
  await answer("new");
  expect(pool.value("k")).toBe("new");
  await pass(60_000);
  expect(source.fetches).toHaveLength(fetches);
}

describe("an announced change", () => {
  it("refreshes a tracked key", async () => {
    await get();
    await answer("old");
    announce();
    await isRefreshed(2);
  });

  it("refreshes the key after a fill if it arrives while the fill fetches", async () => {
    await get();
    announce();
    await answer("old");
    await isRefreshed(2);
  });

  it("refreshes the key after a fill if it arrives while the value is on its way to the pool", async () => {
    await get();
    pool.isHolding = true;
    await answer("old");
    announce();
    pool.release();
    await settled();
    await isRefreshed(2);
  });

  it("is not lost if the answer to the add is lost", async () => {
    await get();
    pool.fate = (call) => (call === "add k" ? "done, not answered" : "answered");
    await answer("old");
    announce();
    await isRefreshed(2);
  });

  it("causes no second fetch if it arrives before a fill begins to fetch", async () => {
    const theirs = new Lease(pool, "k");
    const proof = await theirs.take(5_000);
    await get();
    announce();
    await theirs.release(proof!);
    await pass(100);
    await answer("new");
    await pass(5_000);
    expect(source.fetches).toHaveLength(1);
  });

  it.each(["reads", "fetches", "writes"])("causes one more refresh while a refresh %s", async (step) => {
    await get();
    await answer("old");
    announce();
    if (step === "reads") pool.isHolding = true;
    await pass(200);
    if (step === "writes") pool.isHolding = true;
    if (step === "reads") {
      announce();
      pool.release();
      await settled();
      await answer("older");
    } else if (step === "fetches") {
      announce();
      await answer("older");
    } else {
      await answer("older");
      announce();
      pool.release();
      await settled();
    }
    await isRefreshed(3);
  });

  it("is retried if it arrives while a refresh fails", async () => {
    await get();
    await answer("old");
    announce();
    await pass(200);
    announce();
    source.last.fail();
    await settled();
    await isRefreshed(3, 2_000);
  });

  it("still causes a fetch if another process refreshed the item before the change", async () => {
    await get();
    await answer("old");
    await pass(600_000);
    pool.set("k", "theirs, of before the change", 3_601);
    announce();
    await isRefreshed(2);
  });

  it("waits for the lease of another process, and then refreshes the key", async () => {
    await get();
    await answer("old");
    const theirs = new Lease(pool, "k");
    const proof = await theirs.take(5_000);
    announce();
    await pass(3_000);
    expect(source.fetches).toHaveLength(1);
    const { cas } = pool.store.peek("k")!;
    await pool.cas("k", "k", Buffer.from("theirs, of before the change"), 3_601, BigInt(cas));
    await theirs.release(proof!);
    await isRefreshed(2, 2_000);
  });

  it("refreshes the key if it arrives while a probe reads the item", async () => {
    pool.set("k", "theirs", 3_601);
    for (let i = 0; i < 12; i++) await get();
    await pass(1_000);
    pool.isHolding = true;
    for (let i = 0; i < 12; i++) await get();
    announce();
    pool.release();
    await settled();
    await isRefreshed(1);
  });

  it("waits if the source has no room", async () => {
    await get();
    await answer("old");
    source.hasRoomForRefresh = false;
    announce();
    await pass(3_000);
    expect(source.fetches).toHaveLength(1);
    source.hasRoomForRefresh = true;
    await isRefreshed(2, 11_000);
  });

  it("is retried if the pool fails", async () => {
    await get();
    await answer("old");
    pool.isDown = true;
    announce();
    await pass(1_000);
    pool.isDown = false;
    await isRefreshed(2, 5_000);
  });

  it("still causes a fetch if the pool failed and another process then refreshed the item", async () => {
    await get();
    await answer("old");
    await pass(600_000);
    pool.isDown = true;
    announce();
    await pass(500);
    pool.set("k", "theirs, of before the change", 3_601);
    pool.isDown = false;
    await isRefreshed(2, 5_000);
  });

  it("is checked again if another process writes the item while the lease is taken", async () => {
    await get();
    await answer("old");
    await pass(600_000);
    pool.fate = (call) => {
      if (call === "add lease") pool.set("k", "theirs, of before the change", 3_601);
      return "answered";
    };
    announce();
    await pass(500);
    pool.fate = () => "answered";
    await isRefreshed(2, 2_000);
  });

  it("is dropped if no process tracks the key", async () => {
    announce();
    await get();
    await answer("new");
    await pass(5_000);
    expect(source.fetches).toHaveLength(1);
  });
});
