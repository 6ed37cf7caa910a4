import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Operation, type ReplyOwner, type Request } from "../../../src/proxy/request.ts";
import { writeRequest } from "../../../src/proxy/wire/backend-writer.ts";
import { type ClassicLimits, ClassicParser, Parsed } from "../../../src/proxy/wire/classic-parser.ts";
import { type FrameReader, InputBuffer } from "../../../src/proxy/wire/input-buffer.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { ServerDialect } from "../../../src/proxy/wire/server-dialect.ts";
import { cutAt, cutFractions, everyCut, placesOf } from "../../support/vectors/parts.ts";

const owner: ReplyOwner = { onReply: () => {} };
const MAX_VALUE_BYTES = 1_000;
const limits: ClassicLimits = { maxValueBytes: MAX_VALUE_BYTES, isFlushAllAllowed: true, prefix: "" };
const operationNames = new Map<Operation, string>(Object.entries(Operation).map(([name, number]) => [number, name]));

/** Reads commands as a client connection does, and tells what each of them became. */
class Commands implements FrameReader {
  wantedBytes = 0;
  readonly seen: string[] = [];
  private readonly parser: ClassicParser;
  private readonly input = new InputBuffer();
  private readonly prefix: Buffer;
  private swallowBytes = 0;
  private isClosed = false;

  constructor(changes: Partial<ClassicLimits> = {}, isCurrent = false) {
    const own = { ...limits, ...changes };
    this.parser = new ClassicParser(
      () => own,
      () => isCurrent,
    );
    this.prefix = Buffer.from(own.prefix, "latin1");
  }

  feed(pieces: readonly Buffer[]): this {
    for (const piece of pieces) {
      const readBuffer = Buffer.concat([Buffer.from("get "), piece, Buffer.from("\r\n")]);
      this.input.feed(readBuffer, 4, readBuffer.length - 2, this);
      readBuffer.fill(0xff);
    }
    return this;
  }

  get keptBytes(): number {
    return this.input.byteLength;
  }

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    let at = start;
    while (at < end && !this.isClosed) {
      if (this.swallowBytes > 0) {
        const swallowed = Math.min(this.swallowBytes, end - at);
        this.swallowBytes -= swallowed;
        at += swallowed;
        continue;
      }
      const parsed = this.parser.parse(owner, chunk, at, end, isKept);
      if (parsed === Parsed.incomplete) {
        this.wantedBytes = this.parser.wantedBytes;
        return at;
      }
      if (parsed === Parsed.close) {
        this.isClosed = true;
        this.seen.push("close");
        return end;
      }
      at = this.parser.next;
      this.swallowBytes = this.parser.swallowBytes;
      this.parser.swallowBytes = 0;
      if (parsed === Parsed.request) this.seen.push(this.describe(this.parser.request!));
      else if (parsed === Parsed.local) this.seen.push(`local ${this.parser.words.join(" ")}`);
      else this.seen.push(`answer ${this.parser.answer?.chunk.toString("latin1").trimEnd() ?? "nothing"}`);
    }
    return end;
  }

  /** What is sent to a server, and what is to be made of its answer. */
  private describe(request: Request): string {
    const batch = new OutputBatch();
    writeRequest(request, this.prefix, batch, new ServerDialect());
    const sent = batch.take().toString("latin1");
    const { keys } = request;
    const names =
      keys === null
        ? [request.keyText()]
        : keys.starts.map((start, i) => keys.bytes.toString("latin1", start, keys.ends[i]));
    const marks = `${request.isNoreply ? " quiet" : ""}${request.answerInstead === null ? "" : " refused"}`;
    return `${operationNames.get(request.operation)} [${names.join("|")}]${marks} ${JSON.stringify(sent)}`;
  }
}

/** What `text` becomes, which must not depend on how it is cut. */
function parse(text: string, changes: Partial<ClassicLimits> = {}): string[] {
  const bytes = Buffer.from(text, "latin1");
  const whole = new Commands(changes).feed([bytes]).seen;
  for (const places of everyCut(bytes.length)) {
    expect({ places, seen: new Commands(changes).feed(cutAt(bytes, places)).seen }).toEqual({ places, seen: whole });
  }
  return whole;
}

