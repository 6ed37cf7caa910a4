import { beforeEach, describe, expect, it } from "vitest";
import { SourceError, type SourceErrorCode } from "../../src/errors.ts";
import type { Priority } from "../../src/sources/fetch-queue.ts";
import { Limiter, type Limits } from "../../src/sources/limiter.ts";
import type { Batching, FetchContext, FetchResult, Source } from "../../src/sources/source.ts";
import { ManualClock } from "../support/fakes/manual-clock.ts";
import { settled } from "../support/fakes/settled.ts";
import { looseLimits } from "../support/rigs/source-limits.ts";

/** A call of the source: its keys, and how it ends. */
interface Call {
  readonly keys: string[];
  readonly requests: readonly FetchContext[];
  end(results?: readonly (FetchResult | Error)[]): void;
  fail(code?: SourceErrorCode, isTransient?: boolean): void;
}

let clock: ManualClock;
let calls: Call[];
let limiter: Limiter;
let ended: Map<string, string>;

beforeEach(() => start());

function start(limits: Partial<Limits> = {}, batching: Partial<Batching> = {}): void {
  clock = new ManualClock();
  calls = [];
  ended = new Map();
  const value = (key: string): FetchResult => {
    return { type: "value", value: Buffer.from(`value of ${key}`), tag: null, freshness: null };
  };
  const ask = (requests: readonly FetchContext[]) =>
    new Promise<readonly (FetchResult | Error)[]>((resolve, reject) => {
      const { signal } = requests[0]!;
      signal.addEventListener("abort", () => reject(signal.reason));
      calls.push({
        keys: requests.map(({ key }) => key),
        requests,
        end: (results = requests.map(({ key }) => value(key))) => resolve(results),
        fail: (code = "SOURCE_STATUS", isTransient = false) => reject(new SourceError(code, "failed", { isTransient })),
      });
    });
  const source: Source = {
    name: "shop",
    fetch: async (request) => {
      const [result] = await ask([request]);
      if (result instanceof Error) throw result;
      return result!;
    },
    batching: {
      maxKeys: 10,
      waitMs: 1,
      refreshWaitMs: 500,
      groupOf: ({ groups }) => groups.get("shop") ?? "",
      fetchMany: ask,
      describe: (requests) => [requests.map(({ key }) => key).join(",")],
      ...batching,
    },
    close: async () => {},
  };
  limiter = new Limiter(source, { ...looseLimits, ...limits }, clock);
}

function fetch(key: string, priority: Priority = "fill", shop = ""): void {
  limiter.fetch({ key, groups: new Map([["shop", shop]]), encoding: "utf8" }, priority, null).then(
    (result) => ended.set(key, result.type === "value" ? result.value.toString() : result.type),
    (error: unknown) => ended.set(key, error instanceof SourceError ? error.code : String(error)),
  );
}

function fetchAll(...keys: string[]): void {
  for (const key of keys) fetch(key);
}

async function pass(ms: number): Promise<void> {
  clock.advance(ms);
  await settled();
}

