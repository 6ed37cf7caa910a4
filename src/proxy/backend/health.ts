/**
 * The state of a server. After failures the server is marked dead ("TKO", mcrouter's word) and probed until it answers.
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

/** Events of a server's health, for its backends. */
export interface HealthEvents {
  /** Send a probe. The result is reported by `probeSucceeded` or `probeFailed`. */
  probe(): void;
  /** The state changed to `state`. */
  changed(state: HealthState): void;
}

/**
 * Limits the number of dead servers in a pool. Over the limit, no further server is marked dead: a pool that answers
 * late is better than one that does not answer.
 */
export class FailOpenGate {
  private readonly upper: number;
  private readonly lower: number;
  private tko = 0;
  private isOpen = false;

  /** Opens at `upper` dead servers, and closes below `lower`. */
  constructor({ upper, lower }: { readonly upper: number; readonly lower: number }) {
    this.upper = upper;
    this.lower = lower;
  }

  /** True if one more server may be marked dead; it is counted. */
  enter(): boolean {
    if (this.isOpen) return false;
    if (++this.tko >= this.upper) this.isOpen = true;
    return true;
  }

  leave(): void {
    if (--this.tko < this.lower) this.isOpen = false;
  }
}

/** The state of one server, shared by all backends of that server. */
export class Health {
  state: HealthState = HealthState.up;
  /** Failures since the last success: timeouts, failed connections, and requests that waited for these. */
  failures = 0;
  private timeouts = 0;
  private delayMs = 0;
  private timer: Timer | null = null;
  /** True while an operator keeps the server out of use. */
  private isDrained = false;
  private readonly clock: Clock;
  private readonly random: () => number;
  /** The first member gets the events; the others only read the state. */
  private readonly members: HealthEvents[] = [];
  private readonly config: HealthConfig;
  private readonly gate: FailOpenGate | null;

  constructor(config: HealthConfig, clock: Clock, random: () => number, gate: FailOpenGate | null = null) {
    this.config = config;
    this.clock = clock;
    this.random = random;
    this.gate = gate;
  }

  /** Adds a backend of this server. */
  join(member: HealthEvents): void {
    this.members.push(member);
  }

  /** Removes a backend: another one takes over the probes, if there is one. */
  leave(member: HealthEvents): void {
    const at = this.members.indexOf(member);
    if (at < 0) return;
    this.members.splice(at, 1);
    if (this.members.length === 0) {
      this.clearTimer();
      if (this.state !== HealthState.up) this.gate?.leave();
    } else if (at === 0 && this.state !== HealthState.up && this.timer === null) {
      // The result of the probe that it sent is lost.
      this.schedule();
    }
  }

  /** Any reply to a request. While the server is marked dead, only a probe is a success. */
  answered(): void {
    this.timeouts = 0;
    if (this.state === HealthState.up) this.failures = 0;
  }

  /** A request waited for a connection that could not be established. */
  connectionAwaited(): void {
    this.countFailure();
  }

  /** A request or a probe timed out. */
  timedOut(isProbe = false): void {
    if (isProbe && this.state === HealthState.up && this.config.ignoresProbes === true) return;
    this.timeouts++;
    this.countFailure();
    const { timeoutsUntilTko } = this.config;
    const isEnough = timeoutsUntilTko !== null && this.timeouts >= timeoutsUntilTko;
    if (this.state === HealthState.up && isEnough) this.enter(HealthState.soft);
  }

  /** No connection could be established. */
  connectFailed(): void {
    this.countFailure();
    if (this.config.timeoutsUntilTko === null) return;
    if (this.state === HealthState.up) this.enter(HealthState.hard);
    else if (this.state === HealthState.soft) {
      this.state = HealthState.hard;
      this.members[0]?.changed(this.state);
    }
  }

  /** An operator takes the server out of use: it counts as dead and is not probed until `undrain`. */
  drain(): void {
    this.isDrained = true;
    this.clearTimer();
    if (this.state === HealthState.hard) return;
    // Also over the limit of dead servers.
    if (this.state === HealthState.up) this.gate?.enter();
    this.state = HealthState.hard;
    this.members[0]?.changed(this.state);
  }

  /** Ends `drain`: the server is up. */
  undrain(): void {
    if (!this.isDrained) return;
    this.isDrained = false;
    this.probeSucceeded();
  }

  /** A probe was answered: the server is up again. */
  probeSucceeded(): void {
    if (this.state === HealthState.up || this.isDrained) return;
    this.clearTimer();
    this.state = HealthState.up;
    this.timeouts = 0;
    this.failures = 0;
    this.gate?.leave();
    this.members[0]?.changed(this.state);
  }

  /** A probe failed: the next probe comes later. */
  probeFailed(): void {
    if (this.state === HealthState.up) return;
    this.delayMs = Math.min(this.delayMs * PROBE_GROWTH, this.config.lastProbeMs);
    this.schedule();
  }

  /** True if no pool has the server any more. */
  get isLeft(): boolean {
    return this.members.length === 0;
  }

  private countFailure(): void {
    if (this.config.timeoutsUntilTko !== null) this.failures++;
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
    if (this.members.length === 0 || this.isDrained) return;
    const jitter = 1 + 0.05 + this.random() * 0.45;
    this.timer = this.clock.setTimer(this.delayMs * jitter, () => {
      this.timer = null;
      this.members[0]?.probe();
    });
  }
}
