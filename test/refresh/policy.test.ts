import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  dueIn,
  exptimeOf,
  freshnessOf,
  isRefreshedElsewhere,
  type RuleTimes,
  refreshBeforeOf,
  retryIn,
} from "../../src/refresh/policy.ts";

const DAY_MS = 86_400_000;
const NOW_SECONDS = 1_700_000_000;

const randoms = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const ttls = fc.oneof(fc.integer({ min: 1_000, max: 120_000 }), fc.integer({ min: 1_000, max: 365 * DAY_MS }));
const anyTimes: fc.Arbitrary<RuleTimes> = ttls.chain((ttlMs) =>
  fc.record({
    ttlMs: fc.constant(ttlMs),
    expiryMs: fc.integer({ min: 1_000, max: 365 * DAY_MS }),
    refreshBeforeMs: fc.option(fc.integer({ min: 1, max: ttlMs - 1 })),
  }),
);

function times(ttlMs: number, refreshBeforeMs: number | null = null): RuleTimes {
  return { ttlMs, expiryMs: 600_000, refreshBeforeMs };
}

/** Seconds that memcached keeps an item stored with this exptime. */
function lifeSeconds(exptime: number): number {
  return exptime > 30 * 86_400 ? exptime - NOW_SECONDS : exptime;
}

describe("exptime", () => {
  it.each([
    [1_000, 2],
    [1_001, 3],
    [60_000, 61],
    [30 * DAY_MS - 1_000, 2_592_000],
  ])("of a ttl of %d ms is %d seconds", (ttlMs, exptime) => {
    expect(exptimeOf(ttlMs, NOW_SECONDS)).toBe(exptime);
  });

  it("over 30 days is a unix time", () => {
    expect(exptimeOf(30 * DAY_MS, NOW_SECONDS)).toBe(NOW_SECONDS + 30 * 86_400 + 1);
  });

  it("keeps an item for its ttl though memcached may drop it a second early, and no more than two seconds longer", () => {
    fc.assert(
      fc.property(ttls, (ttlMs) => {
        const lifeMs = lifeSeconds(exptimeOf(ttlMs, NOW_SECONDS)) * 1000;
        expect(lifeMs - 1_000).toBeGreaterThanOrEqual(ttlMs);
        expect(lifeMs - 2_000).toBeLessThan(ttlMs);
      }),
    );
  });
});

describe("freshness read from a TTL", () => {
  it.each([
    [61, 60_000],
    [31, 30_000],
    [1, 0],
    [0, 0],
    [-1, 60_000],
    [100_000, 60_000],
  ])("of %d seconds under a ttl of a minute is %d ms", (ttlSeconds, freshnessMs) => {
    expect(freshnessOf(ttlSeconds, times(60_000))).toBe(freshnessMs);
  });

  it("is never negative and never above the ttl", () => {
    fc.assert(
      fc.property(fc.integer(), anyTimes, (ttlSeconds, rule) => {
        const freshnessMs = freshnessOf(ttlSeconds, rule);
        expect(freshnessMs).toBeGreaterThanOrEqual(0);
        expect(freshnessMs).toBeLessThanOrEqual(rule.ttlMs);
      }),
    );
  });
});

describe("a key falls due", () => {
  it.each([
    ["a tenth of its ttl before its end", 60_000, null, 6_000],
    ["at least a second before", 5_000, null, 1_000],
    ["at most half of its ttl before", 1_500, null, 750],
    ["as long before as the rule says", 60_000, 20_000, 20_000],
    ["as long before as the rule says, more than half of the ttl too", 60_000, 50_000, 50_000],
  ])("%s", (_what, ttlMs, refreshBeforeMs, beforeMs) => {
    expect(refreshBeforeOf(times(ttlMs, refreshBeforeMs))).toBe(beforeMs);
    expect(dueIn(ttlMs, times(ttlMs, refreshBeforeMs), 0)).toBe(ttlMs - beforeMs);
  });

  it("never later than that, and at most a tenth of the time earlier", () => {
    fc.assert(
      fc.property(anyTimes, randoms, fc.double({ min: 0, max: 1, noNaN: true }), (rule, random, share) => {
        const freshnessMs = rule.ttlMs * share;
        const latestMs = Math.max(0, freshnessMs - refreshBeforeOf(rule));
        const ms = dueIn(freshnessMs, rule, random);
        expect(ms).toBeLessThanOrEqual(latestMs);
        expect(ms).toBeGreaterThanOrEqual(latestMs * 0.9);
      }),
    );
  });
});

describe("an item whose key is due", () => {
  it("is never taken for another process' refresh where it is this one's, whatever the jitter", () => {
    fc.assert(
      fc.property(anyTimes, randoms, (rule, random) => {
        // Read as soon as it is due, by a server whose seconds have just begun.
        const ageMs = dueIn(rule.ttlMs, rule, random);
        const ttlSeconds = lifeSeconds(exptimeOf(rule.ttlMs, NOW_SECONDS)) - Math.floor(ageMs / 1000);
        expect(isRefreshedElsewhere(ttlSeconds, rule)).toBe(false);
      }),
    );
  });

  it("is seen as refreshed elsewhere where that was a moment ago, for all but short times", () => {
    fc.assert(
      fc.property(ttls, (ttlMs) => {
        fc.pre(ttlMs >= 5_000);
        const ttlSeconds = lifeSeconds(exptimeOf(ttlMs, NOW_SECONDS)) - 1;
        expect(isRefreshedElsewhere(ttlSeconds, times(ttlMs))).toBe(true);
      }),
    );
  });

  it.each([-1, 62, 86_400])("with a TTL of %d under a ttl of a minute has it from a client", (ttlSeconds) => {
    expect(isRefreshedElsewhere(ttlSeconds, times(60_000))).toBe(false);
  });
});

describe("back-off", () => {
  it("doubles from a second up to a minute, a quarter more or less", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 255 }), randoms, (failures, random) => {
        const ms = retryIn(failures, random);
        const middleMs = Math.min(60_000, 1_000 * 2 ** (failures - 1));
        expect(ms).toBeGreaterThanOrEqual(middleMs * 0.75);
        expect(ms).toBeLessThanOrEqual(middleMs * 1.25);
      }),
    );
  });
});