/** Each row: what a client sends, and what becomes of it. */
function expectAll(rows: Record<string, string | readonly string[]>): void {
  for (const [text, expected] of Object.entries(rows)) {
    expect([text, parse(text)]).toEqual([text, typeof expected === "string" ? [expected] : expected]);
  }
}

const k250 = "k".repeat(250);
const k251 = "k".repeat(251);
const malformed = "answer CLIENT_ERROR malformed request";
const badFormat = "answer CLIENT_ERROR bad command line format";

describe("parsing a retrieval", () => {
  it("produces its canonical form", () => {
    expectAll({
      "get a\r\n": 'get [a] "get a\\r\\n"',
      "get a\n": 'get [a] "get a\\r\\n"',
      "gets a\r\n": 'gets [a] "gets a\\r\\n"',
      "get  a \r\n": 'get [a] "get a\\r\\n"',
      " get a\r\n": 'get [a] "get a\\r\\n"',
      "get noreply\r\n": 'get [noreply] "get noreply\\r\\n"',
      "get a noreply\r\n": 'get [a|noreply] "get a noreply\\r\\n"',
      "gat 0 a\r\n": 'gat [a] "gat 0 a\\r\\n"',
      "gats -1 a b a\r\n": 'gats [a|b|a] "gats -1 a b a\\r\\n"',
      [`get ${k250}\r\n`]: `get [${k250}] "get ${k250}\\r\\n"`,
      "get t\tb\r\n": 'get [t\tb] "get t\\tb\\r\\n"',
    });
  });

  it("finds all keys of a multi-key get", () => {
    const keys = Array.from({ length: 100 }, (_, i) => `key${i}`);
    expect(new Commands().feed([Buffer.from(`get ${keys.join(" ")}\r\n`)]).seen).toEqual([
      `get [${keys.join("|")}] ${JSON.stringify(`get ${keys.join(" ")}\r\n`)}`,
    ]);
  });

  it("answers a malformed one itself", () => {
    expectAll({
      "get\r\n": "answer ERROR",
      "get \r\n": "answer ERROR",
      "gat\r\n": "answer ERROR",
      "gat x\r\n": "answer CLIENT_ERROR invalid exptime argument",
      "gat x a\r\n": "answer CLIENT_ERROR invalid exptime argument",
      "gat 9223372036854775808 a\r\n": "answer CLIENT_ERROR invalid exptime argument",
      [`get ${k251}\r\n`]: badFormat,
      [`get a ${k251} b\r\n`]: badFormat,
    });
  });

  it("stops at a NUL, and drops the rest", () => {
    expectAll({ "get a\0b\r\n": 'get [a] "get a\\r\\n"', "get a b\0c d\r\n": 'get [a|b] "get a b\\r\\n"' });
  });

  it("drops the blanks around a single key", () => {
    expect(new Commands().feed([Buffer.from(`get${" ".repeat(3_000)}a\r\n`)]).seen).toEqual(['get [a] "get a\\r\\n"']);
    expect(new Commands().feed([Buffer.from(`gat 5${" ".repeat(3_000)}a\r\n`)]).seen).toEqual([
      'gat [a] "gat 5 a\\r\\n"',
    ]);
  });
});