describe("fetches of a source with batches", () => {
  it("share one call if they come within the wait, and each gets its own result", async () => {
    fetchAll("a", "b");
    await settled();
    fetch("c");
    expect(calls).toHaveLength(0);
    await pass(1);
    expect(calls.map(({ keys }) => keys)).toEqual([["a", "b", "c"]]);
    const bad = new SourceError("SOURCE_REFUSED", "refused");
    calls[0]!.end([{ type: "notThere" }, bad, { type: "value", value: Buffer.from("C"), tag: null, freshness: null }]);
    await settled();
    expect(Object.fromEntries(ended)).toEqual({ a: "notThere", b: "SOURCE_REFUSED", c: "C" });
    expect(limiter.counters).toMatchObject({ fetches: 1, keys: 3, failed: 0 });
  });

  it("are a plain fetch if there is only one", async () => {
    fetch("a");
    await pass(1);
    expect(calls[0]!.requests[0]!.signal.aborted).toBe(false);
    calls[0]!.end();
    await settled();
    expect(ended.get("a")).toBe("value of a");
  });

  it("start at once when the batch is full", async () => {
    fetchAll(..."abcdefghijkl");
    await settled();
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["abcdefghij"]);
    await pass(1);
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["abcdefghij", "kl"]);
  });

  it("share a call only with keys of their group", async () => {
    fetch("a", "fill", "one");
    fetch("b", "fill", "two");
    fetch("c", "fill", "one");
    await pass(1);
    expect(calls.map(({ keys }) => keys)).toEqual([["a", "c"], ["b"]]);
  });

  it("of one turn share a call with a wait of 0", async () => {
    start({}, { waitMs: 0 });
    fetchAll("a", "b");
    await settled();
    await settled();
    fetch("c");
    await settled();
    await settled();
    expect(calls.map(({ keys }) => keys)).toEqual([["a", "b"], ["c"]]);
  });

  it("wait for fills that were admitted and have not come, for at most ten times the wait", async () => {
    for (let i = 0; i < 3; i++) limiter.admitFill(`k${i}`);
    fetch("k0");
    limiter.endAdmission();
    await pass(4);
    fetch("k1");
    limiter.endAdmission();
    await pass(5);
    expect(calls).toHaveLength(0);
    await pass(1);
    expect(calls.map(({ keys }) => keys)).toEqual([["k0", "k1"]]);
    fetch("k2");
    limiter.endAdmission();
    await pass(1);
    expect(calls[1]!.keys).toEqual(["k2"]);
  });

  it("never wait longer than a quarter of the timeout, apart from one wait", async () => {
    start({ timeoutMs: 1_000 }, { waitMs: 100 });
    limiter.admitFill("late");
    fetch("a");
    await pass(200);
    expect(calls).toHaveLength(0);
    await pass(100);
    expect(calls).toHaveLength(1);
  });

  it("wait again while keys still come, as of pipelined gets", async () => {
    fetch("a");
    for (const key of "bcde") {
      await pass(0.6);
      fetch(key);
    }
    expect(calls).toHaveLength(0);
    await pass(2);
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["abcde"]);
  });

  it("of refreshes wait longer and do not share a call with fills", async () => {
    fetch("r", "refresh");
    fetch("f");
    await pass(1);
    expect(calls.map(({ keys }) => keys)).toEqual([["f"]]);
    await pass(498);
    fetch("s", "refresh");
    await pass(1);
    expect(calls.map(({ keys }) => keys)).toEqual([["f"], ["r", "s"]]);
    expect(calls[1]!.requests[0]!.priority).toBe("refresh");
  });

  it("still join a batch that waits for its place", async () => {
    start({ concurrency: 1 });
    fetch("a");
    await pass(1);
    fetch("b");
    await pass(5);
    fetch("c");
    await pass(5);
    expect(calls.map(({ keys }) => keys)).toEqual([["a"]]);
    calls[0]!.end();
    await settled();
    expect(calls.map(({ keys }) => keys)).toEqual([["a"], ["b", "c"]]);
  });

  it("count once for the places and the rate", async () => {
    start({ concurrency: 1, ratePerSecond: 1, queue: 1 });
    for (let i = 0; i < 20; i++) expect(limiter.admitFill(`k${i}`)).toBeNull();
    expect(limiter.admitFill("k20")).toMatchObject({ code: "SOURCE_OVERLOADED" });
    for (let i = 0; i < 20; i++) limiter.endAdmission();
    fetchAll("a", "b", "c");
    await pass(1);
    expect(limiter.inFlight).toBe(1);
    calls[0]!.end();
    await settled();
    fetchAll("d", "e");
    await pass(998);
    expect(calls).toHaveLength(1);
    await pass(2);
    expect(calls.map(({ keys }) => keys)).toEqual([
      ["a", "b", "c"],
      ["d", "e"],
    ]);
  });

  it("are all refused if the batch finds no place", async () => {
    start({ concurrency: 1, queue: 0 });
    fetch("a");
    await pass(1);
    fetchAll("b", "c");
    await pass(1);
    expect(Object.fromEntries(ended)).toEqual({ b: "SOURCE_OVERLOADED", c: "SOURCE_OVERLOADED" });
  });
});

