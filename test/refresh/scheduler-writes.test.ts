/** Writes of clients and of other processes while a key is refreshed. */
import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import type { Stored } from "../../src/refresh/populator.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { Scheduler } from "../../src/refresh/scheduler.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { ManualSource } from "../support/fakes/manual-source.ts";
import { settled } from "../support/fakes/settled.ts";
import { SlowPool } from "../support/fakes/slow-pool.ts";
import { testRules } from "../support/rigs/test-rules.ts";

let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let rules: Rules;
let random: () => number;
let logged: string[];
let scheduler: Scheduler;

/** ttl 10 s, due 1 s before its end; needed for 25 s. */
const shortRule: Partial<RuleConfig> = { ttlMs: 10_000, expiryMs: 25_000 };

beforeEach(() => start(shortRule));

function start(...configs: Partial<RuleConfig>[]): void {
  startWith({}, ...configs);
}

function startWith(options: { maxKeys?: number }, ...configs: Partial<RuleConfig>[]): void {
  clock = new ManualClock();
  source = new ManualSource();
  pool = new SlowPool(clock);
  random = () => 0;
  logged = [];
  rules = testRules(source, ...configs);
  scheduler = new Scheduler({
    rules,
    port: pool,
    clock,
    random: () => random(),
    log: {
      sourceFailed: (_rule, error) => logged.push(`source: ${(error as Error).message}`),
      poolFailed: (_rule, error) => logged.push(`pool: ${(error as Error).message}`),
    },
    bounds: { maxTrackedKeys: options.maxKeys ?? 1_000, pickUpRate: 1_000 },
  });
}

/** What a fill tells of the value that the pool has now. */
function storedNow(key = "k", value = "v0", tag: string | null = null): Stored {
  const { config } = rules.match(key)!.rule;
  const item = pool.store.peek(key);
  return { cas: BigInt(item?.cas ?? 1), value: Buffer.from(value), tag, ttlMs: config.ttlMs, staleMs: config.staleMs };
}

/** As after a fill: the value is in the pool, with the rule's exptime. */
function populate(key = "k", value = "v0"): void {
  const { rule } = rules.match(key)!;
  pool.set(key, value, Math.ceil(rule.config.ttlMs / 1000) + 1);
  scheduler.populated(key, rule, storedNow(key, value));
}

const pass = (ms: number) => clock.pass(ms);

function clientGets(key = "k"): void {
  const bytes = Buffer.from(`....${key}..`, "latin1");
  scheduler.got(bytes, 4, 4 + Buffer.byteLength(key, "latin1"), true);
}

function counters() {
  return rules.list[0]!.counters;
}

describe("another process", () => {
  it("is detected by the item's TTL after it refreshed the key, which saves a fetch", async () => {
    start({ ttlMs: 60_000 });
    populate();
    await pass(50_000);
    pool.set("k", "theirs", 61);
    await pass(5_000);
    expect(pool.calls).toEqual(["read k"]);
    expect(source.fetches).toHaveLength(0);
    // Its item had 57 s left, one of them slack: due 6 s before.
    await pass(48_500);
    expect(source.fetches).toHaveLength(0);
    await pass(2_000);
    expect(source.fetches).toHaveLength(1);
  });

  it("has its refresh kept if it refreshes while this process fetches", async () => {
    populate();
    await pass(9_100);
    pool.set("k", "theirs", 11);
    source.last.answer("ours");
    await settled();
    expect(pool.value("k")).toBe("theirs");
    expect(counters().refreshed).toBe(0);
    expect(scheduler.tracked).toBe(1);
  });
});

describe("a client's write", () => {
  it("keeps its value, if it arrives during the refresh, until the key is due again", async () => {
    populate();
    await pass(9_100);
    pool.set("k", "client", 3_600);
    source.last.answer("v1");
    await settled();
    expect(pool.value("k")).toBe("client");
    await pass(8_800);
    expect(pool.value("k")).toBe("client");
    await pass(400);
    source.last.answer("v2");
    await settled();
    expect(pool.value("k")).toBe("v2");
    expect(pool.ttl("k")).toBe(11);
  });

  it.each([
    ["without an end", 0],
    ["for an hour", 3_600],
  ])("is replaced by the next refresh if its TTL is %s", async (_what, exptime) => {
    populate();
    await pass(5_000);
    pool.set("k", "client", exptime);
    await pass(4_100);
    expect(source.fetches).toHaveLength(1);
    source.last.answer("v1");
    await settled();
    expect(pool.value("k")).toBe("v1");
    expect(pool.ttl("k")).toBe(11);
  });

  it("does not end refreshing if it changes only the exptime", async () => {
    populate();
    for (let i = 1; i <= 5; i++) {
      pool.store.touch("k", 0);
      clientGets();
      await pass(9_100);
      expect(source.fetches).toHaveLength(i);
      source.last.answer(`v${i}`);
      await settled();
      expect(pool.value("k")).toBe(`v${i}`);
    }
  });

  it("ends tracking if it deletes the item; the next get fills it", async () => {
    populate();
    await pass(5_000);
    pool.store.delete("k");
    await pass(4_100);
    expect(pool.calls).toEqual(["read k"]);
    expect(source.fetches).toHaveLength(0);
    expect(scheduler.tracked).toBe(0);
    expect(counters().dropped).toBe(1);
  });

  it("is not undone if it deletes the item during the refresh", async () => {
    populate();
    await pass(9_100);
    pool.store.delete("k");
    source.last.answer("v1");
    await settled();
    expect(pool.value("k")).toBeNull();
    expect(scheduler.tracked).toBe(0);
  });
});