describe("parsing a storage command", () => {
  it("keeps its data and drops noreply", () => {
    expectAll({
      "set a 1 2 3\r\nabc\r\n": 'set [a] "set a 1 2 3\\r\\nabc\\r\\n"',
      "set a 0 0 0\r\n\r\n": 'set [a] "set a 0 0 0\\r\\n\\r\\n"',
      "add a 0 0 5\r\nget a\r\n": 'add [a] "add a 0 0 5\\r\\nget a\\r\\n"',
      "replace a 0 0 2\n\r\n\r\n": 'replace [a] "replace a 0 0 2\\r\\n\\r\\n\\r\\n"',
      "append a 0 0 1 noreply\r\nx\r\n": 'append [a] quiet "append a 0 0 1\\r\\nx\\r\\n"',
      "prepend  a  0  0  1  noreply \r\nx\r\n": 'prepend [a] quiet "prepend a 0 0 1\\r\\nx\\r\\n"',
      "cas a 0 0 1 18446744073709551615\r\nx\r\n": 'cas [a] "cas a 0 0 1 18446744073709551615\\r\\nx\\r\\n"',
      "cas a 0 0 1 7 noreply\r\nx\r\n": 'cas [a] quiet "cas a 0 0 1 7\\r\\nx\\r\\n"',
      "set a 0 0 1 extra\r\nx\r\n": 'set [a] "set a 0 0 1\\r\\nx\\r\\n"',
      "set a 0 -1 +1\r\nx\r\n": 'set [a] "set a 0 -1 1\\r\\nx\\r\\n"',
      "set a 0 0 1\0 noreply\r\nx\r\n": 'set [a] "set a 0 0 1\\r\\nx\\r\\n"',
    });
  });

  it("refuses a malformed one, and reads its data as commands", () => {
    expectAll({
      "set a 0 0\r\nxy\r\n": ["answer ERROR", "answer ERROR"],
      "set a 0 0 1 2 3\r\nget b\r\n": ["answer ERROR", 'get [b] "get b\\r\\n"'],
      "set a x 0 1\r\nxy\r\n": [badFormat, "answer ERROR"],
      "set a -1 0 1\r\nxy\r\n": [badFormat, "answer ERROR"],
      "set a 18446744073709551616 0 1\r\nxy\r\n": [badFormat, "answer ERROR"],
      "set a 0 0 -1\r\n": badFormat,
      "set a 0 0 2147483647\r\n": badFormat,
      "cas a 0 0 1 x\r\n": badFormat,
      [`set ${k251} 0 0 1\r\n`]: badFormat,
      "set a 0 0 x noreply\r\nxy\r\n": ["answer nothing", "answer ERROR"],
      "set a 0 9223372036854775808 1\r\n": badFormat,
      "set a 99999999999999999999\t1 0 1\r\n": badFormat,
    });
  });

  it("refuses one whose data does not end where it should", () => {
    expectAll({
      "set a 0 0 1\r\nabc\r\n": ["answer CLIENT_ERROR bad data chunk", "answer ERROR"],
      "set a 0 0 1 noreply\r\nabc\r\n": ["answer nothing", "answer ERROR"],
    });
  });

  it("converts a number beyond 32 bits as memcached does", () => {
    expectAll({
      "set a 4294967299 4294967296 1\r\nx\r\n": 'set [a] "set a 3 0 1\\r\\nx\\r\\n"',
      "set a 5 4102444800 3\r\nabc\r\n": 'set [a] "set a 5 -192522496 3\\r\\nabc\\r\\n"',
      "set  a  5  4294967296  3  noreply\r\nabc\r\n": 'set [a] quiet "set a 5 0 3\\r\\nabc\\r\\n"',
      "get b\r\nset a 5 -2147483649 1 \r\nx\r\nget c\r\n": [
        'get [b] "get b\\r\\n"',
        'set [a] "set a 5 2147483647 1\\r\\nx\\r\\n"',
        'get [c] "get c\\r\\n"',
      ],
    });
  });

  const large = MAX_VALUE_BYTES + 1;
  const data = "get x\r\n".repeat(200).slice(0, large);

  it("discards one over the size limit with its data, and a set then deletes the old item", () => {
    const tooLarge = "answer SERVER_ERROR object too large for cache";
    for (const [line, expected] of [
      [`set a 0 0 ${large}`, 'delete [a] refused "delete a\\r\\n"'],
      [`set a 0 0 ${large} noreply`, 'delete [a] quiet refused "delete a\\r\\n"'],
      [`add a 0 0 ${large}`, tooLarge],
      [`add a 0 0 ${large} noreply`, "answer nothing"],
      [`cas a 0 0 ${large} 1 noreply`, "answer nothing"],
      [`append a 0 0 ${large}`, tooLarge],
    ]) {
      expect([line, parse(`${line}\r\n${data}\r\nget b\r\n`)]).toEqual([line, [expected, 'get [b] "get b\\r\\n"']]);
    }
  });

  it("accepts one at the size limit", () => {
    const value = "x".repeat(MAX_VALUE_BYTES);
    expect(new Commands().feed([Buffer.from(`set a 0 0 ${MAX_VALUE_BYTES}\r\n${value}\r\n`)]).seen.length).toBe(1);
  });
});

