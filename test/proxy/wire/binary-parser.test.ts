import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { BinaryParser } from "../../../src/proxy/wire/binary-parser.ts";
import { Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { type FrameReader, InputBuffer } from "../../../src/proxy/wire/input-buffer.ts";
import { arithmetic, type Frame, frameBytes, readAnswers, words } from "../../support/clients/binary-client.ts";
import { cutAt, cutFractions, everyCut, placesOf } from "../../support/vectors/parts.ts";

const MAX_VALUE = 1_000;
const owner: ReplyOwner = { onReply() {} };

function limitsOf(prefix: string, isFlushAllAllowed: boolean) {
  return { maxValueBytes: MAX_VALUE, isFlushAllAllowed, prefix };
}

/** What a connection would see. */
class Frames implements FrameReader {
  wantedBytes = 0;
  readonly seen: string[] = [];
  private swallowBytes = 0;
  private isClosed = false;
  private readonly input = new InputBuffer();
  private readonly parser: BinaryParser;

  constructor(prefix = "", isFlushAllAllowed = true) {
    this.parser = new BinaryParser(() => limitsOf(prefix, isFlushAllAllowed));
  }

  feed(pieces: readonly Buffer[]): this {
    for (const piece of pieces) if (!this.isClosed) this.input.feed(Buffer.from(piece), 0, piece.length, this);
    return this;
  }

  readFrames(chunk: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && !this.isClosed) {
      if (this.swallowBytes > 0) {
        const swallowed = Math.min(this.swallowBytes, end - at);
        this.swallowBytes -= swallowed;
        at += swallowed;
        continue;
      }
      const { parser } = this;
      const parsed = parser.parse(owner, chunk, at, end);
      if (parsed === Parsed.incomplete) {
        this.wantedBytes = parser.wantedBytes;
        expect(parser.wantedBytes).toBeGreaterThan(end - at);
        expect(parser.wantedBytes).toBeLessThanOrEqual(MAX_VALUE + 250 + 24 + 20);
        return at;
      }
      if (parsed === Parsed.close) {
        this.seen.push("close");
        this.isClosed = true;
        return end;
      }
      expect(parser.next).toBeGreaterThan(at);
      expect(parser.next).toBeLessThanOrEqual(end);
      at = parser.next;
      this.swallowBytes = parser.swallowBytes;
      if (parsed === Parsed.request) this.seen.push(requestText(parser.request!));
      else if (parsed === Parsed.local) this.seen.push(`local ${parser.words.join(" ")}`);
      else this.seen.push(answerText(parser.answer!.chunk));
      if (parser.isLast) {
        this.seen.push("last");
        this.isClosed = true;
        return end;
      }
    }
    return end;
  }
}

function requestText(request: Request): string {
  const key = request.chunk.toString("latin1", request.keyStart, request.keyEnd);
  const frame = request.chunk.toString("latin1", request.frameStart, request.frameEnd);
  return `${JSON.stringify(frame)} [${key}]${request.binary!.isQuiet ? " quiet" : ""}`;
}

function answerText(bytes: Buffer): string {
  const [answer] = readAnswers(bytes).answers;
  return `answer ${answer!.opaque} ${answer!.status} ${answer!.value}`;
}

function parse(...frames: Frame[]): string[] {
  return new Frames().feed([Buffer.concat(frames.map(frameBytes))]).seen;
}

describe("parsing a binary frame", () => {
  it.each<[string, Frame, string[]]>([
    ["get", { opcode: 0x00, key: "a" }, ['"gets a\\r\\n" [a]']],
    ["getkq", { opcode: 0x0d, key: "a" }, ['"gets a\\r\\n" [a] quiet']],
    ["get of a key with a blank", { opcode: 0x00, key: "a b" }, ['"mg YSBi v f c b\\r\\n" [a b]']],
    ["gat", { opcode: 0x1d, key: "a", extras: words(9) }, ['"gats 9 a\\r\\n" [a]']],
    [
      "gat for ever and ever",
      { opcode: 0x1d, key: "a", extras: words(2 ** 32 - 1) },
      ['"gats 2147483647 a\\r\\n" [a]'],
    ],
    ["touch", { opcode: 0x1c, key: "a", extras: words(9) }, ['"mg a T9 f c\\r\\n" [a]']],
    ["set", { opcode: 1, key: "a", extras: words(5, 6), value: "xy" }, ['"ms a 2 F5 T6 c MS\\r\\nxy\\r\\n" [a]']],
    ["addq", { opcode: 0x12, key: "a", extras: words(5, 6) }, ['"ms a 0 F5 T6 c ME\\r\\n\\r\\n" [a] quiet']],
    [
      "replace with a cas",
      { opcode: 3, key: "a", extras: words(5, 6), value: "x", cas: 2n ** 64n - 1n },
      ['"ms a 1 F5 T6 c MS C18446744073709551615\\r\\nx\\r\\n" [a]'],
    ],
    ["append", { opcode: 0x0e, key: "a", value: "x", cas: 3n }, ['"ms a 1 c MA C3\\r\\nx\\r\\n" [a]']],
    ["delete", { opcode: 4, key: "a", cas: 3n }, ['"md a C3\\r\\n" [a]']],
    ["incr", { opcode: 5, key: "a", extras: arithmetic(2n, 7n, 9) }, ['"ma a v c MI D2 N9 J7\\r\\n" [a]']],
    ["decr", { opcode: 6, key: "a", extras: arithmetic(2n, 7n, 2 ** 32 - 1) }, ['"ma a v c MD D2\\r\\n" [a]']],
    ["flush", { opcode: 8, extras: words(3) }, ['"flush_all 3\\r\\n" []']],
    ["noop", { opcode: 0x0a, opaque: 77 }, ["answer 77 0 "]],
    ["version", { opcode: 0x0b }, ["local version"]],
    ["stat", { opcode: 0x10, key: "items" }, ["local stats items"]],
    ["quit", { opcode: 7 }, ["answer 0 0 ", "last"]],
    ["quitq", { opcode: 0x17 }, ["close"]],
    ["unknown", { opcode: 0x99, opaque: 5, value: "body" }, ["answer 5 129 Unknown command"]],
    [
      "set of too much",
      { opcode: 1, key: "ab", extras: words(0, 0), value: "x".repeat(1_001) },
      ['"md ab\\r\\n" [ab]'],
    ],
    [
      "add of too much",
      { opcode: 2, key: "ab", extras: words(0, 0), value: "x".repeat(1_001) },
      ["answer 0 3 Too large."],
    ],
  ])("accepts or refuses: %s", (_, frame, expected) => {
    const noop = { opcode: 0x0a, opaque: 1 };
    const isLast = ["last", "close"].includes(expected.at(-1)!);
    expect(parse(frame, noop)).toEqual(isLast ? expected : [...expected, "answer 1 0 "]);
  });

  it("ends the connection at a text command", () => {
    expect(new Frames().feed([frameBytes({ opcode: 0x0a }), Buffer.from("get a\r\n")]).seen).toEqual([
      "answer 0 0 ",
      "close",
    ]);
  });

  it("refuses flush if it is not allowed, and leaves room for the prefix in keys", () => {
    expect(new Frames("", false).feed([frameBytes({ opcode: 8 })]).seen).toEqual(["answer 0 32 Auth failure."]);
    expect(new Frames("app:").feed([frameBytes({ opcode: 0, key: "k".repeat(247) })]).seen).toEqual([
      "answer 0 4 Invalid arguments",
      "last",
    ]);
    expect(new Frames("app:").feed([frameBytes({ opcode: 0, key: "k".repeat(246) })]).seen).toHaveLength(1);
  });
});

