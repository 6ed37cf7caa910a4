import { beforeEach, describe, expect, it } from "vitest";
import { SourceError, type SourceErrorCode } from "../../src/errors.ts";
import type { Priority } from "../../src/sources/fetch-queue.ts";
import { Limiter, type Limits } from "../../src/sources/limiter.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

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

/** A fetch that fails, of a key that was not asked for before. */
async function fail(code: SourceErrorCode = "SOURCE_STATUS", key = `f${ended.length}`): Promise<void> {
  await fetch(key);
  source.last.fail(new SourceError(code, "as the test wants it"));
  await settled();
}

describe("the circuit breaker of a source", () => {
  it("opens after the configured number of failures in a row, and no more fetches start", async () => {
    for (let i = 0; i < 3; i++) await fail();
    await fetch();
    expect(ended.at(-1)).toBe("SOURCE_LEFT_ALONE");
    expect(source.fetches).toHaveLength(3);
    expect([limiter.breakerState, limiter.breakerOpened, limiter.hasRoomForRefresh]).toEqual(["open", 1, false]);
  });

  it("does not open if a success comes in between", async () => {
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

  it("counts a timeout as a failure", async () => {
    await fetch("a");
    await fetch("b");
    await fetch("c");
    clock.advance(5_000);
    await settled();
    expect(limiter.breakerState).toBe("open");
  });

  it("lets one probe through after a while, and stays open for longer if the probe fails", async () => {
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

  it("closes when a probe succeeds", async () => {
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

  it("lets the next fetch probe if a probe ended without an answer from the source", async () => {
    for (let i = 0; i < 3; i++) await fail();
    clock.advance(1_000);
    await fail("SOURCE_REFUSED");
    await fetch("next");
    expect(source.keys.at(-1)).toBe("next");
  });

  it("rejects waiting fetches when it opens", async () => {
    start({ concurrency: 1, breakerFailures: 1 });
    await fetch("a");
    await fetch("had its place already");
    await fetch("b");
    source.last.fail();
    await settled();
    expect(ended.sort()).toEqual(["SOURCE_FAILED", "SOURCE_LEFT_ALONE"]);
    expect(limiter.waiting).toBe(0);
  });

  it("never opens if the limit is 0", async () => {
    start({ breakerFailures: 0 });
    for (let i = 0; i < 100; i++) await fail();
    expect(limiter.breakerState).toBe("closed");
  });
});

describe("the circuit breaker of a source that fails for some keys only", () => {
  const bad = Array.from({ length: 40 }, (_, i) => `bad${i}`);

  async function succeed(key: string, priority: Priority = "fill"): Promise<void> {
    const before = source.fetches.length;
    await fetch(key, priority);
    if (source.fetches.length === before) return;
    source.last.answer("v");
    await settled();
  }

  it("does not open because of one key that fails repeatedly", async () => {
    for (let i = 0; i < 20; i++) await fail("SOURCE_STATUS", "bad");
    expect(limiter.breakerState).toBe("closed");
  });

  it("does not open while other keys succeed, however many keys fail in between", async () => {
    for (let i = 0; i < 10; i++) {
      await succeed("good");
      for (const key of bad) await fail("SOURCE_STATUS", `${key}.${i}`);
      clock.advance(500);
    }
    expect([limiter.breakerState, limiter.breakerOpened]).toEqual(["closed", 0]);
  });

  it("opens if no key has succeeded for a while", async () => {
    await succeed("good");
    for (let i = 0; i < 5; i++) await fail();
    expect(limiter.breakerState).toBe("closed");
    clock.advance(1_000);
    await fail("SOURCE_STATUS", "f1");
    expect(limiter.breakerState).toBe("open");
  });

  it("closes with the first key that succeeds, and the failed keys do not count again", async () => {
    for (const key of bad) await fail("SOURCE_STATUS", key);
    expect(limiter.breakerOpened).toBe(1);
    clock.advance(1_000);
    // Not a key that is known to fail: the good one would have to wait for the next pause.
    await fetch("bad0");
    expect([ended.at(-1), limiter.breakerState]).toEqual(["SOURCE_LEFT_ALONE", "half open"]);
    await succeed("good");
    expect(limiter.breakerState).toBe("closed");
    clock.advance(2_000);
    for (let i = 0; i < 3; i++) await fail("SOURCE_STATUS", `bad${i}`);
    expect([limiter.breakerState, limiter.breakerOpened]).toEqual(["closed", 1]);
  });

  it("probes with a key that failed if there is no other key", async () => {
    for (let i = 0; i < 3; i++) await fail("SOURCE_STATUS", `only${i}`);
    clock.advance(1_499);
    await fetch("only0");
    expect(ended.at(-1)).toBe("SOURCE_LEFT_ALONE");
    clock.advance(1);
    await succeed("only0");
    expect(limiter.breakerState).toBe("closed");
  });

  it("lets a refresh of a good key try while it is open, and closes if the refresh succeeds", async () => {
    for (const key of bad.slice(0, 3)) await fail("SOURCE_STATUS", key);
    expect(limiter.hasRoomForRefresh).toBe(false);
    clock.advance(250);
    expect(limiter.hasRoomForRefresh).toBe(true);
    await succeed("bad0", "refresh");
    await succeed("good");
    expect(limiter.breakerState).toBe("open");
    await succeed("good", "refresh");
    expect(limiter.breakerState).toBe("closed");
  });

  it("neither ends nor extends its pause when a refresh fails", async () => {
    for (const key of bad.slice(0, 3)) await fail("SOURCE_STATUS", key);
    clock.advance(250);
    await fetch("good1", "refresh");
    expect(limiter.hasRoomForRefresh).toBe(false);
    source.last.fail();
    await settled();
    expect([limiter.hasRoomForRefresh, limiter.breakerOpened]).toEqual([false, 1]);
    clock.advance(250);
    expect(limiter.hasRoomForRefresh).toBe(true);
    clock.advance(500);
    expect(limiter.breakerState).toBe("half open");
  });
});

describe("the rate limit of a source", () => {
  it("admits the configured number of fetches per second, and the others in turn", async () => {
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

  it("gives refreshes at most half of the rate, plus the part that fills leave", async () => {
    start({ ratePerSecond: 10, concurrency: 1_000, timeoutMs: 60_000 });
    for (let i = 0; i < 100; i++) await fetch(`r${i}`, "refresh");
    for (let i = 0; i < 20; i++) {
      clock.advance(100);
      await settled();
    }
    expect(source.fetches.length).toBeLessThanOrEqual(11);
    expect(source.fetches.length).toBeGreaterThanOrEqual(10);
  });

  it("continues after a pause without a large burst", async () => {
    start({ ratePerSecond: 100, concurrency: 1_000 });
    clock.advance(60_000);
    for (let i = 0; i < 50; i++) await fetch(`k${i}`);
    expect(source.fetches.length).toBeLessThanOrEqual(10);
  });
});

describe("a fetch that is retried", () => {
  beforeEach(() => start({ retries: 2, breakerFailures: 3 }));

  it("is answered if a retry succeeds, and does not count as a failure", async () => {
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

  it("is retried at most the configured number of times", async () => {
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

  it("is not retried after the timeout, nor if a retry cannot help", async () => {
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
