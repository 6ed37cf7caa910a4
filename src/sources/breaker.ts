/**
 * A circuit breaker for a source: after failures of several keys in a row, no fetches start for a while; then one fetch
 * probes the source.
 *
 *     closed ──keys that fail in a row, no success for breaker_time──► open ──time──► half open: one probe ──succeeds──► closed
 *                                                                       ▲                            │
 *                                                                       └──────── fails: for longer ─┘
 *
 * Failures of a few keys are not failures of the source. A key counts once, until it succeeds. A source that has
 * answered any key within `breaker_time` is not down. The probe is for a key that has not failed; if no such key comes,
 * it is for a failing key. While the breaker is open, refreshes of keys that have not failed may also try, a few times
 * in each pause.
 *
 * Source: Nygard, "Release It!" (circuit breaker); the growing pause follows mcrouter's probes of servers.
 */
import type { Clock } from "../clock.ts";
import { ExpiringMap } from "../expiring-map.ts";

const MAX_FAILING_KEYS = 10_000;
/** A key without a failure for this time (ms) counts as new. */
const REMEMBERED_MS = 60_000;
const GROWTH = 2;
const LONGEST_MS = 60_000;
/** One more than the number of refreshes that may try in each pause. */
const TRIES_PER_PAUSE = 4;

export interface BreakerLimits {
  /** Number of consecutive failing keys that opens the breaker. 0 disables the breaker. */
  readonly breakerFailures: number;
  /** First open time, and the minimum time without any answer before the breaker opens. */
  readonly breakerMs: number;
}

export type BreakerState = "closed" | "open" | "half open";

/** Kinds of fetches: usual, a probe of a half-open breaker, or a try while the breaker is open. */
type Attempt = "usual" | "probe" | "try";

export class Breaker {
  /** Number of times the breaker opened since the start. */
  opened = 0;
  /** Keys whose last fetch failed. */
  private readonly failing = new ExpiringMap<true>(MAX_FAILING_KEYS, MAX_FAILING_KEYS);
  private readonly limits: BreakerLimits;
  private readonly clock: Clock;
  /** Number of keys that have failed in a row. */
  private failures = 0;
  private succeededMs = Number.NEGATIVE_INFINITY;
  private pauseMs: number;
  /** End of the pause. `null` if the breaker is closed. */
  private opensAgainMs: number | null = null;
  /** The current pause, and the time of the next try by a refresh. */
  private openForMs = 0;
  private nextTryMs = 0;
  /** The key of the probe or try in flight. `null` if absent. */
  private probing: string | null = null;

  constructor(limits: BreakerLimits, clock: Clock) {
    this.limits = limits;
    this.clock = clock;
    this.pauseMs = limits.breakerMs;
  }

  get state(): BreakerState {
    if (this.opensAgainMs === null) return "closed";
    return this.clock.nowMs() < this.opensAgainMs ? "open" : "half open";
  }

  /** True if a refresh of a key that has not failed may try now. */
  get takesRefreshes(): boolean {
    return this.state === "closed" || (this.probing === null && this.clock.nowMs() >= this.nextTryMs);
  }

  /** True if a fetch of `key` may start now. */
  mayEnter(key: string, isRefresh: boolean): boolean {
    return this.attemptOf(key, isRefresh) !== null;
  }

  /** If a fetch of `key` may start now, starts it. The caller must report how the fetch ends. */
  tryEnter(key: string, isRefresh: boolean): boolean {
    const attempt = this.attemptOf(key, isRefresh);
    if (attempt === null) return false;
    if (attempt !== "usual") this.probing = key;
    if (attempt === "try") this.nextTryMs = this.clock.nowMs() + this.openForMs / TRIES_PER_PAUSE;
    return true;
  }

  /** Records an answer of the source for these keys. */
  succeeded(keys: readonly string[]): void {
    for (const key of keys) this.failing.delete(key);
    this.failures = 0;
    this.succeededMs = this.clock.nowMs();
    this.opensAgainMs = null;
    this.probing = null;
    this.pauseMs = this.limits.breakerMs;
  }

  /** An operator closes the breaker: fetches start again. */
  close(): void {
    this.succeeded([]);
  }

  /** Records a failure of the source. True if the breaker opens. */
  failed(key: string): boolean {
    const nowMs = this.clock.nowMs();
    const isKnown = this.failing.get(key, nowMs) === true;
    this.failing.set(key, true, nowMs + REMEMBERED_MS, 1);
    const isProbe = this.probing === key;
    if (isProbe) this.probing = null;
    if (this.opensAgainMs !== null) {
      // Fetches from before the opening give no new information, and only a probe may end the pause.
      if (!isProbe || nowMs < this.opensAgainMs) return false;
      this.open(nowMs);
      return true;
    }
    if (!isKnown) this.failures++;
    const { breakerFailures, breakerMs } = this.limits;
    if (breakerFailures === 0 || this.failures < breakerFailures) return false;
    if (nowMs - this.succeededMs < breakerMs) return false;
    this.open(nowMs);
    return true;
  }

  /** The fetch ended without an answer of the source. */
  cancelled(key: string): void {
    if (this.probing === key) this.probing = null;
  }

  private attemptOf(key: string, isRefresh: boolean): Attempt | null {
    if (this.opensAgainMs === null) return "usual";
    if (this.probing !== null) return null;
    const nowMs = this.clock.nowMs();
    const isFailing = this.failing.get(key, nowMs) === true;
    if (nowMs < this.opensAgainMs) return isRefresh && !isFailing && nowMs >= this.nextTryMs ? "try" : null;
    // During half of the first pause, the probe waits for a key that has not failed.
    return isFailing && nowMs < this.opensAgainMs + this.limits.breakerMs / 2 ? null : "probe";
  }

  private open(nowMs: number): void {
    this.opened++;
    this.failures = 0;
    this.openForMs = this.pauseMs;
    this.opensAgainMs = nowMs + this.pauseMs;
    this.nextTryMs = nowMs + this.pauseMs / TRIES_PER_PAUSE;
    this.pauseMs = Math.min(this.pauseMs * GROWTH, Math.max(LONGEST_MS, this.limits.breakerMs));
  }
}
