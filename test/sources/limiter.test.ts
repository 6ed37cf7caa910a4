import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import type { Priority } from "../../src/sources/fetch-queue.ts";
import { Limiter, type Limits } from "../../src/sources/limiter.ts";
import type { FetchResult } from "../../src/sources/source.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

let clock: ManualClock;
let source: ManualSource;
let limiter: Limiter;
/** How each fetch ended, by key. */
let ended: Map<string, string>;

beforeEach(() => start({}));

function start(limits: Partial<Limits>): void {
  clock = new ManualClock();
  source = new ManualSource();
  limiter = new Limiter(source, { ...looseLimits, queue: 8, ...limits }, clock);
  ended = new Map();
}

function fetch(key: string, priority: Priority = "fill"): void {
  limiter.fetch({ key, groups: new Map(), encoding: "utf8" }, priority, null).then(
    (result: FetchResult) => ended.set(key, result.type === "value" ? result.value.toString() : "not there"),
    (error: unknown) => ended.set(key, error instanceof SourceError ? error.code : String(error)),
  );
}

function fetchAll(...keys: string[]): void {
  for (const key of keys) fetch(key, key.startsWith("r") ? "refresh" : "fill");
}

/** Ends a fetch that has begun. */
async function end(key: string): Promise<void> {
  source.fetches.find(({ captures }) => captures.key === key)!.answer("v");
  await settled();
}

describe("a source behind its limiter", () => {
  it("is asked at once and returns its answer", async () => {
    fetchAll("f1", "f2", "f3");
    await settled();
    expect(limiter.inFlight).toBe(3);
    source.fetches[0]!.answer("v");
    source.fetches[1]!.notThere();
    source.fetches[2]!.fail(new SourceError("SOURCE_STATUS", "status 500"));
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ f1: "v", f2: "not there", f3: "SOURCE_STATUS" });
    expect(limiter.inFlight).toBe(0);
  });

  it("frees its place if it throws before it returns a promise", async () => {
    start({ concurrency: 1 });
    source.throwNext = new Error("thrown");
    fetchAll("f1", "f2");
    await settled();
    expect(ended.get("f1")).toBe("Error: thrown");
    expect(source.keys).toEqual(["f2"]);
  });

  it("runs the configured number of fetches at once, and the others wait in order", async () => {
    fetchAll("f1", "f2", "f3", "f4", "f5", "f6");
    await settled();
    expect(source.keys).toEqual(["f1", "f2", "f3", "f4"]);
    await end("f3");
    expect(source.keys.slice(4)).toEqual(["f5"]);
    await end("f1");
    expect(source.keys.slice(5)).toEqual(["f6"]);
    expect(limiter.inFlight).toBe(4);
  });

  it("rejects at once a fetch that finds no place in the queue", async () => {
    start({ concurrency: 1, queue: 2 });
    fetchAll("f1", "f2", "f3", "f4");
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ f4: "SOURCE_OVERLOADED" });
    await end("f1");
    fetch("f5");
    await settled();
    expect(ended.has("f5")).toBe(false);
  });

  it("has no queue if the setting is 0", async () => {
    start({ concurrency: 1, queue: 0 });
    fetchAll("f1", "f2", "r1");
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ f2: "SOURCE_OVERLOADED", r1: "SOURCE_OVERLOADED" });
  });
});

describe("the admission of fills", () => {
  it("reserves places for fills that have not begun, and refuses the others with one error", () => {
    start({ concurrency: 2, queue: 1 });
    expect([1, 2, 3].map(() => limiter.admitFill("k"))).toEqual([null, null, null]);
    const refusal = limiter.admitFill("k");
    expect(refusal).toMatchObject({ code: "SOURCE_OVERLOADED", message: expect.stringContaining("1 fetches") });
    expect(limiter.admitFill("k")).toBe(refusal);
    expect(limiter.counters.overloaded).toBe(2);
    limiter.endAdmission();
    expect(limiter.admitFill("k")).toBeNull();
  });

  it("counts running fetches and waiting fetches", async () => {
    start({ concurrency: 1, queue: 2 });
    fetchAll("f1", "f2");
    await settled();
    expect(limiter.admitFill("k")).toBeNull();
    expect(limiter.admitFill("k")).toMatchObject({ code: "SOURCE_OVERLOADED" });
    limiter.endAdmission();
    await end("f1");
    await end("f2");
    expect([1, 2, 3].map(() => limiter.admitFill("k"))).toEqual([null, null, null]);
  });

  it("does not count waiting refreshes: a fill takes their place", async () => {
    start({ concurrency: 1, queue: 1 });
    fetchAll("f1", "r1");
    await settled();
    expect(limiter.admitFill("k")).toBeNull();
  });

  it("refuses while the circuit breaker is open, and admits one fill while it is half open", async () => {
    start({ breakerFailures: 1 });
    fetch("f1");
    await settled();
    source.last.fail(new SourceError("SOURCE_STATUS", "status 500"));
    await settled();
    expect(limiter.admitFill("k")).toMatchObject({ code: "SOURCE_LEFT_ALONE" });
    clock.advance(1_000);
    expect(limiter.admitFill("k")).toBeNull();
    expect(limiter.admitFill("k")).toMatchObject({ code: "SOURCE_LEFT_ALONE" });
  });

  it("has at most as many places as the rate allows", async () => {
    start({ ratePerSecond: 1, concurrency: 4, queue: 2 });
    fetch("f1");
    await settled();
    expect([1, 2].map(() => limiter.admitFill("k"))).toEqual([null, null]);
    expect(limiter.admitFill("k")).toMatchObject({ code: "SOURCE_OVERLOADED" });
  });
});

