import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TimingWheel } from "../../src/refresh/timing-wheel.ts";

const TICK_MS = 10;
const ENTRIES = 20;

type Step =
  | { readonly type: "schedule"; readonly entry: number; readonly inMs: number }
  | { readonly type: "cancel"; readonly entry: number }
  | { readonly type: "ticks"; readonly count: number }
  | { readonly type: "jump"; readonly ms: number };

const entries = fc.integer({ min: 0, max: ENTRIES - 1 });
const delays = fc.oneof(
  fc.integer({ min: -50, max: 3_000 }),
  // Around the borders of the levels: 256 and 65,536 ticks.
  fc.integer({ min: 2_400, max: 2_700 }),
  fc.integer({ min: 650_000, max: 660_000 }),
  fc.integer({ min: 0, max: 10_000_000 }),
);
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant("schedule" as const), entry: entries, inMs: delays }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant("cancel" as const), entry: entries }) },
  { weight: 3, arbitrary: fc.record({ type: fc.constant("ticks" as const), count: fc.integer({ min: 1, max: 600 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant("jump" as const), ms: fc.integer({ min: 1, max: 2_000_000 }) }),
  },
);

describe("a timing wheel", () => {
  it("fires every entry once, never early and at most one tick late, as a plain list would", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000_000 }), fc.array(steps, { maxLength: 60 }), (startMs, script) => {
        let nowMs = startMs;
        const wheel = new TimingWheel(TICK_MS, nowMs, ENTRIES);
        const model = new Map<number, number>();
        const advance = (ms: number, isTick: boolean) => {
          nowMs += ms;
          wheel.advance(nowMs, ENTRIES, (entry) => {
            const dueMs = model.get(entry);
            expect(dueMs, `entry ${entry} fired though it was not scheduled`).toBeDefined();
            expect(dueMs!).toBeLessThanOrEqual(nowMs);
            if (isTick) expect(nowMs - dueMs!).toBeLessThan(2 * TICK_MS);
            model.delete(entry);
          });
          for (const [entry, dueMs] of model) {
            expect(dueMs, `entry ${entry} is late`).toBeGreaterThan(nowMs - TICK_MS);
          }
          expect(wheel.size).toBe(model.size);
        };
        for (const step of script) {
          if (step.type === "schedule") {
            wheel.schedule(step.entry, nowMs + step.inMs);
            // What is due already fires in the next tick.
            model.set(step.entry, Math.max(nowMs, nowMs + step.inMs));
          } else if (step.type === "cancel") {
            wheel.cancel(step.entry);
            model.delete(step.entry);
          } else if (step.type === "ticks") {
            for (let i = 0; i < step.count; i++) advance(TICK_MS, true);
          } else {
            advance(step.ms, false);
          }
          expect(wheel.size).toBe(model.size);
        }
        advance(20_000_000, false);
        expect(model.size).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it("fires at most the limit at once and the rest in the next calls, in order of time", () => {
    const wheel = new TimingWheel(TICK_MS, 0, 100);
    for (let entry = 0; entry < 100; entry++) wheel.schedule(entry, 1_000 + Math.floor(entry / 10) * TICK_MS);
    const fired: number[] = [];
    const counts = [0, 1, 2, 3, 4].map(() => wheel.advance(5_000, 30, (entry) => fired.push(entry)));
    expect(counts).toEqual([30, 30, 30, 10, 0]);
    expect(new Set(fired).size).toBe(100);
    const ticks = fired.map((entry) => Math.floor(entry / 10));
    expect(ticks).toEqual([...ticks].sort((a, b) => a - b));
  });

  it("lets a fired entry schedule and cancel itself and others", () => {
    const wheel = new TimingWheel(TICK_MS, 0, 4);
    wheel.schedule(0, 100);
    wheel.schedule(1, 100);
    wheel.schedule(2, 110);
    const fired: number[] = [];
    wheel.advance(1_000, 10, (entry) => {
      fired.push(entry);
      if (fired.length === 1) {
        wheel.cancel(1 - entry);
        wheel.cancel(2);
        wheel.schedule(entry, 200);
        wheel.schedule(3, 300);
      }
    });
    expect(fired).toEqual([fired[0], fired[0], 3]);
    expect(wheel.size).toBe(0);
  });

  it("ignores the cancellation of an entry that is not scheduled", () => {
    const wheel = new TimingWheel(TICK_MS, 0, 4);
    wheel.schedule(1, 100);
    wheel.cancel(0);
    wheel.cancel(0);
    expect(wheel.size).toBe(1);
    wheel.cancel(1);
    wheel.cancel(1);
    expect(wheel.size).toBe(0);
  });

  it("keeps scheduled entries when it grows", () => {
    const wheel = new TimingWheel(TICK_MS, 0, 2);
    wheel.schedule(0, 100);
    wheel.schedule(1, 5_000);
    wheel.grow(8);
    wheel.schedule(7, 200);
    const fired: number[] = [];
    wheel.advance(10_000, 10, (entry) => fired.push(entry));
    expect(fired).toEqual([0, 7, 1]);
  });

  it("continues from its current time after years without entries", () => {
    const wheel = new TimingWheel(TICK_MS, 0, 2);
    const yearsMs = 20 * 365 * 86_400_000;
    wheel.advance(yearsMs, 1, () => {});
    wheel.schedule(0, yearsMs + 1_000);
    expect(wheel.advance(yearsMs + 990, 1, () => {})).toBe(0);
    expect(wheel.advance(yearsMs + 1_000, 1, () => {})).toBe(1);
  });
});
