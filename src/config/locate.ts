/**
 * Lines of a TOML document's sections, keys and list entries. The parser only gives positions of syntax errors; other
 * errors need positions too. The scan reads text that the parser has accepted, so it does not check the syntax. It
 * follows keys, strings, brackets and comments only to find the path of each line.
 */

/** Keys and list positions from the top of the document: `["target", "servers", 1]`. */
export type TomlPath = readonly (string | number)[];

/** Positions in one document. */
export interface TomlLines {
  /** 1-based line that first names `path`, else the line of its nearest named ancestor. `null` if absent. */
  lineOf(path: TomlPath): number | null;
}

/** Scans a valid document once. Linear in its length, apart from the depth of its paths. */
export function locateLines(text: string): TomlLines {
  const lines = new Scanner(text).scan();
  return {
    lineOf(path) {
      for (let length = path.length; length > 0; length--) {
        const line = lines.get(pathKey(path.slice(0, length)));
        if (line !== undefined) return line;
      }
      return null;
    },
  };
}

function pathKey(path: TomlPath): string {
  return JSON.stringify(path);
}

const bareKey = /[A-Za-z0-9_-]+/y;
const blank = /[ \t\r]*/y;
const blankLinesAndComments = /(?:[ \t\r\n]|#[^\n]*)*/y;
const scalar = /[^,\]}#\n]*/y;
const basicString = /"((?:[^"\\]|\\.)*)"/y;
const literalString = /'([^']*)'/y;
// Up to two more quotes may precede the closing three.
const longBasicString = /"""(?:[^\\]|\\.)*?"""(?:""?(?!"))?/sy;
const longLiteralString = /'''.*?'''(?:''?(?!'))?/sy;

class Scanner {
  readonly #text: string;
  #at = 0;
  /** Offset up to which line breaks are counted, and the line at that offset. */
  #counted = 0;
  #line = 1;
  readonly #lines = new Map<string, number>();
  /** Number of tables per `[[path]]` so far. */
  readonly #tableCounts = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
  }

  scan(): ReadonlyMap<string, number> {
    let section: TomlPath = [];
    for (;;) {
      this.#take(blankLinesAndComments);
      if (this.#at >= this.#text.length) return this.#lines;
      const start = this.#at;
      section = this.#peek() === "[" ? this.#header() : this.#assignment(section);
      // The scan of a valid document always advances. For other text, stop here.
      if (this.#at === start) return this.#lines;
    }
  }

  #header(): TomlPath {
    const isTableArray = this.#text.startsWith("[[", this.#at);
    this.#at += isTableArray ? 2 : 1;
    const path = this.#keys([]);
    if (isTableArray) {
      const count = this.#tableCounts.get(pathKey(path)) ?? 0;
      this.#tableCounts.set(pathKey(path), count + 1);
      path.push(count);
      this.#note(path);
    }
    this.#at += isTableArray ? 2 : 1;
    return path;
  }

  /** Reads `key = value` in `section`, and returns `section`. */
  #assignment(section: TomlPath): TomlPath {
    const path = this.#keys(section);
    this.#at += 1;
    this.#value(path);
    return section;
  }

  /** Reads dotted keys and records each step. A step into an array of tables goes to its last table. */
  #keys(parent: TomlPath): (string | number)[] {
    const path = [...parent];
    for (;;) {
      this.#take(blank);
      path.push(this.#key());
      this.#note(path);
      this.#take(blank);
      const isLast = this.#peek() !== ".";
      const count = this.#tableCounts.get(pathKey(path));
      if (count !== undefined && !isLast) path.push(count - 1);
      if (isLast) return path;
      this.#at += 1;
    }
  }

  #key(): string {
    if (this.#peek() === '"') return unescapeKey(this.#take(basicString));
    if (this.#peek() === "'") return this.#take(literalString);
    return this.#take(bareKey);
  }

  #value(path: TomlPath): void {
    this.#take(blank);
    if (this.#text.startsWith('"""', this.#at)) this.#take(longBasicString);
    else if (this.#text.startsWith("'''", this.#at)) this.#take(longLiteralString);
    else if (this.#peek() === '"') this.#take(basicString);
    else if (this.#peek() === "'") this.#take(literalString);
    else if (this.#peek() === "[") this.#entries("]", (index) => this.#item([...path, index]));
    else if (this.#peek() === "{") this.#entries("}", () => this.#assignment(path));
    else this.#take(scalar);
  }

  #item(path: TomlPath): void {
    this.#note(path);
    this.#value(path);
  }

  /** Reads entries between brackets, with commas, line breaks and comments between them. */
  #entries(close: string, entry: (index: number) => void): void {
    this.#at += 1;
    for (let index = 0; ; index++) {
      this.#take(blankLinesAndComments);
      if (this.#peek() === close || this.#at >= this.#text.length) break;
      entry(index);
      this.#take(blankLinesAndComments);
      if (this.#peek() !== ",") break;
      this.#at += 1;
    }
    this.#at += 1;
  }

  /** Records the line of a path; the first line counts. */
  #note(path: TomlPath): void {
    for (; this.#counted < this.#at; this.#counted++) {
      if (this.#text.charCodeAt(this.#counted) === 10) this.#line += 1;
    }
    const key = pathKey(path);
    if (!this.#lines.has(key)) this.#lines.set(key, this.#line);
  }

  #peek(): string {
    return this.#text.charAt(this.#at);
  }

  /** Consumes the match of a sticky pattern. Returns its first group, else the whole match. */
  #take(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found === null) return "";
    this.#at = pattern.lastIndex;
    return found[1] ?? found[0];
  }
}

const escapes: Readonly<Record<string, string>> = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", e: "\u001b" };

function unescapeKey(text: string): string {
  return text.replace(/\\(?:u(.{4})|U(.{8})|x(.{2})|(.))/g, (_, short, long, byte, letter) => {
    const digits: string | undefined = short ?? long ?? byte;
    return digits === undefined ? (escapes[letter] ?? letter) : String.fromCodePoint(Number.parseInt(digits, 16));
  });
}
