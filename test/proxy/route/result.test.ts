import { describe, expect, it } from "vitest";
import type { Result } from "../../../src/config/results.ts";
import { failures, fixedReply, type Reply, Status } from "../../../src/proxy/reply.ts";
import { errorReply } from "../../../src/proxy/route/default-reply.ts";
import {
  isError,
  isHit,
  kindOf,
  operationNameOf,
  resultOf,
  results,
  severity,
} from "../../../src/proxy/route/result.ts";
import { frameBytes, words } from "../../support/clients/binary-client.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { LeafRoute } from "../../support/fakes/leaf-route.ts";

/** The result of a command that a server answers so. */
function resultOfAnswer(frame: string, answer: string): Result | null {
  const leaf = new LeafRoute();
  let result: Result | null = null;
  new Asked(frame).by((request) => {
    request.retain();
    request.push({
      onReply: (sent, reply) => {
        result = resultOf(sent, reply);
        sent.complete(reply);
      },
    });
    leaf.route(request);
  });
  leaf.answer(0, answer);
  return result;
}

function inResult(reply: Reply): Result {
  return resultOf(new Asked("get k\r\n").request, reply);
}

describe("the result of a request", () => {
  it.each<[string, string, Result]>([
    ["get k\r\n", "END\r\n", "notfound"],
    ["get k\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n", "found"],
    ["set k 0 0 1\r\nx\r\n", "STORED\r\n", "stored"],
    ["add k 0 0 1\r\nx\r\n", "NOT_STORED\r\n", "notstored"],
    ["cas k 0 0 1 5\r\nx\r\n", "EXISTS\r\n", "exists"],
    ["cas k 0 0 1 5\r\nx\r\n", "NOT_FOUND\r\n", "notfound"],
    ["delete k\r\n", "DELETED\r\n", "deleted"],
    ["delete k\r\n", "NOT_FOUND\r\n", "notfound"],
    ["incr k 1\r\n", "42\r\n", "stored"],
    ["touch k 0\r\n", "TOUCHED\r\n", "touched"],
    ["mg k v\r\n", "VA 1\r\nx\r\n", "found"],
    ["mg k v\r\n", "EN\r\n", "notfound"],
    ["mg k T30\r\n", "HD\r\n", "touched"],
    ["mg k T30 v\r\n", "VA 1\r\nx\r\n", "found"],
    ["mg k\r\n", "HD\r\n", "found"],
    ["ms k 1\r\nx\r\n", "HD\r\n", "stored"],
    ["ms k 1 ME\r\nx\r\n", "NS\r\n", "notstored"],
    ["md k\r\n", "HD\r\n", "deleted"],
    ["md k\r\n", "NF\r\n", "notfound"],
    ["ma k v\r\n", "VA 1\r\n5\r\n", "stored"],
    ["me k\r\n", "EN\r\n", "notfound"],
    ["get k\r\n", "SERVER_ERROR out of memory\r\n", "remote_error"],
    ["get k\r\n", "SERVER_ERROR 307 busy\r\n", "busy"],
    ["get k\r\n", "SERVER_ERROR 302 try again\r\n", "try_again"],
    ["get k\r\n", "SERVER_ERROR 301 shutdown\r\n", "shutdown"],
    ["get k\r\n", "CLIENT_ERROR no\r\n", "client_error"],
  ])("is derived for %j and the reply %j", (frame, answer, result) => {
    expect(resultOfAnswer(frame, answer)).toBe(result);
  });

  it("is derived from the connection's own errors", () => {
    expect(inResult(failures.timeout)).toBe("timeout");
    expect(inResult(failures.connectTimeout)).toBe("connect_timeout");
    expect(inResult(failures.connectError)).toBe("connect_error");
    expect(inResult(failures.connectionLost)).toBe("remote_error");
    expect(inResult(failures.tko)).toBe("tko");
    expect(inResult(failures.overloaded)).toBe("local_error");
    expect(inResult(fixedReply(Status.localError, "SERVER_ERROR x"))).toBe("local_error");
  });

  it("is the result of a route's error, whatever its text", () => {
    for (const result of results.filter((each) => isError(each) || each === "unknown")) {
      expect([result, inResult(errorReply(result, "some text"))]).toEqual([result, result]);
    }
  });
});

describe("severity of a result", () => {
  it("matches mcrouter's", () => {
    const byLevel = new Map<number, Result[]>();
    for (const result of results) byLevel.set(severity(result), [...(byLevel.get(severity(result)) ?? []), result]);
    expect(Object.fromEntries(byLevel)).toEqual({
      1: ["deleted", "found", "ok", "stored", "exists"],
      4: ["notfound", "notstored"],
      5: ["ooo", "timeout", "connect_timeout", "connect_error", "busy", "try_again", "shutdown", "tko"],
      6: ["bad_key", "bad_value", "aborted", "deadline_exceeded", "overloaded"],
      7: ["unknown", "remote_error"],
      8: ["local_error"],
      9: ["client_error"],
      10: [
        ...["touched", "bad_command", "bad_flags", "bad_exptime", "bad_lease_id", "bad_cas_id"],
        ...["permission_denied", "hot_key"],
      ],
    });
  });

  it("does not determine hits and errors", () => {
    expect(results.filter(isHit)).toEqual(["deleted", "touched", "found"]);
    expect(isError("touched")).toBe(false);
    expect(isError("unknown")).toBe(false);
    expect(isError("exists")).toBe(false);
    expect(isError("bad_flags")).toBe(true);
  });
});

describe("the operation name of a request", () => {
  it.each([
    ["mg k v\r\n", "get", "get"],
    ["mg k v c\r\n", "gets", "get"],
    ["mg k v T3\r\n", "gat", "get"],
    ["mg k v c T3\r\n", "gats", "get"],
    ["mg k T3\r\n", "touch", "other"],
    ["ms k 1\r\nx\r\n", "set", "update"],
    ["ms k 1 ME\r\nx\r\n", "add", "update"],
    ["ms k 1 Ma\r\nx\r\n", "append", "update"],
    ["ms k 1 MP\r\nx\r\n", "prepend", "update"],
    ["ms k 1 MR\r\nx\r\n", "replace", "update"],
    ["ms k 1 C5\r\nx\r\n", "cas", "update"],
    ["md k q\r\n", "delete", "delete"],
    ["ma k\r\n", "incr", "arithmetic"],
    ["ma k MD\r\n", "decr", "arithmetic"],
    ["ma k M-\r\n", "decr", "arithmetic"],
    ["me k\r\n", "metaget", "get"],
    ["touch k 3\r\n", "touch", "other"],
    ["gat 3 k\r\n", "gat", "get"],
    ["decr k 1\r\n", "decr", "arithmetic"],
  ])("is derived from %j", (frame, name, kind) => {
    const { request } = new Asked(frame);
    expect([operationNameOf(request), kindOf(request)]).toEqual([name, kind]);
  });

  it("is that of the equivalent classic command for a binary request", () => {
    const key = "k";
    const frames: readonly (readonly [Buffer, string])[] = [
      [frameBytes({ opcode: 0x00, key }), "gets"],
      [frameBytes({ opcode: 0x1d, key, extras: words(3) }), "gats"],
      [frameBytes({ opcode: 0x01, key, value: "x", extras: words(0, 0) }), "set"],
      [frameBytes({ opcode: 0x02, key, value: "x", extras: words(0, 0) }), "add"],
      [frameBytes({ opcode: 0x04, key }), "delete"],
    ];
    for (const [frame, name] of frames) expect(operationNameOf(new Asked(frame).request)).toBe(name);
  });
});
