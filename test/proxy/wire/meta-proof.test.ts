/** What a server is sent for a meta command, and what its client is told: proofs, prefixes and flags of which a server may think otherwise. */
import { describe, expect, it } from "vitest";
import type { ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { BackendParser, OUT_OF_STEP } from "../../../src/proxy/wire/backend-parser.ts";
import { writeRequest } from "../../../src/proxy/wire/backend-writer.ts";
import { ClassicParser, Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { Marker, ServerDialect } from "../../../src/proxy/wire/server-dialect.ts";
import { mayHoldAnswers } from "../../../src/proxy/wire/swallowed.ts";

const nobody: ReplyOwner = { onReply: () => {} };

function parse(frame: string, prefix = ""): Request {
  const parser = new ClassicParser(() => ({ maxValueBytes: 1024, isFlushAllAllowed: true, prefix }));
  const chunk = Buffer.from(frame, "latin1");
  expect(parser.parse(nobody, chunk, 0, chunk.length, false)).toBe(Parsed.request);
  return parser.request!;
}

/** What a memcached of this version is sent. */
function sentFor(request: Request, prefix = "", version = "1.6.18"): string {
  const dialect = new ServerDialect();
  dialect.learn(version, true);
  const batch = new OutputBatch();
  writeRequest(request, Buffer.from(prefix), batch, dialect);
  return batch.take().toString("latin1");
}

/** The client's reply to `frame` if the server answers `answer`. `null` if the answer does not fit. */
function toldOf(frame: string, answer: string, prefix = "", version = "1.6.18"): string | null {
  const request = parse(frame, prefix);
  sentFor(request, prefix, version);
  const parser = new BackendParser(1024, Buffer.from(prefix));
  const isMarked = request.marker !== Marker.none && !answer.includes("MN\r\n");
  const chunk = Buffer.from(isMarked ? `${answer}MN\r\n` : answer, "latin1");
  const next = parser.parse(request, chunk, 0, chunk.length, false);
  if (next === OUT_OF_STEP) return null;
  expect(next).toBe(chunk.length);
  const { reply } = parser;
  return reply.chunk.toString("latin1", reply.start, reply.end);
}

describe("a meta command with two q flags", () => {
  it("is sent in a form that every server refuses with a reply", () => {
    expect(sentFor(parse("mg a q v q\r\n"))).toBe("mg a k v k O1\r\n");
    expect(sentFor(parse("md a q q\r\n"))).toBe("md a k k O1\r\n");
    expect(sentFor(parse("ms a 1 q q\r\nx\r\n"))).toBe("ms a 1 k k O1\r\nx\r\nmn\r\n");
    expect(sentFor(parse("mg a v q\r\n"))).toBe("mg a v O1\r\n");
  });
});

describe("a set with a number that only some servers accept", () => {
  it("is followed by a marker, while other sets are not", () => {
    for (const flag of ["T+5", "F+5", "C+5", "T4294967296"]) {
      expect(sentFor(parse(`ms a 1 ${flag}\r\nx\r\n`))).toMatch(/\r\nmn\r\n$/);
    }
    expect(sentFor(parse("ms a 1 T-1 F5 C5\r\nx\r\n"))).toBe("ms a 1 T-1 F5 C5 O1\r\nx\r\n");
  });
});

describe("a reply with an opaque", () => {
  it("has the client's opaque instead of Platypus's", () => {
    expect(toldOf("mg a v Oabc f\r\n", "VA 1 O001 f0\r\nx\r\n")).toBe("VA 1 Oabc f0\r\nx\r\n");
    expect(toldOf("mg a v O f\r\n", "VA 1 O1 f0\r\nx\r\n")).toBe("VA 1 O f0\r\nx\r\n");
    expect(toldOf("mg a v f\r\n", "VA 1 f0 O1\r\nx\r\n")).toBe("VA 1 f0\r\nx\r\n");
  });

  it("is rejected if it has no room for the client's opaque", () => {
    expect(toldOf("mg a v Oabc f\r\n", "VA 1 O1 f0\r\nx\r\n")).toBe(null);
  });
});

describe("a flag that a reply returns", () => {
  it.each(["c", "f", "h", "l", "s", "t"])("is a number after %s", (letter) => {
    expect(toldOf(`mg a O7 ${letter}\r\n`, `HD O1 ${letter}305\r\n`)).toBe(`HD O7 ${letter}305\r\n`);
    for (const token of ["", "305EN", "305\rEN", "EN", "+1", "--1", "1-"]) {
      expect([token, toldOf(`mg a O7 ${letter}\r\n`, `HD O1 ${letter}${token}\r\n`)]).toEqual([token, null]);
    }
  });

  it("is -1 only for a TTL", () => {
    expect(toldOf("mg a t\r\n", "HD t-1 O1\r\n")).toBe("HD t-1\r\n");
    expect(toldOf("mg a t\r\n", "HD t-2 O1\r\n")).toBe(null);
    expect(toldOf("mg a c\r\n", "HD c-1 O1\r\n")).toBe(null);
  });

  it("is not the beginning of another reply", () => {
    expect(toldOf("mg a c v\r\n", "HD c305EN O1\r\n")).toBe(null);
    expect(toldOf("ms a 1 O7 E99\r\nx\r\n", "HD O1 END\r\nMN\r\n")).toBe(null);
    expect(toldOf("mg a O7 N30\r\n", "HD O1 NF\r\n")).toBe(null);
    expect(toldOf("mg a k c O7\r\n", "HD ka c3HD O1\r\n")).toBe(null);
  });

  it.each([
    ["mg a c f h l s t k\r\n", "HD c1 f4294967295 h1 l0 s12 t-1 ka O1 Z X W\r\n"],
    ["ms a 1 c s k\r\nx\r\n", "NS c0 s1 ka O1\r\n"],
    ["ma a t c N30\r\n", "HD t30 c18446744073709551615 O1\r\n"],
    ["md a k\r\n", "NF ka O1\r\n"],
  ])("has the form of the server's reply to %j", (frame, answer) => {
    expect(toldOf(frame, answer)).toBe(answer.replace(" O1", ""));
  });

  it("has that form also if a server is asked without Platypus's opaque", () => {
    expect(toldOf("mg a c O7\r\n", "HD c305 O7\r\nMN\r\n", "", "1.6.12")).toBe("HD c305 O7\r\n");
    expect(toldOf("mg a c O7\r\n", "EN\r\nMN\r\n", "", "1.6.12")).toBe("EN\r\n");
    expect(toldOf("mg a c\r\n", "HD c305HD\r\nMN\r\n", "", "1.6.12")).toBe(null);
    expect(toldOf("mg a c O7\r\n", "HD c305 O8\r\nMN\r\n", "", "1.6.12")).toBe(null);
    expect(toldOf("mg a\r\n", "HD HD\r\nMN\r\n", "", "1.6.12")).toBe(null);
  });
});

describe("the value of a meta reply", () => {
  it("is present exactly if it was requested", () => {
    expect(toldOf("mg a v\r\n", "HD O1\r\n")).toBe(null);
    expect(toldOf("mg a f\r\n", "VA 1 f0 O1\r\nx\r\n")).toBe(null);
    expect(toldOf("ma a v\r\n", "HD O1\r\n")).toBe(null);
    expect(toldOf("ma a\r\n", "VA 1 O1\r\n7\r\n")).toBe(null);
    expect(toldOf("ma a v\r\n", "VA 1 O1\r\n7\r\n")).toBe("VA 1\r\n7\r\n");
  });

  it("is omitted by memcached 1.6.45 if the client already has it, by its cas", () => {
    expect(toldOf("mg a v C99\r\n", "HD O1\r\n")).toBe("HD\r\n");
  });
});

describe("a key that a reply returns", () => {
  it("has no prefix, even if the prefix looks like base64", () => {
    const key = Buffer.from("a b").toString("base64");
    const sent = Buffer.from("Va b").toString("base64");
    expect(sent.startsWith("V")).toBe(true);
    expect(toldOf(`mg ${key} b k\r\n`, `HD k${sent} b O1\r\n`, "V")).toBe(`HD k${key} b\r\n`);
    expect(toldOf(`mg ${key} b k\r\n`, "HD kVa b O1\r\n", "V")).toBe("HD ka b\r\n");
    expect(toldOf("mg k k\r\n", "HD kVk O1\r\n", "V")).toBe("HD kk\r\n");
    expect(toldOf(`me ${key} b\r\n`, `ME ${sent} exp=-1\r\nMN\r\n`, "V")).toContain(`ME ${key} exp=-1\r\n`);
  });
});

describe("a key with a line feed, which some servers return unencoded", () => {
  const key = Buffer.from("a\nb").toString("base64");

  it("is not requested from the server, and is added to the reply if it was requested", () => {
    expect(sentFor(parse(`mg ${key} b v k O7 c\r\n`))).toBe(`mg ${key} b v O1 c\r\n`);
    expect(sentFor(parse(`ms ${key} 1 k b\r\nx\r\n`))).toBe(`ms ${key} 1 b O1\r\nx\r\n`);
    expect(sentFor(parse(`md ${key} k b\r\n`), "", "1.6.12")).toBe(`md ${key} b\r\nmn\r\n`);
    expect(toldOf(`mg ${key} b v k O7 c\r\n`, "VA 1 O1 c5 W\r\nx\r\n")).toBe(`VA 1 k${key} b O7 c5 W\r\nx\r\n`);
    expect(toldOf(`mg ${key} f k b\r\n`, "HD f0 O1\r\n")).toBe(`HD f0 k${key} b\r\n`);
    expect(toldOf(`mg ${key} f k b\r\n`, "EN O1\r\n")).toBe(`EN k${key} b\r\n`);
    expect(toldOf(`md ${key} k b\r\n`, "NF O1\r\n", "V")).toBe(`NF k${key} b\r\n`);
    expect(toldOf(`ma ${key} k b\r\n`, "CLIENT_ERROR x\r\n")).toBe("CLIENT_ERROR x\r\n");
  });

  it("is not sent with `me`, which would return it", () => {
    const parser = new ClassicParser(() => ({ maxValueBytes: 1024, isFlushAllAllowed: true, prefix: "" }));
    const chunk = Buffer.from(`me ${key} b\r\n`, "latin1");
    expect(parser.parse(nobody, chunk, 0, chunk.length, false)).toBe(Parsed.answer);
    expect(parser.answer!.chunk.toString()).toBe("CLIENT_ERROR bad command line format\r\n");
  });
});

describe("a value that may contain other replies", () => {
  const looksAt = (value: string) => {
    const chunk = Buffer.from(`${value}\r\nEND\r\n`, "latin1");
    return mayHoldAnswers(chunk, 0, value.length);
  };

  it("ends like the line of a reply, whatever its last flag is", () => {
    const lines = [
      "HD O17",
      "HD O17 t-1",
      "HD O017 t30",
      "VA 1 O17 f0",
      "HD O17 c99 s3 h1 l0",
      "HD O1 kYQ== b",
      "EN O1 W",
    ];
    const others = ["VERSION 1.4.15", "VERSION mcrouter 40.0.0", "STORED", "END", "VALUE a 0 12"];
    for (const line of [...lines, ...others]) expect([line, looksAt(`01234${line}`)]).toEqual([line, true]);
  });

  it("ends like a reply that ends in a key, if keys are requested", () => {
    for (const line of ["EN O17 kkey", "HD O17 ta kkey b", "VA 12 O1 ka:b", "NF kkey", "HD kk W"]) {
      const chunk = Buffer.from(`01234${line}\r\nEND\r\n`, "latin1");
      expect([line, mayHoldAnswers(chunk, 0, chunk.length - 7, true)]).toEqual([line, true]);
    }
    for (const text of ["to be kept", "END of keys", "HDkey", "x kkey"]) {
      const chunk = Buffer.from(`${text}\r\n`, "latin1");
      expect([text, mayHoldAnswers(chunk, 0, text.length, true)]).toEqual([text, false]);
    }
  });

  it("does not include any other value", () => {
    for (const value of ["0", "12", "-1", "a12", "1.5", "t30", " x12", "b", "<1:2>", "{}"]) {
      expect([value, looksAt(value)]).toEqual([value, false]);
    }
  });
});
