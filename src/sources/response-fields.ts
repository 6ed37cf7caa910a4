/**
 * The header fields of a response, as RFC 9110 section 5 reads them. Freshness, marks, encodings, redirects and content
 * types all read their fields here, so that repeated, padded and empty fields mean the same everywhere.
 *
 * - Names have no case. A value has no blanks around it. An empty field counts as absent.
 * - A field that is a list is the list of all of its lines; an empty member counts as absent.
 * - A field that is not a list may be repeated with one value. Lines that contradict each other have no single value.
 */

/** Header fields as undici gives them: a repeated field is an array of its lines. */
type Headers = Readonly<Record<string, string | readonly string[] | undefined>>;

/** A member of a list; a comma in a quoted string does not end it. */
const MEMBER = /(?:[^",]|"(?:\\.|[^"\\])*"?)+/g;

export class ResponseFields {
  private readonly fields = new Map<string, string[]>();

  constructor(headers: Headers) {
    for (const [name, value] of Object.entries(headers)) {
      const lines = [value ?? []]
        .flat()
        .map(trimmed)
        .filter((line) => line !== "");
      if (lines.length === 0) continue;
      const key = name.toLowerCase();
      this.fields.set(key, [...this.lines(key), ...lines]);
    }
  }

  /** The lines of a field in the order of their arrival. */
  lines(name: string): readonly string[] {
    return this.fields.get(name) ?? [];
  }

  /** The value of a field that is not a list. `null` if the field is absent or its lines differ. */
  single(name: string): string | null {
    const [first = null, ...others] = this.lines(name);
    return others.every((line) => line === first) ? first : null;
  }

  /** The members of a field that is a list. */
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