describe("parsing other commands with a key", () => {
  it("drops noreply", () => {
    expectAll({
      "delete a\r\n": 'delete [a] "delete a\\r\\n"',
      "delete a 0\r\n": 'delete [a] "delete a\\r\\n"',
      "delete a noreply\r\n": 'delete [a] quiet "delete a\\r\\n"',
      "delete a 0 noreply\r\n": 'delete [a] quiet "delete a\\r\\n"',
      "delete noreply\r\n": 'delete [noreply] "delete noreply\\r\\n"',
      "incr a 1\r\n": 'incr [a] "incr a 1\\r\\n"',
      "decr a +07 noreply\r\n": 'decr [a] quiet "decr a 7\\r\\n"',
      "touch a +5\t\r\n": 'touch [a] "touch a 5\\r\\n"',
      "touch a 0 noreply\r\n": 'touch [a] quiet "touch a 0\\r\\n"',
    });
  });

  it("answers malformed ones itself", () => {
    const badDelete = "answer CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
    expectAll({
      "delete\r\n": "answer ERROR",
      "delete a 1\r\n": badDelete,
      "delete a 1 noreply\r\n": "answer nothing",
      "delete a 0 0 0\r\n": "answer ERROR",
      "incr a\r\n": "answer ERROR",
      "incr a 1 2 3\r\n": "answer ERROR",
      "incr a noreply\r\n": "answer nothing",
      "incr a x\r\n": "answer CLIENT_ERROR invalid numeric delta argument",
      "decr a x noreply\r\n": "answer nothing",
      "touch a x\r\n": "answer CLIENT_ERROR invalid exptime argument",
      // A server takes the last word of what is sent on for its own noreply, and answers nothing.
      "incr a noreply noreply\r\n": "answer nothing",
      "touch a noreply noreply\r\n": "answer nothing",
      "delete a noreply noreply\r\n": "answer nothing",
      "set a 0 0 noreply noreply\r\n": "answer nothing",
      "cas a 0 0 1 noreply noreply\r\n": "answer nothing",
      [`incr ${k251} 1\r\n`]: badFormat,
      [`delete ${k251}\r\n`]: badFormat,
      [`touch ${k251} 0 noreply\r\n`]: "answer nothing",
    });
  });
});

describe("parsing commands without a key", () => {
  it("executes, answers or refuses them", () => {
    expectAll({
      "version\r\n": "local version",
      "stats\r\n": "local stats",
      "stats items\r\n": "local stats items",
      "quit\r\n": "close",
      "quit now\r\nget a\r\n": "close",
      "verbosity 1\r\n": "answer OK",
      "verbosity\r\n": "answer ERROR",
      "verbosity x\r\n": badFormat,
      "verbosity 1 noreply\r\n": "answer nothing",
      "flush_all\r\n": 'flushAll [] "flush_all\\r\\n"',
      "flush_all 10 noreply\r\n": 'flushAll [] quiet "flush_all 10\\r\\n"',
      "flush_all \r\n": 'flushAll [] "flush_all\\r\\n"',
      "flush_all  +010  noreply\r\n": 'flushAll [] quiet "flush_all 10\\r\\n"',
      "flush_all x\r\n": "answer CLIENT_ERROR invalid exptime argument",
      "shutdown\r\n": "answer ERROR: shutdown not enabled",
      "GET / HTTP/1.1\r\nHost: x\r\n": "close",
      "bogus\r\n": "answer ERROR",
      "\r\n": "answer ERROR",
      "\n": "answer ERROR",
      "x\r\n": "answer ERROR",
      "\0\r\n": "answer ERROR",
    });
    expect(parse("lru_crawler enable\r\n")[0]).toMatch(/^answer CLIENT_ERROR not available/);
  });

  it("refuses flush_all if it is not allowed", () => {
    const refused = { isFlushAllAllowed: false };
    expect(parse("flush_all\r\n", refused)).toEqual(["answer CLIENT_ERROR flush_all not allowed"]);
    expect(parse("flush_all noreply\r\n", refused)).toEqual(["answer nothing"]);
  });
});

