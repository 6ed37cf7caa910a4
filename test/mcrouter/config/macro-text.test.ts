import { describe, expect, it } from "vitest";
import { readCall, readPieces } from "../../../src/mcrouter/config/macro-text.ts";

describe("the text of a macro call", () => {
  const args = (text: string) => {
    const call = readCall(`@f(${text})`);
    return typeof call === "string" ? call : call.arguments;
  };

  it("is a name, alone or with arguments", () => {
    expect(readCall("@name")).toEqual({ name: "name", arguments: [] });
    expect(readCall("@name()")).toEqual({ name: "name", arguments: [""] });
    expect(readCall("@%a%(b)")).toEqual({ name: "%a%", arguments: ["b"] });
  });

  it("has arguments between commas, without the blanks around them", () => {
    expect(args("a, b ,c")).toEqual(["a", "b", "c"]);
    expect(args(",")).toEqual(["", ""]);
    expect(args(" \n a b\t")).toEqual(["a b"]);
    expect(args("@g(a, b), @h(@i(c,d)), e")).toEqual(["@g(a, b)", "@h(@i(c,d))", "e"]);
    expect(args("@g(a, b)")).toEqual(["@g(a, b)"]);
  });

  it("keeps a character after a backslash as it is", () => {
    expect(args("a\\, b, \\(, \\)")).toEqual(["a\\, b", "\\(", "\\)"]);
    expect(args("a\\ ")).toEqual(["a\\ "]);
    expect(args("a\\   ")).toEqual(["a\\ "]);
    expect(args("a\\\\  ")).toEqual(["a\\\\"]);
  });

  it("is refused with the reason if it is malformed", () => {
    expect(readCall("@f(a)b")).toBe('the call "@f(a)b" has no closing bracket at its end');
    expect(args("@g(a, b")).toBe('brackets do not match in "@g(a, b"');
    expect(args("@g(a, b) c, d")).toEqual(["@g(a, b) c", "d"]);
    expect(args("@g(a, b) c")).toBe('expected a comma behind the bracket in "@g(a, b) c"');
  });
});

it("text is split at percent signs, and backslashes are removed", () => {
  expect(readPieces("")).toEqual([]);
  expect(readPieces("a%b%c")).toEqual([
    { type: "literal", text: "a" },
    { type: "name", text: "b" },
    { type: "literal", text: "c" },
  ]);
  expect(readPieces("%a%%b%")).toEqual([
    { type: "name", text: "a" },
    { type: "name", text: "b" },
  ]);
  expect(readPieces("\\%\\\\\\@%a\\%b%\\")).toEqual([
    { type: "literal", text: "%\\@" },
    { type: "name", text: "a%b" },
  ]);
  expect(readPieces("50%")).toBeNull();
});
