/** Many keys that are due at once, under a source's real bounds. */
import { expect, it } from "vitest";
import { SourceError } from "../../src/errors.ts";
import { newRuleCounters, newRuleTimings, type Rule, Rules } from "../../src/refresh/rules.ts";
import { Scheduler } from "../../src/refresh/scheduler.ts";
import { Limiter } from "../../src/sources/limiter.ts";
import type { Source } from "../../src/sources/source.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";
import { SlowPool } from "../support/fakes/slow-pool.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";
import { ruleDefaults } from "../support/rigs/test-rules.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

const TICK_MS = 100;
const KEYS = 200;
const RATE = 20;
const TTL_MS = 60_000;
const OUTAGE_MS = 70_000;
/** At half of the rate, and as long again as the outage lasted for those that had been asked for in it, and back off. */
const DRAINED_MS = (KEYS * 1000) / (RATE / 2) + OUTAGE_MS / 2;

it("after an outage, a backlog drains at the source's rate, and waiting refreshes do not count as failed", async () => {
  const clock = new ManualClock();
  let isDown = true;
  const callsAt: number[] = [];
  const source: Source = {
    name: "web",
    fetch: async () => {
      if (isDown) throw new SourceError("SOURCE_STATUS", "status 503");
      callsAt.push(clock.nowMs());
      return { type: "value", value: Buffer.from("new"), tag: null, freshness: null };
    },
    close: async () => {},
  };
  const limits = { ...looseLimits, concurrency: 64, queue: 1024, ratePerSecond: RATE, breakerFailures: 10 };
  const config = { ...ruleDefaults, ttlMs: TTL_MS, staleMs: 3_600_000, expiryMs: 3_600_000 };
  const limiter = new Limiter(source, limits, clock);
  const rule: Rule = { config, source: limiter, counters: newRuleCounters(), timings: newRuleTimings() };
  const pool = new SlowPool(clock);
  const log = { sourceFailed: () => {}, poolFailed: () => {} };
  const bounds = { maxTrackedKeys: KEYS, pickUpRate: 0 };
  const random = seededRandom(1);
  const scheduler = new Scheduler({ rules: new Rules([rule]), port: pool, clock, random, log, bounds });
  const keys = Array.from({ length: KEYS }, (_, i) => `k${i}`);
  for (const key of keys) {
    pool.set(key, "old", 3_700);
    const cas = BigInt(pool.store.peek(key)!.cas);
    scheduler.populated(key, rule, {
      cas,
      value: Buffer.from("old"),
      tag: null,
      ttlMs: TTL_MS,
      staleMs: config.staleMs,
    });
  }
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= TICK_MS) {
      clock.advance(TICK_MS);
      await settled();
    }
  };
  await pass(OUTAGE_MS);
  isDown = false;
  const failed = rule.counters.refreshFailed;
  await pass(DRAINED_MS);
  expect(keys.filter((key) => pool.value(key) !== "new")).toEqual([]);
  expect(rule.counters.refreshFailed).toBe(failed);
  expect(rule.counters.deferred).toBeGreaterThan(0);
  for (const at of callsAt) {
    // A burst may be a tenth of a second's worth.
    const inASecond = callsAt.filter((other) => other >= at && other < at + 1_000).length;
    expect(inASecond).toBeLessThanOrEqual(RATE / 2 + 2);
  }
});
