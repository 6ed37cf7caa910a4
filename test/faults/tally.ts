/** What checking clients saw since the last look. */
import { monitorEventLoopDelay } from "node:perf_hooks";

/** What a look finds. A fault-free Platypus has zeros from `wrong` to `refused`. */
export interface Report {
  readonly requests: number;
  /** Answers that are not the one to their request. */
  readonly wrong: number;
  /** Requests without an answer, and with the connection still open. */
  readonly unanswered: number;
  /** Requests whose connection was closed before the answer. */
  readonly closed: number;
  /** Requests answered with an error, and misses of values that were stored. */
  readonly failed: number;
  /** Misses of pages, which the origin has. */
  readonly missedFills: number;
  /** New connections that were not served. */
  readonly refused: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  /** The longest delay of the clients' own thread: on a busy machine, the part of the above that is not Platypus'. */
  readonly ownDelayMs: number;
  /** What was wrong first, and what was lost first. */
  readonly details: readonly string[];
}

const MAX_DETAILS = 5;
/** A request that takes this long is trouble, even if its answer is right. */
const SLOW_MS = 3_000;
const DELAY_RESOLUTION_MS = 10;

type Trouble = "wrong" | "unanswered" | "closed" | "failed" | "missedFills" | "refused";

export class Tally {
  requests = 0;
  /** Wall time of the last trouble (ms). */
  lastTroubleMs = 0;
  private readonly delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS });
  private readonly troubles: Record<Trouble, number> = nothing();
  private latencies: number[] = [];
  private details: string[] = [];

  constructor() {
    this.delay.enable();
  }

  answered(latencyMs: number): void {
    this.requests++;
    this.latencies.push(latencyMs);
    if (latencyMs > SLOW_MS) this.lastTroubleMs = Date.now();
  }

  trouble(kind: Trouble, detail: string): void {
    this.troubles[kind]++;
    this.lastTroubleMs = Date.now();
    if (this.details.length < MAX_DETAILS) this.details.push(`${kind}: ${detail}`);
  }

  /** Everything since the last call. */
  take(): Report {
    const sorted = this.latencies.sort((a, b) => a - b);
    const report = {
      requests: this.requests,
      ...this.troubles,
      p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      longestMs: sorted.at(-1) ?? 0,
      ownDelayMs: Math.max(0, this.delay.max / 1e6 - DELAY_RESOLUTION_MS),
      details: this.details,
    };
    this.requests = 0;
    this.latencies = [];
    this.details = [];
    this.delay.reset();
    Object.assign(this.troubles, nothing());
    return report;
  }
}

function nothing(): Record<Trouble, number> {
  return { wrong: 0, unanswered: 0, closed: 0, failed: 0, missedFills: 0, refused: 0 };
}
