/**
 * Copies of the values of hot keys, so that one key does not saturate its server.
 *
 *     get ─► hot key? ── no ──► counted in the sketch ── often enough ──► hot key
 *              │ yes
 *              ├─ copy, within `near`          ─► answered from memory
 *              └─ no copy, or time to renew it ─► the pool; one get at a time may store its reply
 *
 * A write through this process takes the copy away, and the right to store a reply from a get in flight: when it is
 * forwarded, and again when it is answered. What a get that was sent after the answer reads is not older than the write.
 *
 * One cache per process, for all routes: a reload replaces routes while requests are in flight in the old ones. `hold`
 * keeps the cache empty until all of them have been answered.
 */
import { keyHash } from "../hash/key-bytes-hash.ts";
import { GetSketch } from "./get-sketch.ts";
import { HOT_KEY_BYTES, HotKey, type HotKeyCounts } from "./hot-key.ts";

/** Estimate of recent gets from which a key is hot. Counts are halved once a second: about three gets per second. */
const HOT_GETS = 6;
/**
 * Among very many gets, a hot key has at least this share of them. The memory of more keys does not fit into the CPU cache,
 * and costs more time than their gets save.
 */
const HOT_SHARE = 1 / 20_000;
/** A key stops being hot at this share of the rate that makes a key hot. */
const COOL_SHARE = 2 / 3;
const AGE_MS = 1_000;
/** After this number of seconds without gets, no key is hot. */
const MAX_AGES = 8;
const MAX_HOT_KEYS = 65_536;
const FIRST_BUCKETS = 4096;
/** Buckets per hot key, at least: most gets of other keys find an empty bucket. */
const BUCKETS_PER_KEY = 4;
/** Maximum size of a value, as a share of the cache. */
const MAX_VALUE_SHARE = 1 / 16;
/** Number of hot keys that are looked at to make room for a value. */
const EVICTION_TRIES = 16;
/** After values were dropped because memory is short, none are stored for this time (ms). */
const SHED_PAUSE_MS = 1_000;

/** Numbers since the start, except current sizes. */
export interface NearCounters {
  /** Gets that were answered from memory. */
  hits: number;
  /** Values that were read from the pool and copied. */
  stored: number;
  /** Copies that were dropped because of a write through this process. */
  dropped: number;
  /** Copies that were dropped to make room. */
  evicted: number;
}

/** What a configuration allows. */
export interface NearPolicy {
  readonly maxBytes: number;
  /** Maximum age of a copy of `key` (one character per byte), in ms. 0 if there must be no copy. */
  nearMsOf(key: string): number;
}

const nothing: NearPolicy = { maxBytes: 0, nearMsOf: () => 0 };

export class NearCache {
  readonly counters: NearCounters = { hits: 0, stored: 0, dropped: 0, evicted: 0 };
  private policy = nothing;
  private sketch: GetSketch | null = null;
  private buckets: (HotKey | null)[] = new Array(FIRST_BUCKETS).fill(null);
  private readonly hotKeys: HotKey[] = [];
  private usedBytes = 0;
  private nextAgeMs = Number.NEGATIVE_INFINITY;
  /** Recent gets of all keys: halved once a second, as all counts. */
  private recentGets = 0;
  /** Position in `hotKeys` from which room is made. */
  private hand = 0;
  private holds = 0;
  private pausedUntilMs = Number.NEGATIVE_INFINITY;

  /** Number of hot keys. */
  get size(): number {
    return this.hotKeys.length;
  }

  /** Approximate size of hot keys and copies. */
  get byteLength(): number {
    return this.usedBytes;
  }

  /** Uses `policy`, without any hot key. `null` switches the cache off. */
  configure(policy: NearPolicy | null): void {
    this.forgetAll();
    this.policy = policy ?? nothing;
    if (policy === null) this.sketch = null;
    else this.sketch ??= new GetSketch();
  }

