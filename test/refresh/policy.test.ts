import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  dueIn,
  exptimeOf,
  freshnessOf,
  freshnessOfFetched,
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
    isSourceTtl: fc.constant(false),
    minTtlMs: fc.constant(1_000),
    maxTtlMs: fc.constant(DAY_MS),
    staleMs: fc.constantFrom(0, 500, 600_000),
    expiryMs: fc.integer({ min: 1_000, max: 365 * DAY_MS }),
    refreshBeforeMs: fc.option(fc.integer({ min: 1, max: ttlMs - 1 })),
  }),
);

function times(ttlMs: number, changes: Partial<RuleTimes> = {}): RuleTimes {
  const bounds = { isSourceTtl: false, minTtlMs: 1_000, maxTtlMs: DAY_MS, staleMs: 0 };
  return { ttlMs, ...bounds, expiryMs: 600_000, refreshBeforeMs: null, ...changes };
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
  ])("is, for a ttl of %d ms, %d seconds", (ttlMs, exptime) => {
    expect(exptimeOf(ttlMs, times(ttlMs), NOW_SECONDS)).toBe(exptime);
  });

  it("is a unix time if it is over 30 days", () => {
    expect(exptimeOf(30 * DAY_MS, times(30 * DAY_MS), NOW_SECONDS)).toBe(NOW_SECONDS + 30 * 86_400 + 1);
  });

  it("includes the time for which a stale value is served", () => {
    expect(exptimeOf(60_000, times(60_000, { staleMs: 600_000 }), NOW_SECONDS)).toBe(661);
  });

  it("keeps an item for its ttl though memcached may drop it a second early, and at most two seconds longer", () => {
    fc.assert(
      fc.property(ttls, (ttlMs) => {
        const lifeMs = lifeSeconds(exptimeOf(ttlMs, times(ttlMs), NOW_SECONDS)) * 1000;
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
  ])("converts %d seconds under a ttl of a minute to %d ms", (ttlSeconds, freshnessMs) => {
    expect(freshnessOf(ttlSeconds, times(60_000))).toBe(freshnessMs);
  });

  it("excludes the time for which the value is stale", () => {
    const rule = times(60_000, { staleMs: 600_000 });
    expect([661, 631, 601, 300, 0].map((ttlSeconds) => freshnessOf(ttlSeconds, rule))).toEqual([
      60_000, 30_000, 0, 0, 0,
    ]);
  });

  it("is bounded by the maximum ttl if the source gives the ttl", () => {
    const rule = times(60_000, { isSourceTtl: true, maxTtlMs: 3_600_000 });
    expect(freshnessOf(1_801, rule)).toBe(1_800_000);
    expect(freshnessOf(100_000, rule)).toBe(3_600_000);
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

describe("the time at which a key falls due", () => {
  it.each([
    ["a tenth of its ttl before its end", 60_000, null, 6_000],
    ["at least a second before", 5_000, null, 1_000],
    ["at most half of its ttl before", 1_500, null, 750],
    ["as long before as the rule says", 60_000, 20_000, 20_000],
    ["as long before as the rule says, more than half of the ttl too", 60_000, 50_000, 50_000],
  ])("is %s", (_what, ttlMs, refreshBeforeMs, beforeMs) => {
    expect(refreshBeforeOf(ttlMs, times(ttlMs, { refreshBeforeMs }))).toBe(beforeMs);
    expect(dueIn(ttlMs, times(ttlMs, { refreshBeforeMs }), 0)).toBe(ttlMs - beforeMs);
  });

  it("is never late, and at most a tenth of the time early", () => {
    fc.assert(
      fc.property(anyTimes, randoms, fc.double({ min: 0, max: 1, noNaN: true }), (rule, random, share) => {
        const freshnessMs = rule.ttlMs * share;
        const latestMs = Math.max(0, freshnessMs - refreshBeforeOf(rule.ttlMs, rule));
        const ms = dueIn(freshnessMs, rule, random);
        expect(ms).toBeLessThanOrEqual(latestMs);
        expect(ms).toBeGreaterThanOrEqual(latestMs * 0.9);
      }),
    );
  });
});

describe("an item whose key is due", () => {
  it("is never mistaken for another process's refresh if this process stored it, whatever the jitter", () => {
    fc.assert(
      fc.property(anyTimes, randoms, (rule, random) => {
        // Read as soon as it is due, by a server whose seconds have just begun.
        const ageMs = dueIn(rule.ttlMs, rule, random);
        const ttlSeconds = lifeSeconds(exptimeOf(rule.ttlMs, rule, NOW_SECONDS)) - Math.floor(ageMs / 1000);
        expect(isRefreshedElsewhere(ttlSeconds, rule.ttlMs - ageMs, rule)).toBe(false);
      }),
    );
  });

  it("counts as refreshed by another process if it was refreshed a moment ago, except for short times", () => {
    fc.assert(
      fc.property(ttls, (ttlMs) => {
        fc.pre(ttlMs >= 8_000);
        const rule = times(ttlMs);
        const ttlSeconds = lifeSeconds(exptimeOf(ttlMs, rule, NOW_SECONDS)) - 1;
        expect(isRefreshedElsewhere(ttlSeconds, refreshBeforeOf(ttlMs, rule), rule)).toBe(true);
      }),
    );
  });

  it("counts as refreshed by another process as soon as a stale item is fresh again", () => {
    const rule = times(60_000, { staleMs: 600_000 });
    expect(isRefreshedElsewhere(300, -300_000, rule)).toBe(false);
    expect(isRefreshedElsewhere(660, -300_000, rule)).toBe(true);
  });

  it.each([null, -1, 62, 86_400])("with a TTL of %s under a ttl of a minute is from a client", (ttlSeconds) => {
    expect(isRefreshedElsewhere(ttlSeconds, 6_000, times(60_000))).toBe(false);
  });
});

describe("the freshness that a source reports", () => {
  const rule = times(60_000, { isSourceTtl: true, minTtlMs: 5_000, maxTtlMs: 3_600_000, staleMs: 600_000 });

  it.each([
    ["nothing", null, 60_000, 600_000],
    ["something between the bounds", { ttlMs: 120_000, staleMs: null }, 120_000, 600_000],
    ["too little", { ttlMs: 0, staleMs: null }, 5_000, 600_000],
    ["too much", { ttlMs: 1e9, staleMs: 1e9 }, 3_600_000, 600_000],
    ["that it may be stale for less", { ttlMs: 10_000, staleMs: 30_000 }, 10_000, 30_000],
  ])("is bounded by the rule: %s", (_what, said, ttlMs, staleMs) => {
    expect(freshnessOfFetched(said, rule)).toEqual({ ttlMs, staleMs });
  });

  it("applies only if the rule enables it", () => {
    expect(freshnessOfFetched({ ttlMs: 5_000, staleMs: 0 }, { ...rule, isSourceTtl: false })).toEqual({
      ttlMs: 60_000,
      staleMs: 600_000,
    });
  });

  it("makes a key fall due at the latest after half of the remaining time", () => {
    expect(dueIn(10_000, { ...rule, refreshBeforeMs: 50_000 }, 0)).toBe(5_000);
  });
});

describe("the backoff", () => {
  it("doubles from one second to one minute, with a quarter of jitter", () => {
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
