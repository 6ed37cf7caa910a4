/** Fills of processes that share a pool: which process fetches, and what the clients of the others are answered. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import type { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { FillRig } from "../support/rigs/fill-rig.ts";

const FILL_TIMEOUT_MS = 400;
const FETCH_MS = 5_000;
let rig: FillRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let logged: string[];
let filler: Filler;
/** The lease of "k" as another process has it. */
let theirs: Lease;

beforeEach(() => start());

function start(config: Partial<RuleConfig> = {}): void {
  const rule = { match: "k|other", fillTimeoutMs: FILL_TIMEOUT_MS, ...config };
  rig = new FillRig({ rules: [rule], isFleet: true, holdBytes: 1 << 22 });
  ({ clock, source, pool, logged, filler } = rig);
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
const counters = () => rig.counters;

describe("a miss of a key without a fetch in flight", () => {
  it("takes the lease, fetches, and stores the value and ends the lease in one write", async () => {
    const waiter = await get();
    expect(await theirs.take(FETCH_MS)).toBeNull();
    pool.calls.length = 0;
    pool.isHolding = true;
    await answer("v");
    expect(pool.calls).toEqual(["add k", "deleteIf lease"]);
    pool.release();
    await settled();
    expect(waiter.told).toEqual(["value v"]);
    expect(await theirs.look()).toBe("gone");
    expect(counters()).toMatchObject({ leasesTaken: 1, leasesAwaited: 0, filled: 1 });
  });

  it("takes a lease that lasts one second longer than a fetch may take, in case the process dies", async () => {
    await get();
    await advance(FETCH_MS + 999);
    expect(await theirs.look()).toBe("held");
    await advance(1);
    expect(await theirs.look()).toBe("gone");
  });

  it("is answered from the pool if a lease that ended after the miss left its value there", async () => {
    pool.set("k", "theirs");
    const waiter = await get();
    expect(waiter.told).toEqual(["value theirs"]);
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
    expect(await theirs.look()).toBe("gone");
  });

  it("asks for no lease if each process fetches for itself under the rule", async () => {
    start({ lease: "process" });
    await heldByThem();
    await get();
    expect(source.fetches).toHaveLength(1);
    expect(pool.calls).toEqual([]);
  });

  it("is fetched without a lease if the pool cannot be asked", async () => {
    pool.isDown = true;
    const waiter = await get();
    expect(logged).toEqual(["pool rule the pool is down"]);
    await answer("v");
    expect(waiter.told).toEqual(["value v"]);
    expect(counters()).toMatchObject({ leasesTaken: 0, held: 1 });
  });
});

describe("a miss of a key that another process fetches", () => {
  it("polls for the value at growing intervals until fill_timeout expires, and fetches nothing", async () => {
    await heldByThem();
    const waiter = await get();
    expect(pool.calls.splice(0)).toEqual(["add lease", "get k", "get lease"]);
    const looks: number[] = [];
    while (clock.nowMs() < FILL_TIMEOUT_MS) {
      await advance(1);
      if (pool.calls.length === 0) continue;
      expect(pool.calls.splice(0)).toEqual(["get k", "get lease"]);
      looks.push(clock.nowMs());
    }
    expect(looks).toEqual([5, 15, 35, 75, 155, 255, 355]);
    expect(waiter.told).toEqual(["miss"]);
    await advance(1_000);
    expect(pool.calls).toEqual([]);
    expect(filler.inFlight).toBe(0);
    expect(source.fetches).toHaveLength(0);
    expect(counters()).toMatchObject({ leasesAwaited: 1, leasesTaken: 0, timedOut: 1 });
  });

  it("shares one poll between all waiters", async () => {
    await heldByThem();
    const waiters = [await get(), await get(), await get()];
    pool.calls.length = 0;
    pool.set("k", "theirs");
    await advance(5);
    expect(pool.calls).toEqual(["get k", "get lease"]);
    expect(waiters.map(({ told }) => told)).toEqual([["value theirs"], ["value theirs"], ["value theirs"]]);
  });

  it("is answered with the value that appears in the pool, and its flags", async () => {
    await heldByThem();
    let text = "";
    filler.fill("k", {
      filled: (reply) => {
        text = reply.chunk.toString("latin1", reply.start, reply.end);
      },
      askAgain: () => {},
    });
    await settled();
    pool.store.store("set", "k", Buffer.from("theirs"), 7, 0);
    await advance(5);
    expect(text).toBe("VALUE k 7 6\r\ntheirs\r\nEND\r\n");
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
  });

  it("takes over when the lease ends without a value", async () => {
    const proof = await heldByThem();
    const waiter = await get();
    await theirs.release(proof);
    await advance(5);
    expect(source.fetches).toHaveLength(1);
    expect(await theirs.take(FETCH_MS)).toBeNull();
    await answer("ours");
    expect(waiter.told).toEqual(["value ours"]);
    expect(counters()).toMatchObject({ leasesAwaited: 1, leasesTaken: 1 });
  });

  it("is answered with a miss when the lease ends without a value for the second time", async () => {
    const first = await heldByThem();
    const waiter = await get();
    await theirs.release(first);
    pool.isHolding = true;
    await advance(5);
    // A third process is faster.
    const taking = theirs.take(FETCH_MS);
    pool.release();
    const second = await taking;
    await settled();
    expect(waiter.told).toEqual([]);
    await theirs.release(second!);
    await advance(5);
    expect(waiter.told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
  });

  it("is answered with a miss for the lifetime of the negative result when the other process finds no value", async () => {
    await theirs.releaseAbsent(await heldByThem(), 2_000);
    const [first, second] = [await get(), await get()];
    expect([first.told, second.told]).toEqual([["miss"], ["miss"]]);
    expect(counters()).toMatchObject({ notThere: 2, leasesAwaited: 0 });
    pool.calls.length = 0;
    expect((await get()).told).toEqual(["miss"]);
    expect(pool.calls).toEqual(["add lease", "get k", "get lease"]);
    expect(source.fetches).toHaveLength(0);
    await advance(2_000);
    await get();
    expect(source.fetches).toHaveLength(1);
  });

  it("is fetched without a lease if the pool fails while the miss waits", async () => {
    await heldByThem();
    const waiter = await get();
    pool.isDown = true;
    await advance(5);
    expect(logged).toEqual(["pool rule the pool is down"]);
    await answer("v");
    expect(waiter.told).toEqual(["value v"]);
    expect(counters()).toMatchObject({ leasesAwaited: 1, leasesTaken: 0, held: 1 });
  });

  it("is not answered with the result of a poll that was sent before the miss arrived", async () => {
    await heldByThem();
    const early = await get();
    pool.set("k", "old");
    pool.isHolding = true;
    await advance(5);
    deletedByThem();
    const late = await get();
    pool.release();
    await settled();
    expect([early.told, late.told]).toEqual([["value old"], []]);
    await advance(10);
    await answer("new");
    expect(late.told).toEqual(["value new"]);
    expect(pool.value("k")).toBe("new");
  });

  it("is not answered with a value that was read with a lease request sent before the miss arrived", async () => {
    pool.set("k", "old");
    pool.isHolding = true;
    const early = await get();
    deletedByThem();
    const late = await get();
    pool.release();
    await settled();
    expect([early.told, late.told]).toEqual([["value old"], []]);
    // The delete has ended the lease, so that this fetch counts as older.
    await answer("not known to be new");
    expect(late.told).toEqual([]);
    await answer("new");
    expect(late.told).toEqual(["value new"]);
  });

  it("is fetched once, after the write, if a client writes through this process", async () => {
    await heldByThem();
    const waiter = await get();
    filler.beforeWrite("k");
    await advance(5);
    expect(source.fetches).toHaveLength(1);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
    expect(pool.value("k")).toBe("new");
    expect(source.fetches).toHaveLength(1);
  });
});

describe("a rule with fill_timeout 0", () => {
  beforeEach(() => start({ fillTimeoutMs: 0 }));

  it("answers the miss at once and fills in the background", async () => {
    const waiter = await get();
    expect(waiter.told).toEqual(["miss"]);
    await answer("v");
    expect(pool.value("k")).toBe("v");
    expect(waiter.told).toEqual(["miss"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("does not poll for a value that another process fetches", async () => {
    await heldByThem();
    expect((await get()).told).toEqual(["miss"]);
    await advance(1_000);
    expect(pool.calls).toEqual(["add lease", "get k"]);
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
  });
});

describe("the lease of a fetch", () => {
  it("is released when the source fails", async () => {
    const waiter = await get();
    source.last.fail();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("is replaced by a negative result for negative_ttl in whole seconds when the source has no value", async () => {
    start({ negativeTtlMs: 1_500 });
    const waiter = await get();
    source.last.notThere();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    await advance(1_999);
    expect(await theirs.look()).toBe("absent");
    await advance(1);
    expect(await theirs.look()).toBe("gone");
  });

  it("is released when the source has no value and negative_ttl is 0", async () => {
    start({ negativeTtlMs: 0 });
    await get();
    source.last.notThere();
    await settled();
    expect(await theirs.look()).toBe("gone");
  });

  it("leads to a second fetch if a client's write ended it and the source had no value", async () => {
    const waiter = await get();
    deletedByThem();
    source.last.notThere();
    await settled();
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("leads to the removal of the value from the pool if a client's delete ended it; waiters get a newer value", async () => {
    const waiter = await get();
    deletedByThem();
    await answer("old");
    expect(pool.value("k")).toBeNull();
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
    expect(pool.value("k")).toBe("new");
    expect(counters()).toMatchObject({ overtaken: 1, leasesTaken: 2, filled: 1 });
  });

  it("is left alone if another process has taken it by then", async () => {
    await get();
    deletedByThem();
    const proof = await theirs.take(FETCH_MS);
    await answer("old");
    expect(pool.value("k")).toBeNull();
    expect(await theirs.release(proof!)).toBe(true);
  });

  it("protects a held value if the pool refuses to store it", async () => {
    const waiter = await get();
    const large = "x".repeat(2 << 20);
    await answer(large);
    expect(waiter.told).toEqual([`value ${large}`]);
    expect(pool.value("k")).toBeNull();
    expect(await theirs.look()).toMatch(/^kept:/);
    expect((await get()).told).toEqual([`value ${large}`]);
    expect(counters()).toMatchObject({ held: 1, filled: 0 });
    expect(source.fetches).toHaveLength(1);
  });

  it("no longer protects a large value that the pool has stored", async () => {
    await get();
    await answer("x".repeat(1_000_001));
    expect(pool.value("k")).toHaveLength(1_000_001);
    expect(await theirs.look()).toBe("gone");
    expect(counters()).toMatchObject({ held: 0, filled: 1 });
  });
});
