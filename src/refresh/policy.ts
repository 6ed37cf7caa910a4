/**
 * When things happen to a key: pure functions of time, shared by fill, refresh and whatever predicts them.
 *
 *     populated ─────────────── due ──────── ttl ends ───────── stale ends, exptime
 *              ttl − refresh_before (± jitter)
 */
import type { Freshness } from "../sources/source.ts";

/** memcached drops an item up to a second early and counts whole seconds. */
const SLACK_SECONDS = 1;
/** Longer exptimes are absolute. Source: memcached doc/protocol.txt, "Expiration times". */
const MAX_RELATIVE_SECONDS = 60 * 60 * 24 * 30;
/** Keys filled together are spread over this share of the time before they fall due. */
const JITTER = 0.1;
/** An item that has this much more left than it was given here was refreshed by somebody else. */
const FRESHER_MS = 2_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** The times of a rule. */
export interface RuleTimes {
  /** Of a rule that takes the source's own freshness: what holds where the source says nothing. */
  readonly ttlMs: number;
  readonly isSourceTtl: boolean;
  /** Bounds of the source's own freshness. */
  readonly minTtlMs: number;
  readonly maxTtlMs: number;
  readonly expiryMs: number;
  readonly refreshBeforeMs: number | null;
  readonly staleMs: number;
}

/** How long a value that was fetched now is good, and how long it may be served after that. */
export function freshnessOfFetched(freshness: Freshness | null, times: RuleTimes): { ttlMs: number; staleMs: number } {
  const { ttlMs, staleMs, minTtlMs, maxTtlMs } = times;
  if (!times.isSourceTtl && freshness?.isBinding !== true) return { ttlMs, staleMs };
  const said = freshness?.ttlMs ?? ttlMs;
  // The source's word only lowers it: any process reads freshness from the TTL with the rule's figure.
  return {
    ttlMs: Math.min(maxTtlMs, Math.max(minTtlMs, said)),
    staleMs: Math.min(staleMs, freshness?.staleMs ?? staleMs),
  };
}

/** What is written as exptime: ttl and stale rounded up to seconds, and one more; over 30 days as unix time. */
export function exptimeOf(ttlMs: number, times: RuleTimes, unixSeconds: number): number {
  const seconds = lifeSeconds(ttlMs, times);
  return seconds > MAX_RELATIVE_SECONDS ? unixSeconds + seconds : seconds;
}

function lifeSeconds(ttlMs: number, { staleMs }: RuleTimes): number {
  return Math.ceil((ttlMs + staleMs) / 1000) + SLACK_SECONDS;
}

/** The longest that a value can be good by the rule. */
export function longestTtlMs(times: RuleTimes): number {
  return times.isSourceTtl ? times.maxTtlMs : times.ttlMs;
}

/**
 * Freshness that an item of `ttlSeconds` (null: not known, −1: no end) still has by the rule, in ms: 0 where it is stale,
 * never more than the rule's ttl.
 */
export function freshnessOf(ttlSeconds: number | null, times: RuleTimes): number {
  if (ttlSeconds === null || ttlSeconds < 0) return times.ttlMs;
  const freshMs = (ttlSeconds - SLACK_SECONDS) * 1000 - times.staleMs;
  return Math.min(longestTtlMs(times), Math.max(0, freshMs));
}

/** How long before the end of a ttl a key falls due: by default a tenth, at least 1 s, at most half of it. */
export function refreshBeforeOf(ttlMs: number, { refreshBeforeMs, isSourceTtl }: RuleTimes): number {
  if (refreshBeforeMs === null) return Math.min(Math.max(ttlMs / 10, 1_000), ttlMs / 2);
  return isSourceTtl ? Math.min(refreshBeforeMs, ttlMs / 2) : refreshBeforeMs;
}

/** Ms from now until a key with `freshnessMs` left falls due. `random`: 0 ≤ x < 1; jitter only makes it earlier. */
export function dueIn(freshnessMs: number, times: RuleTimes, random: number): number {
  const ttlMs = times.isSourceTtl ? freshnessMs : times.ttlMs;
  return Math.max(0, freshnessMs - refreshBeforeOf(ttlMs, times)) * (1 - JITTER * random);
}

/** Whether an item that has this much freshness left has more than it was given here, by more than clocks and seconds do. */
export function isFresher(freshMs: number, expectedMs: number): boolean {
  return freshMs > Math.max(0, expectedMs) + FRESHER_MS;
}

/**
 * Whether an item of which `ttlSeconds` are left, though no more than `expectedMs` of freshness were expected, was
 * refreshed by another process. More than the rule gives, or no end, is a client's word.
 */
export function isRefreshedElsewhere(ttlSeconds: number | null, expectedMs: number, times: RuleTimes): boolean {
  if (ttlSeconds === null || ttlSeconds < 0 || ttlSeconds > lifeSeconds(longestTtlMs(times), times)) return false;
  return isFresher(freshnessOf(ttlSeconds, times), expectedMs);
}

/** Ms until a refresh that failed `failures` times in a row is tried again. */
export function retryIn(failures: number, random: number): number {
  const base = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return base * (0.75 + 0.5 * random);
}
