import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Pattern } from "../../src/refresh/pattern.ts";

/** The bytes of a text, one character each: how keys are handed to patterns. */
function bytesOf(text: string): string {
  return Buffer.from(text).toString("latin1");
}

function groupsOf(pattern: string, key: string): Record<string, string> | null {
  const captures = new Pattern(pattern).match(bytesOf(key));
  return captures === null ? null : Object.fromEntries(captures.groups);
}

describe("a pattern", () => {
  it.each([
    ["stuff/(.*)", "stuff/1", true],
    ["stuff/(.*)", "xstuff/1", false],
    ["stuff/\\d+", "stuff/1x", false],
    ["a|ab", "ab", true],
    ["a|ab", "abc", false],
    ["^a$", "a", true],
    ["ab*c", "ac", true],
    ["ab?", "a", true],
    ["ab{0,2}c", "ac", true],
    ["ab+", "abb", true],
    ["(?i)abc", "ABC", true],
    ["abc(?i)d", "abcD", true],
    ["a\\.b", "axb", false],
    ["a.c", "abc", true],
    ["x[ab]", "xb", true],
    ["", "", true],
    ["", "a", false],
  ])("is matched against the whole key: %j, %j: %j", (pattern, key, isMatch) => {
    expect(new Pattern(pattern).match(key) !== null).toBe(isMatch);
  });

  it("captures by number and by name; an unmatched group is empty", () => {
    expect(groupsOf("(?P<kind>\\w+)/(\\d+)(x)?", "user/17")).toEqual({ 1: "user", 2: "17", 3: "", kind: "user" });
  });

  it("reports what is wrong if it is invalid", () => {
    expect(() => new Pattern("(")).toThrow(/missing/);
    expect(() => new Pattern("(?=a)")).toThrow();
  });

  it("treats UTF-8 as characters", () => {
    expect(groupsOf("ключ/(.)", "ключ/я")).toEqual({ 1: "я" });
    expect(groupsOf("(.)(.)", "😀é")).toEqual({ 1: "😀", 2: "é" });
  });

  it("treats other bytes as one character each", () => {
    const captures = new Pattern("k/(.)(.)").match("k/\xff\xc3")!;
    expect(captures.encoding).toBe("latin1");
    expect([captures.groups.get("1"), captures.groups.get("2")]).toEqual(["\xff", "\xc3"]);
  });

  it("returns every byte of a key, UTF-8 or not", () => {
    const keys = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 250 }).map((bytes) => Buffer.from(bytes)),
      fc.string({ unit: "binary", minLength: 1, maxLength: 60 }).map((text) => Buffer.from(text)),
      fc.constantFrom("\ufeff", "\ufeffkey", "a\ufeff", "\ufffe", "\u0000").map((text) => Buffer.from(text)),
    );
    const pattern = new Pattern("(?s)(.)(.*)");
    fc.assert(
      fc.property(keys, (key) => {
        const { key: text, groups, encoding } = pattern.match(key.toString("latin1"))!;
        expect(Buffer.from(text, encoding)).toEqual(key);
        expect(Buffer.from(groups.get("1")! + groups.get("2")!, encoding)).toEqual(key);
      }),
    );
  });

  it.each(["(a+)+$", "(a|aa)+$", "(a*)*b", "(.*)*(.*)*x", "(a|a?)+b", "([a-zA-Z]+)*1"])(
    "%j terminates on 250 bytes that it nearly matches",
    (pattern) => {
      expect(new Pattern(pattern).match(`${"a".repeat(249)}!`)).toBeNull();
    },
  );

  it("finds the same matches with its cheap test as without it", () => {
    const atoms = fc.constantFrom(
      "a",
      "b",
      "ab",
      "a*",
      "b?",
      "a+",
      "(a)",
      "[ab]",
      "a|b",
      "(?:ab|b)",
      "b{0,1}",
      "\\w",
      "a{2}",
      "/",
    );
    fc.assert(
      fc.property(
        fc.array(atoms, { maxLength: 5 }).map((parts) => parts.join("")),
        fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 6 }),
        (pattern, key) => {
          const isMatch = new Pattern(pattern).match(key) !== null;
          // A group around it hides every literal prefix.
          expect(isMatch).toBe(new Pattern(`(?:${pattern})`).match(key) !== null);
          expect(isMatch).toBe(new RegExp(`^(?:${pattern})$`).test(key));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("captures as RE2 does if it is a literal and the rest of the key, with at most one group", () => {
    const literal = fc.constantFrom("", "page/", "user:", "a-", "a b");
    const rest = fc.constantFrom(".*", ".+", "[^/]+");
    const open = fc.constantFrom("(", "(?P<id>", "(?<id_2>");
    const pattern = fc.oneof(
      fc.tuple(literal, rest).map(([before, body]) => before + body),
      fc.tuple(literal, open, rest).map(([before, group, body]) => `${before}${group}${body})`),
      fc.tuple(literal, open, rest).map(([before, group, body]) => `${group}${before}${body})`),
    );
    const key = fc.string({ unit: fc.constantFrom("a", "/", "\n", "\r", ":", "\xc3", "\xa4", "\xff"), maxLength: 8 });
    fc.assert(
      fc.property(pattern, literal, key, (text, before, after) => {
        // A group around it is matched by RE2, and moves no capture.
        expect(new Pattern(text).match(before + after)).toEqual(new Pattern(`(?:${text})`).match(before + after));
      }),
      { numRuns: 1_000 },
    );
  });
});
