import { describe, expect, it } from "vitest";
import { parseSaslFrame } from "../../../src/proxy/client/sasl-login.ts";
import { type Frame, frameBytes } from "../../support/clients/binary-client.ts";

const LIST = 0x20;
const AUTH = 0x21;
const STEP = 0x22;

const parse = (frame: Frame, isStarted = false) => {
  const bytes = frameBytes(frame);
  return parseSaslFrame(bytes, 0, bytes.length, isStarted);
};

describe("a SASL frame", () => {
  it("has a name and a password after NULs, and optionally an authorization name before them", () => {
    for (const value of ["\0web\0pass", "web\0web\0pass"]) {
      const frame = { opcode: AUTH, key: "PLAIN", value };
      const next = frameBytes(frame).length;
      expect(parse(frame)).toEqual({ type: "login", name: "web", password: Buffer.from("pass"), next });
    }
    expect(parse({ opcode: AUTH, key: "plain", value: "\0web\0pass" })).toMatchObject({ type: "login" });
  });

  it("is incomplete at each cut before its end", () => {
    const bytes = frameBytes({ opcode: AUTH, key: "PLAIN", value: "\0web\0pass" });
    for (let end = 24; end < bytes.length; end++) {
      expect(parseSaslFrame(bytes, 0, end, false)).toEqual({ type: "incomplete", wantedBytes: bytes.length });
    }
  });

  it.each(["", "web", "web\0pass", "other\0web\0pass", "\0web\0pa\0ss"])("is not usable with the login %j", (value) => {
    expect(parse({ opcode: STEP, key: "PLAIN", value }, true)).toMatchObject({ type: "unusable" });
  });

  it.each(["web", "\0web"])("does not read its parts from the bytes after it (%j)", (value) => {
    const bytes = Buffer.concat([
      frameBytes({ opcode: AUTH, key: "PLAIN", value }),
      Buffer.from("\0web\0pass", "latin1"),
    ]);
    expect(parseSaslFrame(bytes, 0, bytes.length, false)).toMatchObject({ type: "unusable" });
  });

  it("accepts a step only in an exchange", () => {
    expect(parse({ opcode: AUTH, key: "PLAIN" })).toMatchObject({ type: "continue" });
    const step = { opcode: STEP, key: "PLAIN", value: "\0web\0pass" };
    expect(parse(step, true)).toMatchObject({ type: "login", name: "web" });
    expect(parse(step)).toMatchObject({ type: "unusable" });
  });

  it.each<[Frame, object]>([
    [{ opcode: LIST }, { type: "mechanisms" }],
    [
      { opcode: LIST, value: "x" },
      { status: 0x04, isLast: true },
    ],
    [{ opcode: AUTH, key: "CRAM-MD5" }, { type: "unusable" }],
    [
      { opcode: AUTH, value: "\0web\0pass" },
      { status: 0x04, isLast: true },
    ],
    [
      { opcode: AUTH, key: "PLAIN", extras: "x" },
      { status: 0x04, isLast: true },
    ],
    [
      { opcode: AUTH, key: "x".repeat(33), value: "abc" },
      { status: 0x04, swallow: 36, isLast: false },
    ],
    [
      { opcode: AUTH, key: "PLAIN", value: "x".repeat(16_385) },
      { status: 0x03, swallow: 16_390, isLast: false },
    ],
    [
      { opcode: AUTH, key: "PLAIN", bodyBytes: 2 },
      { status: 0x81, isLast: true },
    ],
  ])("with the content %o is parsed as %o", (frame, expected) => {
    expect(parse(frame)).toMatchObject(expected);
  });
});
