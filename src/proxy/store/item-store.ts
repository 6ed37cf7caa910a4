/**
 * An in-process memcached: items by key with flags, exptime and cas, limited in bytes, with LRU eviction. It behaves
 * like memcached 1.6, including its special cases. Its callers handle the protocols.
 *
 * Sources: memcached doc/protocol.txt; memcached.c (do_add_delta, do_store_item, realtime) for special cases.
 */

import { type Aged, AgeList } from "../../age-list.ts";
import { parseUnsigned } from "./c-number.ts";

/** Exptimes up to this many seconds are relative; larger ones are Unix times. */
const MAX_RELATIVE_SECONDS = 60 * 60 * 24 * 30;
/**
 * memcached's bytes in addition to key and value: item header and cas. The memory limit and "too large" include them.
 */
const ITEM_OVERHEAD_BYTES = 48 + 8;
const FLAGS_BYTES = 4;

export interface Item extends Aged<Item> {
  readonly key: string;
  readonly value: Buffer;
  readonly flags: number;
  /** Unix seconds. 0 means never. */
  expiresAt: number;
  cas: number;
  readonly storedAt: number;
  readonly bytes: number;
  /** Unix seconds of the last get, or of the store. */
  lastGetAt: number;
  /** True if a get occurred after the store. */
  isFetched: boolean;
  /** Meta: true if the item is invalid; the first client that gets it wins the right to write a new one. */
  isStale: boolean;
  /** Meta: true if a client has won that right. */
  isTokenSent: boolean;
  /** Meta: true if the key is in base64. */
  isBinaryKey: boolean;
}

/** Result of a write. */
export type StoreResult = "stored" | "notStored" | "exists" | "notFound" | "tooLarge";

/** `cas` is that of the current item, if the result is `stored`. */
export interface StoreOutcome {
  readonly result: StoreResult;
  readonly cas: number;
}

/** Counters since the start, or since the last reset. */
export interface StoreCounters {
  /** Number of stored items. */
  stored: number;
  /** Evicted items by kind: see memcached doc/protocol.txt, "Item statistics". */
  evicted: number;
  evictedNonzero: number;
  evictedUnfetched: number;
  /** Seconds from the last get of the last evicted item to its eviction. */
  evictedSeconds: number;
  /** Items that had already expired when they were evicted. */
  reclaimed: number;
  expiredUnfetched: number;
}

function newStoreCounters(): StoreCounters {
  return {
    stored: 0,
    evicted: 0,
    evictedNonzero: 0,
    evictedUnfetched: 0,
    evictedSeconds: 0,
    reclaimed: 0,
    expiredUnfetched: 0,
  };
}

export type StoreVerb = "set" | "add" | "replace" | "append" | "prepend";

/** Items in memory. Keys are strings of one character per byte. */
export class ItemStore {
  readonly counters = newStoreCounters();
  /** Maximum size of all items, including overhead. */
  readonly maxBytes: number;
  private readonly items = new Map<string, Item>();
  /** By last use. */
  private readonly ages = new AgeList<Item>();
  private readonly maxItemBytes: number;
  private readonly unixSeconds: () => number;
  private usedBytes = 0;
  private lastCas = 0;
  private flushAt = 0;

  constructor(maxBytes: number, maxItemBytes: number, unixSeconds: () => number) {
    this.maxBytes = maxBytes;
    // An item larger than the store would evict all others, and finally itself.
    this.maxItemBytes = Math.min(maxItemBytes, maxBytes);
    this.unixSeconds = unixSeconds;
  }

  /** Current time in Unix seconds. */
  get nowSeconds(): number {
    return this.unixSeconds();
  }

  get count(): number {
    return this.items.size;
  }

  /** Size of all items, including overhead. */
  get byteLength(): number {
    return this.usedBytes;
  }

  /** Seconds since the last get of the least recently used item. 0 if there are no items. */
  get ageSeconds(): number {
    const { oldest } = this.ages;
    return oldest === null ? 0 : this.unixSeconds() - oldest.lastGetAt;
  }

  resetCounters(): void {
    Object.assign(this.counters, newStoreCounters());
  }

