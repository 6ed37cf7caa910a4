/**
 * Detects a hung worker. Each worker sends a heartbeat from its event loop once per second. A worker without heartbeats
 * does not serve its clients and does not react to signals.
 *
 *     beat ─► 8 s without a beat ─► 2 s more, in which unread beats are read ─► hung
 *
 * The last 2 s are for a supervisor that was suspended together with its workers.
 */
import type { Clock, Timer } from "../clock.ts";

/** Time between two beats of a worker (ms). */
export const BEAT_MS = 1_000;
/** Maximum time between two heartbeats of a serving worker (ms). */
const MAX_SILENCE_MS = 8_000;
/** Maximum time between two heartbeats of a starting worker, which loads the program and its configuration (ms). */
const MAX_START_SILENCE_MS = 60_000;
const GRACE_MS = 2_000;

export class Pulse {
  private readonly clock: Clock;
  private readonly onHung: () => void;
  private timer: Timer;

  /** Calls `onHung` once, unless the pulse ends first. */
  constructor(clock: Clock, onHung: () => void) {
    this.clock = clock;
    this.onHung = onHung;
    this.timer = this.wait(MAX_START_SILENCE_MS);
  }

  /** `isReady` is true if the worker serves. */
  beat(isReady: boolean): void {
    this.end();
    this.timer = this.wait(isReady ? MAX_SILENCE_MS : MAX_START_SILENCE_MS);
  }

  end(): void {
    this.clock.clearTimer(this.timer);
  }

  private wait(silenceMs: number): Timer {
    return this.clock.setTimer(silenceMs, () => {
      this.timer = this.clock.setTimer(GRACE_MS, this.onHung);
    });
  }
}
