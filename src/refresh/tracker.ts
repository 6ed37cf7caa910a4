/**
 * The tracked keys, in columns: a tracked key is a slot in typed arrays and a string, not an object, so that a million
 * keys fit in memory and a hit is recorded with one probe.
 *
 *     buckets[hash & mask] ─► slot ─► next of slot ─► …
 *
 * Recording a hit compares only the 32-bit hash: a false positive only prolongs the need of a key with an equal hash.
 */
import { keyHash } from "../proxy/hash/key-bytes-hash.ts";

const NONE = -1;
/** Fields in `probed`; the hash comes first. */
const STRIDE = 4;
const NEXT = 1;
const LAST_GET = 2;
const GETS = 3;
const FIRST_CAPACITY = 1024;
/** Over the limit, the least recently needed of this number of keys is dropped (like Redis' approximated LRU). */
const EVICTION_SAMPLE = 16;
/** Slots that are tried for one key of the sample. Most slots are free after the number of keys has shrunk. */
const SLOT_TRIES = 32;
/** If at least one of this number of keys must go, all keys are examined. */
const EVICTION_SHARE = 64;

const MAX_GETS = 255;

/** Known data of an item that this process wrote. Valid while the pool reports this cas. */
export interface KnownItem {
  readonly cas: bigint;
  /** Digest of the value's bytes. */
  readonly digest: bigint;
  /** The source's tag of the value. `null` if it gave none. */
  readonly tag: string | null;
}

/** An item with a known cas only: no bytes equal its bytes. */
export function unknownItem(cas: bigint): KnownItem {
  return { cas, digest: 0n, tag: null };
}

/** Hash of a key with one character per byte. */
function keyTextHash(key: string): number {
  return keyHash(Buffer.from(key, "latin1"), 0, key.length);
}

/** Tracked keys by slot. Slots are reused after `remove`. */
export class Tracker {
  /** Number of keys that were dropped because of the limit. */
  evictions = 0;
  /** A limit below the current number of keys takes effect as new keys are added. */
  maxKeys: number;
  private readonly onGrow: (capacity: number) => void;
  private readonly random: () => number;
  private readonly keys: (string | null)[] = [];
  /** The data that a hit uses, side by side: hash, next slot of the bucket, tick of the last get, number of gets. */
  private probed = new Int32Array(FIRST_CAPACITY * STRIDE);
  private rules = new Int32Array(FIRST_CAPACITY);
  /** Number of keys by rule. */
  private readonly ruleCounts: number[] = [];
  private failures = new Uint8Array(FIRST_CAPACITY);
  private freshUntil = new Uint32Array(FIRST_CAPACITY);
  private staleUntil = new Uint32Array(FIRST_CAPACITY);
  private casNumbers = new BigUint64Array(FIRST_CAPACITY);
  private digests = new BigUint64Array(FIRST_CAPACITY);
  private readonly tags: (string | null)[] = [];
  private buckets = new Int32Array(FIRST_CAPACITY).fill(NONE);
  private readonly free: number[] = [];
  /** Valid during a call of `noteGets`. */
  private found = new Int32Array(64);
  private count = 0;

  /** `onGrow` receives the new number of slots before any of them is used. */
  constructor(maxKeys: number, onGrow: (capacity: number) => void, random: () => number) {
    this.maxKeys = maxKeys;
    this.onGrow = onGrow;
    this.random = random;
  }

  /** Initial number of slots: columns in other objects need this number of entries. */
  static readonly firstCapacity = FIRST_CAPACITY;

  /** Number of tracked keys. */
  get size(): number {
    return this.count;
  }

  /**
   * Records a get of a key with this hash, at `ticks` of the caller's clock (32 bits). False if no key has the hash.
   */
  noteGet(hash: number, ticks: number): boolean {
    const { probed } = this;
    let isTracked = false;
    let slot = this.buckets[hash & (this.buckets.length - 1)]!;
    while (slot !== NONE) {
      const at = slot * STRIDE;
      if (probed[at] === hash) {
        isTracked = true;
        probed[at + LAST_GET] = ticks;
        if (probed[at + GETS]! < MAX_GETS) probed[at + GETS]!++;
      }
      slot = probed[at + NEXT]!;
    }
    return isTracked;
  }

