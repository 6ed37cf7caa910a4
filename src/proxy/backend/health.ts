/**
 * Whether a backend is asked at all. After failures it is left alone ("TKO", mcrouter's word) and probed until it answers.
 *
 *     up ──timeouts in a row──► soft TKO ──connect fails──► hard TKO
 *      ▲──connect fails──────────────────────────────────►     │
 *      └──────────── a probe is answered ◄─────────────────────┘
 *
 * Source: mcrouter's TkoTracker and ProxyDestination, as facts.
 */
import type { Clock, Timer } from "../../clock.ts";
import type { HealthConfig } from "../../config/config.ts";

const PROBE_GROWTH = 1.5;

export const HealthState = { up: 0, soft: 1, hard: 2 } as const;
export type HealthState = (typeof HealthState)[keyof typeof HealthState];

/** What the health of a backend tells its owner. */
export interface HealthEvents {
  /** Time to ask the backend for a sign of life; answered by `probeSucceeded` or `probeFailed`. */
  probe(): void;
  /** The state changed to `state`. */
  changed(state: HealthState): void;
}

/**
 * The servers of a pool that are left alone. With too many of them none more is: a pool that answers late is better than one
 * that does not.
 */
export class FailOpenGate {
  private readonly upper: number;
  private readonly lower: number;
  private tko = 0;
  private isOpen = false;

  /** Opens at `upper` servers, closes below `lower`. */
  constructor({ upper, lower }: { readonly upper: number; readonly lower: number }) {
    this.upper = upper;
    this.lower = lower;
  }

  /** True: one more may be left alone, and is counted. */
  enter(): boolean {
    if (this.isOpen) return false;
    if (++this.tko >= this.upper) this.isOpen = true;
    return true;
  }

  leave(): void {
    if (--this.tko < this.lower) this.isOpen = false;
  }
}

/** The state of one server, shared by all backends that stand for it. */
export class Health {
  state: HealthState = HealthState.up;
  private timeouts = 0;
  private delayMs = 0;
  private timer: Timer | null = null;
  private readonly clock: Clock;
  private readonly random: () => number;
  /** The first one is told; the others only ask. */
  private readonly members: HealthEvents[] = [];
  private readonly config: HealthConfig;
  private readonly gate: FailOpenGate | null;

  constructor(config: HealthConfig, clock: Clock, random: () => number, gate: FailOpenGate | null = null) {
    this.config = config;
    this.clock = clock;
    this.random = random;
    this.gate = gate;
  }

  /** One more backend of this server. */
  join(member: HealthEvents): void {
    this.members.push(member);
  }

  /** A backend that is there no more: another one probes, or none. */
  leave(member: HealthEvents): void {
    const at = this.members.indexOf(member);
    if (at < 0) return;
    this.members.splice(at, 1);
    if (this.members.length === 0) {
      this.clearTimer();
      if (this.state !== HealthState.up) this.gate?.leave();
    } else if (at === 0 && this.state !== HealthState.up && this.timer === null) {
      // Nobody will hear of the probe that it sent.
      this.schedule();
    }
  }

  /** Any answer to a request. */
  answered(): void {
    this.timeouts = 0;
  }

  /** A request was not answered in time. */
  timedOut(): void {
    this.timeouts++;
    const { timeoutsUntilTko } = this.config;
    const isEnough = timeoutsUntilTko !== null && this.timeouts >= timeoutsUntilTko;
    if (this.state === HealthState.up && isEnough) this.enter(HealthState.soft);
  }

  /** No connection could be made. */
  connectFailed(): void {
    if (this.config.timeoutsUntilTko === null) return;
    if (this.state === HealthState.up) this.enter(HealthState.hard);
    else if (this.state === HealthState.soft) {
      this.state = HealthState.hard;
      this.members[0]?.changed(this.state);
    }
  }

  /** The probe was answered: the backend is asked again. */
  probeSucceeded(): void {
    if (this.state === HealthState.up) return;
    this.clearTimer();
    this.state = HealthState.up;
    this.timeouts = 0;
    this.gate?.leave();
    this.members[0]?.changed(this.state);
  }

  /** The probe failed: the next one comes later. */
  probeFailed(): void {
    if (this.state === HealthState.up) return;
    this.delayMs = Math.min(this.delayMs * PROBE_GROWTH, this.config.lastProbeMs);
    this.schedule();
  }

  private clearTimer(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  private enter(state: HealthState): void {
    if (this.gate !== null && !this.gate.enter()) return;
    this.state = state;
    this.delayMs = this.config.firstProbeMs;
    this.members[0]?.changed(state);
    this.schedule();
  }

  private schedule(): void {
    this.clearTimer();
    if (this.members.length === 0) return;
    const jitter = 1 + 0.05 + this.random() * 0.45;
    this.timer = this.clock.setTimer(this.delayMs * jitter, () => {
      this.timer = null;
      this.members[0]?.probe();
    });
  }
}
