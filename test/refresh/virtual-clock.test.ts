import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/refresh/virtual-clock.ts";

/** Fires everything up to `ms`. */
function pass(clock: VirtualClock, ms: number): void {
  while (clock.nextMs <= ms) clock.fireNext();
  clock.passTo(ms);
}

describe("a virtual clock", () => {
  it("fires in order of time, and timers of equal time in the order they were set", () => {
    const clock = new VirtualClock(1_000);
    const fired: [string, number][] = [];
    const note = (name: string) => () => fired.push([name, clock.nowMs()]);
    clock.setTimer(20, note("late"));
    clock.setTimer(10, note("first"));
    clock.setTimer(10, note("second"));
    clock.setTimer(-5, note("at once"));
    pass(clock, 15);
    expect(fired).toEqual([
      ["at once", 0],
      ["first", 10],
      ["second", 10],
    ]);
    expect([clock.nowMs(), clock.nextMs]).toEqual([15, 20]);
  });

  it("fires timers that are set while it advances, but not cancelled timers", () => {
    const clock = new VirtualClock(0);
    const fired: number[] = [];
    const repeat = () => {
      fired.push(clock.nowMs());
      clock.setTimer(10, repeat);
    };
    clock.setTimer(10, repeat);
    const taken = clock.setTimer(5, () => fired.push(-1));
    clock.clearTimer(taken);
    expect(clock.nextMs).toBe(10);
    pass(clock, 35);
    expect(fired).toEqual([10, 20, 30]);
  });

  it("has no next time without timers, and counts unix seconds from its start", () => {
    const clock = new VirtualClock(1_000);
    expect(clock.nextMs).toBe(Number.POSITIVE_INFINITY);
    clock.passTo(2_999);
    expect(clock.unixSeconds()).toBe(1_002);
  });

  it("fires each timer once, at its time, whatever is set and cancelled", () => {
    const timers = fc.array(fc.record({ delayMs: fc.nat(50), isTaken: fc.boolean() }), { maxLength: 60 });
    fc.assert(
      fc.property(timers, (each) => {
        const clock = new VirtualClock(0);
        const fired: [number, number][] = [];
        const set = each.map(({ delayMs }, i) => clock.setTimer(delayMs, () => fired.push([clock.nowMs(), i])));
        for (const [i, { isTaken }] of each.entries()) if (isTaken) clock.clearTimer(set[i]!);
        pass(clock, 50);
        const due = each.flatMap(({ delayMs, isTaken }, i): [number, number][] => (isTaken ? [] : [[delayMs, i]]));
        expect(fired).toEqual(due.sort(([a, i], [b, j]) => a - b || i - j));
      }),
    );
  });
});
