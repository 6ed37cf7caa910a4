/**
 * The times of a key's events: pure functions of time, shared by fill, refresh and simulation.
 *
 *     populated ─────────────── due ──────── ttl ends ───────── stale ends, exptime
 *              ttl − refresh_before (± jitter)
 */
import type { Freshness } from "../sources/source.ts";

/** memcached may drop an item up to a second early, and counts whole seconds. */
const SLACK_SECONDS = 1;
/** Larger exptimes are absolute. Source: memcached doc/protocol.txt, "Expiration times". */
const MAX_RELATIVE_SECONDS = 60 * 60 * 24 * 30;
/** Due times of keys that were filled together are spread over this share of the time until they are due. */
const JITTER = 0.1;
/** An item with this much more time left than this process gave it was refreshed by another process. */
const FRESHER_MS = 2_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** The times of a rule. */
export interface RuleTimes {
  /** TTL; for a rule with the source's freshness, the TTL if the source gives none. */
  readonly ttlMs: number;
  readonly isSourceTtl: boolean;
  /** Minimum of the source's freshness. */
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  readonly expiryMs: number;
  readonly refreshBeforeMs: number | null;
  readonly staleMs: number;
}

/** TTL of a value that was fetched now, and the time after it during which the value may be served. */
export function freshnessOfFetched(freshness: Freshness | null, times: RuleTimes): { ttlMs: number; staleMs: number } {
  const { ttlMs, staleMs, minTtlMs, maxTtlMs } = times;
  if (!times.isSourceTtl && freshness?.isBinding !== true) return { ttlMs, staleMs };
  const said = freshness?.ttlMs ?? ttlMs;
  // The source can only lower the TTL: other processes compute freshness from the item's TTL and the rule's value.
  return {
    ttlMs: Math.min(maxTtlMs, Math.max(minTtlMs, said)),
    staleMs: Math.min(staleMs, freshness?.staleMs ?? staleMs),
  };
}

/** Exptime of an item: ttl and stale time rounded up to seconds, plus one second; over 30 days as Unix time. */
export function exptimeOf(ttlMs: number, times: RuleTimes, unixSeconds: number): number {
  const seconds = lifeSeconds(ttlMs, times);
  return seconds > MAX_RELATIVE_SECONDS ? unixSeconds + seconds : seconds;
}

function lifeSeconds(ttlMs: number, { staleMs }: RuleTimes): number {
  return Math.ceil((ttlMs + staleMs) / 1000) + SLACK_SECONDS;
}

/** Maximum TTL of a value under the rule. */
export function longestTtlMs(times: RuleTimes): number {
  return times.isSourceTtl ? times.maxTtlMs : times.ttlMs;
}

/**
 * Remaining freshness (ms) under the rule of an item with a TTL of `ttlSeconds` (`null` if unknown, −1 if it never expires). 0 if the
 * item is stale; at most the rule's ttl.
 */
export function freshnessOf(ttlSeconds: number | null, times: RuleTimes): number {
  if (ttlSeconds === null || ttlSeconds < 0) return times.ttlMs;
  const freshMs = (ttlSeconds - SLACK_SECONDS) * 1000 - times.staleMs;
  return Math.min(longestTtlMs(times), Math.max(0, freshMs));
}

/** Time before the end of a ttl at which a key is due: by default a tenth, at least 1 s, at most half of the ttl. */
export function refreshBeforeOf(ttlMs: number, { refreshBeforeMs, isSourceTtl }: RuleTimes): number {
  if (refreshBeforeMs === null) return Math.min(Math.max(ttlMs / 10, 1_000), ttlMs / 2);
  return isSourceTtl ? Math.min(refreshBeforeMs, ttlMs / 2) : refreshBeforeMs;
}

/** Time until a key with `freshnessMs` left is due (ms). `random`: 0 ≤ x < 1; jitter only makes it earlier. */
export function dueIn(freshnessMs: number, times: RuleTimes, random: number): number {
  const ttlMs = times.isSourceTtl ? freshnessMs : times.ttlMs;
  return Math.max(0, freshnessMs - refreshBeforeOf(ttlMs, times)) * (1 - JITTER * random);
}

/**
 * True if an item has more freshness left than this process gave it, by more than the error of clocks and whole
 * seconds.
 */
export function isFresher(freshMs: number, expectedMs: number): boolean {
  return freshMs > Math.max(0, expectedMs) + FRESHER_MS;
}

/**
 * True if another process has refreshed an item with `ttlSeconds` left when at most `expectedMs` of freshness were
 * expected. A TTL above the rule's maximum, or without an end, comes from a client.
 */
export function isRefreshedElsewhere(ttlSeconds: number | null, expectedMs: number, times: RuleTimes): boolean {
  if (ttlSeconds === null || ttlSeconds < 0 || ttlSeconds > lifeSeconds(longestTtlMs(times), times)) return false;
  return isFresher(freshnessOf(ttlSeconds, times), expectedMs);
}

/** Time until the retry of a refresh that failed `failures` times in a row (ms). */
export function retryIn(failures: number, random: number): number {
  const base = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return base * (0.75 + 0.5 * random);
}