  /**
   * Like `noteGet` for `count` keys. In the result, which is valid until the next call, a value other than 0 means that
   * a key has the hash. All buckets are read before the first slot, because they are rarely in the CPU cache: the
   * processor then waits for many of them at once.
   */
  noteGets(hashes: Int32Array, count: number, ticks: number): Int32Array {
    if (this.found.length < count) this.found = new Int32Array(count * 2);
    const { probed, buckets, found } = this;
    const mask = buckets.length - 1;
    for (let i = 0; i < count; i++) found[i] = buckets[hashes[i]! & mask]!;
    for (let i = 0; i < count; i++) {
      const hash = hashes[i]!;
      let slot = found[i]!;
      found[i] = 0;
      while (slot !== NONE) {
        const at = slot * STRIDE;
        if (probed[at] === hash) {
          found[i] = 1;
          probed[at + LAST_GET] = ticks;
          if (probed[at + GETS]! < MAX_GETS) probed[at + GETS]!++;
        }
        slot = probed[at + NEXT]!;
      }
    }
    return found;
  }

  /** Slot of a key, or −1. */
  find(key: string): number {
    const hash = keyTextHash(key);
    let slot = this.buckets[hash & (this.buckets.length - 1)]!;
    while (slot !== NONE && (this.probed[slot * STRIDE] !== hash || this.keys[slot] !== key)) slot = this.next(slot);
    return slot;
  }

  /**
   * Slot of `key` with that rule, requested at `ticks`; a new slot if the key is not tracked yet. Over the limit,
   * another key is first passed to `evict`, which must remove it.
   */
  track(key: string, rule: number, ticks: number, evict: (slot: number) => void): number {
    let slot = this.find(key);
    if (slot === NONE) {
      // Remove two keys for each new one until the limit is met.
      for (let i = 0; i < 2 && this.count > 0 && this.count >= this.maxKeys; i++) {
        this.evictLeast(evict);
      }
      slot = this.take(key);
      // Counts the get that led to the tracking.
      this.probed[slot * STRIDE + GETS] = 1;
    }
    this.setRule(slot, rule);
    this.probed[slot * STRIDE + LAST_GET] = ticks;
    this.failures[slot] = 0;
    this.forgetItem(slot);
    return slot;
  }

  /** Records the known data of the pool's item under the key in `slot`. */
  remember(slot: number, item: KnownItem): void {
    this.casNumbers[slot] = item.cas;
    this.digests[slot] = item.digest;
    this.tags[slot] = item.tag;
  }

  /** Forgets the data of the item, for example after another client's write. */
  forgetItem(slot: number): void {
    this.casNumbers[slot] = 0n;
    this.digests[slot] = 0n;
    this.tags[slot] = null;
  }

  /** `null` if nothing is known of the item. */
  knownItem(slot: number): KnownItem | null {
    const cas = this.casNumbers[slot]!;
    return cas === 0n ? null : { cas, digest: this.digests[slot]!, tag: this.tags[slot] ?? null };
  }

  /** Ticks at which its freshness ends, and at which it must no longer be served. */
  setTimes(slot: number, freshUntil: number, staleUntil: number): void {
    this.freshUntil[slot] = freshUntil;
    this.staleUntil[slot] = staleUntil;
  }

  freshUntilTicks(slot: number): number {
    return this.freshUntil[slot]!;
  }

  staleUntilTicks(slot: number): number {
    return this.staleUntil[slot]!;
  }

  /** Number of gets since it is tracked, including the first; at most 255. */
  getCount(slot: number): number {
    return this.probed[slot * STRIDE + GETS]!;
  }

  /** Removes a key. Its slot may be reused immediately. */
  remove(slot: number): void {
    const bucket = this.probed[slot * STRIDE]! & (this.buckets.length - 1);
    let at = this.buckets[bucket]!;
    if (at === slot) {
      this.buckets[bucket] = this.next(slot);
    } else {
      while (this.next(at) !== slot) at = this.next(at);
      this.probed[at * STRIDE + NEXT] = this.next(slot);
    }
    this.countOut(slot);
    this.keys[slot] = null;
    this.tags[slot] = null;
    this.free.push(slot);
    this.count--;
  }

  /** The key in a slot. `null` if the slot is free. */
  key(slot: number): string | null {
    return this.keys[slot] ?? null;
  }

  rule(slot: number): number {
    return this.rules[slot]!;
  }

  setRule(slot: number, rule: number): void {
    this.countOut(slot);
    this.rules[slot] = rule;
    this.ruleCounts[rule] = this.countOf(rule) + 1;
  }

  /** Number of keys with that rule. */
  countOf(rule: number): number {
    return this.ruleCounts[rule] ?? 0;
  }

