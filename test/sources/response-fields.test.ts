import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ResponseFields } from "../../src/sources/response-fields.ts";

describe("ResponseFields", () => {
  it.each([
    ["is absent", undefined, null],
    ["is empty", "", null],
    ["has only blanks", " \t ", null],
    ["has no lines", [], null],
    ["has blanks around its value", " \t a b\t ", "a b"],
    ["is repeated with one value", ["a", " a ", ""], "a"],
    ["is repeated with another value", ["a", "b"], null],
  ])("returns one value, or null, of a field that %s", (_what, lines, expected) => {
    expect(new ResponseFields({ etag: lines }).single("etag")).toBe(expected);
  });

  it.each([
    [undefined, []],
    [[",", " , ,"], []],
    ["a, b ,c", ["a", "b", "c"]],
    [
      ["a", "b, c"],
      ["a", "b", "c"],
    ],
    ['a="b, c", d', ['a="b, c"', "d"]],
    ['a="b\\", c", d', ['a="b\\", c"', "d"]],
    ['a="b, c', ['a="b, c']],
  ])("reads the list %j", (lines, expected) => {
    expect(new ResponseFields({ list: lines }).list("list")).toEqual(expected);
  });

  it("joins repeated lines as one line with commas", () => {
    const member = fc.stringMatching(/^[a-z]{1,8}$/);
    fc.assert(
      fc.property(fc.array(fc.array(member)), (lines) => {
        const fields = new ResponseFields({ list: lines.map((members) => members.join(", ")) });
        expect(fields.list("list")).toEqual(lines.flat());
      }),
    );
  });

  it("never throws and never returns a value with blanks around it", () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "binary" })), (lines) => {
        const fields = new ResponseFields({ list: lines });
        for (const member of [...fields.list("list"), fields.single("list") ?? "x"]) {
          expect(member).not.toMatch(/^[ \t]|^$|[ \t]$/);
        }
      }),
    );
  });
});
