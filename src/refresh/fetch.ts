/** Asks the source of a rule, with metrics and traces. */
import type { Clock } from "../clock.ts";
import { BackendError } from "../errors.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import type { FetchResult } from "../sources/source.ts";
import type { Match } from "./rules.ts";

/** `span` is the parent span. `null` if the fetch is not traced. Throws a SourceError. */
export async function fetchFor(
  key: string,
  { rule, captures }: Match,
  priority: "fill" | "refresh",
  tag: string | null,
  clock: Clock,
  span: Span | null,
): Promise<FetchResult> {
  const startMs = clock.nowMs();
  const own = span?.begin("fetch", SpanKind.internal) ?? null;
  own?.set("platypus.source", rule.source.name);
  rule.timings.inFlight++;
  try {
    const result = await rule.source.fetch({ ...captures, cacheKey: key, span: own }, priority, tag);
    own?.set("platypus.result", result.type);
    return result;
  } catch (error) {
    own?.fail(errorCode(error));
    throw error;
  } finally {
    own?.end();
    rule.timings.inFlight--;
    const tookMs = clock.nowMs() - startMs;
    rule.timings.fetch.add(tookMs);
    if (own !== null) rule.timings.fetch.mark(tookMs, own);
  }
}

/** The server's message, for spans. Other errors may contain secrets of a source. */
export function backendMessage(error: unknown): string | undefined {
  return error instanceof BackendError ? error.message : undefined;
}

/** The code of an error, by its class. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unexpected";
}