  /** Stays empty until `release`. */
  hold(): void {
    this.forgetAll();
    this.holds++;
  }

  release(): void {
    this.holds--;
  }

  /**
   * Counts a get of `chunk[start, end)`. Returns the key if it is hot and may have a copy, else `null`.
   */
  got(chunk: Buffer, start: number, end: number, nowMs: number): HotKey | null {
    const { sketch } = this;
    if (sketch === null || this.holds > 0) return null;
    if (nowMs >= this.nextAgeMs) this.age(nowMs, sketch);
    this.recentGets++;
    const hash = keyHash(chunk, start, end);
    let hot = this.findHash(hash, chunk, start, end);
    if (hot === null) {
      const estimate = sketch.add(hash);
      if (estimate < HOT_GETS || estimate < this.recentGets * HOT_SHARE) return null;
      hot = this.admit(hash, chunk, start, end, estimate);
      if (hot === null) return null;
    }
    hot.rate++;
    hot.gets++;
    return hot.nearMs > 0 ? hot : null;
  }

  /** The hot key `chunk[start, end)`. `null` if the key is not hot. */
  find(chunk: Buffer, start: number, end: number): HotKey | null {
    if (this.hotKeys.length === 0) return null;
    return this.findHash(keyHash(chunk, start, end), chunk, start, end);
  }

  /** A write of a key through this process: there is no copy afterwards, and no get in flight may store one. */
  written(chunk: Buffer, start: number, end: number): void {
    const hot = this.find(chunk, start, end);
    if (hot !== null) this.drop(hot);
  }

  /** Like `written`, for a key with one character per byte. */
  writtenText(key: string): void {
    if (this.hotKeys.length === 0) return;
    const bytes = Buffer.from(key, "latin1");
    this.written(bytes, 0, bytes.length);
  }

  /** A flush through this process: there are no copies afterwards. */
  flushed(): void {
    for (const hot of this.hotKeys) this.drop(hot);
  }

  drop(hot: HotKey): void {
    if (hot.hasCopy) this.counters.dropped++;
    this.usedBytes -= hot.copyBytes;
    hot.drop();
  }

  /** Calls `store`, which stores a copy of `valueBytes`, if there is room for it. Otherwise there is no copy. */
  store(hot: HotKey, valueBytes: number, nowMs: number, store: (hot: HotKey) => boolean): void {
    this.usedBytes -= hot.copyBytes;
    hot.drop();
    if (nowMs < this.pausedUntilMs || !this.makeRoom(hot, valueBytes)) return;
    if (!store(hot)) return;
    this.usedBytes += hot.copyBytes;
    this.counters.stored++;
  }

  /**
   * Stores the VALUE block `chunk[start, end)` of the request with the right to. `null` as chunk if the pool has no value.
   */
  storeBlock(hot: HotKey, chunk: Buffer | null, start: number, end: number, nowMs: number): void {
    if (chunk !== null && hot.renew(chunk, start, end)) {
      this.counters.stored++;
      return;
    }
    this.store(hot, end - start, nowMs, () => {
      if (chunk === null) return false;
      hot.storeBlock(chunk, start, end);
      return true;
    });
  }

  /** Drops all copies because memory is short. Returns their approximate size. */
  shed(nowMs: number): number {
    let bytes = 0;
    for (const hot of this.hotKeys) {
      bytes += hot.copyBytes;
      hot.drop();
    }
    this.usedBytes -= bytes;
    if (bytes > 0) this.pausedUntilMs = nowMs + SHED_PAUSE_MS;
    return bytes;
  }

  /** The `count` keys with the most recent gets. */
  hottest(count: number): HotKeyCounts[] {
    const sorted = [...this.hotKeys].sort((a, b) => b.rate - a.rate).slice(0, count);
    return sorted.map(({ bytes, gets, hits }) => ({ key: bytes.toString("latin1"), gets, hits }));
  }

