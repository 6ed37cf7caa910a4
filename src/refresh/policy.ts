/**
 * When things happen to a key: pure functions of time, shared by fill, refresh and whatever predicts them.
 *
 *     populated ────────────────── due ──────── ttl ends ──── exptime
 *              ttl − refresh_before (± jitter)
 */

/** memcached drops an item up to a second early and counts whole seconds. */
const SLACK_SECONDS = 1;
/** Longer exptimes are absolute. Source: memcached doc/protocol.txt, "Expiration times". */
const MAX_RELATIVE_SECONDS = 60 * 60 * 24 * 30;
/** Keys filled together are spread over this share of the time before they fall due. */
const JITTER = 0.1;
/** An item that has this much more left than a key that falls due can have was refreshed by somebody else. */
const FRESHER_MS = 2_000;
const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 60_000;

/** The times of a rule. */
export interface RuleTimes {
  readonly ttlMs: number;
  readonly expiryMs: number;
  readonly refreshBeforeMs: number | null;
}

/** What is written as exptime: the ttl rounded up to seconds, and one more; over 30 days as unix time. */
export function exptimeOf(ttlMs: number, unixSeconds: number): number {
  const seconds = lifeSeconds(ttlMs);
  return seconds > MAX_RELATIVE_SECONDS ? unixSeconds + seconds : seconds;
}

function lifeSeconds(ttlMs: number): number {
  return Math.ceil(ttlMs / 1000) + SLACK_SECONDS;
}

/** Freshness that an item of `ttlSeconds` (null: not known) still has by the rule, in ms: never more than the rule's ttl. */
export function freshnessOf(ttlSeconds: number | null, times: RuleTimes): number {
  if (ttlSeconds === null || ttlSeconds < 0) return times.ttlMs;
  return Math.min(times.ttlMs, Math.max(0, (ttlSeconds - SLACK_SECONDS) * 1000));
}

/** How long before the end of its ttl a key falls due: by default a tenth, at least 1 s, at most half of it. */
export function refreshBeforeOf(times: RuleTimes): number {
  return times.refreshBeforeMs ?? Math.min(Math.max(times.ttlMs / 10, 1_000), times.ttlMs / 2);
}

/** Ms from now until a key with `freshnessMs` left falls due. `random`: 0 ≤ x < 1; jitter only makes it earlier. */
export function dueIn(freshnessMs: number, times: RuleTimes, random: number): number {
  return Math.max(0, freshnessMs - refreshBeforeOf(times)) * (1 - JITTER * random);
}

/**
 * Whether an item of which `ttlSeconds` are left when its key falls due was refreshed by another process. It has more left
 * then than it would have here, however early jitter made it due. More than the rule gives, or no end, is a client's word.
 */
export function isRefreshedElsewhere(ttlSeconds: number | null, times: RuleTimes): boolean {
  if (ttlSeconds === null || ttlSeconds < 0 || ttlSeconds > lifeSeconds(times.ttlMs)) return false;
  const beforeMs = refreshBeforeOf(times);
  return freshnessOf(ttlSeconds, times) > beforeMs + (times.ttlMs - beforeMs) * JITTER + FRESHER_MS;
}

/** Ms until a refresh that failed `failures` times in a row is tried again. */
export function retryIn(failures: number, random: number): number {
  const base = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures - 1, 10));
  return base * (0.75 + 0.5 * random);
}
