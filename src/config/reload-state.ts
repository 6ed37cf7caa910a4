/**
 * How reading the configuration has gone so far, for whoever tells of it.
 */
import type { Clock } from "../clock.ts";

/** From the start on, which is the first that was taken over. */
export class ReloadState {
  /** Why the last reload was refused; null: it was not. */
  error: string | null = null;
  /** Reloads that were refused. */
  failures = 0;
  lastAttemptUnixSeconds: number;
  private readonly clock: Clock;
  private takenMs: number;

  constructor(clock: Clock) {
    this.clock = clock;
    this.takenMs = clock.nowMs();
    this.lastAttemptUnixSeconds = clock.unixSeconds();
  }

  /** Since the configuration of now was taken over. */
  get ageSeconds(): number {
    return Math.floor((this.clock.nowMs() - this.takenMs) / 1000);
  }

  /** Another one was taken over. */
  taken(): void {
    this.takenMs = this.clock.nowMs();
    this.lastAttemptUnixSeconds = this.clock.unixSeconds();
    this.error = null;
  }

  /** Another one was refused; the one before goes on serving. */
  refused(message: string): void {
    this.failures++;
    this.lastAttemptUnixSeconds = this.clock.unixSeconds();
    this.error = message;
  }
}
