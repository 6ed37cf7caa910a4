import { describe, expect, it } from "vitest";
import { defaultReply, errorReply } from "../../../src/proxy/route/default-reply.ts";
import { NullRoute } from "../../../src/proxy/route/null-route.ts";
import { frameBytes } from "../../support/clients/binary-client.ts";
import { ask, base64, binaryGet, binarySet, told } from "../../support/fakes/ask.ts";
import { Asked } from "../../support/fakes/asked.ts";

describe("the reply of routes without a server", () => {
  it.each([
    ["get k\r\n", "END\r\n"],
    ["gets k\r\n", "END\r\n"],
    ["gat 5 k\r\n", "END\r\n"],
    ["set k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"],
    ["cas k 0 0 1 7\r\nx\r\n", "NOT_STORED\r\n"],
    ["delete k\r\n", "NOT_FOUND\r\n"],
    ["incr k 1\r\n", "NOT_FOUND\r\n"],
    ["touch k 5\r\n", "NOT_FOUND\r\n"],
    ["mg k v k O12\r\n", "EN kk O12\r\n"],
    ["mg k T5\r\n", "EN\r\n"],
    ["mg k v q\r\n", ""],
    [`mg ${base64("a b")} b k\r\n`, `EN k${base64("a b")} b\r\n`],
    ["ms k 1 O5\r\nx\r\n", "NS O5\r\n"],
    ["ms k 1 q\r\nx\r\n", "NS\r\n"],
    ["md k O5\r\n", "NF O5\r\n"],
    ["ma k\r\n", "NF\r\n"],
    ["me k\r\n", "EN\r\n"],
    ["me k O1 k\r\n", "EN\r\n"],
    ["flush_all\r\n", "OK\r\n"],
  ])("to %j is %j", (frame, answer) => {
    expect(told(ask(new NullRoute(), frame))).toBe(answer);
  });

  it("reaches a binary client in binary form: not found, or not stored for a set", () => {
    const status = (frame: Buffer) => {
      const answer = Buffer.from(told(ask(new NullRoute(), frame))!, "latin1");
      return { magic: answer[0], status: answer.readUInt16BE(6), opaque: answer.readUInt32BE(12) };
    };
    expect(status(binaryGet("k"))).toEqual({ magic: 0x81, status: 1, opaque: 7 });
    expect(status(binarySet("k", "x"))).toEqual({ magic: 0x81, status: 5, opaque: 7 });
    expect(told(ask(new NullRoute(), frameBytes({ opcode: 0x09, key: "k" })))).toBe("");
  });

  it("is built while the request has its bytes, and valid afterwards", () => {
    const reply = defaultReply(new Asked("mg k k\r\n").request);
    expect([reply.isKept, reply.chunk.toString("latin1")]).toEqual([true, "EN kk\r\n"]);
  });
});

describe("a route's error", () => {
  it.each([
    ["timeout", "SERVER_ERROR timeout"],
    ["connect_timeout", "SERVER_ERROR connection timeout"],
    ["connect_error", "SERVER_ERROR connection error"],
    ["tko", "SERVER_ERROR unavailable"],
    ["remote_error", "SERVER_ERROR remote error"],
    ["local_error", "SERVER_ERROR local error"],
    ["busy", "SERVER_ERROR 307 busy"],
    ["bad_value", "SERVER_ERROR bad value"],
    ["client_error", "CLIENT_ERROR"],
    ["bad_key", "CLIENT_ERROR bad key"],
  ] as const)("%s is told as %j", (result, line) => {
    expect(errorReply(result, "").chunk.toString()).toBe(`${line}\r\n`);
  });

  it("has the given text", () => {
    expect(errorReply("timeout", "too late").chunk.toString()).toBe("SERVER_ERROR too late\r\n");
    expect(errorReply("client_error", "no").chunk.toString()).toBe("CLIENT_ERROR no\r\n");
  });
});
