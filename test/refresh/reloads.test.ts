/**
 * A reload in the middle of every operation: each kind of operation under way meets each change that a reload can make.
 * Afterwards clients keep asking for the key, so that what was remembered wrongly would show.
 */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import { Lease } from "../../src/refresh/lease.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import type { Scheduler } from "../../src/refresh/scheduler.ts";
import type { UnsettledWrites } from "../../src/refresh/unsettled-writes.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import type { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
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
let unsettled: UnsettledWrites;
let scheduler: Scheduler;
let filler: Filler;
let waiters: RecordingWaiter[];

beforeEach(() => {
  rig = new RefreshRig({ rules: [rule], isFleet: true });
  ({ clock, source: oldSource, pool, unsettled, scheduler, filler, waiters } = rig);
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
    if (!after.isCovered) expect(rig.port.value("k")).toBeNull();
    else if (after.isOldSource) expect(rig.port.value("k")).toMatch(/^old|of the old source/);
    else expect(rig.port.value("k")).toBe("of the new source");
    if (!after.isOldSource) {
      expect(oldSource.fetches).toHaveLength(fetchesBefore);
      // The mark that it is asked with first is one that it gave itself.
      expect(newSource.fetches[0]?.tag ?? null).toBeNull();
    }
    await live(60_000, false);
    expect([filler.inFlight, scheduler.inFlight, unsettled.size]).toEqual([0, 0, 0]);
    for (const each of [pool, rig.port]) expect(await new Lease(each, "k").look()).toBe("gone");
    for (const { told } of waiters) expect(told.length).toBeLessThanOrEqual(1);
  });

  it.each(cases)("of $change during $operation does not undo a later write", async ({ begin, make }) => {
    const end = await begin();
    make();
    filler.beforeWrite("k");
    await settled();
    rig.port.store.delete("k");
    await end();
    await settled();
    await pass(2_000);
    expect(["old", "older", "theirs"]).not.toContain(rig.port.value("k"));
  });
});
