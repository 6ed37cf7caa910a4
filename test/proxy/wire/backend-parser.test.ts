import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Status } from "../../../src/proxy/reply.ts";
import { isMeta, KeyList, Operation, type ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { BackendParser, INCOMPLETE, OUT_OF_STEP } from "../../../src/proxy/wire/backend-parser.ts";
import { type FrameReader, InputBuffer } from "../../../src/proxy/wire/input-buffer.ts";
import { cutAt, cutFractions, everyCut, placesOf } from "../../support/vectors/parts.ts";

const nobody: ReplyOwner = { onReply: () => {} };
const NO_PREFIX = Buffer.alloc(0);
const MAX_REPLY_BYTES = 1_000_000;

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** A meta command has `flags`. */
function request(operation: Operation, key: string, flags = "t k c"): Request {
  const head = isMeta(operation) ? "mx " : "";
  const length = operation === Operation.metaSet ? " 1" : "";
  const made = new Request(operation, nobody, bytes(head === "" ? key : `${head}${key}${length} ${flags}`));
  made.keyStart = head.length;
  made.keyEnd = head.length + key.length;
  if (head !== "") made.lineEnd = made.chunk.length;
  return made;
}

function manyKeys(operation: Operation, keys: readonly string[], indexes: number[] | null = null): Request {
  const text = bytes(keys.join(" "));
  const starts: number[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const key of keys) {
    starts.push(at);
    ends.push(at + key.length);
    at += key.length + 1;
  }
  const made = new Request(operation, nobody, text);
  made.keys = new KeyList(text, starts, ends);
  made.indexes = indexes;
  return made;
}

/** What was found of one reply, as text: independent of where its bytes lie. */
interface Outcome {
  readonly status: Status;
  readonly text: string;
  readonly value?: string;
  readonly flags?: number;
  readonly code?: string;
  readonly blocks?: readonly (string | null)[];
}

/** Reads replies to `requests` as a connection does, from a read buffer that is overwritten after each read. */
class Replies implements FrameReader {
  wantedBytes = 0;
  readonly outcomes: Outcome[] = [];
  isOutOfStep = false;
  private readonly input = new InputBuffer();
  private readonly parser: BackendParser;
  private readonly requests: Request[];

  constructor(requests: readonly Request[], prefix: string) {
    this.parser = new BackendParser(MAX_REPLY_BYTES, bytes(prefix));
    this.requests = [...requests];
  }

  feed(pieces: readonly Buffer[]): this {
    for (const piece of pieces) {
      const readBuffer = Buffer.from(piece);
      this.input.feed(readBuffer, 0, readBuffer.length, this);
      readBuffer.fill(0xff);
    }
    return this;
  }

  get keptBytes(): number {
    return this.input.byteLength;
  }

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    let at = start;
    while (at < end && !this.isOutOfStep) {
      const [head] = this.requests;
      if (head === undefined) break;
      const next = this.parser.parse(head, chunk, at, end, isKept);
      if (next === INCOMPLETE) {
        this.wantedBytes = this.parser.wantedBytes;
        return at;
      }
      if (next === OUT_OF_STEP) {
        this.isOutOfStep = true;
        break;
      }
      this.requests.shift();
      this.outcomes.push(this.outcome(head));
      at = next;
    }
    return end;
  }

  private outcome(head: Request): Outcome {
    const { reply } = this.parser;
    const text = (from: number, to: number) => reply.chunk.toString("latin1", from, to);
    const { status } = reply;
    if (head.keys !== null) {
      const { blocks, blockStarts, blockEnds } = head.keys;
      return {
        status,
        text: text(reply.start, reply.end).slice(-5),
        blocks: blocks.map((block, i) => block?.toString("latin1", blockStarts[i], blockEnds[i]) ?? null),
      };
    }
    const isCoded = status === Status.meta;
    const hasValue = status === Status.found || (isCoded && text(reply.start, reply.start + 2) === "VA");
    return {
      status,
      text: text(reply.start, reply.end),
      ...(hasValue ? { value: text(reply.valueStart, reply.valueEnd) } : {}),
      ...(status === Status.found ? { flags: reply.flags } : {}),
      ...(isCoded ? { code: String.fromCharCode(reply.code >> 8, reply.code & 0xff) } : {}),
    };
  }
}

