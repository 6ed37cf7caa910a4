import { describe, expect, it } from "vitest";
import { BackendParser, INCOMPLETE, OUT_OF_STEP } from "../../../src/proxy/wire/backend-parser.ts";
import { writeRequest } from "../../../src/proxy/wire/backend-writer.ts";
import { OutputBatch } from "../../../src/proxy/wire/output-batch.ts";
import { ServerDialect } from "../../../src/proxy/wire/server-dialect.ts";
import { binaryGet } from "../../support/fakes/ask.ts";
import { Asked } from "../../support/fakes/asked.ts";

/** What a server of this version is sent for a frame, and what is made of its answer. */
function over(version: string | null, knowsMeta: boolean, prefix = "") {
  const dialect = new ServerDialect();
  dialect.learn(version, knowsMeta);
  const prefixBytes = Buffer.from(prefix, "latin1");
  const parser = new BackendParser(1_000_000, prefixBytes);
  const ask = (frame: string | Buffer) => {
    const { request } = new Asked(frame);
    const batch = new OutputBatch();
    writeRequest(request, prefixBytes, batch, dialect);
    const answered = (answer: string) => {
      const bytes = Buffer.from(answer, "latin1");
      const next = parser.parse(request, bytes, 0, bytes.length, false);
      if (next === OUT_OF_STEP) return "out of step";
      if (next === INCOMPLETE) return "incomplete";
      const { reply } = parser;
      return next === bytes.length ? reply.chunk.toString("latin1", reply.start, reply.end) : `up to ${next}`;
    };
    return { sent: batch.take().toString("latin1"), answered };
  };
  return ask;
}

