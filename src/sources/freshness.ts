/**
 * The freshness lifetime of a response, for a shared cache.
 *
 * Sources: RFC 9111 (http-cache-semantics selects the directive that counts), RFC 5861 for stale times.
 *
 * The fields are read strictly before they are evaluated, because Platypus does not guess a lifetime: a response
 * without an explicit lifetime gets the rule's default, whatever its `Last-Modified`, `immutable` or `Pragma`. An
 * unreadable lifetime counts as expired. `Set-Cookie` does not matter, since only the body of a response is stored.
 */
import CachePolicy from "http-cache-semantics";
import { parseHttpDate } from "./http-date.ts";
import type { ResponseFields } from "./response-fields.ts";
import type { Freshness } from "./source.ts";

/**
 * The fields of a response that determine its freshness, in reduced form. They are kept with the mark of a value,
 * because a 304 may omit them (RFC 9111 section 4.3.4). `null` if the response does not have the field.
 */
export interface FreshnessFields {
  readonly cacheControl: string | null;
  readonly expires: string | null;
}

/** A larger number of seconds means no limit; RFC 9111 section 1.2.2 allows this number instead. */
const MAX_SECONDS = 2 ** 31;
/** Directives that forbid reuse without validation. */
const FORBIDDING = ["no-store", "no-cache", "private"];
const LIFETIMES = ["s-maxage", "max-age"];
const STALE = ["stale-while-revalidate", "stale-if-error"];
/** Replaces an unreadable date, or two dates that differ. */
const INVALID_DATE = "0";

/** Reads the fields of a response. */
export function freshnessFieldsOf(fields: ResponseFields): FreshnessFields {
  const isVaryingOnAll = fields.list("vary").includes("*");
  const hasControl = fields.list("cache-control").length > 0;
  const hasExpires = fields.lines("expires").length > 0;
  return {
    cacheControl: hasControl || isVaryingOnAll ? controlOf(fields, isVaryingOnAll) : null,
    expires: hasExpires ? (fields.single("expires") ?? INVALID_DATE) : null,
  };
}

/** The fields of a stored response after a 304: fields of the 304 replace the known fields. */
export function updatedFields(known: FreshnessFields, update: FreshnessFields): FreshnessFields {
  return { cacheControl: update.cacheControl ?? known.cacheControl, expires: update.expires ?? known.expires };
}

/**
 * The remaining freshness of a response with these fields. `response` is the current response, which has the date and
 * the age. `nowMs` is Unix time. Returns `null` if the fields give no lifetime. Never throws.
 */
export function freshnessOf(
  { cacheControl, expires }: FreshnessFields,
  response: ResponseFields,
  nowMs: number,
): Freshness | null {
  if (cacheControl === null && expires === null) return null;
  const directives = new Map((cacheControl ?? "").split(",").map((member) => splitDirective(member)));
  const stale = STALE.map((name) => directives.get(name)).filter((seconds) => seconds != null);
  const staleMs = stale.length === 0 ? null : Math.max(...stale.map(Number)) * 1000;
  const saysLifetime = [...FORBIDDING, ...LIFETIMES].some((name) => directives.has(name)) || expires !== null;
  if (!saysLifetime) return staleMs === null ? null : { ttlMs: null, staleMs };
  const dateMs = parseHttpDate(response.single("date") ?? "", nowMs) ?? nowMs;
  const expiresMs = expires === null ? null : (parseHttpDate(expires, nowMs) ?? dateMs);
  const headers: CachePolicy.Headers = {
    ...(cacheControl !== null && cacheControl !== "" && { "cache-control": cacheControl }),
    ...(expiresMs !== null && { expires: new Date(expiresMs).toUTCString() }),
    date: new Date(dateMs).toUTCString(),
  };
  // The configuration decides which statuses are values; all of them are evaluated like a 200.
  const policy = new CachePolicy({ headers: {} }, { status: 200, headers }, { shared: true, cacheHeuristic: 0 });
  return { ttlMs: Math.max(0, policy.maxAge() - ageOf(response)) * 1000, staleMs };
}

/** The directives that count, normalized: names in lower case, numbers as digits. */
function controlOf(fields: ResponseFields, isVaryingOnAll: boolean): string {
  const directives = new Map<string, string | null>();
  for (const member of fields.list("cache-control")) {
    const [name, argument] = splitDirective(member);
    // RFC 9111 section 4.2.1: the first of repeated directives counts.
    if (!directives.has(name)) directives.set(name, argument);
  }
  // A cache that understands the status ignores `no-store`. The configuration says that Platypus understands it.
  if (directives.has("must-understand")) directives.delete("no-store");
  const forbidding = FORBIDDING.filter((name) => directives.has(name) && !namesFields(directives.get(name)!));
  if (isVaryingOnAll && !forbidding.includes("no-cache")) forbidding.push("no-cache");
  const lifetimes = LIFETIMES.filter((name) => directives.has(name)).map(
    (name) => `${name}=${secondsOf(directives.get(name) ?? null) ?? 0}`,
  );
  const stale = STALE.flatMap((name) => {
    const seconds = secondsOf(directives.get(name) ?? null);
    return seconds === null ? [] : [`${name}=${seconds}`];
  });
  return [...forbidding, ...lifetimes, ...stale].join(",");
}

/** Name and argument of a directive. `null` if it has no argument. A quoted argument keeps its quotes. */
function splitDirective(member: string): [name: string, argument: string | null] {
  const [, name, argument] = /^([^=]*)(?:=(.*))?$/s.exec(member)!;
  return [name!.trim().toLowerCase(), argument?.trim() ?? null];
}

/** `no-cache="set-cookie"` only applies to the named fields, which are not stored. */
function namesFields(argument: string | null): boolean {
  return argument?.startsWith('"') === true && argument.endsWith('"') && /[^\s",]/.test(argument);
}

/** `null` if the argument is not a number of seconds. RFC 9111 section 5.2 allows quotes. */
function secondsOf(argument: string | null): number | null {
  const digits = /^"(\d+)"$/.exec(argument ?? "")?.[1] ?? argument ?? "";
  return /^\d+$/.test(digits) ? Math.min(Number(digits), MAX_SECONDS) : null;
}

/**
 * Seconds since the response was generated. RFC 9111 section 5.1: the first value counts; an invalid value is ignored.
 */
function ageOf(response: ResponseFields): number {
  return secondsOf(response.list("age")[0] ?? null) ?? 0;
}