  private findHash(hash: number, chunk: Buffer, start: number, end: number): HotKey | null {
    let hot = this.buckets[hash & (this.buckets.length - 1)] ?? null;
    while (hot !== null && (hot.hash !== hash || !hot.equals(chunk, start, end))) hot = hot.next;
    return hot;
  }

  private admit(hash: number, chunk: Buffer, start: number, end: number, rate: number): HotKey | null {
    const length = end - start;
    const ownBytes = HOT_KEY_BYTES + length;
    if (this.hotKeys.length >= MAX_HOT_KEYS || this.usedBytes + ownBytes > this.policy.maxBytes) return null;
    const bytes = Buffer.allocUnsafeSlow(length);
    chunk.copy(bytes, 0, start, end);
    const hot = new HotKey(hash, bytes, this.policy.nearMsOf(bytes.toString("latin1")), rate);
    this.usedBytes += ownBytes;
    this.hotKeys.push(hot);
    if (this.hotKeys.length * BUCKETS_PER_KEY > this.buckets.length) this.spread(this.buckets.length * 2);
    else this.link(hot);
    return hot;
  }

  private link(hot: HotKey): void {
    const bucket = hot.hash & (this.buckets.length - 1);
    hot.next = this.buckets[bucket] ?? null;
    this.buckets[bucket] = hot;
  }

  /** Builds the buckets anew. */
  private spread(count: number): void {
    if (count === this.buckets.length) this.buckets.fill(null);
    else this.buckets = new Array(count).fill(null);
    for (const hot of this.hotKeys) this.link(hot);
  }

  /** Halves the counts for each second since the last time, and forgets the keys that have cooled. */
  private age(nowMs: number, sketch: GetSketch): void {
    const seconds = this.nextAgeMs === Number.NEGATIVE_INFINITY ? 1 : Math.floor((nowMs - this.nextAgeMs) / AGE_MS) + 1;
    const ages = Math.min(MAX_AGES, seconds);
    this.recentGets >>>= ages;
    // The halved counts are the gets of one second.
    const least = COOL_SHARE * Math.max(HOT_GETS / 2, this.recentGets * HOT_SHARE);
    this.nextAgeMs = nowMs + AGE_MS;
    for (let i = 0; i < ages; i++) sketch.halve();
    let kept = 0;
    for (const hot of this.hotKeys) {
      hot.rate >>>= ages;
      if (hot.rate >= least) this.hotKeys[kept++] = hot;
      else this.forget(hot);
    }
    if (kept === this.hotKeys.length) return;
    this.hotKeys.length = kept;
    this.spread(this.buckets.length);
  }

  private forget(hot: HotKey): void {
    this.usedBytes -= hot.copyBytes + HOT_KEY_BYTES + hot.bytes.length;
    hot.drop();
  }

  private forgetAll(): void {
    for (const hot of this.hotKeys) this.forget(hot);
    this.hotKeys.length = 0;
    this.buckets.fill(null);
  }

  /** Drops copies of keys with fewer recent gets than `hot`. Returns false if that is not enough. */
  private makeRoom(hot: HotKey, valueBytes: number): boolean {
    const { maxBytes } = this.policy;
    // The line and the administration of a copy take some bytes as well.
    const needed = valueBytes + 2 * HOT_KEY_BYTES;
    if (valueBytes > maxBytes * MAX_VALUE_SHARE) return false;
    for (let i = 0; i < EVICTION_TRIES && this.usedBytes + needed > maxBytes; i++) {
      this.hand = (this.hand + 1) % this.hotKeys.length;
      const other = this.hotKeys[this.hand]!;
      if (!other.hasCopy || other === hot || other.rate >= hot.rate) continue;
      this.usedBytes -= other.copyBytes;
      other.drop();
      this.counters.evicted++;
    }
    return this.usedBytes + needed <= maxBytes;
  }
}
