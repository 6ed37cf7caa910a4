import { beforeEach, describe, expect, it } from "vitest";
import type { RuleConfig } from "../../src/config/config.ts";
import { SourceError } from "../../src/errors.ts";
import { Filler } from "../../src/refresh/filler.ts";
import type { Rules } from "../../src/refresh/rules.ts";
import { MAX_STARTS_PER_TURN } from "../../src/refresh/starts.ts";
import type { ManualClock } from "../support/fakes/manual-clock.ts";
import type { ManualSource } from "../support/fakes/manual-source.ts";
import { RecordingWaiter } from "../support/fakes/recording-waiter.ts";
import { settled } from "../support/fakes/settled.ts";
import type { SlowPool } from "../support/fakes/slow-pool.ts";
import { FillRig } from "../support/rigs/fill-rig.ts";

let rig: FillRig;
let clock: ManualClock;
let source: ManualSource;
let pool: SlowPool;
let populated: string[];
let logged: string[];
let rules: Rules;
let filler: Filler;

beforeEach(() => start({}));

function start(...configs: Partial<RuleConfig>[]): void {
  rig = new FillRig({ rules: configs });
  ({ clock, source, pool, populated, logged, rules, filler } = rig);
}

const get = (key?: string) => rig.get(key);
const write = (value: string | null, key?: string) => rig.write(value, key);
const counters = () => rig.counters;

describe("a miss", () => {
  it("is not filled if no rule covers its key", () => {
    start({ match: "covered/.*" });
    expect(get("other").told).toEqual(["not covered"]);
    expect(source.fetches).toHaveLength(0);
  });

  it("is answered with the source's value, which is already in the pool", async () => {
    const waiter = get();
    expect(filler.inFlight).toBe(1);
    source.last.answer("fresh");
    await settled();
    expect(waiter.told).toEqual(["value fresh"]);
    expect(pool.value("k")).toBe("fresh");
    expect(pool.ttl("k")).toBe(61);
    expect(populated).toEqual(["k"]);
    expect(filler.inFlight).toBe(0);
    expect(counters()).toMatchObject({ fills: 1, filled: 1, joined: 0 });
  });

  it("reports to each waiter the remaining time of its fill_timeout", async () => {
    start({ fillTimeoutMs: 400 });
    const first = get();
    clock.advance(150);
    const second = get();
    clock.advance(50);
    source.last.answer("fresh");
    await settled();
    expect([first.leftMs, second.leftMs]).toEqual([[200], [350]]);
  });

  it("reports the remaining time even if a client wrote during the fetch", async () => {
    start({ fillTimeoutMs: 400 });
    const waiter = get();
    clock.advance(150);
    pool.set("k", "written");
    source.last.answer("fresh");
    await settled();
    expect([waiter.told, waiter.leftMs]).toEqual([["ask again"], [250]]);
  });

  it("passes the captures of the rule to the source and asks as a fill", () => {
    start({ match: "user/(?P<id>\\d+)" });
    get("user/17");
    expect(source.last.priority).toBe("fill");
    expect(Object.fromEntries(source.last.captures.groups)).toEqual({ 1: "17", id: "17" });
  });

  it("is answered with an empty value if the source's value is empty", async () => {
    const waiter = get();
    source.last.answer("");
    await settled();
    expect(waiter.told).toEqual(["value "]);
    expect(pool.value("k")).toBe("");
  });

  it("is answered with the VALUE line of its key, including bytes above 0x7f", async () => {
    const key = Buffer.from("ключ").toString("latin1");
    let text = "";
    filler.fill(key, {
      filled: (reply) => {
        text = reply.chunk.toString("latin1", reply.start, reply.end);
      },
      askAgain: () => {},
    });
    source.last.answer("v");
    await settled();
    expect(text).toBe(`VALUE ${key} 0 1\r\nv\r\nEND\r\n`);
    expect(pool.value(key)).toBe("v");
  });

  it("shares one fetch with a thousand other misses", async () => {
    const waiters = Array.from({ length: 1_000 }, () => get());
    expect(source.fetches).toHaveLength(1);
    source.last.answer("one");
    await settled();
    expect(waiters.every(({ told }) => told.length === 1 && told[0] === "value one")).toBe(true);
    expect(counters()).toMatchObject({ fills: 1, joined: 999, filled: 1 });
    expect(pool.calls).toEqual(["add k"]);
  });

  it("is filled separately from a concurrent miss of another key", async () => {
    const [a, b] = [get("a"), get("b")];
    expect(source.keys).toEqual(["a", "b"]);
    source.fetches[1]!.answer("B");
    await settled();
    expect([a.told, b.told]).toEqual([[], ["value B"]]);
    source.fetches[0]!.answer("A");
    await settled();
    expect(a.told).toEqual(["value A"]);
  });

  it("joins a flight without a lease while its value is being stored: its get missed just before", async () => {
    pool.isHolding = true;
    const early = get();
    source.last.answer("first");
    await settled();
    const late = get();
    expect(source.fetches).toHaveLength(1);
    pool.release();
    await settled();
    expect([early.told, late.told]).toEqual([["value first"], ["value first"]]);
    expect(pool.value("k")).toBe("first");
    expect(counters()).toMatchObject({ fills: 1, joined: 1 });
  });

  it("does not join a flight whose value is being stored when a client has written meanwhile", async () => {
    pool.isHolding = true;
    const early = get();
    source.last.answer("first");
    await settled();
    write(null);
    const late = get();
    expect(source.fetches).toHaveLength(2);
    pool.release();
    await settled();
    source.last.answer("second");
    await settled();
    // The first get came before the write.
    expect([early.told, late.told]).toEqual([["value first"], ["value second"]]);
  });

  it("is counted and logged but not filled under a rule that only observes", () => {
    start({ mode: "observe" });
    expect(get().told).toEqual(["not covered"]);
    expect(source.fetches).toHaveLength(0);
    expect(counters().observed).toBe(1);
    expect(logged).toEqual(["observed rule k"]);
  });

  it("is filled under the next rule if a rule is off", () => {
    start({ name: "first", mode: "off" }, { name: "second" });
    get();
    expect(rules.list.map((rule) => rule.counters.fills)).toEqual([0, 1]);
  });
});

