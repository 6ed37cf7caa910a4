/**
 * The keys that are kept fresh, as columns: a tracked key is a slot in typed arrays and a string, not an object, so that
 * a million of them fit in memory and a hit is noted with one probe.
 *
 *     buckets[hash & mask] ─► slot ─► next of slot ─► …
 *
 * Noting a hit compares only the 32-bit hash: a false positive prolongs the need of a key that shares it, no more.
 */

const NONE = -1;
/** Places in `probed`; the hash comes first. */
const STRIDE = 4;
const NEXT = 1;
const LAST_GET = 2;
const GETS = 3;
const FIRST_CAPACITY = 1024;
/** Past the bound the least recently needed of this many keys goes (Redis' approximated LRU works the same way). */
const EVICTION_SAMPLE = 16;
/** Slots that are tried for one of the sample; most are free where there were many more keys once. */
const SLOT_TRIES = 32;
/** From one of so many keys on, those that go are found by looking at all. */
const EVICTION_SHARE = 64;

const MAX_GETS = 255;

/** What a process knows of an item that it wrote: good for as long as the pool says that cas. */
export interface KnownItem {
  readonly cas: bigint;
  /** Of the value's bytes. */
  readonly digest: bigint;
  /** The source's own mark of the value; null: it gave none. */
  readonly tag: string | null;
}

/**
 * 32-bit hash of key bytes, four at a time. Source: MurmurHash3 (x86, 32 bits) by Austin Appleby, in the public domain.
 */
export function keyHash(chunk: Buffer, start: number, end: number): number {
  let hash = 0;
  let i = start;
  for (; i + 4 <= end; i += 4) {
    hash = mixed(hash, chunk[i]! | (chunk[i + 1]! << 8) | (chunk[i + 2]! << 16) | (chunk[i + 3]! << 24));
  }
  let rest = 0;
  for (let shift = 0; i < end; i++, shift += 8) rest |= chunk[i]! << shift;
  return finished(hash ^ scrambled(rest), end - start);
}

/** The same of a key of one character per byte. */
function keyTextHash(key: string): number {
  return keyHash(Buffer.from(key, "latin1"), 0, key.length);
}

function mixed(hash: number, block: number): number {
  const next = hash ^ scrambled(block);
  return (Math.imul((next << 13) | (next >>> 19), 5) + 0xe6546b64) | 0;
}

function scrambled(block: number): number {
  const product = Math.imul(block, 0xcc9e2d51);
  return Math.imul((product << 15) | (product >>> 17), 0x1b873593);
}

function finished(hash: number, length: number): number {
  let last = hash ^ length;
  last = Math.imul(last ^ (last >>> 16), 0x85ebca6b);
  last = Math.imul(last ^ (last >>> 13), 0xc2b2ae35);
  return last ^ (last >>> 16);
}

/** Tracked keys by slot. Slots are reused after `remove`. */
export class Tracker {
  /** Keys dropped to keep the bound. */
  evictions = 0;
  /** A lower one than there are keys takes effect as new ones come. */
  maxKeys: number;
  private readonly onGrow: (capacity: number) => void;
  private readonly random: () => number;
  private readonly keys: (string | null)[] = [];
  /** What a hit touches, side by side: hash, next slot of the same bucket, ticks of the last get, gets. */
  private probed = new Int32Array(FIRST_CAPACITY * STRIDE);
  private rules = new Int32Array(FIRST_CAPACITY);
  /** Keys by rule. */
  private readonly ruleCounts: number[] = [];
  private failures = new Uint8Array(FIRST_CAPACITY);
  private freshUntil = new Uint32Array(FIRST_CAPACITY);
  private staleUntil = new Uint32Array(FIRST_CAPACITY);
  private casNumbers = new BigUint64Array(FIRST_CAPACITY);
  private digests = new BigUint64Array(FIRST_CAPACITY);
  private readonly tags: (string | null)[] = [];
  private buckets = new Int32Array(FIRST_CAPACITY).fill(NONE);
  private readonly free: number[] = [];
  /** For the time of a call of `noteGets`. */
  private found = new Int32Array(64);
  private count = 0;

