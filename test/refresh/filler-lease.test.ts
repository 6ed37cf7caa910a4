/** The Filler where other processes use the pool too: who fetches, who watches, and what each of them answers. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ManualSource } from "../support/manual-source.ts";
import { RecordingWaiter } from "../support/recording-waiter.ts";
import { settled } from "../support/settled.ts";
import { SlowPool } from "../support/slow-pool.ts";
import { testRules } from "../support/test-rules.ts";

const FILL_TIMEOUT_MS = 400;
const FETCH_MS = 5_000;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let logged: string[];
let rules: Rules;
let filler: Filler;
/** The lease of "k" as another process has it. */
let theirs: Lease;

beforeEach(() => start());

function start(config: Partial<RuleConfig> = {}): void {
  clock = new ManualClock();
  source = new ManualSource();
  pool = new SlowPool(clock);
  pool.isFleet = true;
  logged = [];
  rules = testRules(source, { match: "k|other", fillTimeoutMs: FILL_TIMEOUT_MS, ...config });
  filler = new Filler({
    rules,
    port: pool,
    clock,
    events: { populated: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false },
    log: {
      sourceFailed: (_rule, error) => logged.push(`source ${(error as Error).message}`),
      poolFailed: (_rule, error) => logged.push(`pool ${(error as Error).message}`),
      observed: () => {},
    },
    holdBytes: 1 << 22,
  });
  theirs = new Lease(pool, "k");
}

/** Another process has the right to fetch "k", and nothing has been asked of the pool but that. */
async function heldByThem(): Promise<bigint> {
  const proof = await theirs.take(FETCH_MS);
  pool.calls.length = 0;
  return proof!;
}

/** A client's get of "k" that missed. */
async function get(): Promise<RecordingWaiter> {
  const waiter = new RecordingWaiter();
  filler.fill("k", waiter);
  await settled();
  return waiter;
}

/** A client's delete of "k" through another process. */
function deletedByThem(): void {
  theirs.drop();
  pool.store.delete("k");
}

async function advance(ms: number): Promise<void> {
  clock.advance(ms);
  await settled();
}

async function answer(value: string | Buffer): Promise<void> {
  source.last.answer(value);
  await settled();
}

function counters() {
  return rules.list[0]!.counters;
}

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

  it("has a lease as long as a fetch may take and a second, should its process die", async () => {
    await get();
    await advance(FETCH_MS + 999);
    expect(await theirs.look()).toBe("held");
    await advance(1);
    expect(await theirs.look()).toBe("gone");
  });

  it("is answered from the pool when a lease that ended since the miss has left its value", async () => {
    pool.set("k", "theirs");
    const waiter = await get();
    expect(waiter.told).toEqual(["value theirs"]);
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
    expect(await theirs.look()).toBe("gone");
  });

  it("of a rule whose processes fetch for themselves asks for no lease", async () => {
    start({ lease: "process" });
    await heldByThem();
    await get();
    expect(source.fetches).toHaveLength(1);
    expect(pool.calls).toEqual([]);
  });

  it("in a pool that cannot be asked is fetched without", async () => {
    pool.isDown = true;
    const waiter = await get();
    expect(logged).toEqual(["pool the pool is down"]);
    await answer("v");
    expect(waiter.told).toEqual(["value v"]);
    expect(counters()).toMatchObject({ leasesTaken: 0, held: 1 });
  });
});