it("a flush_all that is not allowed is refused with mcrouter's text if that is configured", () => {
  const words = { isFlushAllAllowed: false, hasMcrouterWords: true };
  expect(parse("flush_all\r\n", words)).toEqual(["answer SERVER_ERROR Command disabled"]);
});

describe("a key that is too long, with mcrouter's texts", () => {
  const long = "k".repeat(251);
  const words = { hasMcrouterWords: true };

  it.each(["get", "gets", "delete", "touch", "incr"])("gets one reply for %s", (verb) => {
    const number = verb === "touch" || verb === "incr" ? " 1" : "";
    expect(parse(`${verb} ${long}${number}\r\nversion\r\n`, words)[0]).toBe("answer CLIENT_ERROR bad key");
  });

  it("gets one reply for a set, whose data is not read as a command, at every cut", () => {
    for (const verb of ["set", "add", "replace", "append", "prepend"]) {
      expect(parse(`${verb} ${long} 0 0 9\r\nflush_all\r\nbogus\r\n`, words)).toEqual([
        "answer CLIENT_ERROR bad key",
        malformed,
      ]);
    }
    expect(parse(`set ${long} 0 0 3 noreply\r\nabc\r\nbogus\r\n`, words)).toEqual(["answer nothing", malformed]);
  });
});

it.each(["bogus", "statsdetailed", "", "set k 0", "delete k 0 0 0", "getk"])(
  "%o is a malformed request in mcrouter's words",
  (line) => {
    expect(parse(`${line}\r\nversion\r\n`, { hasMcrouterWords: true })[0]).toBe(malformed);
  },
);

describe("a line that memcached 1.6.40 and later parse differently", () => {
  const rows: Record<string, readonly [old: string | readonly string[], current: string | readonly string[]]> = {
    "\r\n": ["answer ERROR", badFormat],
    "\n": ["answer ERROR", badFormat],
    "x\r\n": ["answer ERROR", badFormat],
    "xy\r\n": ["answer ERROR", "answer ERROR"],
    "mn\n": ["answer MN", "answer MN"],
    "x noreply\r\n": ["answer ERROR", "answer nothing"],
    "bogus a noreply\r\n": ["answer ERROR", "answer nothing"],
    "shutdown\r\n": ["answer ERROR: shutdown not enabled", "answer SERVER_ERROR: shutdown not enabled"],
    "shutdown now noreply\r\n": ["answer ERROR: shutdown not enabled", "answer nothing"],
    "flush_all 0 0 0\r\n": ["answer ERROR", 'flushAll [] "flush_all 0\\r\\n"'],
    "set a 0 0 -1 noreply\r\n": ["answer nothing", badFormat],
    "set a 0 abc 2147483647 noreply\r\n": ["answer nothing", badFormat],
    "set a 0 abc 1 noreply\r\nx\r\n": [["answer nothing", "answer ERROR"], "answer nothing"],
    "me a \x7f\r\n": ['metaDebug [a] "me a\\r\\n"', badFormat],
    "me a 0\r\n": ['metaDebug [a] "me a\\r\\n"', 'metaDebug [a] "me a\\r\\n"'],
    "mg a T4294967296\r\n": ['metaGet [a] "mg a T0\\r\\n"', 'metaGet [a] "mg a T\\r\\n"'],
    "mg a F4294967301\r\n": ['metaGet [a] "mg a F5\\r\\n"', 'metaGet [a] "mg a F\\r\\n"'],
    "mg a C+7\r\n": ['metaGet [a] "mg a C7\\r\\n"', 'metaGet [a] "mg a C\\r\\n"'],
    "mg a T007\r\n": ['metaGet [a] "mg a T7\\r\\n"', 'metaGet [a] "mg a T7\\r\\n"'],
  };

  it.each(Object.entries(rows))("is parsed as in each version: %j", (text, [old, current]) => {
    const seen = (isCurrent: boolean) => new Commands({}, isCurrent).feed([Buffer.from(text, "latin1")]).seen;
    expect([seen(false), seen(true)]).toEqual([[old].flat(), [current].flat()]);
  });
});

