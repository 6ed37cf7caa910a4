import { beforeEach, describe, expect, it } from "vitest";
import { MemoryBound, type MemoryStep, memorySteps } from "../../src/server/memory-bound.ts";
import { BurstLog } from "../../src/telemetry/burst-log.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";

const MIB = 1024 * 1024;
const MAX = 1000 * MIB;

let clock: ManualClock;
let log: KeptLog;
/** What lives, and what was freed but is resident until the collector runs. */
let live = { base: 0, held: 0, tracked: 0, clients: 0 };
let garbage = 0;
/** Copies of hot keys. */
let nearBytes = 0;
/** Freed by the collector, and kept by the C library. */
let retained = 0;
/** Buffers that nothing was written into. */
let untouched = 0;
let collections = 0;
let bound: MemoryBound;

const resident = () => live.base + live.held + live.tracked + live.clients + nearBytes + garbage;
const isRefused = () => ({ fill: bound.refusesFill(), connection: bound.refusesConnection() });

function free(what: "held" | "tracked" | "clients", bytes: number): number {
  const freed = Math.min(live[what], bytes);
  live[what] -= freed;
  garbage += freed;
  return freed;
}

function boundOf(maxBytes: () => number): MemoryBound {
  const sheds = {
    near: () => {
      const freed = nearBytes;
      nearBytes = 0;
      garbage += freed;
      return freed;
    },
    held: () => free("held", Number.POSITIVE_INFINITY),
    tracked: (bytes: number) => free("tracked", bytes),
    clients: (bytes: number) => free("clients", bytes),
  };
  const reading = {
    read: () => ({ residentBytes: resident() + retained, knownBytes: resident() - 50 * MIB + untouched }),
    collect: () => {
      collections++;
      garbage = 0;
    },
  };
  return new MemoryBound(maxBytes, sheds, clock, new BurstLog(log.log, clock), reading);
}

beforeEach(() => {
  clock = new ManualClock();
  log = new KeptLog();
  live = { base: 100 * MIB, held: 0, tracked: 0, clients: 0 };
  garbage = 0;
  nearBytes = 0;
  retained = 0;
  untouched = 0;
  collections = 0;
  bound = boundOf(() => MAX);
});

describe("the memory bound", () => {
  it("does nothing while memory is far below it", () => {
    live = { base: 630 * MIB, held: 20 * MIB, tracked: 20 * MIB, clients: 20 * MIB };
    bound.check();
    expect(live.held).toBe(20 * MIB);
    expect(isRefused()).toEqual({ fill: false, connection: false });
    expect(collections).toBe(0);
  });

  it("drops the copies of hot keys before anything else", () => {
    live = { base: 600 * MIB, held: 30 * MIB, tracked: 30 * MIB, clients: 0 };
    nearBytes = 50 * MIB;
    bound.check();
    expect(nearBytes).toBe(0);
    expect(live.held).toBe(30 * MIB);
    expect(bound.counts).toEqual({ near: 1, held: 0, tracked: 0, fills: 0, clients: 0, connections: 0 });
  });

  it("counts buffers that are not yet written to, and is back to normal afterwards", () => {
    bound.check();
    untouched = 900 * MIB;
    bound.check();
    expect(isRefused()).toEqual({ fill: true, connection: true });
    untouched = 0;
    bound.check();
    expect(isRefused()).toEqual({ fill: false, connection: false });
    live.base = 999 * MIB;
    bound.check();
    expect(isRefused()).toEqual({ fill: true, connection: true });
  });

  it("does nothing if none is configured", () => {
    bound = boundOf(() => 0);
    live.base = 10 * MAX;
    bound.check();
    expect(isRefused()).toEqual({ fill: false, connection: false });
    expect(collections).toBe(0);
  });

  it.each<[MemoryStep, number]>([
    ["held", 720],
    ["tracked", 770],
    ["fills", 810],
    ["clients", 840],
    ["connections", 870],
  ])("takes the step %s, and the steps before it, if nothing else can be freed", (step, used) => {
    live.base = used * MIB;
    bound.check();
    const names = Object.keys(memorySteps) as MemoryStep[];
    const isTaken = (name: MemoryStep) => names.indexOf(name) <= names.indexOf(step);
    expect(isRefused()).toEqual({ fill: isTaken("fills"), connection: isTaken("connections") });
    expect(bound.refusesLargeValues).toBe(isTaken("connections"));
    expect(log.lines.filter((line) => line.includes("near max_memory"))).toHaveLength(names.filter(isTaken).length);
  });

  it("takes no later step if an earlier step has freed enough", () => {
    live = { base: 650 * MIB, held: 100 * MIB, tracked: 100 * MIB, clients: 90 * MIB };
    bound.check();
    expect(live).toEqual({ base: 650 * MIB, held: 0, tracked: 10 * MIB, clients: 90 * MIB });
    expect(isRefused()).toEqual({ fill: false, connection: false });
    expect(bound.counts).toMatchObject({ held: 1, tracked: 1, clients: 0 });
  });

  it("disconnects clients for the excess bytes, and no more", () => {
    live = { base: 800 * MIB, held: 0, tracked: 0, clients: 90 * MIB };
    bound.check();
    expect(live.clients).toBe(30 * MIB);
  });

  it("counts shed memory as free until the collector has run, so that nothing is shed twice", () => {
    live = { base: 900 * MIB, held: 0, tracked: 0, clients: 200 * MIB };
    bound.check();
    expect(collections).toBe(1);
    live.clients += 100 * MIB;
    bound.check();
    const left = live.clients;
    expect(garbage).toBeGreaterThan(0);
    bound.check();
    expect(live.clients).toBe(left);
  });

  it("ends a step only if memory has dropped by more than its normal variation", () => {
    live.base = 810 * MIB;
    bound.check();
    live.base = 780 * MIB;
    bound.check();
    expect(bound.refusesFill()).toBe(true);
    live.base = 740 * MIB;
    bound.check();
    expect(bound.refusesFill()).toBe(false);
  });

  it("accepts clients again after memory was full, if the C library keeps the memory", () => {
    bound.check();
    live.base = 980 * MIB;
    bound.check();
    expect(bound.refusesConnection()).toBe(true);
    live.base = 300 * MIB;
    retained = 720 * MIB;
    bound.check();
    expect(isRefused()).toEqual({ fill: false, connection: false });
  });

  it("sheds memory that the C library keeps, if the process is over nine tenths of the bound", () => {
    live = { base: 450 * MIB, held: 0, tracked: 0, clients: 200 * MIB };
    bound.check();
    retained = 300 * MIB;
    bound.check();
    expect(live.clients).toBe(200 * MIB);
    retained = 460 * MIB;
    bound.check();
    expect(live.clients).toBe(170 * MIB);
  });

  it("calls the collector less and less often if that frees nothing", () => {
    live.base = 990 * MIB;
    for (let i = 0; i < 600; i++) {
      bound.check();
      clock.advance(100);
    }
    expect(collections).toBeGreaterThan(5);
    expect(collections).toBeLessThan(20);
  });

  it("checks memory ten times per second", () => {
    bound.start();
    live = { base: 700 * MIB, held: 300 * MIB, tracked: 0, clients: 0 };
    clock.advance(100);
    expect(live.held).toBe(0);
    live.held = 300 * MIB;
    bound.stop();
    clock.advance(1_000);
    expect(live.held).toBe(300 * MIB);
  });
});