describe("a miss of a key that another process fetches", () => {
  it("looks for its value ever less often, until fill_timeout is over, and fetches nothing", async () => {
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

  it("looks once for all who wait here", async () => {
    await heldByThem();
    const waiters = [await get(), await get(), await get()];
    pool.calls.length = 0;
    pool.set("k", "theirs");
    await advance(5);
    expect(pool.calls).toEqual(["get k", "get lease"]);
    expect(waiters.map(({ told }) => told)).toEqual([["value theirs"], ["value theirs"], ["value theirs"]]);
  });

  it("is answered with the value that appears, and its flags", async () => {
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

  it("is a miss when the lease ends without a value for the second time", async () => {
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

  it("is a miss when their source has nothing, for as long as they say", async () => {
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

  it("is fetched without a lease when the pool is in trouble meanwhile", async () => {
    await heldByThem();
    const waiter = await get();
    pool.isDown = true;
    await advance(5);
    expect(logged).toEqual(["pool the pool is down"]);
    await answer("v");
    expect(waiter.told).toEqual(["value v"]);
    expect(counters()).toMatchObject({ leasesAwaited: 1, leasesTaken: 0, held: 1 });
  });

  it("is not answered with what a look saw that was sent before it came", async () => {
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

  it("is not answered with what was seen while the lease was asked for, before it came", async () => {
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

  it("through which a client writes is fetched once, after the write", async () => {
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

describe("with fill_timeout 0", () => {
  beforeEach(() => start({ fillTimeoutMs: 0 }));

  it("the miss is answered at once and filled behind", async () => {
    const waiter = await get();
    expect(waiter.told).toEqual(["miss"]);
    await answer("v");
    expect(pool.value("k")).toBe("v");
    expect(waiter.told).toEqual(["miss"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("no process looks for a value that another process fetches", async () => {
    await heldByThem();
    expect((await get()).told).toEqual(["miss"]);
    await advance(1_000);
    expect(pool.calls).toEqual(["add lease", "get k"]);
    expect(source.fetches).toHaveLength(0);
    expect(filler.inFlight).toBe(0);
  });
});

describe("the lease of a fetch", () => {
  it("is given back when the source fails", async () => {
    const waiter = await get();
    source.last.fail();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("says that the source has nothing, for negative_ttl in whole seconds", async () => {
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

  it("is given back when the source has nothing, with negative_ttl 0", async () => {
    start({ negativeTtlMs: 0 });
    await get();
    source.last.notThere();
    await settled();
    expect(await theirs.look()).toBe("gone");
  });

  it("that a client's write has ended says nothing of what is not there: it is asked once more", async () => {
    const waiter = await get();
    deletedByThem();
    source.last.notThere();
    await settled();
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
    expect(await theirs.look()).toBe("gone");
  });

  it("that a client's delete has ended takes the value out of the pool again; those who wait get a newer one", async () => {
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

  it("that another process has by now is left to it", async () => {
    await get();
    deletedByThem();
    const proof = await theirs.take(FETCH_MS);
    await answer("old");
    expect(pool.value("k")).toBeNull();
    expect(await theirs.release(proof!)).toBe(true);
  });

  it("vouches for a held value where the pool refuses to store it", async () => {
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

  it("does not vouch any longer for a large value that the pool has stored", async () => {
    await get();
    await answer("x".repeat(1_000_001));
    expect(pool.value("k")).toHaveLength(1_000_001);
    expect(await theirs.look()).toBe("gone");
    expect(counters()).toMatchObject({ held: 0, filled: 1 });
  });
});

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

  it("ends a negative result of a rule that fills behind the miss", async () => {
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

  it("ends a negative result that is only remembered here, as soon as the pool answers", async () => {
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

  it("ends the copies that other processes hold as well", async () => {
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

  it("that ends the marker during a fetch has the value fetched once more", async () => {
    await theirs.keep(await heldByThem(), 5_000);
    const waiter = await get();
    deletedByThem();
    await answer("old");
    expect(waiter.told).toEqual([]);
    await answer("new");
    expect(waiter.told).toEqual(["value new"]);
  });

  it("does not let a look that was sent before it answer clients that came after it", async () => {
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

  it("leaves the held value to the client at once, and no lease is asked for", async () => {
    pool.isDown = true;
    await get();
    await answer("held");
    pool.calls.length = 0;
    expect(await failedGet()).toEqual(["value held"]);
    expect(pool.calls).toEqual([]);
  });

  it("leaves the negative result to the client", async () => {
    await get();
    source.last.notThere();
    await settled();
    pool.calls.length = 0;
    expect(await failedGet()).toEqual(["miss"]);
    expect(pool.calls).toEqual([]);
  });
});

describe("a client's write through this process", () => {
  it("while the marker of a held value is looked at ends that value", async () => {
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
