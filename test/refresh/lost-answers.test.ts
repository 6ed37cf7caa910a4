/**
 * Every call that a fill or a refresh makes of the pool loses its answer once: the pool has executed the call, executes it
 * later, or never does. A client changes the source and deletes the key through another process at some moment. Whatever
 * the moment, the pool does not keep the value from before, no lease stays behind, and nothing is left to be checked.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import type { UnsettledWrites } from "../../src/refresh/unsettled-writes.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { Fate, SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";

const TICK_MS = 100;
const fates: readonly Fate[] = ["done, not answered", "late, not answered", "never done"];

let rig: RefreshRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let unsettled: UnsettledWrites;
let scheduler: Scheduler;
let filler: Filler;

beforeEach(() => start());

function start(config: Partial<RuleConfig> = {}): void {
  rig = new RefreshRig({ rules: [{ ttlMs: 30_000, negativeTtlMs: 20_000, ...config }], isFleet: true, pickUpRate: 0 });
  ({ clock, source, pool, unsettled, scheduler, filler } = rig);
}

async function get(hasPoolFailed = false): Promise<RecordingWaiter> {
  const waiter = new RecordingWaiter();
  filler.fill("k", waiter, hasPoolFailed);
  await settled();
  return waiter;
}

const pass = (ms: number) => clock.pass(ms);
const answer = (value: string | null) => rig.answer(value);
const deletedByThem = () => rig.deletedElsewhere();
const counters = () => rig.counters;

/** The first call named `name` has that fate. */
function lose(name: string, fate: Fate): void {
  let isLeft = true;
  pool.fate = (call) => {
    if (!isLeft || call !== name) return "answered";
    isLeft = false;
    return fate;
  };
}

describe.each(fates)("a lease whose answer is lost: %s", (fate) => {
  it("does not allow a store: the fetched value is answered and not stored", async () => {
    lose("add lease", fate);
    const waiter = await get();
    await answer("old");
    deletedByThem();
    pool.deliver();
    await pass(1_000);
    expect(waiter.told).toEqual(["value old"]);
    expect(pool.value("k")).toBeNull();
    expect(counters()).toMatchObject({ filled: 0, held: 1 });
  });

  it("does not keep other processes from fetching for the lifetime of the lease", async () => {
    lose("add lease", fate);
    await get();
    await answer("old");
    pool.deliver();
    await pass(200);
    expect(await new Lease(pool, "k").look()).toBe("gone");
    await pass(10_000);
    expect(unsettled.size).toBe(0);
  });

  it("does not allow storing a negative result", async () => {
    lose("add lease", fate);
    const waiter = await get();
    await answer(null);
    pool.deliver();
    await pass(200);
    expect(waiter.told).toEqual(["miss"]);
    expect(await new Lease(pool, "k").look()).toBe("gone");
  });

  it("causes a second fetch for clients that arrived during the first", async () => {
    lose("add lease", fate);
    const early = await get();
    deletedByThem();
    const [late, failed] = [await get(), await get(true)];
    await answer("old");
    expect([early.told, late.told, failed.told]).toEqual([["value old"], [], ["value old"]]);
    await answer("new");
    expect(late.told).toEqual(["value new"]);
    expect(pool.value("k")).toBe("new");
  });
});

describe("a pool that answers in part", () => {
  it("grants the lease if only the answer to the value's get is lost", async () => {
    lose("get k", "never done");
    const waiter = await get();
    await answer("v");
    expect(waiter.told).toEqual(["value v"]);
    expect(pool.value("k")).toBe("v");
  });

  it("receives no writes while too many writes are unsettled", async () => {
    for (let i = 0; i < 10_000; i++) void unsettled.settle(async () => false);
    await get();
    await answer("v");
    expect(pool.value("k")).toBeNull();
    expect(await new Lease(pool, "k").look()).toBe("gone");
    expect(counters()).toMatchObject({ filled: 0, held: 1 });
  });
});

const moments = ["before the fetch ends", "right after it ends", "a second later", "ten seconds later"] as const;
/** Calls of one connection keep their order: an add is not late if the lease's end, sent behind it, was answered. */
const isPossible = (lost: string, fate: Fate) => lost !== "add k" || fate !== "late, not answered";
const cases = ["add k", "deleteIf lease", "both"].flatMap((lost) =>
  fates
    .filter((fate) => isPossible(lost, fate))
    .flatMap((fate) => moments.map((moment) => [lost, fate, moment] as const)),
);

