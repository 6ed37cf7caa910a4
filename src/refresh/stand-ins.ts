/**
 * Remembered results for keys whose pool cannot answer: values that the pool could not store, and keys that the source
 * does not have. Writes through other processes are not noticed here. If processes share leases, these entries
 * therefore only replace replies that the pool fails to give, never a miss that the pool has reported.
 */

import { ExpiringMap } from "../expiring-map.ts";
import type { Reply } from "../proxy/reply.ts";
import type { KeptMarker } from "./lease.ts";
import type { Rule } from "./rules.ts";

/** Maximum time for replies from a held value (ms). */
const MAX_HOLD_MS = 5_000;
const MAX_HELD_KEYS = 100_000;
const MAX_NOT_THERE_KEYS = 100_000;
/** Size of a held value in addition to its bytes. */
const HELD_OVERHEAD_BYTES = 200;

/** A value that the pool could not store. */
export interface Held {
  /** The reply to a plain get of the key. */
  readonly reply: Reply;
  readonly rule: Rule;
  /** The marker in the lease that confirms the value. `null` if there is no marker. */
  readonly marker: KeptMarker | null;
}

/** Time for which a value with this ttl is held (ms). */
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

  /** True if there is an entry for the key. */
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

  /** Forgets all held values. Returns their size in bytes. */
  shed(): number {
    const bytes = this.held.byteLength;
    this.held.clear();
    return bytes;
  }

  forgetAll(): void {
    this.held.clear();
    this.notThere.clear();
  }

  /** Forgets all entries and applies a new size limit. */
  reset(holdBytes: number): void {
    this.held = new ExpiringMap(MAX_HELD_KEYS, holdBytes);
    this.notThere.clear();
  }
}