describe("fills and refreshes", () => {
  it("share the places; refreshes use all that fills leave free", async () => {
    fetchAll("f1", "r1", "r2", "r3", "r4", "f2");
    await settled();
    expect(source.keys).toEqual(["f1", "r1", "r2", "r3"]);
    await end("r1");
    expect(source.keys.slice(4)).toEqual(["f2"]);
    await end("f1");
    expect(source.keys.slice(5)).toEqual(["r4"]);
  });

  it("leave one place to refreshes if there is only one", async () => {
    start({ concurrency: 1 });
    fetchAll("r1", "f1", "r2");
    await settled();
    expect(source.keys).toEqual(["r1"]);
    await end("r1");
    await end("f1");
    expect(source.keys).toEqual(["r1", "f1", "r2"]);
  });

  it("wait in a queue in which fills come first", async () => {
    start({ concurrency: 2 });
    fetchAll("f1", "f2", "r1", "r2", "f3", "f4");
    await settled();
    await end("f1");
    await end("f2");
    expect(source.keys).toEqual(["f1", "f2", "f3", "f4"]);
    await end("f3");
    await end("f4");
    expect(source.keys.slice(4)).toEqual(["r1", "r2"]);
  });

  it("share the queue; a fill takes the place of the latest refresh", async () => {
    start({ concurrency: 2, queue: 3 });
    fetchAll("f1", "f2", "r1", "r2", "r3", "r4", "f3");
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ r4: "SOURCE_OVERLOADED", r3: "SOURCE_OVERLOADED" });
    fetchAll("f4", "f5", "f6");
    await settled();
    expect([...ended.keys()].sort()).toEqual(["f6", "r1", "r2", "r3", "r4"]);
    for (const key of ["f1", "f2", "f3", "f4"]) await end(key);
    expect(source.keys).toEqual(["f1", "f2", "f3", "f4", "f5"]);
  });

  it("never exceed their bounds, and every fetch ends once, in any order of events", async () => {
    const limits = fc.record({
      timeoutMs: fc.constant(5_000),
      concurrency: fc.integer({ min: 1, max: 5 }),
      queue: fc.integer({ min: 0, max: 5 }),
    });
    const steps = fc.array(fc.constantFrom("fill", "refresh", "answer first", "fail last", "pass"), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(limits, steps, async (bounds, script) => {
        start(bounds);
        const open = () => source.fetches.filter(({ captures }) => !ended.has(captures.key));
        let asked = 0;
        for (const step of script) {
          if (step === "fill" || step === "refresh") fetch(`${step}${asked++}`, step);
          else if (step === "answer first") open().at(0)?.answer("v");
          else if (step === "fail last") open().at(-1)?.fail();
          else clock.advance(5_000);
          await settled();
          const running = open();
          expect(running.length).toBe(limiter.inFlight);
          expect(running.length).toBeLessThanOrEqual(bounds.concurrency);
          const waiting = asked - ended.size - running.length;
          expect(waiting).toBeLessThanOrEqual(bounds.queue);
          // No place stays unused while a fetch waits.
          if (waiting > 0) expect(running.length).toBe(bounds.concurrency);
        }
        while (ended.size < asked) {
          clock.advance(5_000);
          await settled();
        }
        expect(limiter.inFlight).toBe(0);
      }),
      { numRuns: 50 },
    );
  });
});