describe("a call for several keys that fails", () => {
  it("is repeated once in halves, so that one bad key does not fail all others", async () => {
    fetchAll("a", "b", "c", "d");
    await pass(1);
    calls[0]!.fail();
    await settled();
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["abcd", "ab"]);
    expect(limiter.inFlight).toBe(1);
    calls[1]!.end();
    await settled();
    expect(calls.map(({ keys }) => keys.join(""))).toEqual(["abcd", "ab", "cd"]);
    calls[2]!.fail("SOURCE_TOO_LARGE");
    await settled();
    expect(Object.fromEntries(ended)).toEqual({
      a: "value of a",
      b: "value of b",
      c: "SOURCE_TOO_LARGE",
      d: "SOURCE_TOO_LARGE",
    });
    expect(limiter.counters).toMatchObject({ fetches: 3, keys: 4, failed: 0 });
  });

  it.each<[SourceErrorCode, boolean]>([
    ["SOURCE_UNREACHABLE", false],
    ["SOURCE_STATUS", true],
  ])("is not repeated in halves if the source was not reached or is busy (%s)", async (code, isTransient) => {
    fetchAll("a", "b");
    await pass(1);
    calls[0]!.fail(code, isTransient);
    await settled();
    expect(calls).toHaveLength(1);
    expect(Object.fromEntries(ended)).toEqual({ a: code, b: code });
  });

  it("counts once for the circuit breaker", async () => {
    start({ breakerFailures: 3 });
    for (let i = 0; i < 3; i++) {
      expect(limiter.breakerState).toBe("closed");
      fetchAll(`a${i}`, `b${i}`);
      await pass(1);
      calls.at(-1)!.fail("SOURCE_UNREACHABLE");
      await settled();
    }
    expect(limiter.breakerState).toBe("open");
    fetchAll("x", "y");
    await pass(1);
    expect([ended.get("x"), ended.get("y"), calls.length]).toEqual(["SOURCE_LEFT_ALONE", "SOURCE_LEFT_ALONE", 3]);
  });
});

describe("the timeout of a key in a batch", () => {
  it("is its own; the call is aborted when no key waits for it", async () => {
    start({ concurrency: 1, timeoutMs: 1_000 });
    fetch("first");
    await pass(1);
    fetch("a");
    await pass(300);
    fetch("b");
    calls[0]!.end();
    await settled();
    expect(calls[1]!.keys).toEqual(["a", "b"]);
    await pass(700);
    expect([...ended.keys()]).toEqual(["first", "a"]);
    expect(calls[1]!.requests[0]!.signal.aborted).toBe(false);
    await pass(300);
    expect([ended.get("a"), ended.get("b")]).toEqual(["SOURCE_TIMEOUT", "SOURCE_TIMEOUT"]);
    expect(calls[1]!.requests[0]!.signal.aborted).toBe(true);
    expect(limiter.inFlight).toBe(0);
  });

  it("ends keys before their batch has a place, and the batch does not ask for them", async () => {
    start({ concurrency: 1, timeoutMs: 1_000 }, { waitMs: 400 });
    fetch("a");
    await pass(400);
    await pass(500);
    fetch("b");
    await pass(50);
    expect(calls).toHaveLength(1);
    await pass(950);
    expect([ended.get("a"), ended.get("b")]).toEqual(["SOURCE_TIMEOUT", "SOURCE_TIMEOUT"]);
    await pass(5_000);
    expect(clock.timerCount).toBe(0);
    expect(limiter.inFlight).toBe(0);
  });
});

describe("a source with batches that left the configuration", () => {
  it("closes after the keys that still wait", async () => {
    fetchAll("a", "b");
    const retired = limiter.retire().then(() => "closed");
    await pass(1);
    calls[0]!.end();
    expect(await retired).toBe("closed");
    expect(ended.get("b")).toBe("value of b");
  });
});