describe("a waiter", () => {
  it("gets a miss when fill_timeout expires, while the fetch continues and populates the pool", async () => {
    const waiter = get();
    clock.advance(399);
    expect(waiter.told).toEqual([]);
    clock.advance(1);
    expect(waiter.told).toEqual(["miss"]);
    source.last.answer("late");
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(pool.value("k")).toBe("late");
    expect(populated).toEqual(["k"]);
    expect(counters()).toMatchObject({ timedOut: 1, filled: 1 });
  });

  it("has a separate fill_timeout, however long other waiters have waited", () => {
    const first = get();
    clock.advance(300);
    const second = get();
    clock.advance(100);
    expect([first.told, second.told]).toEqual([["miss"], []]);
    clock.advance(299);
    expect(second.told).toEqual([]);
    clock.advance(1);
    expect(second.told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
  });

  it("joins a running fetch after all earlier waiters have timed out", async () => {
    get();
    clock.advance(1_000);
    const late = get();
    expect(source.fetches).toHaveLength(1);
    source.last.answer("v");
    await settled();
    expect(late.told).toEqual(["value v"]);
  });

  it("times out after fill_timeout even if the pool does not answer", async () => {
    pool.isHolding = true;
    const waiter = get();
    source.last.answer("v");
    await settled();
    expect(waiter.told).toEqual([]);
    clock.advance(400);
    expect(waiter.told).toEqual(["miss"]);
    pool.release();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
  });

  it("gets a miss at once with fill_timeout 0, while the fill continues in the background", async () => {
    start({ fillTimeoutMs: 0 });
    const waiter = get();
    expect(waiter.told).toEqual(["miss"]);
    expect(get().told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
    source.last.answer("v");
    await settled();
    expect(pool.value("k")).toBe("v");
    expect(waiter.told).toEqual(["miss"]);
  });

  it("opens another flight if it asks for the key again within its reply", async () => {
    start({ failureTtlMs: 0 });
    const inner = new RecordingWaiter();
    filler.fill("k", { filled: () => filler.fill("k", inner), askAgain: () => {} });
    source.last.fail();
    await settled();
    expect(source.fetches).toHaveLength(2);
    source.last.answer("v");
    await settled();
    expect(inner.told).toEqual(["value v"]);
  });
});

describe("a key that the source does not have", () => {
  it("is a miss and is remembered for negative_ttl", async () => {
    const waiter = get();
    source.last.notThere();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(pool.calls).toEqual([]);
    clock.advance(999);
    expect(get().told).toEqual(["miss"]);
    expect(source.fetches).toHaveLength(1);
    clock.advance(1);
    expect(get().told).toEqual([]);
    expect(source.fetches).toHaveLength(2);
    expect(counters()).toMatchObject({ notThere: 1, failed: 0 });
  });

  it("is requested again at once with negative_ttl 0", async () => {
    start({ negativeTtlMs: 0 });
    get();
    source.last.notThere();
    await settled();
    get();
    expect(source.fetches).toHaveLength(2);
  });

  it.each([
    ["a write to it", () => write("x")],
    ["a flush", () => filler.beforeFlush()],
    ["a new configuration", () => filler.replace(rules, pool, 1 << 20)],
  ])("is forgotten by %s", async (_what, forget) => {
    get();
    source.last.notThere();
    await settled();
    forget();
    get();
    expect(source.fetches).toHaveLength(2);
  });

  it("is not remembered if a client wrote the key during the fetch", async () => {
    get();
    write(null);
    source.last.notThere();
    await settled();
    source.last.notThere();
    await settled();
    // The second fetch began after the write and may be remembered.
    expect(source.fetches).toHaveLength(2);
    get();
    expect(source.fetches).toHaveLength(2);
  });
});

describe("a source that fails", () => {
  it("causes a miss for all waiters, and is asked again by a get after failure_ttl", async () => {
    const waiters = [get(), get()];
    source.last.fail(new SourceError("SOURCE_TIMEOUT", "slow"));
    await settled();
    expect(waiters.map(({ told }) => told)).toEqual([["miss"], ["miss"]]);
    expect(logged).toEqual(["source rule slow"]);
    expect(counters()).toMatchObject({ failed: 1 });
    clock.advance(1_000);
    get();
    expect(source.fetches).toHaveLength(2);
    expect(filler.inFlight).toBe(1);
  });

  it("causes a miss if it throws before it returns a promise", async () => {
    source.throwNext = new Error("thrown");
    const waiter = get();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(logged).toEqual(["source rule thrown"]);
    expect(filler.inFlight).toBe(0);
  });

  it("leaves nothing waiting if the log throws", async () => {
    filler = new Filler({
      rules,
      port: pool,
      clock,
      events: { populated: () => {}, got: () => {}, gotAll: () => {}, isTracked: () => false },
      log: {
        sourceFailed: (_rule, error) => {
          if ((error as Error).message !== "the log is full") throw new Error("the log is full");
        },
        poolFailed: () => {},
        observed: () => {},
      },
      holdBytes: 0,
    });
    const waiter = get();
    source.last.fail();
    await settled();
    expect(waiter.told).toEqual(["miss"]);
    expect(filler.inFlight).toBe(0);
  });
});

describe("a miss whose source accepts no more fills", () => {
  const refusal = new SourceError("SOURCE_OVERLOADED", "full");

  it("is answered before `fill` returns, without a request to the pool", () => {
    pool.isFleet = true;
    source.refusal = refusal;
    const waiters = Array.from({ length: 1_000 }, (_, i) => get(`k${i}`));
    expect(new Set(waiters.flatMap(({ told }) => told))).toEqual(new Set(["miss"]));
    expect([pool.calls, source.fetches, filler.inFlight, clock.timerCount]).toEqual([[], [], 0, 0]);
    expect(counters()).toMatchObject({ fills: 1_000, failed: 1_000 });
    expect(logged).toContain("source rule full");
  });

  it("still joins a running fetch of its key", async () => {
    const first = get();
    source.refusal = refusal;
    const second = get();
    source.last.answer("v");
    await settled();
    expect([first.told, second.told]).toEqual([["value v"], ["value v"]]);
  });

  it("frees its place when its fetch begins, is overtaken, or turns out to be unnecessary", async () => {
    get("a");
    expect(source.admitted).toBe(0);
    pool.isFleet = true;
    get("b");
    expect(source.admitted).toBe(1);
    await settled();
    expect(source.admitted).toBe(0);
    pool.set("c", "found");
    const waiter = get("c");
    expect(source.admitted).toBe(1);
    await settled();
    expect([waiter.told, source.admitted, source.keys]).toEqual([["value found"], 0, ["a", "b"]]);
  });

  it("is answered with a miss if a write overtook its first fetch", async () => {
    const waiter = get();
    write(null);
    source.refusal = refusal;
    source.last.answer("old");
    await settled();
    expect(waiter.told).toEqual(["miss"]);
  });
});

describe("many misses in one turn", () => {
  it("begin a few fills per turn, in order, and are all filled", async () => {
    const waiters = Array.from({ length: 100 }, (_, i) => get(`k${i}`));
    expect(source.fetches).toHaveLength(MAX_STARTS_PER_TURN);
    await settled();
    expect(source.fetches).toHaveLength(2 * MAX_STARTS_PER_TURN);
    while (source.fetches.length < 100) await settled();
    expect(source.keys).toEqual(Array.from({ length: 100 }, (_, i) => `k${i}`));
    for (const fetch of source.fetches) fetch.answer("v");
    await settled();
    expect(waiters.every(({ told }) => told[0] === "value v")).toBe(true);
  });

  it("count a fill that has not begun as in flight, and keep its clients when a client writes", async () => {
    for (let i = 0; i < MAX_STARTS_PER_TURN; i++) get(`k${i}`);
    const waiter = get("late");
    expect(filler.inFlight).toBe(MAX_STARTS_PER_TURN + 1);
    write(null, "late");
    await settled();
    source.last.answer("new");
    await settled();
    expect([waiter.told, source.fetches.length]).toEqual([["value new"], MAX_STARTS_PER_TURN + 1]);
  });

  it("do not overwrite a client's write during the fetch, even if another write came before it", async () => {
    for (let i = 0; i < MAX_STARTS_PER_TURN; i++) get(`k${i}`);
    get("late");
    write(null, "late");
    await settled();
    write(null, "late");
    source.last.answer("old");
    await settled();
    expect(pool.value("late")).toBeNull();
  });

  it("do not store a value fetched before a flush, even if another flush came before the fetch", async () => {
    for (let i = 0; i < MAX_STARTS_PER_TURN; i++) get(`k${i}`);
    get("late");
    filler.beforeFlush();
    await settled();
    filler.beforeFlush();
    source.last.answer("old");
    await settled();
    expect(pool.value("late")).toBeNull();
  });
});
