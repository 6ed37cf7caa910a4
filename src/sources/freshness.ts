/**
 * How long a response says that it is fresh, for a shared cache.
 *
 * Sources: RFC 9111 (http-cache-semantics decides which of the directives counts), RFC 5861 for the stale figures.
 *
 * The fields are read strictly before they are judged, because Platypus does not guess a lifetime: a response without an
 * explicit one has the rule's default, whatever its `Last-Modified`, `immutable` or `Pragma`. A lifetime that cannot be
 * read counts as over. `Set-Cookie` does not matter, since only the body of a response is stored.
 */
import CachePolicy from "http-cache-semantics";
import { parseHttpDate } from "./http-date.ts";
import type { ResponseFields } from "./response-fields.ts";
import type { Freshness } from "./source.ts";

/**
 * The fields of a response that decide how long it is fresh, reduced to what counts. They are kept beside the mark of a
 * value, because a 304 may leave them out (RFC 9111 section 4.3.4). `null` if the response does not have the field.
 */
export interface FreshnessFields {
  readonly cacheControl: string | null;
  readonly expires: string | null;
}

/** Figures above it mean "for ever"; RFC 9111 section 1.2.2 allows this one instead. */
const MAX_SECONDS = 2 ** 31;
/** Directives that forbid the reuse of a response that was not validated. */
const FORBIDDING = ["no-store", "no-cache", "private"];
const LIFETIMES = ["s-maxage", "max-age"];
const STALE = ["stale-while-revalidate", "stale-if-error"];
/** What a date that cannot be read, or two dates that differ, are replaced with. */
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

/** The fields of a stored response after a 304: those that the 304 has replace those that were known. */
export function updatedFields(known: FreshnessFields, update: FreshnessFields): FreshnessFields {
  return { cacheControl: update.cacheControl ?? known.cacheControl, expires: update.expires ?? known.expires };
}

/**
 * How long a response with these fields is fresh from now on. `response` is the response that just came; it has the date
 * and the age. `nowMs` is Unix time. Returns `null` if the fields say nothing of it. Never throws.
 */
export function freshnessOf(
  { cacheControl, expires }: FreshnessFields,
  response: ResponseFields,
  nowMs: number,
): Freshness | null {
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
  // The configuration says which statuses are values; all of them are judged as a 200 is.
  const policy = new CachePolicy({ headers: {} }, { status: 200, headers }, { shared: true, cacheHeuristic: 0 });
  return { ttlMs: Math.max(0, policy.maxAge() - ageOf(response)) * 1000, staleMs };
}

/** The directives that count, in one form: names in small letters, figures as digits. */
function controlOf(fields: ResponseFields, isVaryingOnAll: boolean): string {
  const directives = new Map<string, string | null>();
  for (const member of fields.list("cache-control")) {
    const [name, argument] = splitDirective(member);
    // RFC 9111 section 4.2.1: of a directive that is repeated the first one counts.
    if (!directives.has(name)) directives.set(name, argument);
  }
  // A cache that understands the status, as the configuration says that this one does, ignores `no-store`.
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

/** Name and argument of a directive; `null` if it has no argument. An argument in quotes keeps them. */
function splitDirective(member: string): [name: string, argument: string | null] {
  const [, name, argument] = /^([^=]*)(?:=(.*))?$/s.exec(member)!;
  return [name!.trim().toLowerCase(), argument?.trim() ?? null];
}

/** `no-cache="set-cookie"` is about those fields of the response, none of which is stored. */
function namesFields(argument: string | null): boolean {
  return argument?.startsWith('"') === true && argument.endsWith('"') && /[^\s",]/.test(argument);
}

/** `null` if the argument is no count of seconds. Quotes around it are allowed by RFC 9111 section 5.2. */
function secondsOf(argument: string | null): number | null {
  const digits = /^"(\d+)"$/.exec(argument ?? "")?.[1] ?? argument ?? "";
  return /^\d+$/.test(digits) ? Math.min(Number(digits), MAX_SECONDS) : null;
}

/** Seconds since the response was made. RFC 9111 section 5.1: the first value counts; one that is invalid is ignored. */
function ageOf(response: ResponseFields): number {
  return secondsOf(response.list("age")[0] ?? null) ?? 0;
}
