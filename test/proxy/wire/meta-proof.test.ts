/** What a server is sent for a meta command, and what its client is told: proofs, prefixes and flags of which a server may think otherwise. */
import { describe, expect, it } from "vitest";
import type { ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { BackendParser, OUT_OF_STEP } from "../../../src/proxy/wire/backend-parser.ts";
import { writeRequest } from "../../../src/proxy/wire/backend-writer.ts";
import { ClassicParser, Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { ServerDialect } from "../../../src/proxy/wire/server-dialect.ts";
import { mayHoldAnswers } from "../../../src/proxy/wire/swallowed.ts";

const nobody: ReplyOwner = { onReply: () => {} };

function parse(frame: string, prefix = ""): Request {
  const parser = new ClassicParser(() => ({ maxValueBytes: 1024, isFlushAllAllowed: true, prefix }));
  const chunk = Buffer.from(frame, "latin1");
  expect(parser.parse(nobody, chunk, 0, chunk.length, false)).toBe(Parsed.request);
  return parser.request!;
}

/** What a memcached 1.6.18 is sent. */
function sentFor(request: Request, prefix = ""): string {
  const dialect = new ServerDialect();
  dialect.learn("1.6.18", true);
  const batch = new OutputBatch();
  writeRequest(request, Buffer.from(prefix), batch, dialect);
  return batch.take().toString("latin1");
}

/** What the client of `frame` is told when the server answers `answer`; null: that is not the answer to it. */
function toldOf(frame: string, answer: string, prefix = ""): string | null {
  const request = parse(frame, prefix);
  sentFor(request, prefix);
  const parser = new BackendParser(1024, Buffer.from(prefix));
  const chunk = Buffer.from(answer, "latin1");
  const next = parser.parse(request, chunk, 0, chunk.length, false);
  if (next === OUT_OF_STEP) return null;
  expect(next).toBe(chunk.length);
  const { reply } = parser;
  return reply.chunk.toString("latin1", reply.start, reply.end);
}

describe("a meta command with two q", () => {
  it("is sent in a form that every server refuses, and none answers with silence", () => {
    expect(sentFor(parse("mg a q v q\r\n"))).toBe("mg a k v k O1\r\n");
    expect(sentFor(parse("md a q q\r\n"))).toBe("md a k k O1\r\n");
    expect(sentFor(parse("ms a 1 q q\r\nx\r\n"))).toBe("ms a 1 k k O1\r\nx\r\nmn\r\n");
    expect(sentFor(parse("mg a v q\r\n"))).toBe("mg a v O1\r\n");
  });
});

describe("an answer with an opaque", () => {
  it("has the client's own in place of ours", () => {
    expect(toldOf("mg a v Oabc f\r\n", "VA 1 O001 f0\r\nx\r\n")).toBe("VA 1 Oabc f0\r\nx\r\n");
    expect(toldOf("mg a v O f\r\n", "VA 1 O1 f0\r\nx\r\n")).toBe("VA 1 O f0\r\nx\r\n");
    expect(toldOf("mg a v f\r\n", "VA 1 f0 O1\r\nx\r\n")).toBe("VA 1 f0\r\nx\r\n");
  });

  it("is not believed where it has no room for the client's own", () => {
    expect(toldOf("mg a v Oabc f\r\n", "VA 1 O1 f0\r\nx\r\n")).toBe(null);
  });
});

describe("a key that an answer returns", () => {
  it("has no prefix, whatever the prefix looks like in base64", () => {
    const key = Buffer.from("a b").toString("base64");
    const sent = Buffer.from("Va b").toString("base64");
    expect(sent.startsWith("V")).toBe(true);
    expect(toldOf(`mg ${key} b k\r\n`, `HD k${sent} b O1\r\n`, "V")).toBe(`HD k${key} b\r\n`);
    expect(toldOf(`mg ${key} b k\r\n`, "HD kVa b O1\r\n", "V")).toBe("HD ka b\r\n");
    expect(toldOf("mg k k\r\n", "HD kVk O1\r\n", "V")).toBe("HD kk\r\n");
    expect(toldOf(`me ${key} b\r\n`, `ME ${sent} exp=-1\r\nMN\r\n`, "V")).toContain(`ME ${key} exp=-1\r\n`);
  });
});

describe("a value that may have swallowed answers", () => {
  const looksAt = (value: string) => {
    const chunk = Buffer.from(`${value}\r\nEND\r\n`, "latin1");
    return mayHoldAnswers(chunk, 0, value.length);
  };

  it("ends as the line of an answer ends, whatever its last flag is", () => {
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

  it("is not any other", () => {
    for (const value of ["0", "12", "-1", "a12", "1.5", "t30", " x12", "b", "<1:2>", "{}"]) {
      expect([value, looksAt(value)]).toEqual([value, false]);
    }
  });
});
