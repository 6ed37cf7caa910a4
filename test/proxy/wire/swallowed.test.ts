import { describe, expect, it } from "vitest";
import { mayHoldAnswers } from "../../../src/proxy/wire/swallowed.ts";

function holds(value: string): boolean {
  const before = "VALUE k 0 9\r\n";
  const chunk = Buffer.from(`${before}${value}\r\nVALUE x 0 1\r\nEND\r\n`, "latin1");
  return mayHoldAnswers(chunk, before.length, before.length + value.length);
}

describe("a value that is checked for other replies", () => {
  it.each([
    ...["abcEND", "abcMN", "abcHD O17", "abcEN O17\r\nHD O18", "abc O17 W", "abcSTORED", "abcNOT_FOUND", "abcTOUCHED"],
    ...[
      "abc\r\nEN O4 kab",
      "HD O1\r\nHD O2 kab c",
      "abc\r\nVA 3 kab",
      "abcVALUE x 0 3",
      "abcVALUE x 0 3\r\nxyz",
      "abcVA 3 O5\r\nxyz",
      "VALUE x 0 3 77",
      "END",
      "abcERROR",
    ],
  ])("may contain replies if it ends or continues like one: %j", (value) => {
    expect(holds(value)).toBe(true);
  });

  it.each([
    ...[
      "",
      "x",
      "123",
      "abc 123",
      "{}",
      "line\r\nline",
      "WORD",
      "END of it",
      "O17",
      "aW",
      "\r\n",
      "a VALUE in it",
      "abc\r\nHDX kab",
      "HD kab",
      "abc\r\nH",
    ],
  ])("contains no replies otherwise: %j", (value) => {
    expect(holds(value)).toBe(false);
  });
});