/** The outcomes of `text`, which must not depend on how it is cut. */
function parseAll(makeRequests: () => Request[], text: string, prefix = ""): readonly Outcome[] {
  const whole = new Replies(makeRequests(), prefix).feed([bytes(text)]);
  expect(whole.isOutOfStep).toBe(false);
  expect(whole.keptBytes).toBe(0);
  for (const places of everyCut(text.length)) {
    const cut = new Replies(makeRequests(), prefix).feed(cutAt(bytes(text), places));
    expect({ places, outcomes: cut.outcomes }).toEqual({ places, outcomes: whole.outcomes });
    expect(cut.isOutOfStep).toBe(false);
  }
  return whole.outcomes;
}

function parseOne(makeRequest: () => Request, text: string, prefix = ""): Outcome | undefined {
  return parseAll(() => [makeRequest()], text, prefix)[0];
}

/** True when `text` is seen to be no answer, whole and however it is cut. */
function isRefused(makeRequest: () => Request, text: string, prefix = ""): boolean {
  const isOut = (places: readonly number[]) => {
    const replies = new Replies([makeRequest()], prefix).feed(cutAt(bytes(text), places));
    return replies.isOutOfStep && replies.outcomes.length === 0;
  };
  return everyCut(text.length).every(isOut);
}

