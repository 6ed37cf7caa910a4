/**
 * Leaves a failing source alone: after the failures of so many keys in a row nothing is asked of it for a while, then one
 * fetch tries.
 *
 *     closed ──keys that fail in a row, no success for breaker_time──► open ──time──► half open: one probe ──succeeds──► closed
 *                                                                       ▲                            │
 *                                                                       └──────── fails: for longer ─┘
 *
 * Failures of few keys are not the source's. A key counts once, until it succeeds. A source that has answered any key within
 * `breaker_time` is not down. The probe is for a key that does not fail; only where none comes is it for one that does. While
 * the breaker is open a refresh of a good key may try as well, a few times in each pause.
 *
 * Source: Nygard, "Release It!" (circuit breaker); the growing pause is mcrouter's for servers.
 */
import type { Clock } from "../clock.ts";
import { FailingKeys } from "./failing-keys.ts";

const GROWTH = 2;
const LONGEST_MS = 60_000;
/** Refreshes that may try in each pause, one less than this. */
const TRIES_PER_PAUSE = 4;

export interface BreakerLimits {
  /** Keys that fail in a row until it opens; 0: it never opens. */
  readonly breakerFailures: number;
  /** How long it stays open at first, and how long the source must have answered nothing before. */
  readonly breakerMs: number;
}

export type BreakerState = "closed" | "open" | "half open";

/** What a fetch is: one that counts as usual, a probe of a breaker that is half open, or a try while it is open. */
type Attempt = "usual" | "probe" | "try";

export class Breaker {
  /** Times it opened since the start. */
  opened = 0;
  readonly failing = new FailingKeys();
  private readonly limits: BreakerLimits;
  private readonly clock: Clock;
  /** Keys that have failed in a row. */
  private failures = 0;
  private succeededMs = Number.NEGATIVE_INFINITY;
  private pauseMs: number;
  /** Null: closed. */
  private opensAgainMs: number | null = null;
  /** The pause of now, and when a refresh may try next. */
  private openForMs = 0;
  private nextTryMs = 0;
  /** The key of the probe, or of the try, that is under way; null: there is none. */
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

  /** A refresh of a good key may try now. */
  get takesRefreshes(): boolean {
    return this.state === "closed" || (this.probing === null && this.clock.nowMs() >= this.nextTryMs);
  }

  /** True if a fetch of `key` may begin now. */
  mayEnter(key: string, isRefresh: boolean): boolean {
    return this.attemptOf(key, isRefresh) !== null;
  }

  /** The same, and the fetch begins: the breaker must be told how it ended. */
  tryEnter(key: string, isRefresh: boolean): boolean {
    const attempt = this.attemptOf(key, isRefresh);
    if (attempt === null) return false;
    if (attempt !== "usual") this.probing = key;
    if (attempt === "try") this.nextTryMs = this.clock.nowMs() + this.openForMs / TRIES_PER_PAUSE;
    return true;
  }

  /** The source answered. */
  succeeded(key: string): void {
    this.failing.delete(key);
    this.failures = 0;
    this.succeededMs = this.clock.nowMs();
    this.opensAgainMs = null;
    this.probing = null;
    this.pauseMs = this.limits.breakerMs;
  }

  /** The source failed. True: it is left alone from now on. */
  failed(key: string): boolean {
    const nowMs = this.clock.nowMs();
    const isKnown = this.failing.has(key, nowMs);
    this.failing.add(key, nowMs);
    const isProbe = this.probing === key;
    if (isProbe) this.probing = null;
    if (this.opensAgainMs !== null) {
      // Those that began before it opened tell nothing new, and the pause is over for a probe only.
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

  /** The fetch ended without a word of the source's. */
  cancelled(key: string): void {
    if (this.probing === key) this.probing = null;
  }

  private attemptOf(key: string, isRefresh: boolean): Attempt | null {
    if (this.opensAgainMs === null) return "usual";
    if (this.probing !== null) return null;
    const nowMs = this.clock.nowMs();
    const isFailing = this.failing.has(key, nowMs);
    if (nowMs < this.opensAgainMs) return isRefresh && !isFailing && nowMs >= this.nextTryMs ? "try" : null;
    // Half of the first pause is for keys that do not fail.
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
