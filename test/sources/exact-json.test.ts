import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isJsonObject, jsonText, parseJson } from "../../src/sources/exact-json.ts";
import { selectJson } from "../../src/sources/json-pointer.ts";

const numbers = [
  "653247040368672768",
  "-653247040368672768",
  "123456789.123456789",
  "10.50",
  "1.0",
  "-0",
  "-0.0",
  "0.0000001",
  "1e400",
  "-1E+2",
  "1e-400",
  "1E5",
  "0.1",
  "3",
  "9007199254740993",
];

function levels(count: number, inner = ""): string {
  return `${"[".repeat(count)}${inner}${"]".repeat(count)}`;
}

describe("jsonText", () => {
  it("writes up to 1,000 levels, and refuses more in every Node", () => {
    for (const text of [levels(1_000), `${'{"a":'.repeat(1_000)}1${"}".repeat(1_000)}`]) {
      expect(jsonText(JSON.parse(text))).toBe(text);
    }
    for (const text of [levels(1_001), `${'{"a":'.repeat(1_001)}1${"}".repeat(1_001)}`, levels(100_000)]) {
      expect(() => jsonText(JSON.parse(text))).toThrow(RangeError);
    }
  });

  it("counts levels, not brackets", () => {
    const many = `[${Array.from({ length: 2_000 }, () => "[[]]").join(",")}]`;
    const quoted = JSON.stringify([`${levels(2_000)}"\\`, "[".repeat(2_000), "\\", "{".repeat(2_000)]);
    for (const text of [many, quoted]) expect(jsonText(JSON.parse(text))).toBe(text);
    expect(() => jsonText(JSON.parse(`[${quoted},${levels(1_000)}]`))).toThrow(RangeError);
  });
});

describe("parseJson", () => {
  it.each(numbers)("keeps the digits of %s, at any depth", (number) => {
    for (const text of [number, `[${number}]`, `{"a":{"b":[1,${number},"x"]}}`]) {
      expect(jsonText(parseJson(text))).toBe(text);
    }
  });

  it("keeps the digits of any number", () => {
    const digits = fc.stringMatching(/^-?(0|[1-9]\d{0,24})(\.\d{1,24})?([eE][+-]?\d{1,3})?$/);
    fc.assert(
      fc.property(fc.array(digits), (texts) => {
        expect(jsonText(parseJson(`[${texts.join(",")}]`))).toBe(`[${texts.join(",")}]`);
      }),
    );
  });

  it("reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(JSON.parse(jsonText([parseJson(text)]))).toEqual([JSON.parse(text)]);
      }),
    );
  });

  it("accepts a byte order mark, and the encoding that it marks", () => {
    const text = '{"ключ":10.50}';
    const utf16 = Buffer.from(`\ufeff${text}`, "utf16le");
    const documents = [`\ufeff${text}`, Buffer.from(`\ufeff${text}`, "utf8"), utf16, Buffer.from(utf16).swap16()];
    for (const document of documents) expect(jsonText(parseJson(document))).toBe(text);
  });

  it.each(["", "\ufeff", "{", "1.", "01", "\ufeff\ufeff1"])("refuses %j", (text) => {
    expect(() => parseJson(text)).toThrow();
    expect(() => parseJson(Buffer.from(text, "utf8"))).toThrow();
  });
});

describe("isJsonObject", () => {
  it("distinguishes an object from a number that keeps its digits", () => {
    expect(isJsonObject(parseJson('{"a":1.0}'))).toBe(true);
    for (const text of ["1.0", "[1.0]", "null", '"a"', "true"]) expect(isJsonObject(parseJson(text))).toBe(false);
  });
});

describe("selectJson", () => {
  const select = (text: string, pointer: string) => selectJson(Buffer.from(text, "utf8"), pointer, "s").toString();

  it.each(numbers)("keeps the digits of %s", (number) => {
    expect(select(`{"a":{"b":${number}}}`, "/a/b")).toBe(number);
    expect(select(`{"a":{"b":[${number}]}}`, "/a")).toBe(`{"b":[${number}]}`);
    expect(select(`\ufeff[${number}]`, "/0")).toBe(number);
  });

  it("finds nothing within a number", () => {
    expect(() => select('{"a":10.50}', "/a/rawJSON")).toThrow("has nothing at /a/rawJSON");
  });

  it("fails if the part is nested too deeply to be written", () => {
    const text = `{"n":1.0,"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    expect(() => select(text, "/a")).toThrow(expect.objectContaining({ code: "SOURCE_FAILED" }));
  });
});