const frame: fc.Arbitrary<Frame> = fc.record({
  opcode: fc.integer({ min: 0, max: 0x26 }),
  key: fc.constantFrom("", "a", "a b", "k".repeat(250), "k".repeat(251)),
  extras: fc.constantFrom("", words(1), words(1, 2), arithmetic(1n, 2n, 3)),
  value: fc.constantFrom("", "value", "x".repeat(1_000), "x".repeat(1_001)),
  cas: fc.constantFrom(0n, 5n),
  opaque: fc.nat(),
});

describe("parsing binary input", () => {
  it("gives the same results however the input is cut", () => {
    const wellFormed: Frame[] = [
      { opcode: 0x11, key: "a b", extras: words(1, 2), value: "value" },
      { opcode: 0x99, key: "key", value: "body" },
      { opcode: 0x05, key: "n", extras: arithmetic(1n, 2n, 3) },
      { opcode: 0x0d, key: "a" },
      { opcode: 0x0a, opaque: 9 },
    ];
    const bytes = Buffer.concat(wellFormed.map(frameBytes));
    const whole = new Frames().feed([bytes]).seen;
    expect(whole).toHaveLength(5);
    for (const places of everyCut(bytes.length)) expect(new Frames().feed(cutAt(bytes, places)).seen).toEqual(whole);
  });

  it("gives the same results for any frames, cut anywhere", () => {
    const property = (frames: Frame[], fractions: number[]) => {
      const bytes = Buffer.concat(frames.map(frameBytes));
      const whole = new Frames().feed([bytes]).seen;
      expect(new Frames().feed(cutAt(bytes, placesOf(fractions, bytes.length))).seen).toEqual(whole);
    };
    fc.assert(fc.property(fc.array(frame, { maxLength: 8 }), cutFractions, property), { numRuns: 500 });
  });

  it("reserves room only for a frame within bounds for any header, and never throws", () => {
    const header = fc.tuple(
      fc.oneof(fc.integer({ min: 0, max: 0x26 }), fc.integer({ min: 0, max: 255 })),
      fc.oneof(fc.constantFrom(0, 1, 250, 251, 0xffff), fc.integer({ min: 0, max: 0xffff })),
      fc.oneof(fc.constantFrom(0, 4, 8, 20, 255), fc.integer({ min: 0, max: 255 })),
      fc.oneof(fc.constantFrom(0, 1_001, 0x7fffffff, 0xffffffff), fc.integer({ min: 0, max: 0xffffffff })),
      fc.uint8Array({ maxLength: 64 }),
    );
    const property = ([opcode, keyBytes, extraBytes, bodyBytes, rest]: [
      number,
      number,
      number,
      number,
      Uint8Array,
    ]) => {
      const bytes = Buffer.alloc(24);
      bytes[0] = 0x80;
      bytes[1] = opcode;
      bytes.writeUInt16BE(keyBytes, 2);
      bytes[4] = extraBytes;
      bytes.writeUInt32BE(bodyBytes, 8);
      // The bounds are checked by the reader.
      new Frames().feed([bytes, Buffer.from(rest)]);
    };
    fc.assert(fc.property(header, property), { numRuns: 2_000 });
  });

  it("never throws on any bytes", () => {
    const property = (bytes: Uint8Array) => void new Frames().feed([Buffer.from([0x80]), Buffer.from(bytes)]);
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), property), { numRuns: 1_000 });
  });
});
