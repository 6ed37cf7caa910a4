/** Hot keys over real memcached servers: what clients read, and what the servers are asked. */
import { beforeEach, describe, expect, it } from "vitest";
import type { Platypus } from "../../src/server/platypus.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig } from "../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { ScriptedBackend } from "../support/servers/scripted-backend.ts";

let memcached: MemcachedProcess;
let server: TextClient;
let platypus: Platypus;
let client: TextClient;

beforeEach(async () => {
  memcached = await startMemcached();
  server = await connect(memcached.port);
});

function pool(near = "1h"): string {
  return `[server]\nflush_all = true\n[pool.main]\nservers = ["127.0.0.1:${memcached.port}"]\nnear = "${near}"\n`;
}

async function start(text: string): Promise<void> {
  platypus = await startPlatypus(text);
  client = await connect(platypus);
}

async function ask(to: TextClient, command: string, end: string): Promise<string> {
  to.send(command);
  return to.until(end);
}

function get(key: string, to = client): Promise<string> {
  return ask(to, `get ${key}\r\n`, "END\r\n");
}

/** Number of gets that the server has seen. */
async function getsOfServer(): Promise<number> {
  const stats = await ask(server, "stats\r\n", "END\r\n");
  return Number(/STAT cmd_get (\d+)/.exec(stats)![1]);
}

async function set(key: string, value: string, to = client): Promise<void> {
  expect(await ask(to, `set ${key} 0 0 ${value.length}\r\n${value}\r\n`, "\r\n")).toBe("STORED\r\n");
}

/** Makes a key hot: its value is in memory afterwards. */
async function heat(key: string): Promise<void> {
  for (let i = 0; i < 12; i++) await get(key);
}

