import { beforeEach, describe, expect, it } from "vitest";
import type { NearCache } from "../../../src/proxy/near/near-cache.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { ZipfSampler } from "../../../src/refresh/zipf.ts";
import type { DelayedPool } from "../../support/fakes/delayed-pool.ts";
import type { ManualClock } from "../../support/fakes/manual-clock.ts";
import { NEAR_MS, NearRig } from "../../support/rigs/near-rig.ts";
import { seededRandom } from "../../support/vectors/seeded-random.ts";

let rig: NearRig;
let clock: ManualClock;
let pool: DelayedPool;
let cache: NearCache;
let noted: string[];

beforeEach(() => {
  rig = new NearRig();
  ({ clock, pool, cache, noted } = rig);
});

const use = (settings: Parameters<NearRig["use"]>[0]) => rig.use(settings);
const begin = (frame: string | Buffer) => rig.begin(frame);
const ask = (frame: string | Buffer) => rig.ask(frame);
const set = (key: string, value: string, flags?: number) => rig.set(key, value, flags);
const askedOfPool = (run: () => unknown) => rig.askedOfPool(run);
const heat = (...keys: string[]) => rig.heat(...keys);
const heatMeta = (key: string) => rig.heatMeta(key);

describe("a hot key", () => {
  it("is answered from memory, in the words of its server", () => {
    set("k", "value", 7);
    heat("k");
    expect(askedOfPool(() => expect(ask("get k\r\n")).toBe("VALUE k 7 5\r\nvalue\r\nEND\r\n"))).toBe(0);
    expect(cache.counters.hits).toBeGreaterThan(0);
  });

  it("is asked for about three times a second or more", () => {
    set("hot", "1");
    set("cold", "2");
    for (let ms = 0; ms < 20_000; ms += 100) {
      clock.advance(100);
      if (ms % 200 === 0) ask("get hot\r\n");
      if (ms % 500 === 0) ask("get cold\r\n");
    }
    expect(cache.hottest(10).map(({ key }) => key)).toEqual(["hot"]);
  });

  it("is found among a hundred thousand keys with a Zipf distribution, and few others are", () => {
    const [keyCount, perSecond, seconds] = [100_000, 20_000, 6];
    const sampler = new ZipfSampler(keyCount, 1, seededRandom(1));
    const gets = new Float64Array(keyCount);
    for (let i = 0; i < perSecond * seconds; i++) {
      const n = sampler.next();
      if (i >= perSecond * 2) gets[n]!++;
      const key = Buffer.from(`key${n}`);
      cache.got(key, 0, key.length, (i / perSecond) * 1_000);
    }
    const found = new Set(cache.hottest(keyCount).map(({ key }) => Number(key.slice(3))));
    const rateOf = (n: number) => gets[n]! / (seconds - 2);
    const [often, rare] = [(n: number) => rateOf(n) >= 8, (n: number) => rateOf(n) <= 1];
    const all = [...gets.keys()];
    expect(all.filter((n) => often(n) && !found.has(n))).toEqual([]);
    expect([...found].filter(rare).length).toBeLessThan(found.size / 20);
    expect(all.filter(often).length).toBeGreaterThan(100);
  });

  it("is one get in 20,000 or more, among very many gets", () => {
    const got = (name: string, times: number) => {
      const key = Buffer.from(name);
      for (let i = 0; i < times; i++) cache.got(key, 0, key.length, clock.nowMs());
    };
    const hottest = () => cache.hottest(10).map(({ key }) => key);
    for (let second = 0; second < 4; second++) {
      clock.advance(1_000);
      got("most", 400_000);
      got("more", 40);
      got("some", 8);
    }
    expect(hottest()).toEqual(["most", "more"]);
    for (let second = 0; second < 20; second++) {
      clock.advance(1_000);
      got("more", 40);
      got("some", 8);
    }
    expect(hottest()).toEqual(["more", "some"]);
  });

  it("is not hot any more when clients ask for it less often", () => {
    set("k", "1");
    heat("k");
    expect(cache.size).toBe(1);
    clock.advance(60_000);
    ask("get other\r\n");
    expect(cache.size).toBe(0);
    expect(cache.byteLength).toBe(0);
  });

  it("is asked of the pool again before its time ends, by one get", () => {
    set("k", "old");
    heat("k");
    set("k", "new");
    clock.advance(NEAR_MS * 0.8);
    pool.isDelaying = true;
    const renewing = begin("get k\r\n");
    expect(ask("get k\r\n")).toContain("old");
    expect(pool.pending).toHaveLength(1);
    pool.answer(0);
    expect(renewing.answers[0]!.text).toContain("new");
    expect(ask("get k\r\n")).toContain("new");
  });

  it("is never answered with a value that was read longer ago than `near`", () => {
    set("k", "old");
    heat("k");
    set("k", "new");
    clock.advance(NEAR_MS * 0.8);
    pool.isDelaying = true;
    begin("get k\r\n");
    clock.advance(NEAR_MS * 0.2 - 1);
    expect(ask("get k\r\n")).toContain("old");
    clock.advance(1);
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("counts the age of a value from the time when its get was sent", () => {
    set("k", "old");
    pool.isDelaying = true;
    for (let i = 0; i < 10; i++) begin("get k\r\n");
    for (let i = 0; i < 10; i++) pool.carryOut(i);
    clock.advance(NEAR_MS);
    for (let i = 0; i < 10; i++) pool.answer(0);
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("costs its server at most two gets a second, whatever the load", () => {
    set("k", "1");
    heat("k");
    expect(
      askedOfPool(() => {
        for (let ms = 0; ms < 10_000; ms++) {
          clock.advance(1);
          ask("get k\r\n");
        }
      }),
    ).toBeLessThanOrEqual(20);
  });

  it("is renewed for its whole time if the pool has the same value", () => {
    set("k", "1");
    heat("k");
    clock.advance(NEAR_MS * 0.8);
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
    clock.advance(NEAR_MS * 0.7);
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(0);
    clock.advance(NEAR_MS * 0.3);
    pool.isDelaying = true;
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("has the client flags of the pool after a renewal", () => {
    set("k", "1", 1);
    heat("k");
    set("k", "1", 2);
    clock.advance(NEAR_MS * 0.8);
    ask("get k\r\n");
    expect(askedOfPool(() => expect(ask("get k\r\n")).toBe("VALUE k 2 1\r\n1\r\nEND\r\n"))).toBe(0);
  });

  it("stays answered from memory while a renewal fails, and is forgotten when the pool misses it", () => {
    set("k", "1");
    heat("k");
    clock.advance(NEAR_MS * 0.8);
    pool.isDelaying = true;
    begin("get k\r\n");
    pool.fail(0, failures.timeout);
    begin("get k\r\n");
    expect(ask("get k\r\n")).toContain("VALUE");
    pool.store.delete("k");
    pool.answer(0);
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("is reported to the refreshes although the routes below do not see its gets", () => {
    set("k", "1");
    heat("k");
    noted.length = 0;
    ask("get k\r\n");
    expect(noted).toEqual(["k"]);
    for (let i = 0; i < 1_000; i++) ask("get k\r\n");
    noted.length = 0;
    clock.advance(300);
    ask("get k\r\n");
    expect(noted).toEqual(["k"]);
  });

  it("without `near` is only counted", () => {
    use({ nearMsOf: () => 0 });
    set("k", "1");
    heat("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
    expect(cache.hottest(1)).toEqual([{ key: "k", gets: expect.any(Number), hits: 0 }]);
  });

  it("that is missing is asked of the pool each time", () => {
    heat("k");
    expect(askedOfPool(() => expect(ask("get k\r\n")).toBe("END\r\n"))).toBe(1);
  });
});

describe("a write through this process", () => {
  beforeEach(() => {
    set("k", "1");
    heatMeta("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(0);
  });

  it.each([
    "set k 0 0 1\r\n2\r\n",
    "set k 0 0 1 noreply\r\n2\r\n",
    "add k 0 0 1\r\n2\r\n",
    "replace k 0 0 1\r\n2\r\n",
    "append k 0 0 1\r\n2\r\n",
    "prepend k 0 0 1\r\n2\r\n",
    "cas k 0 0 1 1\r\n2\r\n",
    "incr k 1\r\n",
    "decr k 1\r\n",
    "delete k\r\n",
    "touch k 10\r\n",
    "gat 10 k\r\n",
    "gats 10 k\r\n",
    "gat 10 k other\r\n",
    "ms k 1\r\n2\r\n",
    "ms k 1 q\r\n2\r\n",
    "md k\r\n",
    "md k I T30\r\n",
    "ma k\r\n",
    "mg k v T10\r\n",
    "mg k N30 v\r\n",
    "mg k R30 v\r\n",
    "flush_all\r\n",
  ])("takes the value from memory when it is sent, and again when it is answered: %s", (frame) => {
    pool.isDelaying = true;
    begin(frame);
    // A get in between may read and store the old value.
    const early = begin("get k\r\n");
    expect(early.answers).toEqual([]);
    pool.answer(1);
    expect(early.answers[0]!.text).toContain("VALUE k 0 1\r\n1\r\n");
    expect(ask("get k\r\n")).toContain("VALUE k 0 1\r\n1\r\n");
    pool.answer(0);
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("keeps a get in flight from storing its reply", () => {
    cache.flushed();
    pool.isDelaying = true;
    begin("get k\r\n");
    pool.carryOut(0);
    begin("set k 0 0 1\r\n2\r\n");
    pool.answer(1);
    pool.answer(0);
    const after = begin("get k\r\n");
    expect(after.answers).toEqual([]);
    pool.answer(0);
    expect(after.answers[0]!.text).toContain("\r\n2\r\n");
  });

  it("keeps a get in flight from storing its reply while a later get may", () => {
    cache.flushed();
    pool.isDelaying = true;
    begin("get k\r\n");
    pool.carryOut(0);
    begin("set k 0 0 1\r\n2\r\n");
    pool.answer(1);
    const later = begin("get k\r\n");
    pool.answer(0);
    expect(begin("get k\r\n").answers).toEqual([]);
    pool.answer(0);
    expect(later.answers[0]!.text).toContain("\r\n2\r\n");
    expect(ask("get k\r\n")).toContain("\r\n2\r\n");
  });

  it("keeps a get of many keys in flight from storing its reply", () => {
    cache.flushed();
    pool.isDelaying = true;
    begin("get k other\r\n");
    pool.carryOut(0);
    begin("delete k\r\n");
    pool.answer(1);
    pool.answer(0);
    expect(begin("get k\r\n").answers).toEqual([]);
  });

  it("by a fill, a refresh or an operator takes the value from memory too", () => {
    cache.writtenText("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
  });

  it("leaves the values of other keys in memory", () => {
    set("other", "1");
    heat("other");
    ask("set k 0 0 1\r\n2\r\n");
    expect(askedOfPool(() => ask("get other\r\n"))).toBe(0);
  });
});

describe("an mg", () => {
  beforeEach(() => {
    set("k", "value", 7);
    heatMeta("k");
  });

  it.each([
    ["mg k v", "VA 5\r\nvalue\r\n"],
    ["mg k v f s k", "VA 5 f7 s5 kk\r\nvalue\r\n"],
    ["mg k s v q O9", "VA 5 s5 O9\r\nvalue\r\n"],
    ["mg k f", "HD f7\r\n"],
    ["mg  k  v ", "VA 5\r\nvalue\r\n"],
  ])("that asks for nothing else than the value is answered from memory: %s", (line, answer) => {
    expect(askedOfPool(() => expect([ask(`${line}\r\n`), ask(`${line}\r\n`)]).toEqual([answer, answer]))).toBe(0);
  });

  it.each([
    "mg k v c",
    "mg k v t",
    "mg k v h",
    "mg k v l",
    "mg aw== b v",
    "mg k v N30",
    "mg k v R30",
    "mg k T30 v",
    "me k",
  ])("that asks for more goes to the pool: %s", (line) => {
    expect(askedOfPool(() => ask(`${line}\r\n`))).toBe(1);
  });

  it("never repeats the opaque of another request", () => {
    expect(["O1", "O2", "O1", "O3"].map((opaque) => ask(`mg k v ${opaque}\r\n`))).toEqual(
      ["O1", "O2", "O1", "O3"].map((opaque) => `VA 5 ${opaque}\r\nvalue\r\n`),
    );
  });

  it("stores the value for a get if it asked for the client flags", () => {
    expect(askedOfPool(() => expect(ask("get k\r\n")).toBe("VALUE k 7 5\r\nvalue\r\nEND\r\n"))).toBe(0);
  });

  it("without the client flags stores no value for a get", () => {
    cache.flushed();
    ask("mg k v\r\n");
    expect(askedOfPool(() => ask("mg k v s\r\n"))).toBe(0);
    expect(askedOfPool(() => expect(ask("get k\r\n")).toBe("VALUE k 7 5\r\nvalue\r\nEND\r\n"))).toBe(1);
  });

  it("is not answered with the value of a get, which does not show that an item must be recached", () => {
    ask("md k I T30\r\n");
    ask("get k\r\n");
    expect(askedOfPool(() => expect(ask("get k\r\n")).toContain("value"))).toBe(0);
    expect(ask("mg k v\r\n")).toBe("VA 5 X W\r\nvalue\r\n");
    expect(ask("mg k v\r\n")).toBe("VA 5 Z X\r\nvalue\r\n");
    expect(askedOfPool(() => ask("mg k v\r\n"))).toBe(1);
  });

  it("of another value than that in memory takes it from memory", () => {
    set("k", "newer", 7);
    expect(ask("get k\r\n")).toContain("value");
    expect(ask("mg k v c\r\n")).toContain("newer");
    expect(ask("get k\r\n")).toContain("newer");
  });

  it("of the TTL leaves the value in memory", () => {
    ask("mg k t\r\n");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(0);
  });
});

describe("a read that only the pool can answer", () => {
  it.each(["gets k", "mg k v c", "mg k t"])("takes the value from memory if the pool misses it: %s", (line) => {
    set("k", "");
    heat("k");
    pool.store.delete("k");
    ask(`${line}\r\n`);
    expect(ask("get k\r\n")).toBe("END\r\n");
  });

  it("leaves the value in memory if the pool fails", () => {
    set("k", "1");
    heat("k");
    pool.isDelaying = true;
    begin("gets k\r\n");
    pool.fail(0, failures.timeout);
    expect(ask("get k\r\n")).toContain("VALUE");
  });

  it("is each get of a binary client: it has a cas", () => {
    set("k", "1");
    heatMeta("k");
    // get, with the key "k".
    const frame = Buffer.from("80000001000000000000000100000000000000000000000 06b".replace(" ", ""), "hex");
    expect(askedOfPool(() => begin(frame))).toBe(1);
  });
});
