/**
 * The clock is injected, so that tests can control time. Monotonic milliseconds measure durations; Unix seconds are for
 * exptimes and for people.
 */

/** Result of `setTimer`, for `clearTimer`. */
export type Timer = object;

export interface Clock {
  /** Monotonic milliseconds with a fraction. Only compare values of one clock. */
  nowMs(): number;
  /** Wall clock, whole seconds since 1970. */
  unixSeconds(): number;
  /** Calls `run` once, after at least `delayMs`, never synchronously. Does not keep the process alive. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** Clears a timer. The timer may have fired or been cleared already. */
  clearTimer(timer: Timer): void;
}

/** Maximum delay of a timer in Node. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The clocks of the machine. A negative delay becomes 0, and a delay above Node's maximum becomes that maximum. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixSeconds: () => Math.floor(Date.now() / 1000),
  setTimer: (delayMs, run) => setTimeout(run, Math.min(Math.max(0, delayMs), MAX_DELAY_MS)).unref(),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