describe("parsing a retrieval of one key", () => {
  const get = () => request(Operation.get, "key");
  const gets = () => request(Operation.gets, "key");

  it("reports a miss if only END arrives", () => {
    expect(parseOne(get, "END\r\n")).toEqual({ status: Status.missing, text: "END\r\n" });
  });

  it("returns the value, the flags and the whole text of a hit", () => {
    const text = "VALUE key 4294967295 5\r\nhello\r\nEND\r\n";
    expect(parseOne(get, text)).toEqual({ status: Status.found, text, value: "hello", flags: 4294967295 });
  });

  it("finds the end of the data by its length, not by its content", () => {
    const value = "END\r\nVALUE key 0 1\r\n\0\xff";
    const text = `VALUE key 0 ${value.length}\r\n${value}\r\nEND\r\n`;
    expect(parseOne(get, text)).toEqual({ status: Status.found, text, value, flags: 0 });
  });

  it("accepts an empty value", () => {
    expect(parseOne(get, "VALUE key 0 0\r\n\r\nEND\r\n")).toMatchObject({ status: Status.found, value: "" });
  });

  it("accepts a cas number after the length", () => {
    const text = "VALUE key 1 2 18446744073709551615\r\nab\r\nEND\r\n";
    expect(parseOne(gets, text)).toEqual({ status: Status.found, text, value: "ab", flags: 1 });
  });

  for (const [line, status] of [
    ["ERROR", Status.clientError],
    ["CLIENT_ERROR bad command line format", Status.clientError],
    ["SERVER_ERROR out of memory", Status.serverError],
    ["SERVER_ERROR", Status.serverError],
  ] as const) {
    it(`passes on ${line}`, () => {
      expect(parseOne(get, `${line}\r\n`)).toEqual({ status, text: `${line}\r\n` });
    });
  }

  it("accepts a failure after the value", () => {
    const text = "VALUE key 0 1\r\na\r\nSERVER_ERROR out of memory writing get response\r\n";
    expect(parseOne(get, text)).toMatchObject({ status: Status.serverError });
  });

  it("is out of step if the VALUE names another key", () => {
    for (const other of ["kez", "ke", "keyy", "KEY", "", "another-key"]) {
      expect([other, isRefused(get, `VALUE ${other} 0 1\r\na\r\nEND\r\n`)]).toEqual([other, true]);
    }
  });

  it("is out of step if another command's reply arrives", () => {
    const lines = ["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "12", "HD", "VA 1"];
    for (const line of [...lines, "VERSION 1.6.18", "XND", "ENDING", "hello", ""]) {
      expect([line, isRefused(get, `${line}\r\n`)]).toEqual([line, true]);
    }
  });

  it("is out of step if a VALUE is malformed", () => {
    const broken = [
      "VALUE key 0 1\r\nab\r\nEND\r\n",
      "VALUE key 0 x\r\na\r\nEND\r\n",
      "VALUE key 0 -1\r\na\r\nEND\r\n",
      "VALUE key x 1\r\na\r\nEND\r\n",
      "VALUE key  1\r\na\r\nEND\r\n",
      "VALUE key 0 \r\na\r\nEND\r\n",
      "VALUE key 0\r\na\r\nEND\r\n",
      "VALUE key 0 1\n\na\r\nEND\r\n",
      "VALUE key 0 1\r\na\r\nXND\r\n",
      "VALUE key 0 1\r\na\r\nSTORED\r\n",
      "VALUE key 0 1\r\na\r\nVALUE key 0 1\r\na\r\nEND\r\n",
      "VALUE key 0 99999999999\r\na\r\nEND\r\n",
    ];
    for (const text of broken) expect([text, isRefused(get, text)]).toEqual([text, true]);
  });

  it("is out of step if VALUE is spelled differently", () => {
    for (const word of ["VADUE", "VALUF", "VA", "value"]) {
      expect(isRefused(() => request(Operation.get, "key"), `${word} key 0 1\r\na\r\nEND\r\n`)).toBe(true);
    }
  });

  it("is out of step if the cas is not a number", () => {
    for (const cas of ["x", "7x", "-7", "7 8", "7\n"]) {
      expect(isRefused(() => request(Operation.gets, "key"), `VALUE key 0 1 ${cas}\r\na\r\nEND\r\n`)).toBe(true);
    }
  });

  it("gives up on a line that does not end", () => {
    expect(isOut(get(), `SERVER_ERROR ${"x".repeat(10_000)}`)).toBe(true);
    expect(isOut(get(), `VALUE key 0 1 ${"1".repeat(10_000)}`)).toBe(true);
  });

  it("reports the length of the reply once the VALUE line is there", () => {
    const parser = new BackendParser(MAX_REPLY_BYTES, NO_PREFIX);
    const part = bytes("VALUE key 0 1000\r\nabc");
    expect(parser.parse(get(), part, 0, part.length, false)).toBe(INCOMPLETE);
    expect(parser.wantedBytes).toBe("VALUE key 0 1000\r\n".length + 1000 + "\r\nEND\r\n".length);
  });
});

function isOut(head: Request, text: string): boolean {
  return new Replies([head], "").feed([bytes(text)]).isOutOfStep;
}

describe("parsing a retrieval of several keys", () => {
  const block = (key: string, value: string, rest = "") => `VALUE ${key} 0 ${value.length}${rest}\r\n${value}\r\n`;

  it("returns each block at the place of its key", () => {
    const outcome = parseOne(
      () => manyKeys(Operation.get, ["a", "b", "c", "d"]),
      `${block("b", "END\r\n")}${block("d", "")}END\r\n`,
    );
    expect(outcome?.blocks).toEqual([null, block("b", "END\r\n"), null, block("d", "")]);
  });

  it("returns a block for each occurrence of a key", () => {
    const text = `${block("a", "1", " 7")}${block("b", "2", " 8")}${block("a", "1", " 7")}END\r\n`;
    const outcome = parseOne(() => manyKeys(Operation.gets, ["a", "b", "a", "c"]), text);
    expect(outcome?.blocks).toEqual([block("a", "1", " 7"), block("b", "2", " 8"), block("a", "1", " 7"), null]);
  });

  it("reports a miss if only END arrives", () => {
    expect(parseOne(() => manyKeys(Operation.get, ["a", "b"]), "END\r\n")).toMatchObject({ status: Status.missing });
  });

  it("ignores the keys of other parts", () => {
    const outcome = parseOne(() => manyKeys(Operation.get, ["a", "b", "c"], [0, 2]), `${block("c", "3")}END\r\n`);
    expect(outcome?.blocks).toEqual([null, null, block("c", "3")]);
    expect(isRefused(() => manyKeys(Operation.get, ["a", "b", "c"], [0, 2]), `${block("b", "3")}END\r\n`)).toBe(true);
  });

  it("is out of step if a VALUE names a key that was not requested, or that is out of turn", () => {
    const ask = () => manyKeys(Operation.get, ["a", "b"]);
    for (const text of [block("c", "1"), block("b", "1") + block("a", "1"), block("a", "1") + block("a", "1")]) {
      expect([text, isRefused(ask, `${text}END\r\n`)]).toEqual([text, true]);
    }
  });

  it("is out of step if another command's reply arrives", () => {
    const ask = () => manyKeys(Operation.get, ["a", "b"]);
    for (const line of ["STORED", "NOT_FOUND", "123", "TOUCHED", "XND", "ENX", "VALUE"]) {
      expect([line, isRefused(ask, `${line}\r\n`)]).toEqual([line, true]);
      expect([line, isRefused(ask, `${block("a", "1")}${line}\r\n`)]).toEqual([line, true]);
    }
  });

  it("accepts a failure half-way", () => {
    const text = `${block("a", "1")}SERVER_ERROR out of memory\r\n`;
    expect(parseOne(() => manyKeys(Operation.get, ["a", "b"]), text)).toMatchObject({ status: Status.serverError });
  });

  it("does not change the list of an abandoned request", () => {
    const head = manyKeys(Operation.get, ["a", "b"]);
    head.isAbandoned = true;
    const replies = new Replies([head], "p:").feed([bytes("VALUE p:a 0 1\r\n1\r\nEND\r\n")]);
    expect(replies.outcomes).toMatchObject([{ status: Status.found, blocks: [null, null] }]);
  });
});

describe("a pool's prefix", () => {
  it("is removed from the key of a hit", () => {
    for (const prefix of ["p", "app:", "a-rather-long-prefix:"]) {
      const outcome = parseOne(() => request(Operation.get, "key"), `VALUE ${prefix}key 3 2\r\nab\r\nEND\r\n`, prefix);
      expect(outcome).toEqual({
        status: Status.found,
        text: "VALUE key 3 2\r\nab\r\nEND\r\n",
        value: "ab",
        flags: 3,
      });
    }
  });

  it("is removed from every key of several", () => {
    const text = "VALUE app:a 0 1\r\n1\r\nVALUE app:b 0 1\r\n2\r\nEND\r\n";
    const outcome = parseOne(() => manyKeys(Operation.get, ["a", "b"]), text, "app:");
    expect(outcome?.blocks).toEqual(["VALUE a 0 1\r\n1\r\n", "VALUE b 0 1\r\n2\r\n"]);
  });

  it("is required", () => {
    expect(isRefused(() => request(Operation.get, "key"), "VALUE key 0 1\r\na\r\nEND\r\n", "app:")).toBe(true);
    expect(isRefused(() => request(Operation.get, "key"), "VALUE apq:key 0 1\r\na\r\nEND\r\n", "app:")).toBe(true);
    expect(isRefused(() => manyKeys(Operation.get, ["a", "b"]), "VALUE a 0 1\r\na\r\nEND\r\n", "app:")).toBe(true);
  });

  it("is removed from a finished part of a retrieval while another part is half read", () => {
    const whole = manyKeys(Operation.get, ["a", "b"]);
    const part = (index: number) => {
      const made = new Request(Operation.get, nobody, whole.chunk);
      made.keys = whole.keys;
      made.indexes = [index];
      return made;
    };
    const [first, second] = [part(0), part(1)];
    // Both connections read into the same buffer, one after the other.
    const readBuffer = Buffer.alloc(200);
    const half = 12 + readBuffer.write("VALUE app:a 0 1\r\n1\r\nEN", 12, "latin1");
    expect(new BackendParser(MAX_REPLY_BYTES, bytes("app:")).parse(first, readBuffer, 12, half, false)).toBe(
      INCOMPLETE,
    );
    const text = "VALUE app:b 0 40\r\n0123456789012345678901234567890123456789\r\nEND\r\n";
    readBuffer.write(text, 4, "latin1");
    const parser = new BackendParser(MAX_REPLY_BYTES, bytes("app:"));
    expect(parser.parse(second, readBuffer, 4, 4 + text.length, false)).toBe(4 + text.length);
    const { blockStarts, blockEnds } = whole.keys!;
    expect(readBuffer.toString("latin1", blockStarts[1], blockEnds[1])).toBe(
      "VALUE b 0 40\r\n0123456789012345678901234567890123456789\r\n",
    );
  });
});

/** Every answer line there is. */
const answerLines = {
  STORED: Status.stored,
  NOT_STORED: Status.notStored,
  EXISTS: Status.exists,
  NOT_FOUND: Status.notFound,
  DELETED: Status.deleted,
  TOUCHED: Status.touched,
  OK: Status.ok,
  "18446744073709551615": Status.number,
  "5  ": Status.number,
  "VERSION 1.6.18": Status.ok,
  HD: Status.meta,
  "HD t30 c7": Status.meta,
  EN: Status.meta,
  NS: Status.meta,
  EX: Status.meta,
  NF: Status.meta,
} as const;
type AnswerLine = keyof typeof answerLines;
const storageAnswers: readonly AnswerLine[] = ["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND"];
const countAnswers: readonly AnswerLine[] = ["18446744073709551615", "5  ", "NOT_FOUND"];

/** What memcached's protocol document lets each command be answered with. */
const answersOf: readonly (readonly [string, Operation, readonly AnswerLine[]])[] = [
  ["set", Operation.set, storageAnswers],
  ["add", Operation.add, storageAnswers],
  ["replace", Operation.replace, storageAnswers],
  ["append", Operation.append, storageAnswers],
  ["prepend", Operation.prepend, storageAnswers],
  ["cas", Operation.cas, storageAnswers],
  ["delete", Operation.delete, ["DELETED", "NOT_FOUND"]],
  ["incr", Operation.incr, countAnswers],
  ["decr", Operation.decr, countAnswers],
  ["touch", Operation.touch, ["TOUCHED", "NOT_FOUND"]],
  ["flush_all", Operation.flushAll, ["OK"]],
  ["version", Operation.version, ["VERSION 1.6.18"]],
  ["mg", Operation.metaGet, ["HD", "HD t30 c7", "EN"]],
  ["ms", Operation.metaSet, ["HD", "HD t30 c7", "NS", "EX", "NF"]],
  ["md", Operation.metaDelete, ["HD", "HD t30 c7", "EX", "NF"]],
];

describe("parsing a one-line reply", () => {
  for (const [name, operation, lines] of answersOf) {
    const ask = () => request(operation, "key");

    it(`accepts the replies of ${name}`, () => {
      for (const line of lines) {
        expect(parseOne(ask, `${line}\r\n`)).toMatchObject({ status: answerLines[line], text: `${line}\r\n` });
      }
    });

    it(`accepts errors for ${name}`, () => {
      for (const line of ["ERROR", "CLIENT_ERROR bad data chunk", "ERROR Too many open connections"]) {
        expect(parseOne(ask, `${line}\r\n`)).toMatchObject({ status: Status.clientError });
      }
      expect(parseOne(ask, "SERVER_ERROR out of memory\r\n")).toMatchObject({ status: Status.serverError });
    });

    it(`is out of step if another command's reply arrives for ${name}`, () => {
      const others = Object.keys(answerLines).filter((line) => !(lines as readonly string[]).includes(line));
      const retrievals = ["END", "VALUE key 0 1"];
      for (const line of [...others, ...retrievals, "STOREDX", "12x", "x", ""]) {
        expect([line, isRefused(ask, `${line}\r\n`)]).toEqual([line, true]);
      }
    });
  }

  it("accepts a value for mg", () => {
    const asked = () => request(Operation.metaGet, "key", "v t k c");
    const outcome = parseOne(asked, "VA 5 t30 c7\r\nEN\r\n!\r\n");
    expect(outcome).toMatchObject({ status: Status.meta, code: "VA", value: "EN\r\n!" });
    expect(isRefused(asked, "VA x\r\na\r\n")).toBe(true);
    expect(isRefused(asked, "VA 1\r\nabc\r\n")).toBe(true);
  });

  it("is out of step if mg returns another key", () => {
    const asked = () => request(Operation.metaGet, "key");
    const askedForValue = () => request(Operation.metaGet, "key", "v t k c");
    for (const key of ["key", `${Buffer.from("key").toString("base64")} b`]) {
      expect(parseOne(askedForValue, `VA 1 t30 k${key} c7\r\na\r\n`)?.value).toBe("a");
      expect(parseOne(asked, `HD k${key}\r\n`)?.code).toBe("HD");
    }
    for (const key of ["other", "ke", "keys", "", Buffer.from("ke").toString("base64")]) {
      expect(isRefused(askedForValue, `VA 1 t30 k${key} c7\r\na\r\n`)).toBe(true);
      expect(isRefused(asked, `HD k${key}\r\n`)).toBe(true);
    }
    expect(parseOne(asked, "HD kapp:key\r\n", "app:")?.code).toBe("HD");
    expect(isRefused(asked, "HD kkey\r\n", "app:")).toBe(true);
  });

  it("is out of step if a line ends without a carriage return", () => {
    for (const text of ["HD\n", "HD t30\n", "EN\n", "VA 1 t30\na\r\n", "CLIENT_ERROR bad\n", "\n"]) {
      expect(isRefused(() => request(Operation.metaGet, "key"), text)).toBe(true);
    }
  });

  it("is out of step if the number of incr is followed by anything but blanks", () => {
    expect(parseOne(() => request(Operation.incr, "key"), "5  \r\n")?.text).toBe("5  \r\n");
    for (const text of ["5\r\r\n", "5 \r \r\n", "5x\r\n", " 5\r\n"]) {
      expect(isRefused(() => request(Operation.incr, "key"), text)).toBe(true);
    }
  });

  it("is out of step on an error that only incr and decr can have", () => {
    const line = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    for (const operation of [Operation.set, Operation.delete, Operation.touch, Operation.metaSet, Operation.metaGet]) {
      expect(isRefused(() => request(operation, "key"), line)).toBe(true);
    }
    for (const operation of [Operation.incr, Operation.decr, Operation.metaArithmetic]) {
      expect(parseOne(() => request(operation, "key"), line)).toMatchObject({ status: Status.clientError });
    }
  });

  it("accepts a value for mg only", () => {
    for (const operation of [Operation.set, Operation.delete, Operation.incr, Operation.version, Operation.flushAll]) {
      expect(isRefused(() => request(operation, "key"), "VA 1\r\na\r\n")).toBe(true);
    }
  });
});

// ---- Streams of replies, and hostile ones ------------------------------------------------------------------------

interface Exchange {
  readonly ask: () => Request;
  readonly text: string;
}

const key = fc.stringMatching(/^[a-z]{1,8}$/);
const value = fc.string({ unit: fc.constantFrom("\r", "\n", "E", "N", "D", "V", " ", "\0", "\xff"), maxLength: 40 });
const exchange: fc.Arbitrary<Exchange> = fc.oneof(
  fc.record({ name: key, data: fc.option(value), flags: fc.nat() }).map(({ name, data, flags }) => ({
    ask: () => request(Operation.get, name),
    text: `${data === null ? "" : `VALUE ${name} ${flags} ${data.length}\r\n${data}\r\n`}END\r\n`,
  })),
  fc.array(fc.tuple(key, fc.option(value)), { minLength: 2, maxLength: 6 }).map((items) => ({
    ask: () =>
      manyKeys(
        Operation.gets,
        items.map(([name]) => name),
      ),
    // A key that was asked for twice is there both times or not at all.
    text: `${items
      .map(([name], i) => {
        const data = items.find(([other]) => other === name)![1];
        return data === null ? "" : `VALUE ${name} ${i} ${data.length} 77\r\n${data}\r\n`;
      })
      .join("")}END\r\n`,
  })),
  fc
    .constantFrom(...answersOf.flatMap(([, operation, lines]) => lines.map((line) => ({ operation, line }))))
    .map(({ operation, line }) => ({ ask: () => request(operation, "key"), text: `${line}\r\n` })),
);

describe("parsing stats", () => {
  const stats = () => request(Operation.stats, "");

  it("returns all lines up to END", () => {
    for (const text of ["END\r\n", "STAT a 1\r\nEND\r\n", "STAT a b c\r\nSTAT END \r\nSTAT x:1:y 0\r\nEND\r\n"]) {
      expect(parseOne(stats, text)).toEqual({ status: Status.ok, text });
    }
  });

  it("accepts a refusal", () => {
    for (const line of ["ERROR", "CLIENT_ERROR unauthenticated", "CLIENT_ERROR usage: stats detail on|off|dump"]) {
      expect(parseOne(stats, `${line}\r\n`)).toEqual({ status: Status.clientError, text: `${line}\r\n` });
    }
    expect(parseOne(stats, "SERVER_ERROR busy\r\n")).toMatchObject({ status: Status.serverError });
  });

  it("ends where the next reply begins", () => {
    const asked = () => [request(Operation.get, "key"), stats(), stats(), request(Operation.get, "key")];
    const value = "VALUE key 0 1\r\na\r\nEND\r\n";
    const outcomes = parseAll(asked, `${value}STAT a 1\r\nEND\r\nERROR\r\n${value}`);
    expect(outcomes.map(({ text }) => text)).toEqual([value, "STAT a 1\r\nEND\r\n", "ERROR\r\n", value]);
  });

  it("is out of step if anything else arrives", () => {
    for (const line of ["STORED", "RESET", "VALUE key 0 1", "HD", "12", "STATS a", "ENDING", ""]) {
      expect([line, isRefused(stats, `${line}\r\n`)]).toEqual([line, true]);
      expect([line, isRefused(stats, `STAT a 1\r\n${line}\r\n`)]).toEqual([line, true]);
    }
    expect(isRefused(stats, "STAT a 1\r\nERROR\r\n")).toBe(true);
  });

  it("is out of step if the reply does not end", () => {
    const lines = bytes("STAT name 1\r\n".repeat(10_000));
    const replies = new Replies([stats()], "").feed(Array.from({ length: 50 }, () => lines));
    expect([replies.isOutOfStep, replies.keptBytes]).toEqual([true, 0]);
  });
});

describe("a stream of replies", () => {
  it("is read the same way however it is cut", () => {
    const property = (exchanges: Exchange[], fractions: number[]) => {
      const text = bytes(exchanges.map((each) => each.text).join(""));
      const requests = () => exchanges.map(({ ask }) => ask());
      const whole = new Replies(requests(), "").feed([text]);
      expect(whole.isOutOfStep).toBe(false);
      expect(whole.outcomes.length).toBe(exchanges.length);
      const cut = new Replies(requests(), "").feed(cutAt(text, placesOf(fractions, text.length)));
      expect(cut.outcomes).toEqual(whole.outcomes);
      const bytewise = new Replies(requests(), "").feed([...text].map((byte) => Buffer.from([byte])));
      expect(bytewise.outcomes).toEqual(whole.outcomes);
    };
    fc.assert(fc.property(fc.array(exchange, { minLength: 1, maxLength: 8 }), cutFractions, property), {
      numRuns: 300,
    });
  });

  it("never throws on hostile bytes, and is read the same way however it is cut", () => {
    const pieces = [
      "VALUE ",
      "key ",
      "0 ",
      "1",
      "\r\n",
      "\r",
      "\n",
      "END",
      "a",
      " ",
      "-",
      "VA ",
      "HD",
      "STAT ",
      "ERROR",
      "\xff",
    ];
    const text = fc.oneof(
      fc.array(fc.constantFrom(...pieces), { maxLength: 20 }).map((parts) => parts.join("")),
      fc.uint8Array({ maxLength: 60 }).map((part) => Buffer.from(part).toString("latin1")),
    );
    const asked = fc.constantFrom(
      () => request(Operation.get, "key"),
      () => manyKeys(Operation.get, ["key", "a", "key"]),
      () => request(Operation.set, "key"),
      () => request(Operation.incr, "key"),
      () => request(Operation.metaGet, "key"),
      () => request(Operation.metaGet, "key", "v"),
      () => request(Operation.stats, ""),
    );
    const property = (asks: (() => Request)[], hostile: string, fractions: number[]) => {
      const requests = () => asks.map((ask) => ask());
      const whole = new Replies(requests(), "").feed([bytes(hostile)]);
      const cut = new Replies(requests(), "").feed(cutAt(bytes(hostile), placesOf(fractions, hostile.length)));
      expect(cut.outcomes).toEqual(whole.outcomes);
    };
    fc.assert(fc.property(fc.array(asked, { minLength: 1, maxLength: 4 }), text, cutFractions, property), {
      numRuns: 1_000,
    });
  });
});
