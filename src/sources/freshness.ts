/**
 * What an HTTP response says of its own freshness.
 *
 * Sources: RFC 9111 (as http-cache-semantics has it, for a shared cache), RFC 5861 for the stale figures.
 */
import CachePolicy from "http-cache-semantics";
import type { Freshness } from "./source.ts";

type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** Null: the response says nothing. What must not be stored, or not without asking again, is fresh for no time at all. */
export function freshnessOfResponse(status: number, headers: Headers): Freshness | null {
  if (headers["cache-control"] === undefined && headers.expires === undefined) return null;
  const policy = new CachePolicy(
    { headers: {} },
    { status, headers: { ...headers } as CachePolicy.Headers },
    { shared: true },
  );
  const freshSeconds = Math.max(0, policy.maxAge() - policy.age());
  const control = [headers["cache-control"] ?? ""].flat().join(",");
  const staleSeconds = [...control.matchAll(/(?:^|[\s,])stale-(?:while-revalidate|if-error)=(\d{1,9})/gi)].map(
    ([, seconds]) => Number(seconds),
  );
  return {
    ttlMs: Math.floor(freshSeconds * 1000),
    staleMs: staleSeconds.length === 0 ? null : Math.max(...staleSeconds) * 1000,
  };
}
