/**
 * Two processes over one memcached, one of them by a wire that holds requests back or loses its connection. A client changes
 * the source and deletes the key through the other process: the value from before does not stay in the pool.
 */
import type { ServerResponse } from "node:http";
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import { HeldWire } from "../support/servers/held-wire.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

describe.skipIf(MemcachedProcess.isMissing)("a process whose pool answers late or never", () => {
  const patience = { timeout: 10_000 };
  let wire: HeldWire;
  let origin: HttpOrigin;
  let first: TextClient;
  let second: TextClient;
  let direct: TextClient;

  beforeEach(async () => {
    const memcached = await startMemcached();
    wire = await HeldWire.to(memcached.port);
    afterTest(() => wire.close());
    origin = await startOrigin();
    const start = async (port: number) => {
      const settings = 'server_timeout = "100ms"\ntimeouts_until_tko = 100';
      const rule = '[get.a]\nmatch = "a/(.*)"\nsource = "o"\nttl = "1h"\nfill_timeout = "5s"\nnegative_ttl = "1h"';
      const source = `[source.o]\ntype = "http"\nurl = "${origin.url}/{1}"`;
      const platypus = await startPlatypus([targetOf([port], settings), rule, source].join("\n"));
      return connect(platypus);
    };
    first = await start(wire.port);
    second = await start(memcached.port);
    direct = await connect(memcached.port);
  });

  function holdAnswers(): ServerResponse[] {
    const responses: ServerResponse[] = [];
    origin.handle = (_request, response) => responses.push(response);
    return responses;
  }

  const value = async () => (await direct.ask("get a/1", "END\r\n")).split("\r\n")[1];
  const lease = async () => (await direct.ask("lru_crawler metadump all", "END\r\n")).includes("platypus%3Alease");

  it("stores nothing if the connection was lost with the lease on it", async () => {
    const responses = holdAnswers();
    wire.onRequest = (chunk) => (chunk.includes("platypus:lease:") ? "cut" : "carry");
    first.send("get a/1\r\n");
    await origin.received(1);
    wire.onRequest = () => "carry";
    expect(await second.ask("delete a/1")).toBe("NOT_FOUND\r\n");
    responses[0]!.end("old");
    expect(await first.until("END\r\n")).toContain("old");
    origin.handle = (_request, response) => response.end("new");
    await expect.poll(() => second.ask("get a/1", "END\r\n"), patience).toContain("new");
    expect(await value()).toContain("new");
  });

  it("deletes the value it stored if the answers came late and the key was deleted in between", async () => {
    const responses = holdAnswers();
    first.send("get a/1\r\n");
    await origin.received(1);
    wire.onRequest = (chunk) => (chunk.startsWith("ms a/1") ? "hold" : "carry");
    responses[0]!.end("old");
    // The answers time out.
    expect(await first.until("END\r\n")).toContain("old");
    expect(await second.ask("delete a/1")).toBe("NOT_FOUND\r\n");
    wire.release();
    await expect.poll(value, patience).toBe("");
    origin.handle = (_request, response) => response.end("new");
    await expect.poll(() => first.ask("get a/1", "END\r\n"), patience).toContain("new");
  });

  it("releases its lease even if the first request for that was lost", async () => {
    origin.handle = (_request, response) => response.writeHead(500).end();
    wire.onRequest = (chunk) => (chunk.startsWith("md platypus") ? "drop" : "carry");
    await first.ask("get a/1", "END\r\n");
    wire.onRequest = () => "carry";
    // The lease itself would live for 6 s.
    await expect.poll(lease, { timeout: 4_000 }).toBe(false);
  });

  it("asks again for a missing value once another process has deleted the key", async () => {
    origin.handle = (_request, response) => response.writeHead(404).end();
    expect(await first.ask("get a/1", "END\r\n")).toBe("END\r\n");
    expect(await first.ask("get a/1", "END\r\n")).toBe("END\r\n");
    expect(origin.requests).toHaveLength(1);
    origin.handle = (_request, response) => response.end("created");
    expect(await second.ask("delete a/1")).toBe("NOT_FOUND\r\n");
    expect(await first.ask("get a/1", "END\r\n")).toContain("created");
  });

  it("does not answer from memory once the pool answers again", async () => {
    origin.handle = (_request, response) => response.end("old");
    wire.onRequest = (chunk) => (chunk.includes("platypus:lease:") ? "cut" : "carry");
    expect(await first.ask("get a/1", "END\r\n")).toContain("old");
    wire.onRequest = () => "carry";
    origin.handle = (_request, response) => response.end("new");
    expect(await second.ask("delete a/1")).toBe("NOT_FOUND\r\n");
    expect(await first.ask("get a/1", "END\r\n")).toContain("new");
  });

  it("does not answer with a value that the server refused to store once another process has deleted the key", async () => {
    const large = "x".repeat(1_048_576);
    origin.handle = (_request, response) => response.end(large);
    expect(await first.ask("get a/1", "END\r\n")).toContain(large);
    expect(await first.ask("get a/1", "END\r\n")).toContain(large);
    expect(origin.requests).toHaveLength(1);
    origin.handle = (_request, response) => response.end("new");
    expect(await second.ask("delete a/1")).toBe("NOT_FOUND\r\n");
    expect(await first.ask("get a/1", "END\r\n")).toContain("new");
  });
});
