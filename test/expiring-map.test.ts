import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ExpiringMap } from "../src/expiring-map.ts";

describe("an expiring map", () => {
  it("returns a value until its expiry time and not at that time", () => {
    const map = new ExpiringMap<string>(10, 10);
    map.set("a", "x", 100, 1);
    expect(map.get("a", 99)).toBe("x");
    expect(map.get("a", 100)).toBeUndefined();
    expect(map.size).toBe(0);
  });

  it("evicts the oldest entry past its bounds; a rewritten key becomes the newest", () => {
    const map = new ExpiringMap<string>(3, 100);
    for (const key of ["a", "b", "c", "a", "d"]) map.set(key, key, 100, 1);
    expect(["a", "b", "c", "d"].map((key) => map.get(key, 0))).toEqual(["a", undefined, "c", "d"]);
  });

  it("rejects a value larger than the bound, and removes the value it should replace", () => {
    const map = new ExpiringMap<string>(3, 100);
    map.set("a", "small", 100, 1);
    map.set("b", "other", 100, 1);
    map.set("a", "large", 100, 101);
    expect([map.get("a", 0), map.get("b", 0)]).toEqual([undefined, "other"]);
  });

  it("evicts in the order of the last writes, whatever was deleted, expired or cleared before", () => {
    const steps = fc.array(
      fc.record({
        type: fc.constantFrom("set", "set", "set", "delete", "expire", "clear"),
        key: fc.constantFrom("a", "b", "c", "d", "e", "f", "g"),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(steps, (script) => {
        const map = new ExpiringMap<string>(4, 100);
        let byAge: string[] = [];
        for (const { type, key } of script) {
          if (type === "clear") {
            map.clear();
            byAge = [];
            continue;
          }
          byAge = byAge.filter((each) => each !== key);
          if (type === "set") {
            map.set(key, key, 100, 1);
            byAge = [...byAge, key].slice(-4);
          } else if (type === "delete") map.delete(key);
          else map.get(key, 100);
          expect(["a", "b", "c", "d", "e", "f", "g"].filter((each) => map.get(each, 0) === each)).toEqual(
            byAge.toSorted(),
          );
          expect(map.size).toBe(byAge.length);
        }
      }),
    );
  });

  it("never exceeds its bounds and never returns deleted or expired entries", () => {
    const steps = fc.array(
      fc.record({
        type: fc.constantFrom("set", "delete", "pass"),
        key: fc.constantFrom("a", "b", "c", "d", "e"),
        amount: fc.integer({ min: 0, max: 12 }),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(steps, (script) => {
        const map = new ExpiringMap<number>(3, 20);
        const untilMs = new Map<string, { value: number; untilMs: number; bytes: number }>();
        let nowMs = 0;
        script.forEach(({ type, key, amount }, value) => {
          if (type === "set") {
            map.set(key, value, nowMs + amount, amount);
            untilMs.set(key, { value, untilMs: nowMs + amount, bytes: amount });
          } else if (type === "delete") {
            map.delete(key);
            untilMs.delete(key);
          } else {
            nowMs += amount;
          }
          const known = [...untilMs].filter(([name]) => map.get(name, nowMs) !== undefined);
          for (const [name, entry] of known) {
            expect(map.get(name, nowMs)).toBe(entry.value);
            expect(entry.untilMs).toBeGreaterThan(nowMs);
          }
          expect(known.length).toBeLessThanOrEqual(3);
          expect(known.reduce((sum, [, { bytes }]) => sum + bytes, 0)).toBeLessThanOrEqual(20);
          if (type === "set" && amount > 0) expect(map.get(key, nowMs)).toBe(value);
        });
        map.clear();
        expect(map.size).toBe(0);
      }),
    );
  });
});
