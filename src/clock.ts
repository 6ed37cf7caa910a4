/**
 * Time comes in from outside, so that a test can hold it still. Monotonic milliseconds measure durations; unix seconds
 * are for exptimes and for people.
 */

/** What `setTimer` hands back; only good for `clearTimer`. */
export type Timer = object;

export interface Clock {
  /** Monotonic milliseconds with a fraction; comparable only with itself. */
  nowMs(): number;
  /** Wall clock, whole seconds since 1970. */
  unixSeconds(): number;
  /** Calls `run` once, `delayMs` from now or later, never from within this call. Does not keep the process alive. */
  setTimer(delayMs: number, run: () => void): Timer;
  /** A timer that has fired or was cleared may be cleared again. */
  clearTimer(timer: Timer): void;
}

/** Longest delay of a timer of Node. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** The machine's clocks. A delay that is over is 0, and one that Node cannot take is the longest that it can. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  unixSeconds: () => Math.floor(Date.now() / 1000),
  setTimer: (delayMs, run) => setTimeout(run, Math.min(Math.max(0, delayMs), MAX_DELAY_MS)).unref(),
  clearTimer: (timer) => clearTimeout(timer as NodeJS.Timeout),
};