describe("a prefix", () => {
  it("precedes every key that is sent to a server", () => {
    const prefix = { prefix: "app:" };
    expect(parse("get a\r\nset b 0 0 1\r\nx\r\ngat 5 c\r\ndelete e noreply\r\nflush_all\r\n", prefix)).toEqual([
      'get [a] "get app:a\\r\\n"',
      'set [b] "set app:b 0 0 1\\r\\nx\\r\\n"',
      'gat [c] "gat 5 app:c\\r\\n"',
      'delete [e] quiet "delete app:e\\r\\n"',
      'flushAll [] "flush_all\\r\\n"',
    ]);
  });

  it("reduces the maximum length of a key", () => {
    const prefix = "p".repeat(10);
    const [fits, tooLong] = ["k".repeat(240), "k".repeat(241)];
    expect(parse(`get ${fits}\r\n`, { prefix })).toEqual([`get [${fits}] "get ${prefix}${fits}\\r\\n"`]);
    for (const line of [`get ${tooLong}`, `get a ${tooLong}`, `delete ${tooLong}`, `touch ${tooLong} 0`]) {
      expect(new Commands({ prefix }).feed([Buffer.from(`${line}\r\n`)]).seen).toEqual([badFormat]);
    }
    expect(new Commands({ prefix }).feed([Buffer.from(`set ${tooLong} 0 0 1\r\n`)]).seen).toEqual([badFormat]);
  });
});

describe("a line that does not end", () => {
  it("closes the connection after 2 KiB", () => {
    expect(new Commands().feed([Buffer.alloc(2_048, 0x61)]).seen).toEqual([]);
    expect(new Commands().feed([Buffer.alloc(2_049, 0x61)]).seen).toEqual(["close"]);
    expect(new Commands().feed([Buffer.from(`set a${" ".repeat(2_100)}`)]).seen).toEqual(["close"]);
  });

  it("can be a long get", () => {
    const commands = new Commands();
    const keys = Array.from({ length: 2_000 }, (_, i) => `some-key:${i}`);
    for (const key of keys) commands.feed([Buffer.from(key === keys[0] ? `get ${key}` : ` ${key}`)]);
    expect(commands.seen).toEqual([]);
    commands.feed([Buffer.from("\r\n")]);
    expect(commands.seen.length).toBe(1);
    expect(commands.keptBytes).toBe(0);
  });

  it("closes the connection if it is a get without an end", () => {
    const commands = new Commands();
    const piece = Buffer.from(`get ${"key ".repeat(10_000)}`);
    for (let i = 0; i < 100 && commands.seen.length === 0; i++) commands.feed([i === 0 ? piece : piece.subarray(4)]);
    expect(commands.seen).toEqual(["close"]);
    expect(commands.keptBytes).toBe(0);
  });

  it("is read if it ends after 2 KiB, and forwarded without the part that made it long", () => {
    const blanks = " ".repeat(2_100);
    for (const [line, expected] of [
      [`set${blanks}a 0 0 1\r\nx\r\n`, 'set [a] "set a 0 0 1\\r\\nx\\r\\n"'],
      [`incr a${blanks}1\r\n`, 'incr [a] "incr a 1\\r\\n"'],
      [`delete${blanks}a\r\n`, 'delete [a] "delete a\\r\\n"'],
      [`touch a${blanks}0\r\n`, 'touch [a] "touch a 0\\r\\n"'],
      [`set ${"k".repeat(2_100)} 0 0 1\r\n`, badFormat],
    ]) {
      expect(new Commands().feed([Buffer.from(line!)]).seen).toEqual([expected]);
    }
  });
});

// ---- Streams of commands, and hostile bytes ---------------------------------------------------------------------

const key = fc.stringMatching(/^[a-z]{1,8}$/);
const data = fc.string({ unit: fc.constantFrom("\r", "\n", "g", "e", "t", " ", "\0", "\xff"), maxLength: 30 });
const quiet = fc.constantFrom("", " noreply");
const command = fc.oneof(
  fc
    .tuple(fc.constantFrom("get", "gets"), fc.array(key, { minLength: 1, maxLength: 4 }))
    .map(([verb, keys]) => `${verb} ${keys.join(" ")}\r\n`),
  fc
    .tuple(fc.constantFrom("set", "add", "append"), key, fc.nat(), data, quiet)
    .map(([verb, name, flags, value, end]) => `${verb} ${name} ${flags} 0 ${value.length}${end}\r\n${value}\r\n`),
  fc
    .tuple(fc.constantFrom("incr", "touch"), key, fc.nat(), quiet)
    .map(([verb, name, number, end]) => `${verb} ${name} ${number}${end}\r\n`),
  fc.constantFrom("version\r\n", "stats\r\n", "flush_all\r\n", "\r\n", "bogus\r\n"),
);

