/**
 * What this process remembers for keys whose pool cannot answer: values that the pool could not store, and keys that the
 * source does not have. A write through another process is not noticed here. Where processes share leases, these entries
 * therefore replace only answers that the pool fails to give, never a miss that the pool has reported.
 */

import { ExpiringMap } from "../expiring-map.ts";
import type { Reply } from "../proxy/reply.ts";
import type { KeptMarker } from "./lease.ts";
import type { Rule } from "./rules.ts";

/** Maximum time to answer from a held value (ms). */
const MAX_HOLD_MS = 5_000;
const MAX_HELD_KEYS = 100_000;
const MAX_NOT_THERE_KEYS = 100_000;
/** Counted for a held value beside its bytes. */
const HELD_OVERHEAD_BYTES = 200;

/** A value that the pool could not store. */
export interface Held {
  /** The answer to a plain get of the key. */
  readonly reply: Reply;
  readonly rule: Rule;
  /** The marker in the lease that vouches for the value; `null` if no marker does. */
  readonly marker: KeptMarker | null;
}

/** How long a value with this ttl is held (ms). */
export function holdMs(ttlMs: number): number {
  return Math.min(ttlMs, MAX_HOLD_MS);
}

export class StandIns {
  private held: ExpiringMap<Held>;
  private readonly notThere = new ExpiringMap<true>(MAX_NOT_THERE_KEYS, MAX_NOT_THERE_KEYS);

  /** `holdBytes`: maximum size of all held values. */
  constructor(holdBytes: number) {
    this.held = new ExpiringMap(MAX_HELD_KEYS, holdBytes);
  }

  heldValue(key: string, nowMs: number): Held | undefined {
    return this.held.get(key, nowMs);
  }

  /** True if the source did not have the key when it was last asked. */
  isNotThere(key: string, nowMs: number): boolean {
    return this.notThere.get(key, nowMs) === true;
  }

  /** True if it remembers anything of the key. */
  has(key: string, nowMs: number): boolean {
    return this.heldValue(key, nowMs) !== undefined || this.isNotThere(key, nowMs);
  }

  hold(key: string, held: Held, untilMs: number): void {
    this.held.set(key, held, untilMs, held.reply.chunk.length + key.length + HELD_OVERHEAD_BYTES);
  }

  noteNotThere(key: string, untilMs: number): void {
    this.notThere.set(key, true, untilMs, 1);
  }

  forget(key: string): void {
    this.held.delete(key);
    this.notThere.delete(key);
  }

  /** Forgets all held values. Returns their bytes. */
  shed(): number {
    const bytes = this.held.byteLength;
    this.held.clear();
    return bytes;
  }

  forgetAll(): void {
    this.held.clear();
    this.notThere.clear();
  }

  /** Forgets everything and applies a new size limit. */
  reset(holdBytes: number): void {
    this.held = new ExpiringMap(MAX_HELD_KEYS, holdBytes);
    this.notThere.clear();
  }
}
