/** Syntax errors of TOML as `check` tells them: all of them, with what would be right. */
import { describe, expect, it } from "vitest";
import { parseToml } from "../../src/config/toml.ts";
import { ConfigError } from "../../src/errors.ts";

function problems(...lines: string[]): string[] {
  try {
    parseToml("f", lines.join("\n"));
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ line, message }) => `${line}: ${message}`);
    throw error;
  }
  return [];
}

const NO_QUOTES = (column: number, found: string, key: string) =>
  `syntax error at column ${column}: unexpected "${found}"; text needs quotes: ${key} = "…"`;

describe("TOML with syntax errors", () => {
  it("gives the tables of a document without errors", () => {
    expect(parseToml("f", '[a]\nb = "c"\n')).toEqual({ a: { b: "c" } });
  });

  it("reports every unquoted text of a file in one run", () => {
    expect(
      problems("[server]", "listen = host", "[get.a]", "match = a/.*", "source = web", "ttl = 5m", 'x = "fine"'),
    ).toEqual([
      `2: ${NO_QUOTES(10, "h", "listen")}`,
      `4: ${NO_QUOTES(9, "a", "match")}`,
      `5: ${NO_QUOTES(10, "w", "source")}`,
      `6: ${NO_QUOTES(8, "m", "ttl")}`,
    ]);
  });

  it.each([
    ["// words", 1],
    ["; words", 1],
    ["a = 1 // words", 7],
    ["  // words", 3],
  ])("explains how to write comments: %s", (line, column) => {
    const [found] = problems(line);
    expect(found).toMatch(
      new RegExp(`^1: syntax error at column ${column}: unexpected "[/;]"; a comment begins with "#"$`),
    );
  });

  it.each([['a = "x";'], ["a = 1,"], ["a = [1, 2],"]])("reports an unnecessary end mark: %s", (line) => {
    expect(problems(line)[0]).toMatch(/; a setting ends with its line, without "," or ";"$/);
  });

  it.each([
    ['match = "q/(\\d+)"', "match = 'q/(\\d+)'", 13],
    ['  match = "a\\.b"', "match = 'a\\.b'", 13],
  ])("suggests single quotes for a backslash: %s", (line, fix, column) => {
    expect(problems(line)).toEqual([
      `1: invalid escape sequence at column ${column}; in single quotes a backslash is a backslash: ${fix}`,
    ]);
  });

  it.each([
    [["[a]", "x = 1", "[b]", "[a]"], "4: [a] is defined twice; the first is in line 1"],
    [["[source.web]", "x = 1", "[source.web]"], "3: [source.web] is defined twice; the first is in line 1"],
    [["a = 1", "", "a = 2"], "3: a is defined twice; the first is in line 1"],
    [["[t]", "a = 1", "a = 2"], "3: t.a is defined twice; the first is in line 2"],
  ])("reports the line of the first of two definitions: %j", (lines, expected) => {
    expect(problems(...lines)).toEqual([expected]);
  });

  it("does not assign keys below an invalid header to the table above it", () => {
    expect(problems("[a]", "x = 1", "[b", "x = 2", "y = z")).toEqual([
      '3: syntax error at column 3: unexpected "\\n"; the header has no closing bracket',
      `5: ${NO_QUOTES(5, "z", "y")}`,
    ]);
  });

  it("stops at an unclosed list, which would make later errors misleading", () => {
    expect(problems("a = b", "c = [1,", "2", "d = 3", "e = 4")).toEqual([
      `1: ${NO_QUOTES(5, "b", "a")}`,
      '4: syntax error at column 1: unexpected "d"; a list or table that begins above is not closed',
    ]);
  });

  it("terminates for every text", () => {
    for (const text of [
      "[",
      "]",
      "=",
      "a",
      '"',
      "'''",
      '"""',
      "[[",
      "a = [",
      "a = {",
      "\u0000",
      "a = 1\r\nb = c\r\n",
    ]) {
      expect(() => problems(...text.split("\n"))).not.toThrow();
    }
  });
});
