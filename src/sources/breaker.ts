/**
 * Leaves a failing source alone: after so many failures in a row nothing is asked of it for a while, then one fetch tries.
 *
 *     closed ──failures in a row──► open ──time──► half open: one probe ──succeeds──► closed
 *                                    ▲                          │
 *                                    └──────── fails: for longer ┘
 *
 * Source: Nygard, "Release It!" (circuit breaker); the growing pause is mcrouter's for servers.
 */
import type { Clock } from "../clock.ts";

const GROWTH = 2;
const LONGEST_MS = 60_000;

export interface BreakerLimits {
  /** Failures in a row that open it; 0: it never opens. */
  readonly breakerFailures: number;
  /** How long it stays open at first. */
  readonly breakerMs: number;
}

export type BreakerState = "closed" | "open" | "half open";

export class Breaker {
  /** Times it opened since the start. */
  opened = 0;
  private readonly limits: BreakerLimits;
  private readonly clock: Clock;
  private failures = 0;
  private pauseMs: number;
  /** Null: closed. */
  private opensAgainMs: number | null = null;
  /** A fetch tries whether the source is well again. */
  isProbing = false;

  constructor(limits: BreakerLimits, clock: Clock) {
    this.limits = limits;
    this.clock = clock;
    this.pauseMs = limits.breakerMs;
  }

  get state(): BreakerState {
    if (this.opensAgainMs === null) return "closed";
    return this.clock.nowMs() < this.opensAgainMs ? "open" : "half open";
  }

  /** True when a fetch may begin now; it must be told how it ended. */
  tryEnter(): boolean {
    const { state } = this;
    if (state === "closed") return true;
    if (state === "open" || this.isProbing) return false;
    this.isProbing = true;
    return true;
  }

  /** The source answered. */
  succeeded(): void {
    this.failures = 0;
    this.opensAgainMs = null;
    this.isProbing = false;
    this.pauseMs = this.limits.breakerMs;
  }

  /** The source failed. True: it is left alone from now on. */
  failed(): boolean {
    this.failures++;
    const isOpen = this.opensAgainMs !== null;
    // Those that began before it opened tell nothing new.
    if (isOpen && !this.isProbing) return false;
    const { breakerFailures } = this.limits;
    if (breakerFailures === 0 || (!isOpen && this.failures < breakerFailures)) return false;
    this.isProbing = false;
    this.opened++;
    this.opensAgainMs = this.clock.nowMs() + this.pauseMs;
    this.pauseMs = Math.min(this.pauseMs * GROWTH, Math.max(LONGEST_MS, this.limits.breakerMs));
    return true;
  }

  /** The fetch ended without a word of the source's. */
  cancelled(): void {
    this.isProbing = false;
  }
}
