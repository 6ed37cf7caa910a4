/** State of the configuration reloads, for reports. */
import type { Clock } from "../clock.ts";

/** Begins with the first configuration. */
export class ReloadState {
  /** Reason why the last reload was refused. `null` if it succeeded. */
  error: string | null = null;
  /** Number of refused reloads. */
  failures = 0;
  lastAttemptUnixSeconds: number;
  private readonly clock: Clock;
  private takenMs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.takenMs = clock.nowMs();
    this.lastAttemptUnixSeconds = clock.unixSeconds();
  }

  /** Seconds since the last successful reload. */
  get ageSeconds(): number {
    return Math.floor((this.clock.nowMs() - this.takenMs) / 1000);
  }

  /** A reload succeeded. */
  taken(): void {
    this.takenMs = this.clock.nowMs();
    this.lastAttemptUnixSeconds = this.clock.unixSeconds();
    this.error = null;
  }

  /** A reload was refused; the previous configuration stays in use. */
  refused(message: string): void {
    this.failures++;
    this.lastAttemptUnixSeconds = this.clock.unixSeconds();
    this.error = message;
  }
}
