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

/** The state of one backend, shared by its connections. */
export class Health {
  state: HealthState = HealthState.up;
  private timeouts = 0;
  private delayMs = 0;
  private timer: Timer | null = null;
  private isStopped = false;
  private readonly clock: Clock;
  private readonly random: () => number;
  private readonly events: HealthEvents;
  private readonly config: HealthConfig;

  constructor(config: HealthConfig, clock: Clock, random: () => number, events: HealthEvents) {
    this.config = config;
    this.clock = clock;
    this.random = random;
    this.events = events;
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
      this.events.changed(this.state);
    }
  }

  /** The probe was answered: the backend is asked again. */
  probeSucceeded(): void {
    if (this.state === HealthState.up) return;
    this.clearTimer();
    this.state = HealthState.up;
    this.timeouts = 0;
    this.events.changed(this.state);
  }

  /** The probe failed: the next one comes later. */
  probeFailed(): void {
    if (this.state === HealthState.up) return;
    this.delayMs = Math.min(this.delayMs * PROBE_GROWTH, this.config.lastProbeMs);
    this.schedule();
  }

  /** No more probes, whatever is still heard of those under way. */
  stop(): void {
    this.isStopped = true;
    this.clearTimer();
  }

  private clearTimer(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  private enter(state: HealthState): void {
    this.state = state;
    this.delayMs = this.config.firstProbeMs;
    this.events.changed(state);
    this.schedule();
  }

  private schedule(): void {
    this.clearTimer();
    if (this.isStopped) return;
    const jitter = 1 + 0.05 + this.random() * 0.45;
    this.timer = this.clock.setTimer(this.delayMs * jitter, () => {
      this.timer = null;
      this.events.probe();
    });
  }
}
