/**
 * Limits repeated messages: a failure that occurs a thousand times per second is logged as one line every ten seconds,
 * with the count.
 */
import type { Clock } from "../clock.ts";
import type { Log, LogFields, LogMessage } from "./log.ts";
import type { LogLevel, LogModule } from "./log-config.ts";

const QUIET_MS = 10_000;
const MAX_KINDS = 1_000;

interface Burst {
  nextMs: number;
  suppressed: number;
}

/** Writes one line per kind of failure in each quiet period. */
export class BurstLog {
  private readonly log: Log;
  private readonly clock: Clock;
  private readonly bursts = new Map<string, Burst>();

  constructor(log: Log, clock: Clock) {
    this.log = log;
    this.clock = clock;
  }

  /** Logs `message`, or its result, unless `kind` was logged in the current quiet period. */
  say(
    level: Exclude<LogLevel, "debug">,
    module: LogModule,
    kind: string,
    message: LogMessage | (() => LogMessage),
    fields?: LogFields,
  ): void {
    const nowMs = this.clock.nowMs();
    const burst = this.bursts.get(kind) ?? { nextMs: nowMs, suppressed: 0 };
    if (nowMs < burst.nextMs) {
      burst.suppressed++;
      return;
    }
    const more = burst.suppressed > 0 ? ` (and ${burst.suppressed} more like it)` : "";
    const said = typeof message === "function" ? message() : message;
    const lines = typeof said === "string" ? [said] : said;
    this.log[level](module, [`${lines[0] ?? ""}${more}`, ...lines.slice(1)], fields);
    burst.nextMs = nowMs + QUIET_MS;
    burst.suppressed = 0;
    if (this.bursts.size >= MAX_KINDS) this.bursts.clear();
    this.bursts.set(kind, burst);
  }
}
