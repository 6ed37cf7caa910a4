/**
 * Writes to the pool whose outcome is unknown: the request timed out, or its connection was lost. The server may have
 * executed such a write, or may still execute it, even after a later request on another connection. Each write has a check
 * that is repeated with backoff until the outcome is known.
 *
 *     check ── true: the outcome is known                       ─► done
 *       │ false: the server shows no trace of the write (yet)   ─► again after a pause; done after `looks` such answers
 *       └ rejected: the pool cannot answer                      ─► again after a pause; abandoned after `GIVE_UP_MS`
 *
 * The pauses double from 100 ms to 5 s, so that nine answers cover 16 s after the server answers again.
 */
import type { Clock, Timer } from "../clock.ts";

const FIRST_PAUSE_MS = 100;
const LAST_PAUSE_MS = 5_000;
/** Number of answers without a trace of the write after which the write counts as lost. */
const LOOKS = 9;
/** Maximum time to check one write (ms). */
const GIVE_UP_MS = 900_000;
/** Over this number, no write begins that might need a check. */
const MAX_WRITES = 10_000;

/** Resolves to true if the outcome of the write is known and no work is left. Rejects if the pool cannot answer. */
export type Check = () => Promise<boolean>;

interface Unsettled {
  readonly check: Check;
  readonly looks: number;
  readonly endMs: number;
  readonly done: () => void;
  answers: number;
  pauseMs: number;
  timer: Timer | null;
}

/** The unsettled writes of a process. */
export class UnsettledWrites {
  private readonly clock: Clock;
  private readonly looks: number;
  private readonly writes = new Set<Unsettled>();
  private isStopped = false;

  constructor(clock: Clock, looks = LOOKS) {
    this.clock = clock;
    this.looks = looks;
  }

  /** Number of writes with an unknown outcome. */
  get size(): number {
    return this.writes.size;
  }

  /** False if there are too many unsettled writes to begin another one that might need a check. */
  get hasRoom(): boolean {
    return this.writes.size < MAX_WRITES;
  }

  /**
   * Checks a write, for the first time before this returns. Resolves when its outcome is known or the check is
   * abandoned; never rejects. `looks` and `forMs` override the number of answers without a trace, and the maximum time
   * of the check.
   */
  settle(check: Check, { looks = this.looks, forMs = GIVE_UP_MS } = {}): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    return new Promise((done) => {
      const endMs = this.clock.nowMs() + forMs;
      const write: Unsettled = { check, looks, endMs, done, answers: 0, pauseMs: FIRST_PAUSE_MS, timer: null };
      this.writes.add(write);
      void this.look(write);
    });
  }

  /** Abandons all checks. */
  stop(): void {
    this.isStopped = true;
    for (const write of [...this.writes]) this.end(write);
  }

  private async look(write: Unsettled): Promise<void> {
    let isKnown = false;
    try {
      isKnown = await write.check();
      write.answers++;
    } catch {
      // The pool cannot answer: the reason was logged when the write failed.
    }
    if (!this.writes.has(write)) return;
    if (isKnown || write.answers >= write.looks || this.clock.nowMs() + write.pauseMs > write.endMs) {
      this.end(write);
      return;
    }
    write.timer = this.clock.setTimer(write.pauseMs, () => {
      write.timer = null;
      void this.look(write);
    });
    write.pauseMs = Math.min(LAST_PAUSE_MS, write.pauseMs * 2);
  }

  private end(write: Unsettled): void {
    if (write.timer !== null) this.clock.clearTimer(write.timer);
    this.writes.delete(write);
    write.done();
  }
}