/** True when what is sent to a server ends in a word that it takes for noreply. */
function isUnanswered(seen: string): boolean {
  const sent = /"((?:[^"\\]|\\.)*)"$/s.exec(seen)?.[1];
  if (sent === undefined || /^gets? |^gats? /.test(seen)) return false;
  const words = sent
    .split("\\n")[0]!
    // A server takes off one CR before the LF; any other is part of a word.
    .replace(/\\r$/, "")
    .split(" ")
    .filter((word) => word !== "");
  return words.length > 2 && words.at(-1) === "noreply";
}

describe("a stream of commands", () => {
  it("becomes one request, reply or local command each, however it is cut", () => {
    const property = (commands: string[], fractions: number[]) => {
      const stream = Buffer.from(commands.join(""), "latin1");
      const whole = new Commands().feed([stream]);
      expect(whole.seen.length).toBe(commands.length);
      expect(whole.keptBytes).toBe(0);
      expect(new Commands().feed(cutAt(stream, placesOf(fractions, stream.length))).seen).toEqual(whole.seen);
      expect(new Commands().feed([...stream].map((byte) => Buffer.from([byte]))).seen).toEqual(whole.seen);
    };
    fc.assert(fc.property(fc.array(command, { maxLength: 10 }), cutFractions, property), { numRuns: 300 });
  });

  it("becomes the same commands again when the forwarded bytes are parsed", () => {
    const property = (text: string) => {
      const [seen] = new Commands().feed([Buffer.from(text, "latin1")]).seen;
      const sent = /"(?:[^"\\]|\\.)*"$/s.exec(seen!)?.[0];
      if (sent === undefined) return;
      const [again] = new Commands().feed([Buffer.from(JSON.parse(sent), "latin1")]).seen;
      expect(again).toBe(seen!.replace("] quiet ", "] "));
    };
    fc.assert(fc.property(command, property), { numRuns: 500 });
  });

  it("never throws on hostile bytes, and is read the same way however it is cut", () => {
    const pieces = [
      ...["get", "gets", "gat", "set", "cas", "incr", "delete", "touch", "flush_all", "verbosity", "quit", "noreply"],
      ...[" ", "  ", "\t", "\r\n", "\n", "\r", "\0", "a", "0", "1", "5", "-1", "99999999999999999999", "\xff", "HTTP/"],
      ...["99999999999999999999\t1", "+99999999999999999999", "-9223372036854775809", "\x0b7", "1e5", k251],
    ];
    const text = fc.oneof(
      fc.array(fc.constantFrom(...pieces), { maxLength: 25 }).map((parts) => parts.join("")),
      fc.array(fc.constantFrom(...pieces), { maxLength: 25 }).map((parts) => parts.join(" ")),
      fc.uint8Array({ maxLength: 80 }).map((part) => Buffer.from(part).toString("latin1")),
      fc
        .tuple(
          fc.constantFrom(...pieces.slice(0, 11)),
          fc.array(fc.constantFrom("a", "0", "1", "noreply"), { maxLength: 6 }),
        )
        .map(([verb, words]) => `${verb} ${words.join(" ")}\r\n\r\n`),
    );
    const property = (hostile: string, fractions: number[]) => {
      const bytes = Buffer.from(hostile, "latin1");
      const whole = new Commands().feed([bytes]);
      const cut = new Commands().feed(cutAt(bytes, placesOf(fractions, bytes.length)));
      expect(cut.seen).toEqual(whole.seen);
      // Nothing that a server would not answer: everything behind it would get another request's answer.
      expect(whole.seen.filter(isUnanswered)).toEqual([]);
    };
    fc.assert(fc.property(text, cutFractions, property), { numRuns: 3_000 });
  });
});