describe("a classic command for a server that speaks meta", () => {
  it.each([
    ["set k 0 0 1\r\nx\r\n", "ms k 1 O1\r\nx\r\n", "HD O1\r\n", "STORED\r\n"],
    ["set k 5 60 1 noreply\r\nx\r\n", "ms k 1 F5 T60 O1\r\nx\r\n", "HD O1\r\n", "STORED\r\n"],
    ["set k 0 -1 0\r\n\r\n", "ms k 0 T-1 O1\r\n\r\n", "HD O1\r\n", "STORED\r\n"],
    ["add k 0 0 1\r\nx\r\n", "ms k 1 ME O1\r\nx\r\n", "NS O1\r\n", "NOT_STORED\r\n"],
    ["replace k 7 0 1\r\nx\r\n", "ms k 1 F7 MR O1\r\nx\r\n", "NS O1\r\n", "NOT_STORED\r\n"],
    ["append k 0 0 1\r\nx\r\n", "ms k 1 MA O1\r\nx\r\n", "HD O1\r\n", "STORED\r\n"],
    ["prepend k 0 0 1\r\nx\r\n", "ms k 1 MP O1\r\nx\r\n", "NS O1\r\n", "NOT_STORED\r\n"],
    ["cas k 1 2 1 99\r\nx\r\n", "ms k 1 F1 T2 C99 O1\r\nx\r\n", "EX O1\r\n", "EXISTS\r\n"],
    ["cas k 1 2 1 99\r\nx\r\n", "ms k 1 F1 T2 C99 O1\r\nx\r\n", "NF O1\r\n", "NOT_FOUND\r\n"],
    ["delete k\r\n", "md k O1\r\n", "HD O1\r\n", "DELETED\r\n"],
    ["delete noreply\r\n", "md noreply O1\r\n", "NF O1\r\n", "NOT_FOUND\r\n"],
    ["incr k 18446744073709551615\r\n", "ma k v D18446744073709551615 O1\r\n", "VA 2 O1\r\n10\r\n", "10\r\n"],
    ["decr k 2\r\n", "ma k v MD D2 O1\r\n", "NF O1\r\n", "NOT_FOUND\r\n"],
    ["touch k 60\r\n", "mg k T60 c O1\r\n", "HD c7 O1\r\n", "TOUCHED\r\n"],
    ["touch k 60\r\n", "mg k T60 c O1\r\n", "HD c7 O1 W X\r\n", "TOUCHED\r\n"],
    ["touch k 0\r\n", "mg k T0 c O1\r\n", "EN O1\r\n", "NOT_FOUND\r\n"],
    ["get noreply\r\n", "mg noreply v f c O1\r\n", "VA 2 f5 c9 O1\r\nhi\r\n", "VALUE noreply 5 2\r\nhi\r\nEND\r\n"],
    [
      "gets noreply\r\n",
      "mg noreply v f c O1\r\n",
      "VA 2 f5 c9 O1 Z\r\nhi\r\n",
      "VALUE noreply 5 2 9\r\nhi\r\nEND\r\n",
    ],
    ["get noreply\r\n", "mg noreply v f c O1\r\n", "EN O1\r\n", "END\r\n"],
    ["incr k 1\r\n", "ma k v D1 O1\r\n", "CLIENT_ERROR no number\r\n", "CLIENT_ERROR no number\r\n"],
  ])("is written for %j as %j, and the reply %j becomes %j", (frame, sent, answer, expected) => {
    const asked = over("1.6.45", true)(frame);
    expect(asked.sent).toBe(sent);
    expect(asked.answered(answer)).toBe(expected);
    for (let at = 1; at < answer.length; at++) {
      const part = asked.answered(answer.slice(0, at));
      expect([part, at]).toEqual(["incomplete", at]);
    }
  });

  it.each([
    [
      "set k 0 0 1\r\nx\r\n",
      ["STORED\r\n", "HD\r\n", "HD O2\r\n", "HD O1 k\r\n", "HD HD\r\n", "VA 1 O1\r\nx\r\n", "EN O1\r\n"],
    ],
    ["delete k\r\n", ["DELETED\r\n", "EX O1\r\n", "HD O11\r\n"]],
    ["incr k 1\r\n", ["7\r\n", "VA 1 O2\r\n7\r\n", "VA 1 O1\r\nx\r\n", "HD O1\r\n"]],
    ["touch k 1\r\n", ["TOUCHED\r\n", "HD O1\r\n", "HD c1 O2\r\n", "EN O2\r\n"]],
    ["get noreply\r\n", ["END\r\n", "HD f0 c1 O1\r\n", "VA 1 f0 c1 O2\r\nx\r\n"]],
  ])("rejects for %j all of these replies", (frame, answers) => {
    for (const answer of answers) {
      expect([answer, over("1.6.45", true)(frame).answered(answer)]).toEqual([answer, "out of step"]);
    }
  });

  it("gets the pool's prefix, even if the key is noreply", () => {
    const ask = over("1.6.18", true, "app:");
    expect(ask("set k 0 0 1\r\nx\r\n").sent).toBe("ms app:k 1 O1\r\nx\r\n");
    expect(ask("get noreply\r\n").sent).toBe("get app:noreply\r\n");
  });

  it("stays classic with a marker if its value is large", () => {
    const value = "x".repeat(300_000);
    const ask = over("1.6.18", true);
    expect(ask(`add k 0 0 ${value.length}\r\n${value}\r\n`).sent.slice(-10)).toBe("xxxx\r\nmn\r\n");
    expect(ask(`set k 0 0 ${value.length}\r\n${value}\r\n`).sent.slice(0, 15)).toBe("ms k 300000 O1\r");
  });
});

