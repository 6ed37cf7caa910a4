/** Asking the source of a rule, with what is counted of it. */
import type { Clock } from "../clock.ts";
import type { FetchResult } from "../sources/source.ts";
import type { Match } from "./rules.ts";

/** Throws a SourceError. */
export async function fetchFor(
  key: string,
  { rule, captures }: Match,
  priority: "fill" | "refresh",
  tag: string | null,
  clock: Clock,
): Promise<FetchResult> {
  const startMs = clock.nowMs();
  rule.timings.inFlight++;
  try {
    return await rule.source.fetch({ ...captures, cacheKey: key }, priority, tag);
  } finally {
    rule.timings.inFlight--;
    rule.timings.fetch.add(clock.nowMs() - startMs);
  }
}