  /** Tick of the last get of the key. */
  lastGet(slot: number): number {
    return this.probed[slot * STRIDE + LAST_GET]! >>> 0;
  }

  /** Number of consecutive failed refreshes. */
  failureCount(slot: number): number {
    return this.failures[slot]!;
  }

  setFailureCount(slot: number, count: number): void {
    this.failures[slot] = Math.min(count, 255);
  }

  /** Slots with a key. */
  *slots(): Generator<number> {
    for (let slot = 0; slot < this.keys.length; slot++) if (this.keys[slot] !== null) yield slot;
  }

  private take(key: string): number {
    const slot = this.free.pop() ?? this.keys.length;
    if (slot === this.rules.length) this.grow();
    const hash = keyTextHash(key);
    const bucket = hash & (this.buckets.length - 1);
    this.keys[slot] = key;
    this.rules[slot] = NONE;
    this.probed[slot * STRIDE] = hash;
    this.probed[slot * STRIDE + NEXT] = this.buckets[bucket]!;
    this.buckets[bucket] = slot;
    this.count++;
    return slot;
  }

  private countOut(slot: number): void {
    const rule = this.rules[slot]!;
    if (rule !== NONE) this.ruleCounts[rule] = this.countOf(rule) - 1;
  }

  private grow(): void {
    const capacity = this.rules.length * 2;
    this.probed = enlarge(this.probed, new Int32Array(capacity * STRIDE));
    this.rules = enlarge(this.rules, new Int32Array(capacity));
    this.failures = enlarge(this.failures, new Uint8Array(capacity));
    this.freshUntil = enlarge(this.freshUntil, new Uint32Array(capacity));
    this.staleUntil = enlarge(this.staleUntil, new Uint32Array(capacity));
    this.casNumbers = enlarge(this.casNumbers, new BigUint64Array(capacity));
    this.digests = enlarge(this.digests, new BigUint64Array(capacity));
    this.buckets = new Int32Array(capacity).fill(NONE);
    for (const slot of this.slots()) {
      const bucket = this.probed[slot * STRIDE]! & (capacity - 1);
      this.probed[slot * STRIDE + NEXT] = this.buckets[bucket]!;
      this.buckets[bucket] = slot;
    }
    this.onGrow(capacity);
  }

  /**
   * Passes about `count` of the least needed keys to `evict`, which must remove each. At least `count` keys must exist.
   */
  evictMany(count: number, evict: (slot: number) => void): void {
    if (count * EVICTION_SHARE < this.count) {
      for (let i = 0; i < count; i++) this.evictLeast(evict);
      return;
    }
    if (count === 0) return;
    this.evictions += count;
    const { keys } = this;
    const lastGets = new Uint32Array(this.count);
    for (let slot = 0, i = 0; slot < keys.length; slot++) if (keys[slot] !== null) lastGets[i++] = this.lastGet(slot);
    lastGets.sort();
    const last = lastGets[count - 1]!;
    let ofLast = count - lastGets.indexOf(last);
    for (let slot = 0; slot < keys.length; slot++) {
      const lastGet = this.lastGet(slot);
      if (keys[slot] === null || lastGet > last) continue;
      if (lastGet < last || ofLast-- > 0) evict(slot);
    }
  }

  private evictLeast(evict: (slot: number) => void): void {
    this.evictions++;
    evict(this.leastNeeded());
  }

  /** The least needed key of a sample. At least one key must exist. */
  private leastNeeded(): number {
    let least = NONE;
    // Not the next key after a free slot: that would be one key for all slots of a run, which may be very long.
    for (let i = 0; i < EVICTION_SAMPLE; i++) {
      const slot = this.anySlot();
      if (slot !== NONE && (least === NONE || this.lastGet(slot) < this.lastGet(least))) least = slot;
    }
    return least === NONE ? this.keys.findIndex((key) => key !== null) : least;
  }

  /** A random slot with a key. `NONE` if none was found. */
  private anySlot(): number {
    for (let i = 0; i < SLOT_TRIES; i++) {
      const slot = Math.floor(this.random() * this.keys.length);
      if (this.keys[slot] !== null) return slot;
    }
    return NONE;
  }

  /** The next slot in the bucket of `slot`. */
  private next(slot: number): number {
    return this.probed[slot * STRIDE + NEXT]!;
  }
}

function enlarge<T extends Int32Array | Uint32Array | Uint8Array | BigUint64Array>(source: T, target: T): T {
  target.set(source as never);
  return target;
}
