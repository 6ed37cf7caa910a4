/** Writes of clients, through this process and others, while a process of a fleet fetches or holds a value. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { FillRig } from "../support/rigs/fill-rig.ts";

const FILL_TIMEOUT_MS = 400;
const FETCH_MS = 5_000;
let rig: FillRig;
let source: ManualSource;
let pool: SlowPool;
let filler: Filler;
/** The lease of "k" as another process has it. */
let theirs: Lease;

beforeEach(() => start());

function start(config: Partial<RuleConfig> = {}): void {
  const rule = { match: "k|other", fillTimeoutMs: FILL_TIMEOUT_MS, ...config };
  rig = new FillRig({ rules: [rule], isFleet: true, holdBytes: 1 << 22 });
  ({ source, pool, filler } = rig);
  theirs = new Lease(pool, "k");
}

/** Another process takes the lease of "k". */
async function heldByThem(): Promise<bigint> {
  const proof = await theirs.take(FETCH_MS);
  pool.calls.length = 0;
  return proof!;
}

/** A client's get of "k" that missed. */
async function get(): Promise<RecordingWaiter> {
  const waiter = rig.get();
  await settled();
  return waiter;
}

const deletedByThem = () => rig.deletedElsewhere();
const advance = (ms: number) => rig.advance(ms);
const answer = (value: string | Buffer) => rig.answer(value);

describe("a client's write through another process", () => {
  it("ends a negative result long before negative_ttl", async () => {
    start({ negativeTtlMs: 20_000 });
    await get();
    source.last.notThere();
    await settled();
    pool.calls.length = 0;
    expect((await get()).told).toEqual(["miss"]);
    expect(pool.calls).toEqual(["get lease"]);
    expect(source.fetches).toHaveLength(1);
    deletedByThem();
    const waiter = await get();
    await answer("created");
    expect(waiter.told).toEqual(["value created"]);
    expect(pool.value("k")).toBe("created");
  });

  it("ends a negative result of a rule that fills in the background", async () => {
    start({ negativeTtlMs: 20_000, fillTimeoutMs: 0 });
    await get();
    source.last.notThere();
    await settled();
    await get();
    expect(source.fetches).toHaveLength(1);
    deletedByThem();
    await get();
    expect(source.fetches).toHaveLength(2);
  });

  it("ends a negative result held only in this process as soon as the pool answers", async () => {
    start({ negativeTtlMs: 20_000 });
    pool.isDown = true;
    await get();
    source.last.notThere();
    await settled();
    expect((await get()).told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
    pool.isDown = false;
    await get();
    expect(source.fetches).toHaveLength(2);
  });

  it("ends a held value that the pool could not store, as soon as the pool answers", async () => {
    pool.isDown = true;
    await get();
    await answer("held");
    expect((await get()).told).toEqual(["value held"]);
    pool.isDown = false;
    const waiter = await get();
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
  });

  it("ends a held value that the pool refuses to store", async () => {
    const large = "x".repeat(2 << 20);
    await get();
    await answer(large);
    deletedByThem();
    const waiter = await get();
    await answer("small");
    expect(waiter.told).toEqual(["value small"]);
    expect(pool.value("k")).toBe("small");
  });

  it("ends the copies that other processes hold", async () => {
    const large = "x".repeat(2 << 20);
    const marker = await theirs.keep(await heldByThem(), 5_000);
    expect(marker).not.toBeNull();
    const first = await get();
    await answer(large);
    expect(first.told).toEqual([`value ${large}`]);
    expect((await get()).told).toEqual([`value ${large}`]);
    expect(source.fetches).toHaveLength(1);
    deletedByThem();
    await get();
    expect(source.fetches).toHaveLength(2);
  });

  it("causes one more fetch if it ends the marker during a fetch", async () => {
    await theirs.keep(await heldByThem(), 5_000);
    const waiter = await get();
    deletedByThem();
    await answer("old");
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
  });

  it("is visible to clients that arrive after it, even if an older poll is in flight", async () => {
    await theirs.releaseAbsent(await heldByThem(), 20_000);
    pool.isHolding = true;
    const early = await get();
    pool.release();
    pool.isHolding = true;
    await settled();
    expect(pool.calls.at(-1)).toBe("get lease");
    deletedByThem();
    const late = await get();
    pool.release();
    await settled();
    expect([early.told, late.told]).toEqual([["miss"], []]);
    await advance(5);
    await answer("created");
    expect(late.told).toEqual(["value created"]);
  });
});

describe("a pool that could not answer a client's get", () => {
  const failedGet = async () => {
    const waiter = new RecordingWaiter();
    filler.fill("k", waiter, true);
    await settled();
    return waiter.told;
  };

  it("has the held value answered at once, and is not asked for a lease", async () => {
    pool.isDown = true;
    await get();
    await answer("held");
    pool.calls.length = 0;
    expect(await failedGet()).toEqual(["value held"]);
    expect(pool.calls).toEqual([]);
  });

  it("has the negative result answered", async () => {
    await get();
    source.last.notThere();
    await settled();
    pool.calls.length = 0;
    expect(await failedGet()).toEqual(["miss"]);
    expect(pool.calls).toEqual([]);
  });
});

describe("a client's write through this process", () => {
  it("ends a held value while the value's marker is read", async () => {
    const marker = await theirs.keep(await heldByThem(), 5_000);
    expect(marker).not.toBeNull();
    await get();
    pool.isHolding = true;
    source.last.answer("old");
    await settled();
    filler.beforeWrite("k");
    pool.release();
    await settled();
    const waiter = new RecordingWaiter();
    filler.fill("k", waiter, true);
    expect(waiter.told).toEqual([]);
  });

  it("ends the lease of any process before the write is sent", async () => {
    const proof = await heldByThem();
    filler.beforeWrite("k");
    expect(pool.calls).toEqual(["drop lease"]);
    await settled();
    expect(await theirs.release(proof)).toBe(false);
  });

  it.each([
    ["that no rule covers", {}, "not covered"],
    ["whose processes fetch for themselves", { lease: "process" }, "k"],
    ["of a rule that is off", { mode: "off" }, "k"],
  ] as const)("has no lease to end for a key %s", (_which, config, key) => {
    start(config);
    filler.beforeWrite(key);
    expect(pool.calls).toEqual([]);
  });
});