describe("the timeout of a fetch", () => {
  it("ends the fetch, notifies the source, and frees the place for the next fetch", async () => {
    start({ concurrency: 1 });
    fetch("f1");
    await settled();
    clock.advance(4_000);
    fetch("f2");
    clock.advance(999);
    await settled();
    expect(ended.size).toBe(0);
    expect(source.fetches[0]!.signal!.aborted).toBe(false);
    clock.advance(1);
    await settled();
    expect(ended.get("f1")).toBe("SOURCE_TIMEOUT");
    expect(source.fetches[0]!.signal!.aborted).toBe(true);
    expect(source.keys).toEqual(["f1", "f2"]);
  });

  it("includes the wait in the queue, which is at most half of it", async () => {
    start({ concurrency: 1 });
    fetchAll("f1", "f2", "f3");
    await settled();
    clock.advance(2_499);
    await end("f1");
    clock.advance(1);
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ f1: "v", f3: "SOURCE_OVERLOADED" });
    clock.advance(2_499);
    await settled();
    expect(ended.has("f2")).toBe(false);
    clock.advance(1);
    await settled();
    expect(ended.get("f2")).toBe("SOURCE_TIMEOUT");
  });

  it("keeps the place of a fetch that ignores it until the fetch has ended, so that fetches do not pile up", async () => {
    start({ concurrency: 1 });
    source.isDeaf = true;
    fetch("f1");
    await settled();
    clock.advance(5_000);
    await settled();
    expect(ended.get("f1")).toBe("SOURCE_TIMEOUT");
    expect(limiter.inFlight).toBe(1);
    fetch("f2");
    await settled();
    expect(source.keys).toEqual(["f1"]);
    source.fetches[0]!.answer("late");
    await settled();
    expect(source.keys).toEqual(["f1", "f2"]);
  });

  it("is not reversed by an answer or a failure that comes after it", async () => {
    fetchAll("f1", "f2");
    await settled();
    clock.advance(5_000);
    await settled();
    source.fetches[0]!.answer("late");
    source.fetches[1]!.fail();
    await settled();
    expect([ended.get("f1"), ended.get("f2")]).toEqual(["SOURCE_TIMEOUT", "SOURCE_TIMEOUT"]);
    expect(limiter.inFlight).toBe(0);
  });

  it("does not notify the source of a fetch that has ended", async () => {
    fetch("f1");
    await settled();
    await end("f1");
    clock.advance(10_000);
    expect(source.fetches[0]!.signal!.aborted).toBe(false);
  });
});

describe("a source that left the configuration", () => {
  it("closes at once if no fetch is in flight", async () => {
    await limiter.retire();
    expect(source.closes).toBe(1);
  });

  it("closes after the fetches that wait for the rate only", async () => {
    start({ ratePerSecond: 1 });
    fetch("f1");
    await settled();
    await end("f1");
    fetch("f2");
    await settled();
    const retired = limiter.retire();
    await settled();
    expect([source.keys, source.closes]).toEqual([["f1"], 0]);
    clock.advance(1_000);
    await settled();
    await end("f2");
    await retired;
    expect([ended.get("f2"), source.closes]).toEqual(["v", 1]);
  });

  it("closes when the last fetch has ended, including waiting fetches", async () => {
    start({ concurrency: 1 });
    fetchAll("f1", "f2");
    await settled();
    const retired = limiter.retire();
    await end("f1");
    expect([source.keys, source.closes]).toEqual([["f1", "f2"], 0]);
    await end("f2");
    await retired;
    expect(source.closes).toBe(1);
  });

  it("does not close while a fetch waits for the rate", async () => {
    start({ ratePerSecond: 1 });
    fetchAll("f1", "f2");
    await settled();
    await end("f1");
    limiter.retire();
    await settled();
    expect(source.closes).toBe(0);
    clock.advance(1_000);
    await settled();
    await end("f2");
    expect([ended.get("f2"), source.closes]).toEqual(["v", 1]);
  });
});

describe("a fill behind a refresh that waits for its rate", () => {
  it("begins when the rate allows it", async () => {
    start({ ratePerSecond: 1 });
    fetchAll("r1", "r2", "f1");
    await settled();
    expect(source.keys).toEqual(["r1"]);
    clock.advance(1_000);
    await settled();
    expect(source.keys).toEqual(["r1", "f1"]);
  });
});

describe("a source without a queue", () => {
  it("accepts a refresh while it has a free place", async () => {
    start({ queue: 0, concurrency: 2 });
    expect(limiter.hasRoomForRefresh).toBe(true);
    fetchAll("r1", "r2");
    await settled();
    expect(limiter.hasRoomForRefresh).toBe(false);
  });
});