describe("a hot key of a pool with `near`", () => {
  it("does not burden its server", async () => {
    await start(pool());
    await set("k", "value");
    await heat("k");
    const before = await getsOfServer();
    for (let i = 0; i < 200; i++) expect(await get("k")).toBe("VALUE k 0 5\r\nvalue\r\nEND\r\n");
    expect(await getsOfServer()).toBe(before);
    const stats = await ask(client, "stats\r\n", "END\r\n");
    expect(Number(/STAT get_hits (\d+)/.exec(stats)![1])).toBe(212);
    expect(await ask(client, "stats platypus\r\n", "END\r\n")).toMatch(/STAT near:hits 2\d\d\r\n/);
  });

  it("is never older than a write that this process has answered, on any connection", async () => {
    await start(pool());
    const other = await connect(platypus);
    await set("k", "0");
    await heat("k");
    let written = 0;
    const write = async () => {
      for (let i = 1; i <= 100; i++) {
        await set("k", String(i), other);
        written = i;
      }
    };
    let isDone = false;
    const read = async (reader: TextClient) => {
      while (!isDone) {
        const least = written;
        const reply = await get("k", reader);
        expect(Number(reply.split("\r\n")[1])).toBeGreaterThanOrEqual(least);
      }
    };
    const readers = [client, await connect(platypus), await connect(platypus)].map(read);
    await write();
    isDone = true;
    await Promise.all(readers);
    expect(await get("k")).toContain("\r\n100\r\n");
  });

  it.each([
    ["delete k\r\n", "DELETED\r\n"],
    ["flush_all\r\n", "OK\r\n"],
    ["touch k -1\r\n", "TOUCHED\r\n"],
    ["md k\r\n", "HD\r\n"],
  ])("is gone for all clients after %j", async (command, reply) => {
    await start(pool());
    await set("k", "value");
    await heat("k");
    expect(await ask(client, command, "\r\n")).toBe(reply);
    expect(await get("k")).toBe("END\r\n");
  });

  it("shows a write through another process after `near`", async () => {
    await start(pool("100ms"));
    await set("k", "old");
    await heat("k");
    await set("k", "new", server);
    await expect.poll(() => get("k")).toContain("new");
  });

  it("has the new servers after a reload, and no value from memory without `near`", async () => {
    await start(pool());
    await set("k", "old");
    await heat("k");
    await set("k", "new", server);
    expect(await get("k")).toContain("old");
    platypus.reload(nativeConfig(pool("0s")));
    expect(await get("k")).toContain("new");
    platypus.reload(nativeConfig(pool()));
    await heat("k");
    await set("k", "newer", server);
    expect(await get("k")).toContain("new\r\n");
  });

  it("is not kept in memory while a write of the time before a reload is in flight", async () => {
    const former = await ScriptedBackend.start();
    afterTest(() => former.stop());
    const timeout = 'server_timeout = "1m"\n';
    await start(`[pool.main]\nservers = ["127.0.0.1:${former.port}"]\n${timeout}`);
    await set("k", "old", server);
    const writer = await connect(platypus);
    writer.send("set k 0 0 3\r\nnew\r\n");
    const write = await former.command();
    platypus.reload(nativeConfig(pool() + timeout));
    await heat("k");
    const before = await getsOfServer();
    await get("k");
    expect(await getsOfServer()).toBe(before + 1);
    write.reply("STORED\r\n");
    expect(await writer.until("\r\n")).toBe("STORED\r\n");
    await heat("k");
    const after = await getsOfServer();
    await get("k");
    expect(await getsOfServer()).toBe(after);
  });

  it("is answered to a get of many keys in their order, with the keys of several servers", async () => {
    const second = await startMemcached();
    await start(pool().replace('"]', `", "127.0.0.1:${second.port}"]`));
    const keys = Array.from({ length: 30 }, (_, i) => `key${i}`);
    for (const key of keys) if (key !== "key7") await set(key, `value of ${key}`);
    for (const key of ["key3", "key20", "key29"]) await heat(key);
    const expected = keys
      .filter((key) => key !== "key7")
      .map((key) => `VALUE ${key} 0 ${key.length + 9}\r\nvalue of ${key}\r\n`);
    for (let i = 0; i < 15; i++) {
      expect(await ask(client, `get ${keys.join(" ")}\r\n`, "END\r\n")).toBe(`${expected.join("")}END\r\n`);
    }
    const before = await getsOfServer();
    await ask(client, "get key1 key2 key3\r\n", "END\r\n");
    expect(await getsOfServer()).toBe(before);
  });

  it("keeps the order of replies to a pipelining client", async () => {
    await start(pool());
    await set("k", "value");
    await heat("k");
    client.send("get cold\r\nget k\r\nmg k v\r\nset k 0 0 3\r\nnew\r\nget k\r\nget k cold\r\nmn\r\n");
    expect(await client.until("MN\r\n")).toBe(
      "END\r\nVALUE k 0 5\r\nvalue\r\nEND\r\nVA 5\r\nvalue\r\nSTORED\r\n" +
        "VALUE k 0 3\r\nnew\r\nEND\r\nVALUE k 0 3\r\nnew\r\nEND\r\nMN\r\n",
    );
  });
});

describe("a hot key of a rule with `near`", () => {
  it("is filled once, then answered from memory, and filled anew after a delete", async () => {
    const origin = await startOrigin();
    let version = 0;
    origin.handle = (_request, response) => response.end(`version ${++version}`);
    await start(`
      [pool.main]
      servers = ["127.0.0.1:${memcached.port}"]
      [get.pages]
      match = "page/(.*)"
      source = "web"
      near = "1h"
      [source.web]
      type = "http"
      url = "${origin.url}/{1}"
    `);
    await heat("page/1");
    const before = await getsOfServer();
    for (let i = 0; i < 50; i++) expect(await get("page/1")).toContain("version 1");
    expect(await getsOfServer()).toBe(before);
    await ask(client, "delete page/1\r\n", "\r\n");
    for (let i = 0; i < 50; i++) expect(await get("page/1")).toContain("version 2");
    await set("other", "1");
    await heat("other");
    const others = await getsOfServer();
    await get("other");
    expect(await getsOfServer()).toBe(others + 1);
  });

  it("has the new value as soon as this process has refreshed it", async () => {
    const origin = await startOrigin();
    let version = 0;
    origin.handle = (_request, response) => response.end(`version ${++version}`);
    await start(`
      [pool.main]
      servers = ["127.0.0.1:${memcached.port}"]
      [get.pages]
      match = "page/(.*)"
      source = "web"
      near = "1h"
      ttl = "2s"
      refresh_before = "1s"
      [source.web]
      type = "http"
      url = "${origin.url}/{1}"
    `);
    await heat("page/1");
    await expect.poll(() => get("page/1"), { timeout: 10_000, interval: 50 }).toContain("version 2");
  });
});
