import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { type PlatypusError, SourceError } from "../../src/errors.ts";
import type { Filler } from "../../src/refresh/filler.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { RefreshRig } from "../support/rigs/refresh-rig.ts";

let rig: RefreshRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let rules: Rules;
let filler: Filler;

beforeEach(() => start());

function start(config: Partial<RuleConfig> = {}, random = () => 0): void {
  rig = new RefreshRig({ rules: [config], pickUpRate: 0, random });
  ({ clock, source, pool, rules, filler } = rig);
}

/** A client's miss of `key`. True if it started a fetch. */
function miss(key = "k"): boolean {
  const before = source.fetches.length;
  filler.fill(key, new RecordingWaiter());
  return source.fetches.length > before;
}

async function fail(error?: PlatypusError): Promise<void> {
  source.last.fail(error);
  await settled();
}

/** Time until a miss of the key starts a fetch again (ms). */
function pauseMs(): number {
  let ms = 0;
  for (; !miss(); ms += 100) clock.advance(100);
  return ms;
}

describe("a key whose fetch failed", () => {
  it("is fetched once per failure_ttl, however many clients ask for it", async () => {
    start({ failureTtlMs: 1_000, negativeTtlMs: 0 });
    let fetches = 0;
    for (let i = 0; i < 100; i++) {
      if (miss()) {
        fetches++;
        await fail(new SourceError("SOURCE_TOO_LARGE", "the body has more than 1048576 bytes"));
      }
      clock.advance(99);
    }
    // 9.9 s, and a gap of 11 × 99 ms from one fetch to the next.
    expect(fetches).toBe(10);
    expect(rules.list[0]!.counters).toMatchObject({ fills: 10, failed: 10, leftAlone: 90 });
  });

  it("is left alone for twice as long after each further failure, up to 8 × negative_ttl", async () => {
    start({ failureTtlMs: 500, negativeTtlMs: 1_000 });
    const pauses: number[] = [];
    miss();
    for (let i = 0; i < 6; i++) {
      await fail();
      pauses.push(pauseMs());
    }
    expect(pauses).toEqual([500, 1_000, 2_000, 4_000, 8_000, 8_000]);
  });

  it("is left alone for up to a tenth longer, by chance", async () => {
    start({ failureTtlMs: 10_000 }, () => 0.5);
    miss();
    await fail();
    expect(pauseMs()).toBe(10_500);
  });

  it("is a miss also while the pool cannot answer", async () => {
    miss();
    await fail();
    const waiter = new RecordingWaiter();
    expect(filler.fill("k", waiter, true)).toBe(true);
    expect(waiter.told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
  });

  it("does not affect other keys", async () => {
    miss();
    await fail();
    expect(miss("other")).toBe(true);
  });

  it("is fetched at once with failure_ttl 0", async () => {
    start({ failureTtlMs: 0 });
    miss();
    await fail();
    expect(miss()).toBe(true);
  });

  it("starts again with failure_ttl after a success", async () => {
    miss();
    await fail();
    clock.advance(1_000);
    miss();
    source.last.answer("v");
    await settled();
    pool.store.delete("k");
    miss();
    await fail();
    expect(pauseMs()).toBe(1_000);
  });

  it.each([
    ["a client's write to the key", () => filler.beforeWrite("k")],
    ["a flush", () => filler.beforeFlush()],
    ["a new configuration", () => filler.replace(rules, pool, 1 << 20)],
    ["a change that its source announces", () => filler.changed("k")],
  ])("is fetched again after %s", async (_what, forget) => {
    miss();
    await fail();
    expect(miss()).toBe(false);
    forget();
    expect(miss()).toBe(true);
  });

  it.each(["SOURCE_OVERLOADED", "SOURCE_LEFT_ALONE"] as const)(
    "is not left alone if the source was not asked (%s)",
    async (code) => {
      miss();
      await fail(new SourceError(code, "no place"));
      expect(miss()).toBe(true);
    },
  );

  it("is left alone too if a refresh failed just before its item was gone", async () => {
    start({ ttlMs: 2_000, failureTtlMs: 5_000 });
    miss();
    source.last.answer("v");
    await settled();
    for (let i = 0; i < 10; i++) {
      clock.advance(100);
      await settled();
    }
    expect(source.fetches).toHaveLength(2);
    await fail();
    pool.store.delete("k");
    expect(miss()).toBe(false);
  });
});
