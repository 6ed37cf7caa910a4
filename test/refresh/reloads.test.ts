/**
 * A reload in the middle of every operation: each kind of operation under way meets each change that a reload can make.
 * Afterwards clients keep asking for the key, so that what was remembered wrongly would show.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { Scheduler } from "../../src/refresh/scheduler.ts";
import { MAX_STARTS_PER_TURN } from "../../src/refresh/starts.ts";
import { UnsettledWrites } from "../../src/refresh/unsettled-writes.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import { SlowPool } from "../support/fakes/slow-pool.ts";
import { testRules } from "../support/rigs/test-rules.ts";

const TICK_MS = 100;
const bounds = { maxTrackedKeys: 100, pickUpRate: 1_000 };
const rule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 20_000, negativeTtlMs: 3_000 };
/** Its tags mean nothing to the other source, which takes them for its own. */
const oldSays = { tag: "etag" };

let clock: ManualClock;
let oldSource: ManualSource;
let newSource: ManualSource;
let pool: SlowPool;
let current: SlowPool;
let rules: Rules;
let unsettled: UnsettledWrites;
let scheduler: Scheduler;
let filler: Filler;
let waiters: RecordingWaiter[];

beforeEach(() => {
  clock = new ManualClock();
  oldSource = new ManualSource();
  newSource = new ManualSource();
  pool = new SlowPool(clock);
  pool.isFleet = true;
  current = pool;
  rules = testRules(oldSource, rule);
  unsettled = new UnsettledWrites(clock);
  waiters = [];
  const log = { sourceFailed: () => {}, poolFailed: () => {}, observed: () => {} };
  const shared = { rules, port: pool, clock, log, unsettled };
  scheduler = new Scheduler({ ...shared, random: () => 0, bounds });
  filler = new Filler({ ...shared, events: scheduler, holdBytes: 1 << 20 });
});

/** A client's get of "k" as it comes now. */
async function get(): Promise<void> {
  const isHit = current.value("k") !== null;
  const bytes = Buffer.from("k", "latin1");
  filler.noteGet(bytes, 0, bytes.length, isHit);
  if (!isHit) {
    const waiter = new RecordingWaiter();
    waiters.push(waiter);
    filler.fill("k", waiter);
  }
  await settled();
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= TICK_MS) {
    clock.advance(TICK_MS);
    await settled();
  }
}

async function answer(value: string | null): Promise<void> {
  if (value === null) oldSource.last.notThere();
  else oldSource.last.answer(value, oldSays);
  await settled();
}

async function filled(): Promise<void> {
  await get();
  await answer("old");
}

async function due(count = 2): Promise<void> {
  for (let ms = 0; oldSource.fetches.length < count && ms < 9_500; ms += TICK_MS) await pass(TICK_MS);
}

/** Brings an operation to the point at which the reload comes; returns what ends it. */
const operations: [string, () => Promise<() => Promise<unknown>>][] = [
  [
    "a fill that waits for its lease",
    async () => {
      const theirs = new Lease(pool, "k");
      const proof = await theirs.take(5_000);
      await get();
      return async () => {
        await theirs.release(proof!);
        await pass(200);
      };
    },
  ],
  [
    "a fill that fetches",
    async () => {
      await get();
      return () => answer("old");
    },
  ],
  [
    "a fill that stores its value and ends its lease",
    async () => {
      await get();
      pool.isHolding = true;
      await answer("old");
      return async () => pool.release();
    },
  ],
  [
    "a fill that stores its value without an answer",
    async () => {
      await get();
      pool.fate = (call) => (call === "get lease" ? "answered" : "late, not answered");
      await answer("old");
      return async () => {
        pool.fate = () => "answered";
        pool.deliver();
      };
    },
  ],
  [
    "a fill that deletes an overtaken value",
    async () => {
      await get();
      new Lease(pool, "k").drop();
      let left = 3;
      pool.fate = (call) => (call === "deleteIf k" && left-- > 0 ? "never done" : "answered");
      await answer("old");
      return async () => {};
    },
  ],
  [
    "a fill that has a negative result stored",
    async () => {
      await get();
      pool.isHolding = true;
      await answer(null);
      return async () => pool.release();
    },
  ],
  [
    "a fill that fetches what is not there",
    async () => {
      await get();
      return () => answer(null);
    },
  ],
  [
    "a refresh that reads",
    async () => {
      await filled();
      await pass(8_000);
      pool.isHolding = true;
      await pass(1_500);
      return async () => pool.release();
    },
  ],
  [
    "a refresh that fetches",
    async () => {
      await filled();
      await due();
      return () => answer("older");
    },
  ],
  [
    "a refresh that writes",
    async () => {
      await filled();
      await due();
      pool.isHolding = true;
      await answer("older");
      return async () => pool.release();
    },
  ],
  [
    "a refresh that extends",
    async () => {
      await filled();
      await due();
      pool.isHolding = true;
      oldSource.last.unchanged();
      await settled();
      return async () => pool.release();
    },
  ],
  [
    "a refresh that deletes",
    async () => {
      await filled();
      await due();
      pool.isHolding = true;
      await answer(null);
      return async () => pool.release();
    },
  ],
  [
    "a probe of a key that is not tracked",
    async () => {
      pool.set("k", "theirs", 11);
      for (let i = 0; i < 12; i++) await get();
      await pass(1_000);
      pool.isHolding = true;
      for (let i = 0; i < 12; i++) await get();
      expect(pool.calls.at(-1)).toBe("read k");
      return async () => pool.release();
    },
  ],
];

