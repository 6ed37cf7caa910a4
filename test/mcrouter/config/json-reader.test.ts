import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../../src/errors.ts";
import { readJson } from "../../../src/mcrouter/config/json-reader.ts";
import { type Json, plainJson } from "../../../src/mcrouter/config/json-value.ts";

const read = (text: string) => plainJson(readJson(text, "c.json"));

/** The mistake as `line: message`. */
function mistake(text: string): string {
  try {
    readJson(text, "c.json");
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const [problem] = error.problems;
    expect(problem!.file).toBe("c.json");
    return `${problem!.line}: ${problem!.message}`;
  }
  return "none";
}

/** Written with blanks, comments and trailing commas where they may stand. */
function decorated(value: unknown, blank: () => string): string {
  const list = (entries: string[], [open, close]: readonly [string, string]) => {
    const comma = entries.length > 0 && blank().length % 2 === 1 ? `,${blank()}` : "";
    return `${open}${blank()}${entries.map((entry) => entry + blank()).join(`,${blank()}`)}${comma}${close}`;
  };
  if (Array.isArray(value))
    return list(
      value.map((item) => decorated(item, blank)),
      ["[", "]"],
    );
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([name, member]) => {
    return `${JSON.stringify(name)}${blank()}:${blank()}${decorated(member, blank)}`;
  });
  return list(members, ["{", "}"]);
}

const blanks = fc.constantFrom("", " ", "\n", "\t\r\n", '// to the "end" /* \n', '/* a * / " // \n */', "/**/");
/** Whole numbers of more than 64 bits are refused. */
const jsonValue = fc
  .jsonValue({ maxDepth: 5 })
  .map((value) =>
    JSON.parse(JSON.stringify(value), (_, each) => (Number.isInteger(each) && Math.abs(each) > 2 ** 53 ? 0 : each)),
  );
const withoutMinusZero = (value: unknown) => JSON.parse(JSON.stringify(value));

describe("mcrouter's JSON", () => {
  it("is parsed like JSON.parse does", () => {
    fc.assert(
      fc.property(jsonValue, fc.constantFrom(undefined, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(withoutMinusZero(read(text))).toEqual(withoutMinusZero(JSON.parse(text)));
      }),
    );
  });

  it("allows blanks, comments and trailing commas anywhere", () => {
    fc.assert(
      fc.property(jsonValue, fc.infiniteStream(blanks), (value, stream) => {
        const blank = () => stream.next().value!;
        const text = blank() + decorated(value, blank) + blank();
        expect(withoutMinusZero(read(text))).toEqual(withoutMinusZero(value));
      }),
    );
  });

  it("keeps 64-bit integers, distinct from other numbers", () => {
    const value = (text: string) => {
      const json = readJson(text, null);
      return json.type === "integer" || json.type === "double" ? [json.type, json.value] : [json.type];
    };
    expect(value("9223372036854775807")).toEqual(["integer", 2n ** 63n - 1n]);
    expect(value("-9223372036854775808")).toEqual(["integer", -(2n ** 63n)]);
    expect(value("5")).toEqual(["integer", 5n]);
    expect(value("5.0")).toEqual(["double", 5]);
    expect(value("5e2")).toEqual(["double", 500]);
    expect(value("-Infinity")).toEqual(["double", Number.NEGATIVE_INFINITY]);
    expect(value("NaN")).toEqual(["double", Number.NaN]);
    expect(mistake("9223372036854775808")).toBe("1: 9223372036854775808 has more than 64 bits");
  });

  it("allows line ends in strings and text after an unclosed comment, as mcrouter does", () => {
    expect(read('"two\nlines\ttab"')).toBe("two\nlines\ttab");
    expect(read("[1] /* the rest")).toEqual([1]);
    expect(read("[1] // the rest")).toEqual([1]);
    expect(read('"no // comment /* here */"')).toBe("no // comment /* here */");
  });

  it("uses the last of equal names, and allows any name", () => {
    expect(read('{ "a": 1, "b": 2, "a": 3 }')).toEqual({ a: 3, b: 2 });
    expect(Object.keys(read('{ "__proto__": 1 }') as object)).toEqual(["__proto__"]);
  });

  it("has the line number of every value", () => {
    const text = '{ // one\n"a": [1,\n/* \n */ {"b":\n"x\ny"}, null\n],\n"c": true}';
    const lines: [string, number][] = [];
    const walk = (path: string, json: Json) => {
      expect(json.place.file).toBe("c.json");
      lines.push([path, json.place.line]);
      if (json.type === "array") for (const [i, item] of json.items.entries()) walk(`${path}/${i}`, item);
      if (json.type === "object") for (const [name, member] of json.members) walk(`${path}/${name}`, member);
    };
    walk("", readJson(text, "c.json"));
    expect(lines).toEqual([
      ["", 1],
      ["/a", 2],
      ["/a/0", 2],
      ["/a/1", 4],
      ["/a/1/b", 5],
      ["/a/2", 6],
      ["/c", 8],
    ]);
  });

  it("is refused with the line of the error", () => {
    expect(mistake("")).toBe("1: expected a value, found the end");
    expect(mistake('{\n"a": 1\n"b": 2 }')).toBe('3: expected "," or "}", found "\\""');
    expect(mistake('{\n"a" 1}')).toBe('2: expected ":" behind "a", found "1"');
    expect(mistake("{ a: 1 }")).toBe('1: expected a name in quotes or "}", found "a"');
    expect(mistake('[1,\n"two\nlines')).toBe("2: this string has no end");
    expect(mistake("[1,\n[2,\n3\n")).toBe('4: expected "," or "]" of what begins on line 2, found the end');
    expect(mistake("[,]")).toBe('1: expected a value, found ","');
    expect(mistake("[1,,]")).toBe('1: expected a value, found ","');
    expect(mistake("[1] [2]")).toBe('1: unexpected "[" behind the end of the value');
    expect(mistake("\n\nyes")).toBe('3: expected a value, found "yes"');
    expect(mistake('"\\x"')).toBe("1: \\x stands for nothing in a string; a backslash itself is \\\\");
    expect(mistake('"\\u12g4"')).toBe("1: expected four hexadecimal digits behind \\u");
    expect(mistake("1.2.3")).toBe('1: expected a value, found "1.2.3"');
    expect(mistake("[".repeat(100_000))).toBe("1: more than 1,000 lists and objects in each other");
  });

  it("is parsed as a value or raises a ConfigError, whatever the text", () => {
    const letter = fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      "\\",
      "/",
      "*",
      "\n",
      "1",
      "-",
      "e",
      "true",
      "u00e9",
    );
    fc.assert(
      fc.property(
        fc.array(letter).map((letters) => letters.join("")),
        (text) => {
          expect(mistake(text)).toMatch(/^(none$|\d+: )/);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