  /** `onGrow` is told of the new number of slots before any of them is used. */
  constructor(maxKeys: number, onGrow: (capacity: number) => void, random: () => number) {
    this.maxKeys = maxKeys;
    this.onGrow = onGrow;
    this.random = random;
  }

  /** Slots that exist: what is kept by slot elsewhere needs this many entries. */
  static readonly firstCapacity = FIRST_CAPACITY;

  /** Tracked keys. */
  get size(): number {
    return this.count;
  }

  /** A get of a key with this hash, at `ticks` of a clock of the caller's (32 bits). False: no key has it. */
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
   * The same for `count` keys; not 0 in what it returns, which is good until the next call: a key has that hash. All buckets
   * are looked at before the first slot, as they are seldom in the cache: the processor waits for many of them at once.
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
   * Slot of `key` with that rule, asked for at `ticks`; a new one where it is not tracked yet. Past the bound another
   * key is passed to `evict` first, which removes it.
   */
  track(key: string, rule: number, ticks: number, evict: (slot: number) => void): number {
    let slot = this.find(key);
    if (slot === NONE) {
      // Two for one until the bound is kept.
      for (let i = 0; i < 2 && this.count > 0 && this.count >= this.maxKeys; i++) {
        this.evictLeast(evict);
      }
      slot = this.take(key);
      // The get that brought it here.
      this.probed[slot * STRIDE + GETS] = 1;
    }
    this.setRule(slot, rule);
    this.probed[slot * STRIDE + LAST_GET] = ticks;
    this.failures[slot] = 0;
    this.forgetItem(slot);
    return slot;
  }

  /** What is known of the item that the pool has under the key in `slot`. */
  remember(slot: number, item: KnownItem): void {
    this.casNumbers[slot] = item.cas;
    this.digests[slot] = item.digest;
    this.tags[slot] = item.tag;
  }

  /** Nothing is known of the item any more, such as after somebody else's write. */
  forgetItem(slot: number): void {
    this.casNumbers[slot] = 0n;
    this.digests[slot] = 0n;
    this.tags[slot] = null;
  }

  /** Null: nothing is known of it. */
  knownItem(slot: number): KnownItem | null {
    const cas = this.casNumbers[slot]!;
    return cas === 0n ? null : { cas, digest: this.digests[slot]!, tag: this.tags[slot] ?? null };
  }

  /** Ticks at which its freshness ends, and at which it must not be served any more. */
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

  /** Gets since it is tracked, the one that filled it included; no more than 255. */
  getCount(slot: number): number {
    return this.probed[slot * STRIDE + GETS]!;
  }

  /** Forgets a key; its slot may be used for another one at once. */
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

  /** The key in a slot; null: the slot is free. */
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

  /** Keys with that rule. */
  countOf(rule: number): number {
    return this.ruleCounts[rule] ?? 0;
  }

  /** Ticks at which the key was last asked for. */
  lastGet(slot: number): number {
    return this.probed[slot * STRIDE + LAST_GET]! >>> 0;
  }

  /** Refreshes that failed in a row. */
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

  /** Passes the `count` least needed keys, about, to `evict`, which removes each. There must be as many. */
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

  /** The least needed of some keys, of which there must be one. */
  private leastNeeded(): number {
    let least = NONE;
    // Not the next key behind a free slot: that would be the same one for all slots of a run, which may be very long.
    for (let i = 0; i < EVICTION_SAMPLE; i++) {
      const slot = this.anySlot();
      if (slot !== NONE && (least === NONE || this.lastGet(slot) < this.lastGet(least))) least = slot;
    }
    return least === NONE ? this.keys.findIndex((key) => key !== null) : least;
  }

  /** A slot with a key, by chance; `NONE` where none was found. */
  private anySlot(): number {
    for (let i = 0; i < SLOT_TRIES; i++) {
      const slot = Math.floor(this.random() * this.keys.length);
      if (this.keys[slot] !== null) return slot;
    }
    return NONE;
  }

  /** The slot behind `slot` in its bucket. */
  private next(slot: number): number {
    return this.probed[slot * STRIDE + NEXT]!;
  }
}

function enlarge<T extends Int32Array | Uint32Array | Uint8Array | BigUint64Array>(source: T, target: T): T {
  target.set(source as never);
  return target;
}