describe("a value on its way to the pool", () => {
  it.each(cases)(
    "is not kept in the pool if the answer to %s is lost (%s) and a client deletes the key %s",
    async (...given) => {
      const [lost, fate, moment] = given;
      const waiter = await get();
      pool.fate = (call) => {
        const isMeant = lost === "both" ? call === "add k" || call === "deleteIf lease" : call === lost;
        return isMeant && pool.calls.filter((one) => one === call).length === 1 ? fate : "answered";
      };
      if (moment === "before the fetch ends") deletedByThem();
      await answer("old");
      if (moment === "right after it ends") deletedByThem();
      pool.deliver();
      await pass(1_000);
      if (moment === "a second later") deletedByThem();
      await pass(9_000);
      if (moment === "ten seconds later") deletedByThem();
      for (const fetch of source.fetches.slice(1)) fetch.answer("new");
      await pass(10_000);
      expect(pool.value("k")).not.toBe("old");
      expect(waiter.told).toHaveLength(1);
      expect(await new Lease(pool, "k").look()).toBe("gone");
      await pass(60_000);
      expect([unsettled.size, filler.inFlight]).toEqual([0, 0]);
    },
  );

  it.each([100, 1_000, 5_000, 10_000])("is deleted if its add arrives %d ms late", async (lateMs) => {
    await get();
    pool.fate = (call) => (call === "add k" || call === "deleteIf lease" ? "late, not answered" : "answered");
    await answer("old");
    deletedByThem();
    pool.fate = () => "answered";
    await pass(lateMs);
    pool.deliver();
    await pass(5_000);
    expect(pool.value("k")).toBeNull();
  });

  it("is checked until a hung pool answers again", async () => {
    await get();
    pool.fate = (call) => (call === "add k" ? "late, not answered" : "never done");
    await answer("old");
    deletedByThem();
    await pass(120_000);
    expect(unsettled.size).toBeGreaterThan(0);
    pool.fate = () => "answered";
    pool.deliver();
    await pass(5_000);
    expect(pool.value("k")).toBeNull();
    await pass(60_000);
    expect(unsettled.size).toBe(0);
  });

  it("is no longer checked if the pool never answers again", async () => {
    await get();
    pool.fate = () => "never done";
    await answer("old");
    await pass(1_000_000);
    expect(unsettled.size).toBe(0);
  });

  it("is not confused with a client's value", async () => {
    await get();
    lose("add k", "never done");
    pool.fate = () => "never done";
    await answer("old");
    pool.fate = () => "answered";
    pool.set("k", "client's");
    await pass(60_000);
    expect(pool.value("k")).toBe("client's");
  });

  it("remains if the lease was read as this process's lease after it", async () => {
    lose("add k", "done, not answered");
    const waiter = await get();
    await answer("v");
    await pass(5_000);
    expect(waiter.told).toEqual(["value v"]);
    expect(pool.value("k")).toBe("v");
    expect(scheduler.tracked).toBe(1);
  });

  it("is deleted again however often the answer to the delete is lost", async () => {
    await get();
    deletedByThem();
    let left = 5;
    pool.fate = (call) => (call === "deleteIf k" && left-- > 0 ? "never done" : "answered");
    await answer("old");
    expect(pool.value("k")).toBe("old");
    await pass(5_000);
    expect(pool.value("k")).toBeNull();
    expect(unsettled.size).toBe(0);
  });

  it("is answered only to clients that came before the fetch began if the lease's end is unknown", async () => {
    const early = await get();
    pool.fate = (call) => (call === "deleteIf lease" || call === "add k" ? "never done" : "answered");
    deletedByThem();
    const late = await get();
    await answer("old");
    expect([early.told, late.told]).toEqual([["value old"], []]);
    pool.fate = () => "answered";
    await pass(100);
    await answer("new");
    expect(late.told).toEqual(["value new"]);
  });
});

describe("a negative result on its way to the pool", () => {
  it.each(fates)("leaves no lease behind if its answer is lost: %s", async (fate) => {
    const waiter = await get();
    lose("cas lease", fate);
    await answer(null);
    pool.deliver();
    await pass(1_000);
    expect(waiter.told).toEqual(["miss"]);
    expect(["gone", "absent"]).toContain(await new Lease(pool, "k").look());
    deletedByThem();
    await get();
    expect(source.fetches).toHaveLength(2);
  });
});

describe("a rule with leases per process", () => {
  beforeEach(() => start({ lease: "process" }));

  it.each(fates)("deletes a value whose answer is lost (%s) after a client's write", async (fate) => {
    await get();
    lose("add k", fate);
    await answer("old");
    filler.beforeWrite("k");
    pool.store.delete("k");
    pool.deliver();
    await pass(1_000);
    expect(pool.value("k")).toBeNull();
    await pass(60_000);
    expect(unsettled.size).toBe(0);
  });

  it("keeps a value whose answer is lost if no client writes the key", async () => {
    await get();
    lose("add k", "done, not answered");
    await answer("v");
    await pass(20_000);
    expect(pool.value("k")).toBe("v");
    expect(unsettled.size).toBe(0);
  });
});

const refreshCalls = ["read k", "add lease", "cas k", "touch k", "put extended", "deleteIf lease", "deleteIf k"];
const ends = [
  ["writes another value", "cas k", "second"],
  ["extends the same value", "touch k", "first"],
  ["finds nothing", "deleteIf k", null],
] as const;
const refreshes = ends.flatMap(([end, , value]) =>
  refreshCalls.flatMap((lost) => fates.map((fate) => [end, lost, fate, value] as const)),
);

describe("a refresh", () => {
  it.each(refreshes)("survives if it %s and loses the answer to %s (%s)", async (_end, lost, fate, value) => {
    await get();
    await answer("first");
    lose(lost, fate);
    for (let ms = 0; source.fetches.length < 2 && ms < 30_000; ms += TICK_MS) await pass(TICK_MS);
    expect(source.fetches).toHaveLength(2);
    deletedByThem();
    await answer(value);
    pool.deliver();
    await pass(1_000);
    expect(pool.value("k")).toBeNull();
    expect(await new Lease(pool, "k").look()).toBe("gone");
    await pass(60_000);
    expect([unsettled.size, scheduler.inFlight]).toEqual([0, 0]);
  });
});