  /** The item, which becomes the most recently used. `undefined` if it is absent or expired. */
  get(key: string): Item | undefined {
    const item = this.live(key);
    if (item !== undefined) {
      this.bump(item);
      item.isFetched = true;
    }
    return item;
  }

  /** The item, without counting a get. */
  peek(key: string): Item | undefined {
    return this.live(key);
  }

  /** Sets the exptime of an existing item, in the form of a client's exptime. */
  expire(item: Item, exptime: number): void {
    item.expiresAt = this.deadline(exptime);
  }

  /** Marks an item invalid: it is still served, as stale, under a new cas. */
  invalidate(item: Item): void {
    item.isStale = true;
    item.isTokenSent = false;
    item.cas = ++this.lastCas;
  }

  /** Like `get`, and sets a new exptime. */
  touch(key: string, exptime: number): Item | undefined {
    const item = this.get(key);
    if (item !== undefined) this.expire(item, exptime);
    return item;
  }

  /** set, add, replace, append, prepend. The store takes ownership of `value`. */
  store(verb: StoreVerb, key: string, value: Buffer, flags: number, exptime: number): StoreOutcome {
    const old = this.live(key);
    if (this.itemBytes(key, value.length, flags) > this.maxItemBytes) {
      // Otherwise clients would read a value that its writer believes replaced.
      if (verb === "set" && old !== undefined) this.remove(old);
      return { result: "tooLarge", cas: 0 };
    }
    switch (verb) {
      case "add":
        if (old !== undefined) {
          // Not a fetch, but a sign of use.
          this.bump(old);
          return { result: "notStored", cas: old.cas };
        }
        break;
      case "replace":
        if (old === undefined) return { result: "notStored", cas: 0 };
        break;
      case "append":
      case "prepend": {
        if (old === undefined) return { result: "notStored", cas: 0 };
        const parts = verb === "append" ? [old.value, value] : [value, old.value];
        const joined = Buffer.concat(parts);
        // memcached gives no other reply for a result that is too large.
        if (this.itemBytes(key, joined.length, old.flags) > this.maxItemBytes) return { result: "notStored", cas: 0 };
        return this.put(key, joined, old.flags, old.expiresAt);
      }
      case "set":
        break;
    }
    return this.put(key, value, flags, this.deadline(exptime));
  }

  /** Stores only if the item still has that cas. */
  compareAndSet(key: string, value: Buffer, flags: number, exptime: number, cas: number): StoreOutcome {
    const old = this.live(key);
    if (old === undefined) return { result: "notFound", cas: 0 };
    if (old.cas !== cas) return { result: "exists", cas: old.cas };
    return this.store("set", key, value, flags, exptime);
  }

  /** Deletes an item. With `cas`, only an item with that cas is deleted ("exists" otherwise). */
  delete(key: string, cas?: number): "deleted" | "notFound" | "exists" {
    const item = this.live(key);
    if (item === undefined) return "notFound";
    if (cas !== undefined && item.cas !== cas) return "exists";
    this.remove(item);
    return "deleted";
  }

  /**
   * Adds to or subtracts from a decimal number with 64 bits; addition wraps, subtraction stops at 0. A result with
   * fewer digits is padded with spaces to the old length, as memcached does when it writes in place.
   */
  arithmetic(
    key: string,
    isIncrement: boolean,
    delta: bigint,
  ): { value: bigint; cas: number } | "notFound" | "notNumber" {
    const item = this.live(key);
    if (item === undefined) return "notFound";
    const old = parseUnsigned(item.value.toString("latin1"));
    if (old === null) return "notNumber";
    const value = isIncrement ? BigInt.asUintN(64, old + delta) : delta > old ? 0n : old - delta;
    const text = value.toString().padEnd(item.value.length, " ");
    const { cas } = this.put(key, Buffer.from(text, "latin1"), item.flags, item.expiresAt);
    const written = this.items.get(key);
    // A value that is written in place keeps its other data.
    if (written !== undefined && text.length === item.value.length) {
      const { isFetched, isStale, isTokenSent, isBinaryKey } = item;
      Object.assign(written, { isFetched, isStale, isTokenSent, isBinaryKey });
    }
    return { value, cas };
  }

