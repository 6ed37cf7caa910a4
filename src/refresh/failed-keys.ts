/**
 * Keys whose last fetch failed. For `failure_ttl`, their misses are answered without a fetch. The time doubles with each
 * further failure, up to eight times `negative_ttl`: the failure of one key says little about its source, but each fetch
 * costs the source work. A success, a client's write to the key and a reload end it.
 */
import type { RuleConfig } from "../config/config.ts";
import { SourceError } from "../errors.ts";
import { ExpiringMap } from "../expiring-map.ts";

const MAX_KEYS = 100_000;
/** A key without a failure for this time after its pause (ms) counts as new. */
const REMEMBERED_MS = 60_000;
/** Factor of `negative_ttl` in the longest pause. */
const LONGEST_FACTOR = 8;
/** A pause is longer by up to this share, so that keys that failed together are not fetched together. */
const JITTER = 0.1;

interface Failed {
  readonly failures: number;
  readonly pausedUntilMs: number;
}

export class FailedKeys {
  private readonly keys = new ExpiringMap<Failed>(MAX_KEYS, MAX_KEYS);
  private readonly random: () => number;

  /** `random`: 0 ≤ x < 1, for jitter. */
  constructor(random: () => number) {
    this.random = random;
  }

  /** True if a miss of `key` must not be fetched now. */
  isPaused(key: string, nowMs: number): boolean {
    return this.pausedMs(key, nowMs) > 0;
  }

  /** Time for which a miss of `key` is not fetched. 0 or less if it may be fetched. */
  pausedMs(key: string, nowMs: number): number {
    return (this.keys.get(key, nowMs)?.pausedUntilMs ?? 0) - nowMs;
  }

  /** A fetch of `key` has failed with `error`. Has no effect if the source was not asked. */
  add(key: string, error: unknown, { failureTtlMs, negativeTtlMs }: RuleConfig, nowMs: number): void {
    if (failureTtlMs === 0 || !wasAsked(error)) return;
    const failures = (this.keys.get(key, nowMs)?.failures ?? 0) + 1;
    const longestMs = Math.max(failureTtlMs, negativeTtlMs * LONGEST_FACTOR);
    const pauseMs = Math.min(failureTtlMs * 2 ** (failures - 1), longestMs) * (1 + JITTER * this.random());
    const pausedUntilMs = nowMs + pauseMs;
    this.keys.set(key, { failures, pausedUntilMs }, pausedUntilMs + REMEMBERED_MS, 1);
  }

  delete(key: string): void {
    this.keys.delete(key);
  }

  clear(): void {
    this.keys.clear();
  }
}

/** False if `error` says that the source had no place for the fetch, or that its breaker was open. */
export function wasAsked(error: unknown): boolean {
  return !(error instanceof SourceError && (error.code === "SOURCE_OVERLOADED" || error.code === "SOURCE_LEFT_ALONE"));
}
