import { beforeEach, describe, expect, it } from "vitest";
import { SourceError, type SourceErrorCode } from "../../src/errors.ts";
import { Limiter, type Limits, type Priority } from "../../src/sources/limiter.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { ManualSource } from "../support/manual-source.ts";
import { settled } from "../support/settled.ts";
import { looseLimits } from "../support/source-limits.ts";

let clock: ManualClock;
let source: ManualSource;
let limiter: Limiter;
let ended: string[];

beforeEach(() => start({}));

function start(limits: Partial<Limits>): void {
  clock = new ManualClock();
  source = new ManualSource();
  limiter = new Limiter(source, { ...looseLimits, breakerFailures: 3, ...limits }, clock);
  ended = [];
}

async function fetch(key = "k", priority: Priority = "fill"): Promise<void> {
  limiter.fetch({ key, groups: new Map(), encoding: "utf8" }, priority, null).then(
    (result) => ended.push(result.type),
    (error: SourceError) => ended.push(error.code),
  );
  await settled();
}

async function fail(code: SourceErrorCode = "SOURCE_STATUS"): Promise<void> {
  await fetch();
  source.last.fail(new SourceError(code, "as the test wants it"));
  await settled();
}

describe("the breaker of a source", () => {
  it("opens after so many failures in a row, and the source is left alone", async () => {
    for (let i = 0; i < 3; i++) await fail();
    await fetch();
    expect(ended.at(-1)).toBe("SOURCE_LEFT_ALONE");
    expect(source.fetches).toHaveLength(3);
    expect([limiter.breakerState, limiter.breakerOpened, limiter.hasRoomForRefresh]).toEqual(["open", 1, false]);
  });

  it("does not open where an answer came in between", async () => {
    for (let i = 0; i < 5; i++) {
      await fail();
      await fail();
      await fetch();
      source.last.answer("v");
      await settled();
    }
    expect(limiter.breakerState).toBe("closed");
  });

  it.each(["SOURCE_REFUSED", "SOURCE_TOO_LARGE"] as const)(
    "does not open on %s, which is about the key",
    async (code) => {
      for (let i = 0; i < 10; i++) await fail(code);
      expect(limiter.breakerState).toBe("closed");
    },
  );

  it("takes a time-out for a failure", async () => {
    await fetch("a");
    await fetch("b");
    await fetch("c");
    clock.advance(5_000);
    await settled();
    expect(limiter.breakerState).toBe("open");
  });

  it("lets one probe through after a while; where that fails it is left alone for longer", async () => {
    for (let i = 0; i < 3; i++) await fail();
    clock.advance(1_000);
    expect(limiter.breakerState).toBe("half open");
    await fetch("probe");
    await fetch("another");
    expect(source.keys.at(-1)).toBe("probe");
    expect(ended.at(-1)).toBe("SOURCE_LEFT_ALONE");
    source.last.fail();
    await settled();
    clock.advance(1_999);
    expect(limiter.breakerState).toBe("open");
    clock.advance(1);
    expect(limiter.breakerState).toBe("half open");
  });

  it("closes when a probe is answered", async () => {
    for (let i = 0; i < 3; i++) await fail();
    clock.advance(1_000);
    await fetch();
    source.last.notThere();
    await settled();
    expect(limiter.breakerState).toBe("closed");
    await fetch();
    await fetch();
    expect(source.fetches).toHaveLength(6);
  });

  it("lets the next one probe where a probe ended without a word of the source's", async () => {
    for (let i = 0; i < 3; i++) await fail();
    clock.advance(1_000);
    await fail("SOURCE_REFUSED");
    await fetch("next");
    expect(source.keys.at(-1)).toBe("next");
  });

  it("sends away those who wait when it opens", async () => {
    start({ concurrency: 1, breakerFailures: 1 });
    await fetch("a");
    await fetch("had its place already");
    await fetch("b");
    source.last.fail();
    await settled();
    expect(ended.sort()).toEqual(["SOURCE_FAILED", "SOURCE_LEFT_ALONE"]);
    expect(limiter.waiting).toBe(0);
  });

  it("never opens with 0", async () => {
    start({ breakerFailures: 0 });
    for (let i = 0; i < 100; i++) await fail();
    expect(limiter.breakerState).toBe("closed");
  });
});

describe("the rate of a source", () => {
  it("lets so many a second through, and the rest when it is their turn", async () => {
    start({ ratePerSecond: 10, concurrency: 1_000 });
    for (let i = 0; i < 25; i++) await fetch(`k${i}`);
    expect(source.fetches).toHaveLength(1);
    for (let i = 0; i < 20; i++) {
      clock.advance(100);
      await settled();
    }
    expect(source.fetches).toHaveLength(21);
    expect(source.keys.slice(0, 3)).toEqual(["k0", "k1", "k2"]);
  });

  it("gives refreshes half of it at most, and fills what they leave", async () => {
    start({ ratePerSecond: 10, concurrency: 1_000, timeoutMs: 60_000 });
    for (let i = 0; i < 100; i++) await fetch(`r${i}`, "refresh");
    for (let i = 0; i < 20; i++) {
      clock.advance(100);
      await settled();
    }
    expect(source.fetches.length).toBeLessThanOrEqual(11);
    expect(source.fetches.length).toBeGreaterThanOrEqual(10);
  });

  it("goes on after a pause without a great burst", async () => {
    start({ ratePerSecond: 100, concurrency: 1_000 });
    clock.advance(60_000);
    for (let i = 0; i < 50; i++) await fetch(`k${i}`);
    expect(source.fetches.length).toBeLessThanOrEqual(10);
  });
});

describe("a fetch that is tried again", () => {
  beforeEach(() => start({ retries: 2, breakerFailures: 3 }));

  it("is answered where a retry helps, and counts as no failure", async () => {
    await fetch();
    source.last.fail(new SourceError("SOURCE_UNREACHABLE", "reset"));
    await settled();
    clock.advance(25);
    await settled();
    source.last.fail(new SourceError("SOURCE_STATUS", "status 503", { isTransient: true }));
    await settled();
    clock.advance(50);
    await settled();
    source.last.answer("v");
    await settled();
    expect(ended).toEqual(["value"]);
    expect(limiter.counters).toMatchObject({ fetches: 1, retried: 2, failed: 0 });
  });

  it("is tried no more often than it may", async () => {
    await fetch();
    for (let i = 0; i < 5; i++) {
      if (ended.length === 0) source.last.fail(new SourceError("SOURCE_UNREACHABLE", "reset"));
      await settled();
      clock.advance(1_000);
      await settled();
    }
    expect(source.fetches).toHaveLength(3);
    expect(ended).toEqual(["SOURCE_UNREACHABLE"]);
  });

  it("is not tried again after the time-out, nor where that could not help", async () => {
    await fetch("late");
    clock.advance(4_990);
    source.last.fail(new SourceError("SOURCE_UNREACHABLE", "reset"));
    await settled();
    await fetch("wrong");
    source.last.fail(new SourceError("SOURCE_STATUS", "status 500"));
    await settled();
    clock.advance(10_000);
    await settled();
    expect(source.keys).toEqual(["late", "wrong"]);
    expect(ended).toEqual(["SOURCE_UNREACHABLE", "SOURCE_STATUS"]);
  });
});
