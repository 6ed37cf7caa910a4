/**
 * The header fields of a response by RFC 9110 section 5. Freshness, marks, encodings, redirects and content types read
 * their fields with this class, so that repeated, padded and empty fields have one meaning.
 *
 * - Surrounding blanks of a value are removed. An empty field counts as absent.
 * - A list field is the list of all of its lines. An empty member counts as absent.
 * - Other fields may be repeated with one value. Contradictory lines have no single value.
 */

/** Header fields as undici gives them: names in lower case, and a repeated field as an array of its lines. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A member of a list. A comma in a quoted string does not end it. */
const MEMBER = /(?:[^",]|"(?:\\.|[^"\\])*"?)+/g;

const NONE: readonly string[] = [];

export class ResponseFields {
  private readonly headers: Headers;

  constructor(headers: Headers) {
    this.headers = headers;
  }

  /** The lines of a field in the order of arrival. `name` is in lower case. */
  lines(name: string): readonly string[] {
    const value = Object.hasOwn(this.headers, name) ? this.headers[name] : undefined;
    if (value === undefined) return NONE;
    const lines = (typeof value === "string" ? [value] : value).map(trimmed);
    return lines.includes("") ? lines.filter((line) => line !== "") : lines;
  }

  /** The value of a field that is not a list. `null` if the field is absent or its lines differ. */
  single(name: string): string | null {
    const [first = null, ...others] = this.lines(name);
    return others.every((line) => line === first) ? first : null;
  }

  /** The members of a list field. */
  list(name: string): string[] {
    return this.lines(name)
      .flatMap((line) => line.match(MEMBER) ?? [])
      .map(trimmed)
      .filter((member) => member !== "");
  }
}

/** Removes optional whitespace, which is only space and tab (RFC 9110 section 5.6.3). */
function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text[start]!)) start++;
  while (end > start && isBlank(text[end - 1]!)) end--;
  return text.slice(start, end);
}

function isBlank(character: string): boolean {
  return character === " " || character === "\t";
}
