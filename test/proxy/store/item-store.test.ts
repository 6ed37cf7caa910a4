import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { ItemStore, type StoreVerb } from "../../../src/proxy/store/item-store.ts";

const START_SECONDS = 1_700_000_000;
const MONTH_SECONDS = 30 * 86_400;

let nowSeconds: number;
beforeEach(() => {
  nowSeconds = START_SECONDS;
});

function storeOf(maxBytes = 1 << 20, maxItemBytes = 1 << 20): ItemStore {
  return new ItemStore(maxBytes, maxItemBytes, () => nowSeconds);
}

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

function textOf(store: ItemStore, key: string): string | null {
  return store.get(key)?.value.toString("latin1") ?? null;
}

/** What a Map would do. */
interface ModelItem {
  value: string;
  flags: number;
  expiresAt: number;
  cas: number;
}

const keys = fc.constantFrom("a", "b", "c");
const exptimes = fc.oneof(
  fc.constantFrom(0, -1, 1, 2, 10, MONTH_SECONDS, MONTH_SECONDS + 1, START_SECONDS - 5, START_SECONDS + 5),
);
const values = fc.constantFrom("", "x", "12", "99", "-5", "18446744073709551615", "007");
const verbs = fc.constantFrom("set", "add", "replace", "append", "prepend");
const steps = fc.oneof(
  fc.record({ type: fc.constant("store" as const), verb: verbs, key: keys, value: values, exptime: exptimes }),
  fc.record({ type: fc.constant("cas" as const), key: keys, value: values, exptime: exptimes, isRight: fc.boolean() }),
  fc.record({ type: fc.constant("delete" as const), key: keys }),
  fc.record({ type: fc.constant("touch" as const), key: keys, exptime: exptimes }),
  fc.record({ type: fc.constant("count" as const), key: keys, isUp: fc.boolean(), delta: fc.bigInt(0n, 200n) }),
  fc.record({ type: fc.constant("pass" as const), seconds: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ type: fc.constant("flush" as const) }),
);

