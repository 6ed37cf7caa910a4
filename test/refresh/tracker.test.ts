import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { keyHash } from "../../src/proxy/hash/key-bytes-hash.ts";
import { Tracker } from "../../src/refresh/tracker.ts";

function hashOf(key: string): number {
  const bytes = Buffer.from(`<${key}>`, "latin1");
  return keyHash(bytes, 1, bytes.length - 1);
}

/** Two keys of one hash: among some hundred thousand there are a few. */
function collision(): [string, string] {
  const seen = new Map<number, string>();
  for (let n = 0; ; n++) {
    const key = `key${n}`;
    const other = seen.get(hashOf(key));
    if (other !== undefined) return [other, key];
    seen.set(hashOf(key), key);
  }
}

/** Evicts nothing: for trackers whose bound is not reached. */
function neverEvict(): never {
  throw new Error("evicted though there is room");
}

interface Tracked {
  rule: number;
  lastGet: number;
}

const keys = fc.oneof(
  fc.integer({ min: 0, max: 40 }).map((i) => `key${i}`),
  fc.string({ unit: "binary-ascii", minLength: 1, maxLength: 250 }),
);
const steps = fc.oneof(
  fc.record({ type: fc.constant("track" as const), key: keys, rule: fc.integer({ min: 0, max: 5 }) }),
  fc.record({ type: fc.constant("remove" as const), key: keys }),
  fc.record({ type: fc.constant("get" as const), key: keys }),
);

