import { describe, expect, it } from "vitest";
import { Operation, Request } from "../../../src/proxy/request.ts";
import { decodedKey, keyAfter, writeFrame, writtenRequest } from "../../../src/proxy/wire/written-frame.ts";

const owner = { onReply: () => {} };

function partsOf({ chunk, frameStart, lineEnd, dataStart, frameEnd, keyStart, keyEnd, hasData }: Request) {
  const text = (start: number, end: number) => chunk.toString("latin1", start, end);
  return {
    frame: text(frameStart, frameEnd),
    line: text(frameStart, lineEnd),
    data: text(dataStart, frameEnd),
    key: text(keyStart, keyEnd),
    hasData,
  };
}

describe("a frame that Platypus writes", () => {
  it("has its key in the line", () => {
    const request = writtenRequest(Operation.delete, owner, "delete k\xff1", null, keyAfter("delete", 3));
    expect(partsOf(request)).toEqual({
      frame: "delete k\xff1\r\n",
      line: "delete k\xff1",
      data: "",
      key: "k\xff1",
      hasData: false,
    });
  });

  it("has its data after the line", () => {
    const request = writtenRequest(Operation.set, owner, "set k 0 0 2", Buffer.from("ab"), keyAfter("set", 1));
    expect(partsOf(request)).toEqual({
      frame: "set k 0 0 2\r\nab\r\n",
      line: "set k 0 0 2",
      data: "ab\r\n",
      key: "k",
      hasData: true,
    });
  });

  it("has the bytes of a base64 key after it, with and without data", () => {
    const key = Buffer.from("a b");
    const get = writtenRequest(Operation.metaGet, owner, "mg YSBi v b", null, decodedKey(key));
    expect(partsOf(get)).toMatchObject({ frame: "mg YSBi v b\r\n", data: "", key: "a b" });
    const set = writtenRequest(Operation.metaSet, owner, "ms YSBi 0 b", Buffer.alloc(0), decodedKey(key));
    expect(partsOf(set)).toMatchObject({ frame: "ms YSBi 0 b\r\n\r\n", data: "\r\n", key: "a b", hasData: true });
  });

  it("has no key if the command has none", () => {
    const request = writtenRequest(Operation.version, owner, "version");
    expect(partsOf(request)).toMatchObject({ frame: "version\r\n", key: "" });
    expect(request.keyStart).toBe(0);
  });

  it("replaces the earlier frame of a request", () => {
    const request = new Request(Operation.touch, owner, Buffer.from("get x\r\ntouch a 5\r\n"));
    Object.assign(request, { frameStart: 7, lineEnd: 16, dataStart: 18, frameEnd: 18, keyStart: 13, keyEnd: 14 });
    request.isVerbatim = false;
    writeFrame(request, "touch long 60", null, keyAfter("touch", 4));
    expect(partsOf(request)).toMatchObject({ frame: "touch long 60\r\n", line: "touch long 60", key: "long" });
    expect([request.isVerbatim, request.isKept]).toEqual([true, true]);
  });
});