function reload(now: Rules, port = current): void {
  current = port;
  filler.replace(now, port, 1 << 20);
  scheduler.replace(now, port, bounds);
}

function otherPort(store = new SlowPool(clock).store): SlowPool {
  const port = new SlowPool(clock, store);
  port.isFleet = true;
  return port;
}

/** What a reload changes; whether the old source still counts, and whether a rule still covers the key. */
const changes: [string, () => void, { readonly isOldSource: boolean; readonly isCovered: boolean }][] = [
  ["nothing", () => reload(testRules(oldSource, rule)), { isOldSource: true, isCovered: true }],
  ["the ttl", () => reload(testRules(oldSource, { ...rule, ttlMs: 4_000 })), { isOldSource: true, isCovered: true }],
  ["the source", () => reload(testRules(newSource, rule)), { isOldSource: false, isCovered: true }],
  ["the rule, which is gone", () => reload(testRules(newSource)), { isOldSource: false, isCovered: false }],
  [
    "the rule, which another one stands before",
    () => reload(testRules(newSource, { ...rule, name: "front" }, rule)),
    { isOldSource: false, isCovered: true },
  ],
  [
    "the rule, which is off",
    () => reload(testRules(newSource, { ...rule, mode: "off" })),
    { isOldSource: false, isCovered: false },
  ],
  [
    "the lease",
    () => reload(testRules(oldSource, { ...rule, lease: "process" })),
    { isOldSource: true, isCovered: true },
  ],
  ["the servers", () => reload(testRules(oldSource, rule), otherPort()), { isOldSource: true, isCovered: true }],
  [
    "the pool's port",
    () => reload(testRules(oldSource, rule), otherPort(pool.store)),
    { isOldSource: true, isCovered: true },
  ],
  [
    "servers and source",
    () => reload(testRules(newSource, rule), otherPort()),
    { isOldSource: false, isCovered: true },
  ],
];

const cases = operations.flatMap(([operation, begin]) =>
  changes.map(([change, make, after]) => ({ operation, begin, change, make, after })),
);

/** Answers fetches as they come, and lets a client ask every second if `isAsked`. */
async function live(ms: number, isAsked: boolean): Promise<void> {
  for (let left = ms; left > 0; left -= TICK_MS) {
    for (const source of [oldSource, newSource]) {
      const value = source === oldSource ? "of the old source" : "of the new source";
      for (const fetch of source.fetches.slice(answered.get(source) ?? 0)) {
        // An HTTP source that is given its own tag says that nothing has changed.
        if (fetch.tag === "etag") fetch.unchanged();
        else fetch.answer(value, oldSays);
      }
      answered.set(source, source.fetches.length);
    }
    await settled();
    if (isAsked && left % 1_000 === 0) await get();
    await pass(TICK_MS);
  }
}

const answered = new Map<ManualSource, number>();
beforeEach(() => answered.clear());

describe("a reload", () => {
  it.each(cases)("of $change leaves $operation in order", async ({ begin, make, after }) => {
    const end = await begin();
    const fetchesBefore = oldSource.fetches.length;
    make();
    await end();
    await settled();
    if (!after.isOldSource) expect(oldSource.fetches).toHaveLength(fetchesBefore);
    answered.set(oldSource, fetchesBefore);
    await live(25_000, true);
    if (!after.isCovered) expect(current.value("k")).toBeNull();
    else if (after.isOldSource) expect(current.value("k")).toMatch(/^old|of the old source/);
    else expect(current.value("k")).toBe("of the new source");
    if (!after.isOldSource) {
      expect(oldSource.fetches).toHaveLength(fetchesBefore);
      // The mark that it is asked with first is one that it gave itself.
      expect(newSource.fetches[0]?.tag ?? null).toBeNull();
    }
    await live(60_000, false);
    expect([filler.inFlight, scheduler.inFlight, unsettled.size]).toEqual([0, 0, 0]);
    for (const each of [pool, current]) expect(await new Lease(each, "k").look()).toBe("gone");
    for (const { told } of waiters) expect(told.length).toBeLessThanOrEqual(1);
  });

  it.each(cases)("of $change during $operation does not undo a later write", async ({ begin, make }) => {
    const end = await begin();
    make();
    filler.beforeWrite("k");
    await settled();
    current.store.delete("k");
    await end();
    await settled();
    await pass(2_000);
    expect(["old", "older", "theirs"]).not.toContain(current.value("k"));
  });
});

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
    expect(await new Lease(current, "k").look()).toBe("gone");
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
    expect([waiter.told, current.value("late"), oldSource.admitted]).toEqual([["value new"], "new", 0]);
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
    expect(await new Lease(current, "k").look()).toBe("gone");
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
