import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseNative } from "../../src/config/native.ts";
import { sourceTypes } from "../../src/sources/types.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { afterTest, startMemcached, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

describe.skipIf(MemcachedProcess.isMissing)("unix sockets", () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  async function start(servers: readonly string[]): Promise<TextClient> {
    const text = `[server]\nlisten = "unix:p.sock"\nlog_level = "error"\nadmin = "off"\n[target]\nservers = ${JSON.stringify(servers)}`;
    // Relative paths are taken from the configuration's folder.
    const file = path.join(folder, "platypus.toml");
    await startPlatypus(parseNative({ file, text, env: {}, sourceTypes }));
    const socket = net.connect(path.join(folder, "p.sock"));
    await once(socket, "connect");
    const client = TextClient.over(socket);
    afterTest(() => client.close());
    return client;
  }

  it("carry clients and servers", async () => {
    const names = ["a.sock", "b.sock"];
    for (const name of names) {
      await startMemcached({ path: path.join(folder, name) });
    }
    const client = await start(["unix:a.sock 2", "unix:b.sock"]);
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}`);
    for (const key of keys) client.send(`set ${key} 0 0 ${key.length}\r\n${key}\r\n`);
    expect(await client.until("STORED\r\n".repeat(keys.length))).toBe("STORED\r\n".repeat(keys.length));
    const values = keys.map((key) => `VALUE ${key} 0 ${key.length}\r\n${key}\r\n`);
    expect(await client.ask(`get ${keys.join(" ")}`, "END\r\n")).toBe(`${values.join("")}END\r\n`);
    const large = "z".repeat(1_000_000);
    expect(await client.ask(`set large 0 0 ${large.length}\r\n${large}`)).toBe("STORED\r\n");
    expect(await client.ask("get large", "END\r\n")).toBe(`VALUE large 0 ${large.length}\r\n${large}\r\nEND\r\n`);
  });

  it("cause misses and errors if their server is down, and recover", async () => {
    const socketPath = path.join(folder, "a.sock");
    const client = await start(["unix:a.sock"]);
    expect(await client.ask("get a", "END\r\n")).toBe("END\r\n");
    expect(await client.ask("set a 0 0 1\r\n1")).toMatch(/^SERVER_ERROR /);
    await startMemcached({ path: socketPath });
    await expect.poll(() => client.ask("set a 0 0 1\r\n1"), { timeout: 5_000 }).toBe("STORED\r\n");
  });
});
