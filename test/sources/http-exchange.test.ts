import type { ServerResponse } from "node:http";
import { Pool } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exchange } from "../../src/sources/http-exchange.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";

const LIMIT_BYTES = 100_000;

let origin: HttpOrigin;
let pool: Pool;

beforeEach(async () => {
  origin = await HttpOrigin.start();
  pool = new Pool(origin.url, { connections: 1, pipelining: 1 });
});
afterEach(async () => {
  await pool.destroy();
  await origin.close();
});

/** A request for a body of at most `limit` bytes; `null` if the body is not wanted. */
function ask(limit: number | null = LIMIT_BYTES, signal = new AbortController().signal, path = "/") {
  return exchange(pool, { method: "GET", path }, { signal, limitOf: () => limit });
}

describe("an HTTP exchange", () => {
  it("returns the status, the fields by names in any case, and the whole body", async () => {
    origin.handle = (_request, response) => {
      response.writeEarlyHints({ link: "</style.css>; rel=preload" });
      response.writeHead(203, ["ETAG", '"a"', "Cache-Control", "a", "cache-control", "b"]);
      response.write("one ", () => response.end("two"));
    };
    const { status, fields, body } = await ask();
    expect([status, fields.single("etag"), fields.list("cache-control"), fields.lines("constructor")]).toEqual([
      203,
      '"a"',
      ["a", "b"],
      [],
    ]);
    expect(String(body)).toBe("one two");
  });

  it("returns an unwanted response at its head, and uses the connection again if the rest is short", async () => {
    let rest = () => {};
    origin.handle = (_request, response) => {
      response.writeHead(404).write("begin");
      rest = () => void response.end("end");
    };
    const first = await ask(null);
    expect(first).toMatchObject({ status: 404, body: "unwanted" });
    rest();
    origin.handle = (_request, response) => response.end("second");
    expect(String((await ask()).body)).toBe("second");
    expect(origin.connections).toBe(1);
  });

  it("closes the connection of an unwanted response with a long rest", async () => {
    origin.handle = (_request, response) => response.writeHead(404).end("x".repeat(LIMIT_BYTES));
    expect((await ask(null)).body).toBe("unwanted");
    origin.handle = (_request, response) => response.end("second");
    expect(String((await ask()).body)).toBe("second");
    expect(origin.connections).toBe(2);
  });

  it("accepts a body up to its limit, and closes the connection of a larger one", async () => {
    origin.handle = (_request, response) => response.end("x".repeat(LIMIT_BYTES));
    expect((await ask(LIMIT_BYTES)).body).toHaveLength(LIMIT_BYTES);
    origin.handle = (_request, response) => {
      // It never ends.
      response.write("x".repeat(LIMIT_BYTES));
      response.write("y");
    };
    expect((await ask(LIMIT_BYTES)).body).toBe("too large");
    await origin.left();
  });

  it("rejects with the reason of its signal, and closes the connection, if it is aborted within the body", async () => {
    const controller = new AbortController();
    const reason = new Error("timeout");
    origin.handle = (_request, response) => response.write("begin", () => controller.abort(reason));
    await expect(ask(LIMIT_BYTES, controller.signal)).rejects.toBe(reason);
    await origin.left();
  });

  it("sends no request if it is aborted before or while it waits for a connection", async () => {
    let end = () => {};
    origin.handle = (_request, response) => {
      end = () => void response.end("done");
    };
    const first = ask();
    await origin.received(1);
    const controller = new AbortController();
    const second = ask(LIMIT_BYTES, controller.signal, "/second");
    await expect(ask(LIMIT_BYTES, AbortSignal.abort("no"), "/third")).rejects.toBe("no");
    controller.abort("late");
    await expect(second).rejects.toBe("late");
    end();
    expect(String((await first).body)).toBe("done");
    const last = ask(LIMIT_BYTES, undefined, "/last");
    await origin.received(2);
    end();
    await last;
    expect(origin.requests).toEqual(["GET /", "GET /last"]);
  });

  it.each([
    ["before the head", (response: ServerResponse) => response.socket!.destroy()],
    ["within the body", (response: ServerResponse) => response.write("x", () => response.socket!.destroy())],
  ])("rejects if the server closes the connection %s", async (_when, close) => {
    origin.handle = (_request, response) => void close(response);
    await expect(ask()).rejects.toThrow();
  });
});
