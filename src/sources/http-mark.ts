/**
 * The mark of an HTTP response (`FetchedValue.tag`): the validator for a conditional request, and the freshness fields
 * of the response, because a 304 may omit them.
 *
 *     etag "abc"                    or   date Tue, 24 Nov 2026 12:00:00 GMT
 *     cache-control max-age=60           expires Tue, 24 Nov 2026 13:00:00 GMT
 *
 * A mark is text of one to three lines. The first line is the validator; the others exist if the response had the
 * fields.
 */
import type { FreshnessFields } from "./freshness.ts";
import type { ResponseFields } from "./response-fields.ts";

const ETAG = "etag ";
const DATE = "date ";
const CACHE_CONTROL = "cache-control ";
const EXPIRES = "expires ";
/** Maximum length of a validator, in characters. Longer validators are not kept. */
const MAX_VALIDATOR_LENGTH = 256;
/** Maximum length of a field, in characters. A real date has 29, and the relevant directives have fewer than 150. */
const MAX_FIELD_LENGTH = 256;

/** The line of a response's ETag, else of its last modified date. `null` if neither can be sent back. */
export function validatorOf(fields: ResponseFields): string | null {
  const etag = fields.single("etag");
  if (etag !== null && canBeKept(etag)) return `${ETAG}${etag}`;
  const modified = fields.single("last-modified");
  return modified !== null && canBeKept(modified) ? `${DATE}${modified}` : null;
}

/** A mark from a validator line and fields. `null` if there is no validator: such a value has no mark. */
export function markOf(validator: string | null, { cacheControl, expires }: FreshnessFields): string | null {
  if (validator === null) return null;
  const control = keptField(CACHE_CONTROL, cacheControl);
  return [validator, ...control, ...keptField(EXPIRES, expires)].join("\n");
}

/** The parts of a mark. */
export function readMark(mark: string): { readonly validator: string; readonly fields: FreshnessFields } {
  const [validator = "", ...lines] = mark.split("\n");
  const field = (name: string) => lines.find((line) => line.startsWith(name))?.slice(name.length) ?? null;
  return { validator, fields: { cacheControl: field(CACHE_CONTROL), expires: field(EXPIRES) } };
}

/** Header fields that request the body only if it differs from that of `mark` (RFC 9110 section 13). */
export function conditionsOf(mark: string | null): Record<string, string> {
  if (mark === null) return {};
  const { validator } = readMark(mark);
  return validator.startsWith(ETAG)
    ? { "if-none-match": validator.slice(ETAG.length) }
    : { "if-modified-since": validator.slice(DATE.length) };
}

/** True if a value is short enough and only has characters that are valid in a header field. */
function canBeKept(value: string): boolean {
  return value.length <= MAX_VALIDATOR_LENGTH && /^[\t\x20-\x7e\x80-\xff]+$/.test(value);
}

function keptField(name: string, value: string | null): string[] {
  return value === null || value.length > MAX_FIELD_LENGTH ? [] : [`${name}${value}`];
}