  /** Removes all items, now or in `delaySeconds` (items stored until then are removed then). */
  flushAll(delaySeconds: number): void {
    if (delaySeconds <= 0) {
      // As in memcached, it uses a cas number: the next stored item has another number than a fresh server's first.
      this.lastCas++;
      this.items.clear();
      this.ages.clear();
      this.usedBytes = 0;
      this.flushAt = 0;
    } else {
      this.flushAt = this.deadline(delaySeconds);
    }
  }

  /** Remaining TTL of an item in whole seconds. −1 if it never expires. */
  remainingSeconds(item: Item): number {
    return item.expiresAt === 0 ? -1 : item.expiresAt - this.unixSeconds();
  }

  /** Makes the item the most recently used. */
  private bump(item: Item): void {
    this.ages.remove(item);
    this.ages.add(item);
    item.lastGetAt = this.unixSeconds();
  }

  private live(key: string): Item | undefined {
    if (this.flushAt !== 0 && this.flushAt <= this.unixSeconds()) this.carryOutFlush();
    const item = this.items.get(key);
    if (item === undefined) return undefined;
    if (item.expiresAt !== 0 && item.expiresAt <= this.unixSeconds()) {
      this.remove(item);
      return undefined;
    }
    return item;
  }

  private carryOutFlush(): void {
    const flushAt = this.flushAt;
    this.flushAt = 0;
    for (const item of this.items.values()) if (item.storedAt < flushAt) this.remove(item);
  }

  private put(key: string, value: Buffer, flags: number, expiresAt: number): StoreOutcome {
    const old = this.items.get(key);
    if (old !== undefined) this.remove(old);
    const cas = ++this.lastCas;
    const now = this.unixSeconds();
    this.counters.stored++;
    if (expiresAt !== 0 && expiresAt <= now) return { result: "stored", cas };
    const bytes = this.itemBytes(key, value.length, flags);
    const item: Item = {
      key,
      value: alone(value),
      flags,
      expiresAt,
      cas,
      storedAt: now,
      bytes,
      lastGetAt: now,
      isFetched: false,
      isStale: false,
      isTokenSent: false,
      isBinaryKey: false,
      older: null,
      newer: null,
    };
    this.items.set(key, item);
    this.ages.add(item);
    this.usedBytes += bytes;
    while (this.usedBytes > this.maxBytes) {
      const oldest = this.ages.oldest!;
      this.remove(oldest);
      this.countDropped(oldest, now);
    }
    return { result: "stored", cas };
  }

  private countDropped(item: Item, now: number): void {
    const { counters } = this;
    if (item.expiresAt !== 0 && item.expiresAt <= now) {
      counters.reclaimed++;
      if (!item.isFetched) counters.expiredUnfetched++;
      return;
    }
    counters.evicted++;
    if (item.expiresAt !== 0) counters.evictedNonzero++;
    if (!item.isFetched) counters.evictedUnfetched++;
    counters.evictedSeconds = now - item.lastGetAt;
  }

  private remove(item: Item): void {
    this.items.delete(item.key);
    this.ages.remove(item);
    this.usedBytes -= item.bytes;
  }

  private itemBytes(key: string, valueBytes: number, flags: number): number {
    return ITEM_OVERHEAD_BYTES + key.length + 1 + (flags === 0 ? 0 : FLAGS_BYTES) + valueBytes + 2;
  }

  /** memcached's realtime(): a client's exptime → Unix seconds. Negative exptimes have already passed. */
  private deadline(exptime: number): number {
    if (exptime === 0) return 0;
    if (exptime < 0) return 1;
    return exptime > MAX_RELATIVE_SECONDS ? exptime : this.unixSeconds() + exptime;
  }
}

/** A copy in separate memory: a small Buffer is part of a block and would keep the whole block alive. */
function alone(value: Buffer): Buffer {
  if (value.buffer.byteLength === value.length) return value;
  const copy = Buffer.allocUnsafeSlow(value.length);
  value.copy(copy);
  return copy;
}