describe("ItemStore", () => {
  it("agrees with a plain map for any series of commands", () => {
    fc.assert(
      fc.property(fc.array(steps, { maxLength: 60 }), (script) => {
        nowSeconds = START_SECONDS;
        const store = storeOf();
        const model = new Map<string, ModelItem>();
        const end = (exptime: number) =>
          exptime === 0 ? 0 : exptime < 0 ? 1 : exptime > MONTH_SECONDS ? exptime : nowSeconds + exptime;
        const sweep = () => {
          for (const [key, { expiresAt }] of model) if (expiresAt !== 0 && expiresAt <= nowSeconds) model.delete(key);
        };
        const put = (key: string, value: string, flags: number, expiresAt: number, cas: number) => {
          model.set(key, { value, flags, expiresAt, cas });
          sweep();
        };
        for (const step of script) {
          sweep();
          const old = "key" in step ? model.get(step.key) : undefined;
          switch (step.type) {
            case "store": {
              const { result, cas } = store.store(step.verb, step.key, bytes(step.value), 7, step.exptime);
              const isNew = step.verb === "set" || (step.verb === "add") === (old === undefined);
              expect(result).toBe(isNew ? "stored" : "notStored");
              if (!isNew) break;
              if (step.verb === "append") put(step.key, old!.value + step.value, old!.flags, old!.expiresAt, cas);
              else if (step.verb === "prepend") put(step.key, step.value + old!.value, old!.flags, old!.expiresAt, cas);
              else put(step.key, step.value, 7, end(step.exptime), cas);
              break;
            }
            case "cas": {
              const wanted = step.isRight ? (old?.cas ?? 1) : 1e9;
              const { result, cas } = store.compareAndSet(step.key, bytes(step.value), 3, step.exptime, wanted);
              expect(result).toBe(old === undefined ? "notFound" : step.isRight ? "stored" : "exists");
              if (result === "stored") put(step.key, step.value, 3, end(step.exptime), cas);
              break;
            }
            case "delete":
              expect(store.delete(step.key)).toBe(old === undefined ? "notFound" : "deleted");
              model.delete(step.key);
              break;
            case "touch":
              expect(store.touch(step.key, step.exptime) === undefined).toBe(old === undefined);
              if (old !== undefined) old.expiresAt = end(step.exptime);
              break;
            case "count": {
              const outcome = store.arithmetic(step.key, step.isUp, step.delta);
              if (old === undefined) {
                expect(outcome).toBe("notFound");
              } else if (!/^\d+ *$/.test(old.value)) {
                // Numbers with a sign are C's affair; see c-number.
                if (typeof outcome !== "string") model.set(step.key, { ...old, ...snapshot(store, step.key) });
              } else {
                const number = BigInt(old.value.trim());
                if (number >= 1n << 64n) {
                  expect(outcome).toBe("notNumber");
                  break;
                }
                const sum = step.isUp ? (number + step.delta) % (1n << 64n) : number - step.delta;
                const value = sum < 0n ? 0n : sum;
                expect(outcome).toMatchObject({ value });
                const text = value.toString().padEnd(old.value.length);
                put(step.key, text, old.flags, old.expiresAt, (outcome as { cas: number }).cas);
              }
              break;
            }
            case "pass":
              nowSeconds += step.seconds;
              break;
            case "flush":
              store.flushAll(0);
              model.clear();
          }
          sweep();
          for (const key of ["a", "b", "c"]) {
            const expected = model.get(key);
            expect(store.get(key) === undefined ? null : snapshot(store, key)).toEqual(
              expected === undefined ? null : expected,
            );
          }
        }
        expect(store.count).toBe(model.size);
        store.flushAll(0);
        expect(store.byteLength).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it("assigns a different cas to every write", () => {
    const store = storeOf();
    const seen = new Set<number>();
    for (let i = 0; i < 100; i++) seen.add(store.store("set", `k${i % 3}`, bytes("v"), 0, 0).cas);
    expect(seen.size).toBe(100);
  });

  it("reports the remaining seconds of an item", () => {
    const store = storeOf();
    store.store("set", "a", bytes("v"), 0, 10);
    store.store("set", "b", bytes("v"), 0, 0);
    nowSeconds += 3;
    expect(store.remainingSeconds(store.get("a")!)).toBe(7);
    expect(store.remainingSeconds(store.get("b")!)).toBe(-1);
    nowSeconds += 7;
    expect(store.get("a")).toBeUndefined();
  });

  it("removes the items that are stored when a delayed flush takes effect", () => {
    const store = storeOf();
    store.store("set", "old", bytes("v"), 0, 0);
    store.flushAll(10);
    nowSeconds += 9;
    expect(textOf(store, "old")).toBe("v");
    nowSeconds += 1;
    store.store("set", "new", bytes("v"), 0, 0);
    expect([textOf(store, "old"), textOf(store, "new")]).toEqual([null, "v"]);
    nowSeconds += 100;
    expect(textOf(store, "new")).toBe("v");
  });
});

describe("the cas numbers of an ItemStore", () => {
  it("continue over a flush, which uses one number as in memcached, unless the flush is delayed", () => {
    const store = storeOf();
    store.flushAll(0);
    expect(store.store("set", "a", bytes("v"), 0, 0)).toEqual({ result: "stored", cas: 2 });
    store.flushAll(10);
    expect(store.store("set", "a", bytes("v"), 0, 0)).toEqual({ result: "stored", cas: 3 });
    store.flushAll(0);
    expect(store.compareAndSet("a", bytes("w"), 0, 0, 3).result).toBe("notFound");
    expect(store.store("set", "a", bytes("v"), 0, 0)).toEqual({ result: "stored", cas: 5 });
  });
});

describe("the memory limit of an ItemStore", () => {
  it("is never exceeded, and the least recently used items are evicted", () => {
    const store = storeOf(1_000);
    for (const key of ["a", "b", "c"]) store.store("set", key, Buffer.alloc(200), 0, 0);
    store.get("a");
    store.store("set", "d", Buffer.alloc(200), 0, 0);
    expect(["a", "b", "c", "d"].map((key) => store.get(key) !== undefined)).toEqual([true, false, true, true]);
    expect(store.counters.evicted).toBe(1);
    expect(store.byteLength).toBeLessThanOrEqual(1_000);
  });

  it("evicts in the order of the last uses, whatever was deleted, expired or flushed before", () => {
    const keys = ["a", "b", "c", "d", "e", "f", "g"];
    const steps = fc.array(
      fc.record({
        verb: fc.constantFrom("set", "set", "get", "add", "append", "delete", "expire", "flush"),
        key: fc.constantFrom(...keys),
      }),
      { maxLength: 100 },
    );
    fc.assert(
      fc.property(steps, (script) => {
        // Four items have room.
        const store = storeOf(1_000);
        let byUse: string[] = [];
        for (const { verb, key } of script) {
          const isStored = byUse.includes(key);
          const others = byUse.filter((each) => each !== key);
          if (verb === "flush") {
            store.flushAll(0);
            byUse = [];
          } else if (verb === "delete") {
            store.delete(key);
            byUse = others;
          } else if (verb === "expire") {
            const item = store.peek(key);
            if (item !== undefined) store.expire(item, -1);
            byUse = others;
          } else if (verb === "get") {
            store.get(key);
            if (isStored) byUse = [...others, key];
          } else {
            store.store(verb as StoreVerb, key, Buffer.alloc(verb === "append" ? 0 : 180), 0, 0);
            if (isStored || verb !== "append") byUse = [...others, key].slice(-4);
          }
          expect(keys.filter((each) => store.peek(each) !== undefined)).toEqual(byUse.toSorted());
        }
      }),
    );
  });

  it("subtracts overwritten, deleted, expired and flushed items", () => {
    const store = storeOf();
    for (let i = 0; i < 100; i++) {
      store.store("set", "k", Buffer.alloc(i), 0, 0);
      store.store("append", "k", Buffer.alloc(10), 0, 0);
      store.arithmetic("k", true, 1n);
    }
    store.store("set", "e", bytes("v"), 0, 5);
    nowSeconds += 5;
    store.get("e");
    store.delete("k");
    expect([store.byteLength, store.count]).toEqual([0, 0]);
  });

  it("refuses an item above the item limit, and removes the item that it should replace", () => {
    const store = storeOf(1_000_000, 1_000);
    store.store("set", "k", bytes("old"), 0, 0);
    expect(store.store("set", "k", Buffer.alloc(1_000), 0, 0).result).toBe("tooLarge");
    expect(store.get("k")).toBeUndefined();
  });

  it("refuses an item larger than the whole store, and keeps the others", () => {
    const store = storeOf(1_000, 1 << 20);
    store.store("set", "other", bytes("v"), 0, 0);
    expect(store.store("set", "k", Buffer.alloc(2_000), 0, 0).result).toBe("tooLarge");
    expect(textOf(store, "other")).toBe("v");
    expect(store.counters.evicted).toBe(0);
  });
});

describe("the counters of an ItemStore", () => {
  it("count evictions, except of items that had expired already", () => {
    const store = storeOf(1_000);
    store.store("set", "lasting", Buffer.alloc(200), 0, 0);
    store.store("set", "fetched", Buffer.alloc(200), 0, 100);
    store.store("set", "over", Buffer.alloc(200), 0, 5);
    store.get("fetched");
    nowSeconds += 7;
    for (const key of ["a", "b", "c"]) store.store("set", key, Buffer.alloc(200), 0, 0);
    expect(store.counters).toMatchObject({
      stored: 6,
      evicted: 2,
      evictedNonzero: 1,
      evictedUnfetched: 1,
      evictedSeconds: 7,
      reclaimed: 1,
      expiredUnfetched: 1,
    });
    nowSeconds += 3;
    expect(store.ageSeconds).toBe(3);
    store.resetCounters();
    expect([store.counters.stored, store.count]).toEqual([0, 3]);
  });

  it("count the results of the commands", () => {
    const store = storeOf();
    store.store("set", "n", bytes("1"), 0, 0);
    store.arithmetic("n", true, 1n);
    store.arithmetic("n", false, 1n);
    store.touch("n", 10);
    store.compareAndSet("n", bytes("2"), 0, 0, 0);
    store.compareAndSet("n", bytes("2"), 0, 0, store.get("n")!.cas);
    store.delete("n");
    store.arithmetic("n", true, 1n);
    store.arithmetic("n", false, 1n);
    store.touch("n", 10);
    store.compareAndSet("n", bytes("2"), 0, 0, 0);
    store.delete("n");
    const { stored, ...counters } = store.counters;
    expect(stored).toBe(4);
    const dropped = [
      "evicted",
      "evictedNonzero",
      "evictedUnfetched",
      "evictedSeconds",
      "reclaimed",
      "expiredUnfetched",
    ];
    for (const [name, count] of Object.entries(counters)) expect(count, name).toBe(dropped.includes(name) ? 0 : 1);
  });
});

function snapshot(store: ItemStore, key: string): ModelItem {
  const item = store.get(key)!;
  return { value: item.value.toString("latin1"), flags: item.flags, expiresAt: item.expiresAt, cas: item.cas };
}

describe("the memory of an ItemStore", () => {
  it("holds copies of the values, however they arrived", () => {
    const store = storeOf();
    store.store("set", "small", bytes("from a block that others use"), 0, 0);
    store.store("set", "n", bytes("41"), 0, 0);
    store.arithmetic("n", true, 1n);
    store.store("append", "small", bytes("!"), 0, 0);
    for (const key of ["small", "n"]) {
      const { value } = store.get(key)!;
      expect(value.buffer.byteLength).toBe(value.length);
    }
    expect([textOf(store, "small"), textOf(store, "n")]).toEqual(["from a block that others use!", "42"]);
  });
});
