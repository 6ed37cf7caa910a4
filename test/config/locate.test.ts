import fc from "fast-check";
import { parse } from "toml";
import { describe, expect, it } from "vitest";
import { locateLines, type TomlPath } from "../../src/config/locate.ts";

describe("the lines of a TOML document", () => {
  it("are found for sections, keys, list entries and inline tables", () => {
    const lines = locateLines(
      [
        "# [server] in a comment", // 1
        "top = 1", // 2
        "[server] # listen = 3", // 3
        'listen = ["a:1", # ]', // 4
        '  "b:2", [1,', // 5
        "  2],", // 6
        "]", // 7
        'log."form x" = "json"', // 8
        "[ source . 'a.b' ]", // 9
        'text = """', // 10
        "[get.fake]", // 11
        'ttl = \\""" """', // 12
        "headers = { Accept = 'x', 'X-Y'.z = { a = 1 } }", // 13
        "[[list]]", // 14
        "a = 1", // 15
        "[[list]]", // 16
        "a = 2", // 17
        "[list.inner]", // 18
        "b = 3", // 19
      ].join("\r\n"),
    );
    const expected: [TomlPath, number][] = [
      [["top"], 2],
      [["server"], 3],
      [["server", "listen"], 4],
      [["server", "listen", 0], 4],
      [["server", "listen", 1], 5],
      [["server", "listen", 2, 1], 6],
      [["server", "log", "form x"], 8],
      [["source"], 9],
      [["source", "a.b"], 9],
      [["source", "a.b", "text"], 10],
      [["source", "a.b", "headers", "Accept"], 13],
      [["source", "a.b", "headers", "X-Y", "z", "a"], 13],
      [["list"], 14],
      [["list", 0, "a"], 15],
      [["list", 1, "a"], 17],
      [["list", 1, "inner", "b"], 19],
    ];
    for (const [path, line] of expected) expect(lines.lineOf(path), path.join(".")).toBe(line);
    expect(lines.lineOf(["get"])).toBeNull();
  });

  it("fall back to the nearest ancestor", () => {
    const lines = locateLines("[server]\nprefix = 'a'\n");
    expect(lines.lineOf(["server", "listen", 3])).toBe(1);
    expect(lines.lineOf(["target"])).toBeNull();
  });

  it("are counted correctly after strings with quotes and line breaks", () => {
    const lines = locateLines(`a = """"x"\n"""""\nb = ''''y'\n'''''\nc = "\\\\"\nd = '\\'\n"\\u0065" = 1\n`);
    expect(["a", "b", "c", "d", "e"].map((key) => lines.lineOf([key]))).toEqual([1, 3, 5, 6, 7]);
  });

  it("contain their keys, in any document", () => {
    fc.assert(
      fc.property(document, (sections) => {
        const { text, keys } = render(sections);
        parse(text);
        const found = locateLines(text);
        const textLines = text.split("\n");
        for (const { path, line } of keys) {
          expect(found.lineOf(path), text).toBe(line);
          expect(textLines[line - 1], text).toContain(JSON.stringify(path.at(-1)).slice(1, -1));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("are found without a hang in text that is not TOML", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."[]{}\"'=.,# \n\\a1") }), (text) => {
        locateLines(text).lineOf(["a"]);
      }),
      { numRuns: 2_000 },
    );
  });
});

interface Entry {
  readonly key: string;
  readonly isQuoted: boolean;
  readonly value: string;
  readonly comment: string;
}

interface SectionOfEntries {
  readonly name: string;
  readonly isArray: boolean;
  readonly entries: readonly Entry[];
}

const trap = fc.constantFrom("", "# k = 1", "[k]", "k = 'v'", 'x "', "x '", "]", "}", ",", "é");
const value = fc.oneof(
  fc.constantFrom("1", "true", "1979-05-27", "-0.5e3", '""', "''", "[]", "{}"),
  trap.map((inner) => JSON.stringify(`${inner}\\`)),
  trap.map((inner) => `'${inner.replaceAll("'", "")}'`),
  trap.map((inner) => `"""\n${inner}\n\\"""\n"" ${inner.replaceAll('"', "")}"""`),
  trap.map((inner) => `'''${inner}\n${inner.replaceAll("'", "")}'''`),
  trap.map((inner) => `[ # ${inner}\n "k = 1",\n [1,\n 2], ${JSON.stringify(inner)}, # ]\n]`),
  trap.map((inner) => `{ k = ${JSON.stringify(inner)}, "q.q" = [1, "}"], a.b = 'x' }`),
);
const entry: fc.Arbitrary<Entry> = fc.record({
  key: fc.oneof(fc.stringMatching(/^[a-z0-9_-]{1,4}$/), fc.string({ minLength: 1, maxLength: 4, unit: "grapheme" })),
  isQuoted: fc.boolean(),
  value,
  comment: trap.map((inner) => (inner === "" ? "" : ` # ${inner}`)),
});
const document: fc.Arbitrary<SectionOfEntries[]> = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,3}$/),
    isArray: fc.boolean(),
    entries: fc.uniqueArray(entry, { maxLength: 5, selector: ({ key }) => key }),
  }),
  { maxLength: 5, selector: ({ name }) => name },
);

/** The document's text and the line of every key in it. Each array of tables has two. */
function render(sections: readonly SectionOfEntries[]): { text: string; keys: { path: TomlPath; line: number }[] } {
  const lines: string[] = [];
  const keys: { path: TomlPath; line: number }[] = [];
  for (const { name, isArray, entries } of sections) {
    for (const index of isArray ? [0, 1] : [null]) {
      lines.push(isArray ? `[[ ${name} ]]` : `[${name}]`);
      if (index !== 1) keys.push({ path: [name], line: lines.length });
      for (const { key, isQuoted, value, comment } of entries) {
        const isBare = !isQuoted && /^[A-Za-z0-9_-]+$/.test(key);
        const path = index === null ? [name, key] : [name, index, key];
        keys.push({ path, line: lines.length + 1 });
        lines.push(...`  ${isBare ? key : JSON.stringify(key)} = ${value}${comment}`.split("\n"), "");
      }
    }
  }
  return { text: lines.join("\n"), keys };
}
