import { describe, expect, it } from "vitest";
import { failures, missReply, Reply, Status } from "../../../src/proxy/reply.ts";
import { Operation, type ReplyOwner, Request } from "../../../src/proxy/request.ts";
import { Opcode } from "../../../src/proxy/wire/binary-protocol.ts";
import { binaryAnswer } from "../../../src/proxy/wire/binary-writer.ts";
import { type Answer, readAnswers } from "../../support/clients/binary-client.ts";

const nobody: ReplyOwner = { onReply: () => {} };
const OPAQUE = 0xfedcba98;

interface Asked {
  readonly opcode: number;
  readonly isQuiet?: boolean;
  readonly hasKey?: boolean;
  readonly operation: Operation;
}

const get: Asked = { opcode: Opcode.get, operation: Operation.gets };
const getQ: Asked = { opcode: Opcode.getQ, isQuiet: true, operation: Operation.gets };
const getK: Asked = { opcode: Opcode.getK, hasKey: true, operation: Operation.gets };
const getKQ: Asked = { opcode: Opcode.getKQ, isQuiet: true, hasKey: true, operation: Operation.gets };
const blankKeyGet: Asked = { opcode: Opcode.get, operation: Operation.metaGet };
const touch: Asked = { opcode: Opcode.touch, operation: Operation.metaGet };
const set: Asked = { opcode: Opcode.set, operation: Operation.metaSet };
const setQ: Asked = { opcode: Opcode.setQ, isQuiet: true, operation: Operation.metaSet };
const add: Asked = { opcode: Opcode.add, operation: Operation.metaSet };
const replace: Asked = { opcode: Opcode.replaceQ, isQuiet: true, operation: Operation.metaSet };
const append: Asked = { opcode: Opcode.append, operation: Operation.metaSet };
const remove: Asked = { opcode: Opcode.delete, operation: Operation.metaDelete };
const removeQ: Asked = { opcode: Opcode.deleteQ, isQuiet: true, operation: Operation.metaDelete };
const count: Asked = { opcode: Opcode.increment, operation: Operation.metaArithmetic };
const countQ: Asked = { opcode: Opcode.incrementQ, isQuiet: true, operation: Operation.metaArithmetic };
const local = (opcode: number): Asked => ({ opcode, operation: Operation.local });

/** The reply to a client's `asked` for the key `key` if its server answers `reply`. `null` if there is none. */
function told({ opcode, isQuiet = false, hasKey = false, operation }: Asked, reply: Reply): Answer[] | null {
  const request = new Request(operation, nobody, Buffer.from("key"));
  request.keyEnd = 3;
  const answer = binaryAnswer(request, { opcode, opaque: OPAQUE, isQuiet, hasKey }, reply);
  if (answer === null) return null;
  const { answers, rest } = readAnswers(answer.chunk.subarray(answer.start, answer.end));
  expect(rest).toHaveLength(0);
  for (const each of answers) expect([each.opcode, each.opaque]).toEqual([opcode, OPAQUE]);
  return answers;
}

/** The only answer. */
function one(asked: Asked, reply: Reply): Answer {
  const answers = told(asked, reply);
  expect(answers).toHaveLength(1);
  return answers![0]!;
}

/** A reply of a server: its first line, and a value behind it. */
function replyOf(status: Status, line: string, value?: string): Reply {
  const reply = new Reply();
  const head = `${line}\r\n`;
  reply.chunk = Buffer.from(`before${head}${value === undefined ? "" : `${value}\r\n`}`, "latin1");
  reply.start = "before".length;
  reply.end = reply.chunk.length;
  reply.status = status;
  if (status === Status.meta) reply.code = (line.charCodeAt(0) << 8) | line.charCodeAt(1);
  if (value !== undefined) {
    reply.valueStart = reply.start + head.length;
    reply.valueEnd = reply.valueStart + value.length;
  }
  if (status === Status.found) reply.flags = Number(line.split(" ")[2]);
  return reply;
}

const meta = (line: string, value?: string) => replyOf(Status.meta, line, value);
const error = (line: string) =>
  replyOf(line.startsWith("SERVER_ERROR") ? Status.serverError : Status.clientError, line);
const hit = replyOf(Status.found, "VALUE key 4294967295 3 18446744073709551615", "\r\n\0");

describe("a binary hit", () => {
  it("has the value, the flags and the cas, and the key only if it is requested", () => {
    const full = { status: 0, extras: "\xff\xff\xff\xff", cas: 2n ** 64n - 1n, value: "\r\n\0" };
    for (const asked of [get, getQ]) expect(one(asked, hit)).toMatchObject({ ...full, key: "" });
    for (const asked of [getK, getKQ]) expect(one(asked, hit)).toMatchObject({ ...full, key: "key" });
  });

  it("has the values of a meta reply for a base64 key, whatever the order of its flags", () => {
    const full = { status: 0, extras: "\0\0\0\x05", cas: 7n, value: "f9 c9" };
    expect(one(blankKeyGet, meta("VA 5 f5 c7", "f9 c9"))).toMatchObject(full);
    expect(one(blankKeyGet, meta("VA 5 c7 kxx b f5", "f9 c9"))).toMatchObject(full);
  });

  it("has flags and no value for touch", () => {
    expect(one(touch, meta("HD f5 c7"))).toMatchObject({ status: 0, extras: "\0\0\0\x05", cas: 7n, value: "" });
  });
});

