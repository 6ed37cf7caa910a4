/** The events of fills and refreshes, for a program that embeds Platypus. */

import type { RefreshEnd } from "./asked-refreshes.ts";
import type { FillEvents, FillLog } from "./filler.ts";
import type { Scheduler } from "./scheduler.ts";

/** Keys have one character per byte. The functions must not throw. */
export interface FillObserver {
  /** A fetched value was stored after a miss. */
  filled(key: string, rule: string): void;
  /** A refresh ended. */
  refreshed(key: string, rule: string, end: RefreshEnd): void;
  /** A source or the pool failed. */
  failed(rule: string, error: unknown): void;
}

/** The scheduler's events, which `observer` sees too. */
export function observedEvents(scheduler: Scheduler, observer: FillObserver): FillEvents {
  return {
    populated(key, rule, stored, port) {
      scheduler.populated(key, rule, stored, port);
      observer.filled(key, rule.config.name);
    },
    traced: (key, traceparent) => scheduler.traced(key, traceparent),
    got: (chunk, start, end, isHit) => scheduler.got(chunk, start, end, isHit),
    gotAll: (keys) => scheduler.gotAll(keys),
    isTracked: (key) => scheduler.isTracked(key),
  };
}

/** The log's messages, which `observer` sees too. */
export function observedLog(log: FillLog, observer: FillObserver): FillLog {
  return {
    sourceFailed(rule, error, span) {
      log.sourceFailed(rule, error, span);
      observer.failed(rule.config.name, error);
    },
    poolFailed(rule, error, span) {
      log.poolFailed(rule, error, span);
      observer.failed(rule.config.name, error);
    },
    observed: (rule, key) => log.observed(rule, key),
  };
}
