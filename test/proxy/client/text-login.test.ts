import { describe, expect, it } from "vitest";
import { parseTextLogin } from "../../../src/proxy/client/text-login.ts";

const parse = (text: string) => {
  const chunk = Buffer.from(text, "latin1");
  return parseTextLogin(chunk, 0, chunk.length);
};

describe("a text login", () => {
  it("is a storage line with a name and a password as its data", () => {
    const text = "set any 1 2 8\r\nweb pa s\r\n";
    const login = { type: "login", name: "web", password: Buffer.from("pa s"), next: text.length };
    expect(parse(text)).toEqual(login);
    expect(parse(`${text}get a\r\n`)).toEqual(login);
  });

  it("is incomplete at each cut before its end, and has a known length once the line is there", () => {
    const text = "set any 0 0 8\r\nweb pass\r\n";
    const line = text.indexOf("\n") + 1;
    for (let end = 1; end < text.length; end++) {
      expect(parse(text.slice(0, end))).toEqual({ type: "incomplete", wantedBytes: end < line ? 0 : text.length });
    }
  });

  it.each([
    ["get anything\r\n", "unauthenticated"],
    ["ms any 8\r\n", "unauthenticated"],
    ["stats settings\r\n", "unauthenticated"],
    ["set any 0 0\r\n", "unauthenticated"],
    ["set any 0 0 -1\r\n", "unauthenticated"],
    ["set any 0 0 x\r\n", "unauthenticated"],
    ["set any 0 0 4294967296\r\n", "unauthenticated"],
    ["set any 0 0 4294967295\r\n", "tooLong"],
    ["set any 0 0 16385\r\n", "tooLong"],
    ["set any 0 0 7\r\nweb pass\r\n", "badEnd"],
    ["set any 0 0 7\r\nwebpass\r\n", "badToken"],
  ])("with the text %j is refused", (text, reason) => {
    expect(parse(text)).toMatchObject({ type: "refused", reason });
  });

  it("closes the connection after a line that cannot be a login", () => {
    expect(parse("quit\r\n")).toEqual({ type: "close" });
    expect(parse("mn\r\n")).toEqual({ type: "close" });
    expect(parse("x".repeat(2049))).toEqual({ type: "close" });
    expect(parse("x".repeat(2048))).toEqual({ type: "incomplete", wantedBytes: 0 });
  });
});