describe("a command whose reply has no opaque", () => {
  it.each([
    ["1.6.17", true, "delete k\r\n", "delete k\r\nmn\r\n", "DELETED\r\nMN\r\n", "DELETED\r\n"],
    ["1.6.10", true, "mg k v O5\r\n", "mg k v O5\r\nmn\r\n", "EN\r\nMN\r\n", "EN\r\n"],
    ["1.6.9", true, "set k 0 0 1\r\nx\r\n", "set k 0 0 1\r\nx\r\nmn\r\n", "STORED\r\nMN\r\n", "STORED\r\n"],
    ["1.4.15", false, "incr k 1\r\n", "incr k 1\r\nversion\r\n", "8\r\nVERSION 1.4.15\r\n", "8\r\n"],
    ["1.6.45", true, "flush_all\r\n", "flush_all\r\nmn\r\n", "OK\r\nMN\r\n", "OK\r\n"],
    ["1.6.45", true, "me k\r\n", "me k\r\nmn\r\n", "EN\r\nMN\r\n", "EN\r\n"],
  ])("is followed by a marker if the server has version %s", (version, knowsMeta, frame, sent, answer, expected) => {
    const asked = over(version, knowsMeta)(frame);
    expect(asked.sent).toBe(sent);
    expect(asked.answered(answer)).toBe(expected);
    const [line] = answer.split("\r\n");
    expect(asked.answered(`${line}\r\n`)).toBe("incomplete");
    expect(asked.answered(`${line}\r\n${line}\r\n`)).toBe("out of step");
  });

  it("has no marker if the server's version is unknown, and gets never have one", () => {
    expect(over(null, false)("delete k\r\n").sent).toBe("delete k\r\n");
    for (const frame of ["get k\r\n", "gets k\r\n", "gat 5 k\r\n", binaryGet("k")]) {
      expect(over("1.4.15", false)(frame).sent).toMatch(/^(?:get|gets|gat 5) k\r\n$/);
    }
  });
});

describe("the opaque of a meta command", () => {
  it.each([
    ["mg k v\r\n", "mg k v O1\r\n", "VA 1 O1\r\nx\r\n", "VA 1\r\nx\r\n"],
    ["mg k v Oabc f\r\n", "mg k v O001 f\r\n", "VA 1 O001 f0\r\nx\r\n", "VA 1 Oabc f0\r\nx\r\n"],
    ["mg k Oab v k\r\n", "mg k O01 v k\r\n", "EN O01 kk\r\n", "EN Oab kk\r\n"],
    ["mg O7 O7\r\n", "mg O7 O1\r\n", "HD O1 W\r\n", "HD O7 W\r\n"],
    ["ms k 1 c O7\r\nx\r\n", "ms k 1 c O1\r\nx\r\n", "HD c5 O1\r\n", "HD c5 O7\r\n"],
    ["md k q\r\n", "md k O1\r\n", "NF O1\r\n", "NF\r\n"],
    ["ma k v t\r\n", "ma k v t O1\r\n", "VA 1 t-1 O1\r\n7\r\n", "VA 1 t-1\r\n7\r\n"],
    ["mg a2V5 b k O7\r\n", "mg a2V5 b k O1\r\n", "EN ka2V5 b O1\r\n", "EN ka2V5 b O7\r\n"],
    ["mg YSBPNSBi b k v\r\n", "mg YSBPNSBi b k v O1\r\n", "VA 1 ka O5 b O1\r\nx\r\n", "VA 1 ka O5 b\r\nx\r\n"],
  ])("in %j is replaced by Platypus's own on the way to the server", (frame, sent, answer, expected) => {
    const asked = over("1.6.18", true)(frame);
    expect(asked.sent).toBe(sent);
    expect(asked.answered(answer)).toBe(expected);
  });

  it.each([
    "HD O12\r\n",
    "HD\r\n",
    "EN\r\n",
    "VA 1 f0\r\nx\r\n",
    "VA 1 s1 O1\r\nx\r\n",
    "VA 1 O1 f0 O1\r\nx\r\n",
    "VA 1 c5 f0 O1\r\nx\r\n",
    "HD HD\r\n",
    "NF O1\r\n",
    "HD f0 c5 O1 \r\n",
  ])("of `mg k v f c` is missing from %j, or that reply has unrequested parts", (answer) => {
    expect(over("1.6.18", true)("mg k v f c\r\n").answered(answer)).toBe("out of step");
  });

  it("is replaced by a marker if the line would become too long", () => {
    const flags = [..."vkfcthlsu"].join(" ");
    const full = `mg k ${flags} T1 N1 R1 E1 C1 L1 P1 x`;
    expect(over("1.6.18", true)(`${full}\r\n`).sent).toBe(`${full}\r\nmn\r\n`);
    const long = `mg k v O${"x".repeat(32)}`;
    expect(over("1.6.18", true)(`${long}\r\n`).sent).toBe(`${long}\r\nmn\r\n`);
  });
});
