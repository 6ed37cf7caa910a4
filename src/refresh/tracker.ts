/**
 * The keys that are kept fresh, as columns: a tracked key is a slot in typed arrays and a string, not an object, so that
 * a million of them fit in memory and a hit is noted with one probe.
 *
 *     buckets[hash & mask] ─► slot ─► chain[slot] ─► …
 *
 * Noting a hit compares only the 32-bit hash: a false positive prolongs the need of a key that shares it, no more.
 */

const NONE = -1;
const FIRST_CAPACITY = 1024;
/** Past the bound the least recently needed of this many keys goes (Redis' approximated LRU works the same way). */
const EVICTION_SAMPLE = 16;

const MAX_GETS = 255;

/** What a process knows of an item that it wrote: good for as long as the pool says that cas. */
export interface KnownItem {
  readonly cas: bigint;
  /** Of the value's bytes. */
  readonly digest: bigint;
  /** The source's own mark of the value; null: it gave none. */
  readonly tag: string | null;
}

/** 32-bit FNV-1a of key bytes. Source: Fowler, Noll and Vo, "The FNV Non-Cryptographic Hash Algorithm" (IETF draft). */
export function keyHash(chunk: Buffer, start: number, end: number): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = start; i < end; i++) hash = Math.imul(hash ^ chunk[i]!, 0x01000193);
  return hash;
}

/** The same of a key of one character per byte. */
function keyTextHash(key: string): number {
  let hash = 0x811c9dc5 | 0;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return hash;
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
  private hashes = new Int32Array(FIRST_CAPACITY);
  private chain = new Int32Array(FIRST_CAPACITY);
  private rules = new Int32Array(FIRST_CAPACITY);
  private lastGets = new Uint32Array(FIRST_CAPACITY);
  private failures = new Uint8Array(FIRST_CAPACITY);
  private gets = new Uint8Array(FIRST_CAPACITY);
  private freshUntil = new Uint32Array(FIRST_CAPACITY);
  private staleUntil = new Uint32Array(FIRST_CAPACITY);
  private casNumbers = new BigUint64Array(FIRST_CAPACITY);
  private digests = new BigUint64Array(FIRST_CAPACITY);
  private readonly tags: (string | null)[] = [];
  private buckets = new Int32Array(FIRST_CAPACITY).fill(NONE);
  private readonly free: number[] = [];
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
    let isTracked = false;
    for (let slot = this.buckets[hash & (this.buckets.length - 1)]!; slot !== NONE; slot = this.chain[slot]!) {
      if (this.hashes[slot] !== hash) continue;
      isTracked = true;
      this.lastGets[slot] = ticks;
      if (this.gets[slot]! < MAX_GETS) this.gets[slot]!++;
    }
    return isTracked;
  }

  /** Slot of a key, or −1. */
  find(key: string): number {
    const hash = keyTextHash(key);
    for (let slot = this.buckets[hash & (this.buckets.length - 1)]!; slot !== NONE; slot = this.chain[slot]!) {
      if (this.hashes[slot] === hash && this.keys[slot] === key) return slot;
    }
    return NONE;
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
        this.evictions++;
        evict(this.leastNeeded());
      }
      slot = this.take(key);
      // The get that brought it here.
      this.gets[slot] = 1;
    }
    this.rules[slot] = rule;
    this.lastGets[slot] = ticks;
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
    return this.gets[slot]!;
  }

  /** Forgets a key; its slot may be used for another one at once. */
  remove(slot: number): void {
    const bucket = this.hashes[slot]! & (this.buckets.length - 1);
    let at = this.buckets[bucket]!;
    if (at === slot) {
      this.buckets[bucket] = this.chain[slot]!;
    } else {
      while (this.chain[at] !== slot) at = this.chain[at]!;
      this.chain[at] = this.chain[slot]!;
    }
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
    this.rules[slot] = rule;
  }

  /** Ticks at which the key was last asked for. */
  lastGet(slot: number): number {
    return this.lastGets[slot]!;
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
    if (slot === this.hashes.length) this.grow();
    const hash = keyTextHash(key);
    const bucket = hash & (this.buckets.length - 1);
    this.keys[slot] = key;
    this.hashes[slot] = hash;
    this.chain[slot] = this.buckets[bucket]!;
    this.buckets[bucket] = slot;
    this.count++;
    return slot;
  }

  private grow(): void {
    const capacity = this.hashes.length * 2;
    this.hashes = enlarge(this.hashes, new Int32Array(capacity));
    this.chain = enlarge(this.chain, new Int32Array(capacity));
    this.rules = enlarge(this.rules, new Int32Array(capacity));
    this.lastGets = enlarge(this.lastGets, new Uint32Array(capacity));
    this.failures = enlarge(this.failures, new Uint8Array(capacity));
    this.gets = enlarge(this.gets, new Uint8Array(capacity));
    this.freshUntil = enlarge(this.freshUntil, new Uint32Array(capacity));
    this.staleUntil = enlarge(this.staleUntil, new Uint32Array(capacity));
    this.casNumbers = enlarge(this.casNumbers, new BigUint64Array(capacity));
    this.digests = enlarge(this.digests, new BigUint64Array(capacity));
    this.buckets = new Int32Array(capacity).fill(NONE);
    for (const slot of this.slots()) {
      const bucket = this.hashes[slot]! & (capacity - 1);
      this.chain[slot] = this.buckets[bucket]!;
      this.buckets[bucket] = slot;
    }
    this.onGrow(capacity);
  }

  private leastNeeded(): number {
    let least = NONE;
    for (let i = 0; i < EVICTION_SAMPLE; i++) {
      let slot = Math.floor(this.random() * this.keys.length);
      while (this.keys[slot] === null) slot = (slot + 1) % this.keys.length;
      if (least === NONE || this.lastGets[slot]! < this.lastGets[least]!) least = slot;
    }
    return least;
  }
}

function enlarge<T extends Int32Array | Uint32Array | Uint8Array | BigUint64Array>(source: T, target: T): T {
  target.set(source as never);
  return target;
}
