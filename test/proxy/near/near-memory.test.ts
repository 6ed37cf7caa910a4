/** What stays in the memory of a near route: the hottest keys, over gets of many keys and reloads. */
import { beforeEach, describe, expect, it } from "vitest";
import type { NearCache } from "../../../src/proxy/near/near-cache.ts";
import { failures } from "../../../src/proxy/reply.ts";
import { Operation } from "../../../src/proxy/request.ts";
import type { DelayedPool } from "../../support/fakes/delayed-pool.ts";
import type { ManualClock } from "../../support/fakes/manual-clock.ts";
import { NearRig } from "../../support/rigs/near-rig.ts";

const MIB = 1024 * 1024;

let rig: NearRig;
let clock: ManualClock;
let pool: DelayedPool;
let cache: NearCache;

beforeEach(() => {
  rig = new NearRig();
  ({ clock, pool, cache } = rig);
});

const use = (settings: Parameters<NearRig["use"]>[0]) => rig.use(settings);
const begin = (frame: string | Buffer) => rig.begin(frame);
const ask = (frame: string | Buffer) => rig.ask(frame);
const set = (key: string, value: string, flags?: number) => rig.set(key, value, flags);
const askedOfPool = (run: () => unknown) => rig.askedOfPool(run);
const heat = (...keys: string[]) => rig.heat(...keys);
const heatMeta = (key: string) => rig.heatMeta(key);

describe("a get of many keys", () => {
  beforeEach(() => {
    for (const key of ["a", "b", "c", "d"]) set(key, `value of ${key}`);
    heat("a", "c");
  });

  it("is answered from memory if all of its keys are there", () => {
    const answer = "VALUE c 0 10\r\nvalue of c\r\nVALUE a 0 10\r\nvalue of a\r\nVALUE a 0 10\r\nvalue of a\r\nEND\r\n";
    expect(askedOfPool(() => expect(ask("get c a a\r\n")).toBe(answer))).toBe(0);
  });

  it("asks the pool only for the other keys, and is answered in the order of its keys", () => {
    const answer = ["a", "b", "c", "d"].map((key) => `VALUE ${key} 0 10\r\nvalue of ${key}\r\n`).join("");
    expect(ask("get a b missing c d\r\n")).toBe(`${answer}END\r\n`);
    expect(pool.asked.at(-1)).toBe(`${Operation.get} b missing d`);
  });

  it("has the values from memory if the pool fails", () => {
    pool.isDelaying = true;
    const sent = begin("get a b c\r\n");
    pool.fail(0, failures.timeout);
    expect(sent.answers.map(({ text }) => text)).toEqual([
      "VALUE a 0 10\r\nvalue of a\r\nVALUE c 0 10\r\nvalue of c\r\nEND\r\n",
    ]);
  });

  it("stores the values of its hot keys, the same key twice", () => {
    cache.flushed();
    ask("get b a a d\r\n");
    expect(askedOfPool(() => expect(ask("get a\r\n")).toBe("VALUE a 0 10\r\nvalue of a\r\nEND\r\n"))).toBe(0);
    expect(askedOfPool(() => ask("get c\r\n"))).toBe(1);
  });

  it("makes keys hot", () => {
    for (let i = 0; i < 10; i++) ask("get b d\r\n");
    expect(askedOfPool(() => ask("get d b\r\n"))).toBe(0);
  });
});

describe("the memory of hot keys", () => {
  it("stays below near_size, and keeps the keys that are asked for most", () => {
    const names = Array.from({ length: 100 }, (_, i) => `key${i}`);
    for (const name of names) set(name, name.padEnd(20_000, "."));
    for (let round = 0; round < 3; round++) {
      for (const [i, name] of names.entries()) for (let gets = 0; gets < 10 + 2 * i; gets++) ask(`get ${name}\r\n`);
      expect(cache.byteLength).toBeLessThanOrEqual(MIB);
    }
    expect(cache.byteLength).toBeGreaterThan(MIB / 2);
    expect(cache.counters.evicted).toBeGreaterThan(0);
    expect(askedOfPool(() => ask("get key99\r\n"))).toBe(0);
    expect(askedOfPool(() => ask("get key0\r\n"))).toBe(1);
  });

  it("has no value that is larger than a sixteenth of it", () => {
    set("k", "x".repeat(MIB / 16 + 1));
    heat("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
  });

  it("is released when memory is short, and not used again for a second", () => {
    set("k", "x".repeat(10_000));
    heat("k");
    expect(cache.shed(clock.nowMs())).toBeGreaterThan(10_000);
    ask("get k\r\n");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
    clock.advance(1_000);
    heat("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(0);
  });

  it("is all accounted for when no key is hot any more", () => {
    for (let i = 0; i < 3_000; i++) {
      set(`key${i}`, "x".repeat(i % 500));
      if (i % 2 === 0) heat(`key${i}`);
      else heatMeta(`key${i}`);
      if (i % 7 === 0) ask(`delete key${i}\r\n`);
    }
    expect(cache.size).toBeGreaterThan(1_000);
    cache.configure(null);
    expect([cache.size, cache.byteLength]).toEqual([0, 0]);
  });
});

describe("a reload", () => {
  it("empties the memory until the requests in flight of the old routes have been answered", () => {
    set("k", "old");
    heat("k");
    cache.hold();
    use({});
    heat("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
    cache.release();
    heat("k");
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(0);
  });

  it("keeps a get of the old routes from storing its reply", () => {
    set("k", "old");
    heat("k");
    cache.flushed();
    pool.isDelaying = true;
    begin("get k\r\n");
    pool.carryOut(0);
    cache.hold();
    use({});
    cache.release();
    pool.isDelaying = false;
    heat("k");
    cache.flushed();
    pool.answer(0);
    expect(askedOfPool(() => ask("get k\r\n"))).toBe(1);
  });
});
