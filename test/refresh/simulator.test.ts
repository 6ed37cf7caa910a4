/** Traces so small that what comes of them can be counted by hand. Jitter is left out: random numbers are 0, but for those of who asks. */
import { describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { SourceConfig } from "../../src/config/source-types.ts";
import { ItemStore } from "../../src/proxy/store/item-store.ts";
import { EmbeddedPoolPort } from "../../src/refresh/pool/embedded-pool-port.ts";
import { type SimulatedGet, type Simulation, simulate } from "../../src/refresh/simulator.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";
import { ruleDefaults } from "../support/rigs/test-rules.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

interface Changes extends Partial<Omit<Simulation, "rule" | "source" | "gets">> {
  rule?: Partial<RuleConfig>;
  source?: Partial<SourceConfig>;
}

/** ttl 10 s and due after 9 s, a source that takes 100 ms, one process. Gets: key and seconds. */
function run(gets: readonly [key: string, seconds: number][], { rule, source, ...changes }: Changes = {}) {
  return simulate({
    rule: { ...ruleDefaults, match: "k.*", ttlMs: 10_000, ...rule },
    source: { type: "echo", name: "simulated", template: "", ...looseLimits, ...source } as SourceConfig,
    gets: gets.map(([key, seconds]): SimulatedGet => ({ atMs: seconds * 1_000, key, bytes: Buffer.from(key) })),
    processes: 1,
    batching: null,
    latencyMs: 100,
    capacity: Number.POSITIVE_INFINITY,
    failureShare: 0,
    isRefreshing: true,
    bounds: { maxTrackedKeys: 1_000, pickUpRate: 1_000 },
    random: () => 0,
    createPool(unixSeconds) {
      const store = new ItemStore(1 << 20, 1 << 20, unixSeconds);
      const isShared = () => (changes.processes ?? 1) > 1;
      return {
        port: Object.assign(new EmbeddedPoolPort(store), { isShared }),
        get: (key) => store.peek(key)?.value ?? null,
        get byteLength() {
          return store.byteLength;
        },
      };
    },
    ...changes,
  });
}

/** A get of k every second from 0 to `last`. */
function everySecond(last: number): [string, number][] {
  return Array.from({ length: last + 1 }, (_, second) => ["k", second]);
}

/** A get of another key every second from 0 to `last`. */
function otherEverySecond(last: number): [string, number][] {
  return everySecond(last).map(([key, second]) => [`${key}${second}`, second]);
}

describe("a simulated key that is requested every second", () => {
  it("is missed after every 10 s plus one for memcached without refresh", async () => {
    const result = await run(everySecond(25), { isRefreshing: false });
    // Filled at 0, 11 and 22.
    expect(result).toMatchObject({ gets: 26, hits: 23, filled: 3, missed: 0, sourceCalls: 3, peakTracked: 0 });
    expect([result.age.maxMs, result.wait.count, result.wait.maxMs, result.durationMs]).toEqual([
      10_000, 3, 100, 25_000,
    ]);
  });

  it("is missed once with refresh, with no more source requests; events after the trace are not counted", async () => {
    const result = await run(everySecond(25));
    // Fetched at 0, refreshed some 9 s after each store: at 9 and at 18. The next one would be at 27.
    expect(result).toMatchObject({ gets: 26, hits: 25, filled: 1, missed: 0, sourceCalls: 3, peakTracked: 1 });
    expect([result.age.maxMs, result.wait.count]).toEqual([9_000, 1]);
  });

  it("is not refreshed for longer than expiry after its last get", async () => {
    const gets: [string, number][] = [
      ["k", 0],
      ["k2", 60],
    ];
    expect(await run(gets, { rule: { expiryMs: 20_000 } })).toMatchObject({ filled: 2, sourceCalls: 1 + 2 + 1 });
    expect(await run(gets, { rule: { expiryMs: 5_000 } })).toMatchObject({ filled: 2, sourceCalls: 1 + 1 });
  });
});

describe("a simulated fleet", () => {
  const atOnce = Array.from({ length: 20 }, (_, i): [string, number] => ["k", i / 1_000]);

  it("fetches a key once for all its processes", async () => {
    const result = await run(atOnce, { processes: 2, random: seededRandom(1) });
    expect(result).toMatchObject({ gets: 20, hits: 0, filled: 20, missed: 0, sourceCalls: 1, peakConcurrency: 1 });
  });

  it("fetches a key once in each process without leases", async () => {
    const result = await run(atOnce, { processes: 2, random: seededRandom(1), rule: { lease: "process" } });
    expect(result).toMatchObject({ filled: 20, missed: 0, sourceCalls: 2, peakConcurrency: 2 });
  });
});

describe("a simulated source with batches", () => {
  const batching = { maxKeys: 50, waitMs: 1, refreshWaitMs: 500 };
  const source = { concurrency: 64, queue: 1_000 };
  /** Gets of 1,000 keys at once, every five seconds. */
  const gets = Array.from({ length: 8 }, (_, turn) =>
    Array.from({ length: 1_000 }, (_, i): [string, number] => [`k${i}`, turn * 5]),
  ).flat();

  it("is asked in calls of many keys, for misses and for refreshes", async () => {
    const rule = { fillTimeoutMs: 5_000 };
    const alone = await run(gets, { source, rule });
    const together = await run(gets, { source, rule, batching });
    expect(alone.sourceKeys).toBe(alone.sourceCalls);
    expect(together).toMatchObject({ gets: 8_000, filled: 1_000, hits: 7_000, missed: 0 });
    expect(together.sourceKeys).toBe(alone.sourceKeys);
    expect(together.sourceCalls).toBeLessThanOrEqual(alone.sourceCalls / 40);
  });

  it("fails for all keys of a call together", async () => {
    const result = await run(gets.slice(0, 1_000), { source, batching, failureShare: 1 });
    expect(result).toMatchObject({ filled: 0, missed: 1_000, sourceCalls: 60 });
  });
});

describe("a simulated source that handles few calls at once", () => {
  it('becomes slower under more calls, and concurrency = "auto" finds what it takes', async () => {
    const random = seededRandom(1);
    // 200 gets a second of other keys; the source could serve 100.
    const gets = Array.from({ length: 12_000 }, (_, i): [string, number] => [`k${i}`, i / 200]);
    const options = { capacity: 10, latencyMs: 100, isRefreshing: false, random, rule: { fillTimeoutMs: 10_000 } };
    const fixed = await run(gets, { ...options, source: { concurrency: 400, timeoutMs: 2_000 } });
    const auto = await run(gets, { ...options, source: { concurrency: "auto", timeoutMs: 2_000 } });
    expect(auto.filled).toBeGreaterThan(fixed.filled * 2);
    expect(auto.peakConcurrency).toBeLessThan(fixed.peakConcurrency / 4);
  });
});

describe("a simulated source", () => {
  it("causes misses if it fails, and is asked for each key", async () => {
    const result = await run(otherEverySecond(4), { failureShare: 1 });
    expect(result).toMatchObject({ hits: 0, filled: 0, missed: 5, sourceCalls: 5, sourceFailures: 5 });
  });

  it("is asked less and less often for one key that fails", async () => {
    const result = await run(everySecond(7), { failureShare: 1 });
    expect(result).toMatchObject({ missed: 8, sourceCalls: 3 });
  });

  it("is protected by the server's circuit breaker if it fails", async () => {
    const source = { breakerFailures: 2, breakerMs: 60_000 };
    expect(await run(otherEverySecond(9), { failureShare: 1, source })).toMatchObject({ missed: 10, sourceCalls: 2 });
  });

  it("causes a miss if it is slower than fill_timeout, and still fills", async () => {
    const result = await run(
      [
        ["k", 0],
        ["k", 2],
      ],
      { latencyMs: 1_000 },
    );
    expect(result).toMatchObject({ hits: 1, filled: 0, missed: 1, sourceCalls: 1 });
    expect([result.wait.maxMs, result.age.maxMs]).toEqual([400, 2_000]);
  });

  it("has at most the configured number of fetches in flight, and none for keys that the rule does not match", async () => {
    const gets = ["k1", "k2", "k3", "k4", "k5", "other"].map((key): [string, number] => [key, 0]);
    const result = await run(gets);
    expect(result).toMatchObject({ filled: 5, missed: 1, sourceCalls: 5, peakConcurrency: 4, callsBySecond: [5] });
  });
});