describe("a tracker", () => {
  it("agrees with a plain map under any series of calls", () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 200 }), (script) => {
        const tracker = new Tracker(1_000, neverEvict, Math.random);
        const model = new Map<string, Tracked>();
        script.forEach((step, now) => {
          if (step.type === "track") {
            tracker.track(step.key, step.rule, now, neverEvict);
            model.set(step.key, { rule: step.rule, lastGet: now });
          } else if (step.type === "remove") {
            const slot = tracker.find(step.key);
            expect(slot >= 0).toBe(model.delete(step.key));
            if (slot >= 0) tracker.remove(slot);
          } else {
            tracker.noteGet(hashOf(step.key), now);
            const tracked = model.get(step.key);
            if (tracked !== undefined) tracked.lastGet = now;
          }
        });
        expect(tracker.size).toBe(model.size);
        expect([...tracker.slots()].map((slot) => tracker.key(slot)).sort()).toEqual([...model.keys()].sort());
        for (const [key, tracked] of model) {
          const slot = tracker.find(key);
          expect({ rule: tracker.rule(slot), lastGet: tracker.lastGet(slot) }).toEqual(tracked);
        }
      }),
    );
  });

  it("records many gets at once as it records them one by one", () => {
    const [one, many] = [1, 2].map(() => new Tracker(1_000_000, () => {}, Math.random)) as [Tracker, Tracker];
    const tracked = Array.from({ length: 3_000 }, (_, i) => `key${i}`);
    const [left, right] = collision();
    for (const key of [...tracked, left, right])
      for (const tracker of [one, many]) tracker.track(key, 0, 1, neverEvict);
    const asked = fc.array(fc.oneof(keys, fc.constantFrom(...tracked, left, right)), { minLength: 1, maxLength: 200 });
    let now = 1;
    fc.assert(
      fc.property(asked, (all) => {
        now++;
        const hashes = Int32Array.from(all, hashOf);
        const found = many.noteGets(hashes, hashes.length, now);
        expect([...found.subarray(0, all.length)].map(Boolean)).toEqual(
          [...hashes].map((hash) => one.noteGet(hash, now)),
        );
      }),
    );
    for (const key of [...tracked, left, right]) {
      const [slot, other] = [one.find(key), many.find(key)];
      expect([many.lastGet(other), many.getCount(other)]).toEqual([one.lastGet(slot), one.getCount(slot)]);
    }
  });

  it("grows, reports the growth before a new slot is used, and still knows every key", () => {
    let capacity = Tracker.firstCapacity;
    const tracker = new Tracker(1_000_000, (grown) => (capacity = grown), Math.random);
    for (let i = 0; i < 10_000; i++) {
      expect(tracker.track(`key${i}`, i % 7, i, neverEvict)).toBeLessThan(capacity);
      tracker.setFailureCount(i, i % 3);
    }
    tracker.noteGet(hashOf("key77"), 99_999);
    for (let i = 0; i < 10_000; i++) {
      const slot = tracker.find(`key${i}`);
      expect([tracker.key(slot), tracker.rule(slot)]).toEqual([`key${i}`, i % 7]);
      expect([tracker.lastGet(slot), tracker.failureCount(slot)]).toEqual([i === 77 ? 99_999 : i, i % 3]);
    }
  });

  it("reuses the slots of removed keys", () => {
    const tracker = new Tracker(1_000_000, neverEvict, Math.random);
    for (let round = 0; round < 50; round++) {
      const slots = Array.from({ length: 1_000 }, (_, i) => tracker.track(`${round}/${i}`, 0, round, neverEvict));
      for (const slot of slots) tracker.remove(slot);
    }
    expect(tracker.size).toBe(0);
    expect([...tracker.slots()]).toEqual([]);
  });

  it("resets the failures of a key when it is tracked again", () => {
    const tracker = new Tracker(10, neverEvict, Math.random);
    const slot = tracker.track("k", 1, 5, neverEvict);
    tracker.setFailureCount(slot, 1_000);
    expect(tracker.failureCount(slot)).toBe(255);
    expect(tracker.track("k", 2, 9, neverEvict)).toBe(slot);
    expect([tracker.failureCount(slot), tracker.rule(slot), tracker.lastGet(slot)]).toEqual([0, 2, 9]);
    expect(tracker.size).toBe(1);
  });

  it("never holds more than its bound, and evicts keys whose last get is long ago", () => {
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    const tracker = new Tracker(1_000, neverEvict, random);
    const evict = (slot: number) => tracker.remove(slot);
    for (let i = 0; i < 5_000; i++) {
      tracker.track(`key${i}`, 0, i, evict);
      expect(tracker.size).toBeLessThanOrEqual(1_000);
    }
    expect(tracker.evictions).toBe(4_000);
    const kept = [...tracker.slots()].map((slot) => tracker.lastGet(slot)).sort((a, b) => a - b);
    // With the oldest gone each time all would be of the last thousand; a sample comes close.
    expect(kept[500]).toBeGreaterThan(4_000);
    expect(tracker.find("key4999")).toBeGreaterThanOrEqual(0);
  });

  it("records a get for every key that shares its hash, and for no other", () => {
    const tracker = new Tracker(1_000, neverEvict, Math.random);
    const [one, another] = collision();
    const a = tracker.track(one, 0, 1, neverEvict);
    const b = tracker.track(another, 1, 1, neverEvict);
    const c = tracker.track("other", 1, 1, neverEvict);
    tracker.noteGet(hashOf(another), 9);
    expect([a, b, c].map((slot) => tracker.lastGet(slot))).toEqual([9, 9, 1]);
    tracker.remove(a);
    expect([tracker.find(one), tracker.find(another)]).toEqual([-1, b]);
  });

  it("evicts many keys that came in order in time linear in their number", () => {
    const count = 200_000;
    const tracker = new Tracker(count, () => {}, Math.random);
    for (let i = 0; i < count; i++) tracker.track(`key${i}`, 0, i, neverEvict);
    const evicted: number[] = [];
    const evict = (slot: number) => {
      evicted.push(tracker.lastGet(slot));
      tracker.remove(slot);
    };
    // A few, then many, then a few again, of which most slots are free.
    tracker.evictMany(10, evict);
    tracker.evictMany(count - 100_010, evict);
    expect(tracker.size).toBe(100_000);
    expect(Math.max(...evicted.slice(10, 1_000))).toBeLessThan(count - 99_990);
    for (let i = 0; i < 300; i++) tracker.evictMany(300, evict);
    expect(tracker.size).toBe(10_000);
    tracker.maxKeys = 1_000;
    for (let i = 0; i < 10_000; i++) tracker.track(`more${i}`, 0, count + i, evict);
    expect(tracker.size).toBe(1_000);
    expect(new Set(evicted).size).toBe(evicted.length);
    tracker.evictMany(tracker.size, evict);
    expect(tracker.size).toBe(0);
    expect(tracker.evictions).toBe(evicted.length);
  });
});

describe("the hash of a key", () => {
  // The algorithm's own, with seed 0.
  it.each([
    ["", 0],
    ["hello", 0x248bfa47],
    ["hello, world", 0x149bbb7f],
    ["The quick brown fox jumps over the lazy dog", 0x2e4ff723],
  ])("maps %j to %d", (key, hash) => {
    expect(hashOf(key) >>> 0).toBe(hash);
  });
});