describe("a binary miss or failure", () => {
  for (const [name, reply] of Object.entries({
    "a miss": missReply,
    "a meta miss": meta("EN"),
    "a time-out": failures.timeout,
    "a server left alone": failures.tko,
    "an error of the server": error("SERVER_ERROR out of memory"),
  })) {
    it(`stays silent for a quiet get and is Not found for others: ${name}`, () => {
      for (const asked of [getQ, getKQ]) expect(told(asked, reply)).toBeNull();
      expect(one(get, reply)).toMatchObject({ status: 1, key: "", value: "Not found", cas: 0n });
      expect(one(getK, reply)).toMatchObject({ status: 1, key: "key", value: "" });
      expect(one(touch, reply)).toMatchObject({ status: 1 });
    });
  }

  it("reports a failed server to a write, quiet or not", () => {
    for (const asked of [set, setQ, remove, removeQ, count, countQ]) {
      expect(one(asked, failures.timeout)).toMatchObject({ status: 0x86, value: "timeout" });
    }
  });
});

describe("a binary write", () => {
  it("returns its cas on success, and nothing if it is quiet", () => {
    expect(one(set, meta("HD c7"))).toMatchObject({ status: 0, cas: 7n, value: "" });
    expect(one(remove, meta("HD"))).toMatchObject({ status: 0, cas: 0n });
    for (const asked of [setQ, removeQ]) expect(told(asked, meta("HD c7"))).toBeNull();
  });

  it("returns the reason on failure, quiet or not", () => {
    expect(one(set, meta("EX c0"))).toMatchObject({ status: 2, value: "Data exists for key." });
    expect(one(setQ, meta("NF c0"))).toMatchObject({ status: 1 });
    expect(one(removeQ, meta("NF"))).toMatchObject({ status: 1 });
    expect(one(add, meta("NS c0"))).toMatchObject({ status: 2 });
    expect(one(replace, meta("NS c0"))).toMatchObject({ status: 1 });
    expect(one(append, meta("NS c0"))).toMatchObject({ status: 5, value: "Not stored." });
  });

  it("has the status of the reason if a server refuses it", () => {
    const statusOf = (line: string) => one(count, error(line)).status;
    expect(statusOf("CLIENT_ERROR cannot increment or decrement non-numeric value")).toBe(6);
    expect(statusOf("SERVER_ERROR object too large for cache")).toBe(3);
    expect(statusOf("SERVER_ERROR out of memory storing object")).toBe(0x82);
    expect(statusOf("CLIENT_ERROR bad command line format")).toBe(4);
    expect(one(set, error("SERVER_ERROR what now"))).toMatchObject({ status: 0x86, value: "what now" });
  });
});

describe("a binary incr or decr", () => {
  it("returns the number in eight bytes and the cas, and nothing if it is quiet", () => {
    const reply = meta("VA 20 c7", "18446744073709551615");
    expect(one(count, reply)).toMatchObject({ status: 0, cas: 7n, value: "\xff".repeat(8), extras: "" });
    expect(told(countQ, reply)).toBeNull();
  });

  it("reads a number that became shorter", () => {
    expect(one(count, meta("VA 2 c7", "9 ")).value).toBe("\0\0\0\0\0\0\0\x09");
  });
});

describe("malformed numbers that no memcached writes", () => {
  it("are answered nevertheless", () => {
    expect(one(get, replyOf(Status.found, "VALUE key 4294967296 1 99999999999999999999", "a")).value).toBe("a");
    expect(one(get, replyOf(Status.found, "VALUE key 0 1 x", "a"))).toMatchObject({ cas: 0n, value: "a" });
    expect(one(blankKeyGet, meta("VA 1 f99999999999 cx", "a"))).toMatchObject({ cas: 0n, value: "a" });
    expect(one(count, meta("VA 3 c", "1.5"))).toMatchObject({ status: 0, cas: 0n, value: "\0".repeat(8) });
    expect(one(set, meta("HD c-1"))).toMatchObject({ status: 0, cas: 0n });
  });
});

describe("binary replies of Platypus", () => {
  const lines = (text: string) => replyOf(Status.ok, text);

  it("contain the bare number for version", () => {
    expect(one(local(Opcode.version), lines("VERSION 1.6.18")).value).toBe("1.6.18");
  });

  it("contain a frame for each line of stat, and an empty frame after them", () => {
    const answers = told(local(Opcode.stat), lines("STAT pid 12\r\nSTAT version 1.6.18 platypus/1\r\nEND"));
    expect(answers?.map(({ key, value }) => [key, value])).toEqual([
      ["pid", "12"],
      ["version", "1.6.18 platypus/1"],
      ["", ""],
    ]);
  });

  it("report Not found for stat of an unknown group", () => {
    expect(one(local(Opcode.stat), error("CLIENT_ERROR no such group")).status).toBe(1);
  });
});

it("a reply that replaces the server's reply is the one that is written", () => {
  const request = new Request(Operation.metaDelete, nobody, Buffer.from("key"));
  request.answerInstead = missReply;
  const header = { opcode: Opcode.set, opaque: OPAQUE, isQuiet: true, hasKey: false };
  expect(binaryAnswer(request, header, meta("HD"))).toBe(missReply);
});
