/**
 * Keys with failing fetches. A key that fails twice in a row is paused, longer after each further failure: the failure
 * of one key says little about the source, but each fetch costs the source work.
 */
import { ExpiringMap } from "../expiring-map.ts";

const MAX_KEYS = 10_000;
/** A key without a failure for this time (ms) counts as new. */
const REMEMBERED_MS = 60_000;
/** Pause after the second consecutive failure (ms). It doubles with each further failure. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 8_000;

interface Failing {
  readonly failures: number;
  readonly pausedUntilMs: number;
}

export class FailingKeys {
  private readonly keys = new ExpiringMap<Failing>(MAX_KEYS, MAX_KEYS);

  /** True if the last fetch of `key` failed. */
  has(key: string, nowMs: number): boolean {
    return this.keys.get(key, nowMs) !== undefined;
  }

  /** True if `key` must not be fetched now. */
  isPaused(key: string, nowMs: number): boolean {
    return (this.keys.get(key, nowMs)?.pausedUntilMs ?? 0) > nowMs;
  }

  add(key: string, nowMs: number): void {
    const failures = (this.keys.get(key, nowMs)?.failures ?? 0) + 1;
    const pauseMs = failures === 1 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (failures - 2), LONGEST_PAUSE_MS);
    this.keys.set(key, { failures, pausedUntilMs: nowMs + pauseMs }, nowMs + REMEMBERED_MS, 1);
  }

  delete(key: string): void {
    this.keys.delete(key);
  }
}
