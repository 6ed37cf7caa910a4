/** Log messages of fills and refreshes. Bursts of equal messages are limited. */

import type { Span } from "../proxy/tracing.ts";
import type { FillLog } from "../refresh/filler.ts";
import type { Rule } from "../refresh/rules.ts";
import type { BurstLog } from "../telemetry/burst-log.ts";
import type { LogFields } from "../telemetry/log.ts";

/** Writes the messages through `bursts`. */
export function fillLog(bursts: BurstLog): FillLog {
  return {
    sourceFailed: ({ config: { name } }: Rule, error: unknown, span: Span | null = null) => {
      const code = error instanceof Error && "code" in error ? String(error.code) : "unexpected";
      bursts.say("warn", "source", `${name} ${code}`, () => `rule ${name}: ${textOf(error)}`, idsOf(span));
    },
    poolFailed: ({ config: { name } }: Rule, error: unknown, span: Span | null = null) => {
      bursts.say("warn", "pool", `${name} pool`, `rule ${name}: not stored: ${textOf(error)}`, idsOf(span));
    },
    observed: ({ config: { name, source } }: Rule) => {
      bursts.say("info", "rule", `${name} observed`, `rule ${name}: would fetch from ${source} (mode = "observe")`);
    },
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Trace and span ids of a log line. */
function idsOf(span: Span | null): LogFields | undefined {
  return span === null ? undefined : { trace_id: span.traceId, span_id: span.spanId };
}
