/** A map of entries that expire, limited in entries and bytes. The oldest entries are evicted first. */

import { type Aged, AgeList } from "./age-list.ts";

interface Entry<T> extends Aged<Entry<T>> {
  readonly key: string;
  readonly value: T;
  readonly untilMs: number;
  readonly bytes: number;
}

/** Values by key, until a time of the monotonic clock. */
export class ExpiringMap<T> {
  private readonly entries = new Map<string, Entry<T>>();
  private readonly ages = new AgeList<Entry<T>>();
  private readonly maxEntries: number;
  private readonly maxBytes: number;
  private usedBytes = 0;

  constructor(maxEntries: number, maxBytes: number) {
    this.maxEntries = maxEntries;
    this.maxBytes = maxBytes;
  }

  /** Bytes of all values. */
  get byteLength(): number {
    return this.usedBytes;
  }

  get size(): number {
    return this.entries.size;
  }

  /** Stores `value`, unless it is larger than the limit. */
  set(key: string, value: T, untilMs: number, bytes: number): void {
    this.delete(key);
    if (bytes > this.maxBytes) return;
    const entry: Entry<T> = { key, value, untilMs, bytes, older: null, newer: null };
    this.entries.set(key, entry);
    this.ages.add(entry);
    this.usedBytes += bytes;
    while (this.entries.size > this.maxEntries || this.usedBytes > this.maxBytes) {
      this.delete(this.ages.oldest!.key);
    }
  }

  /** The value at `nowMs`. `undefined` if absent. */
  get(key: string, nowMs: number): T | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs > nowMs) return entry.value;
    this.delete(key);
    return undefined;
  }

  delete(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.ages.remove(entry);
    this.usedBytes -= entry.bytes;
  }

  clear(): void {
    this.entries.clear();
    this.ages.clear();
    this.usedBytes = 0;
  }
}
