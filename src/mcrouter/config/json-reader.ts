/**
 * Reads mcrouter's JSON: with comments, trailing commas, line ends in strings, NaN and Infinity. Each value has its
 * line. The reader stops at the first mistake.
 */

import { ConfigError } from "../../errors.ts";
import type { Json, JsonPlace } from "./json-value.ts";

/** Maximum depth of nested lists and objects. */
const MAX_DEPTH = 1_000;
const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 63n - 1n;

const words: Readonly<Record<string, boolean | number | null>> = {
  true: true,
  false: false,
  null: null,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  "-Infinity": Number.NEGATIVE_INFINITY,
};

const escapes: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

/** Parses `text`. Throws a `ConfigError` with the line of the first mistake. `file` is for messages. */
export function readJson(text: string, file: string | null): Json {
  return new JsonReader(text, file).read();
}

class JsonReader {
  private readonly text: string;
  private readonly file: string | null;
  private at = 0;
  private line = 1;

  constructor(text: string, file: string | null) {
    this.text = text;
    this.file = file;
  }

  read(): Json {
    this.skipBlanks();
    const value = this.readValue(0);
    this.skipBlanks();
    if (this.at < this.text.length) this.fail(`unexpected ${this.seen()} behind the end of the value`);
    return value;
  }

  private readValue(depth: number): Json {
    if (depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH.toLocaleString("en")} lists and objects in each other`);
    const place = this.place();
    switch (this.text[this.at]) {
      case "{":
        return { type: "object", members: this.readMembers(depth), place };
      case "[":
        return { type: "array", items: this.readItems(depth), place };
      case '"':
        return { type: "string", value: this.readString(), place };
      default:
        return this.readWord(place);
    }
  }

  private readMembers(depth: number): Map<string, Json> {
    const members = new Map<string, Json>();
    this.readList("}", () => {
      if (this.text[this.at] !== '"') this.fail(`expected a name in quotes or "}", found ${this.seen()}`);
      const name = this.readString();
      this.skipBlanks();
      if (this.text[this.at] !== ":") this.fail(`expected ":" behind ${JSON.stringify(name)}, found ${this.seen()}`);
      this.at++;
      this.skipBlanks();
      members.set(name, this.readValue(depth + 1));
    });
    return members;
  }

  private readItems(depth: number): Json[] {
    const items: Json[] = [];
    this.readList("]", () => items.push(this.readValue(depth + 1)));
    return items;
  }

  /** Reads entries between commas up to `close`; a comma may follow the last entry. */
  private readList(close: string, readEntry: () => void): void {
    const opened = this.line;
    this.at++;
    this.skipBlanks();
    while (this.text[this.at] !== close) {
      readEntry();
      this.skipBlanks();
      if (this.text[this.at] === ",") {
        this.at++;
        this.skipBlanks();
      } else if (this.text[this.at] !== close) {
        const since = this.at === this.text.length ? ` of what begins on line ${opened}` : "";
        this.fail(`expected "," or "${close}"${since}, found ${this.seen()}`);
      }
    }
    this.at++;
  }

  private readString(): string {
    const opened = this.place();
    let value = "";
    for (this.at++; ; this.at++) {
      const from = this.at;
      while (this.at < this.text.length && !/["\\]/.test(this.text[this.at]!)) this.step();
      value += this.text.slice(from, this.at);
      if (this.at >= this.text.length) this.fail("this string has no end", opened);
      if (this.text[this.at] === '"') {
        this.at++;
        return value;
      }
      value += this.readEscape();
    }
  }

  /** Leaves `at` on the last character of the escape. */
  private readEscape(): string {
    const letter = this.text[++this.at] ?? "";
    if (letter === "u") {
      const digits = this.text.slice(this.at + 1, this.at + 5);
      if (!/^[0-9A-Fa-f]{4}$/.test(digits)) this.fail(`expected four hexadecimal digits behind \\u`);
      this.at += 4;
      return String.fromCharCode(Number.parseInt(digits, 16));
    }
    const escaped = Object.hasOwn(escapes, letter) ? escapes[letter] : undefined;
    return escaped ?? this.fail(`\\${letter} stands for nothing in a string; a backslash itself is \\\\`);
  }

  private readWord(place: JsonPlace): Json {
    const [word = ""] = /^[-+.\w]*/.exec(this.text.slice(this.at, this.at + 400)) ?? [];
    if (Object.hasOwn(words, word)) {
      this.at += word.length;
      const value = words[word]!;
      if (value === null) return { type: "null", place };
      return typeof value === "boolean" ? { type: "boolean", value, place } : { type: "double", value, place };
    }
    if (/^-?\d+$/.test(word)) {
      const value = BigInt(word);
      if (value < MIN_INTEGER || value > MAX_INTEGER) this.fail(`${word} has more than 64 bits`);
      this.at += word.length;
      return { type: "integer", value, place };
    }
    if (!/^-?\d+(\.\d*)?([eE][-+]?\d+)?$/.test(word)) this.fail(`expected a value, found ${this.seen()}`);
    this.at += word.length;
    return { type: "double", value: Number(word), place };
  }

  /** Skips blanks, line ends and comments. As in mcrouter, a comment without an end extends to the end of the text. */
  private skipBlanks(): void {
    for (;;) {
      const two = this.text.slice(this.at, this.at + 2);
      if (/^[ \t\r\n]/.test(two)) {
        this.step();
      } else if (two === "//") {
        while (this.at < this.text.length && this.text[this.at] !== "\n") this.at++;
      } else if (two === "/*") {
        this.at += 2;
        while (this.at < this.text.length && !this.text.startsWith("*/", this.at)) this.step();
        this.at += 2;
      } else {
        return;
      }
    }
  }

  private step(): void {
    if (this.text[this.at] === "\n") this.line++;
    this.at++;
  }

  private place(): JsonPlace {
    return { file: this.file, line: this.line };
  }

  private seen(): string {
    const [word] = /^([-+.\w]{1,40}|.)/s.exec(this.text.slice(this.at, this.at + 40)) ?? [];
    return word === undefined ? "the end" : JSON.stringify(word);
  }

  private fail(message: string, place = this.place()): never {
    throw new ConfigError([{ ...place, message }]);
  }
}
