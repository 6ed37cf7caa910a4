import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { connect, startPlatypus } from "../support/rigs/started.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

describe.skipIf(MemcachedProcess.isMissing)("servers with text authentication", () => {
  let folder: string;
  let memcached: MemcachedProcess;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "users");
    await writeFile(file, "platypus:a-password\n");
    memcached = await MemcachedProcess.start({ args: ["-Y", file] });
  });

  afterAll(async () => {
    await memcached.stop();
    await rm(folder, { recursive: true });
  });

  async function clientOf(login: string): Promise<TextClient> {
    const platypus = await startPlatypus(`${targetOf([memcached.port])}\nconnections = 2\n${login}`);
    return connect(platypus);
  }

  it("serve clients with the right username and password", async () => {
    const client = await clientOf('username = "platypus"\npassword = "a-password"');
    for (let i = 0; i < 20; i++) {
      expect(await client.ask(`set k${i} 0 0 1\r\nv`)).toBe("STORED\r\n");
      expect(await client.ask(`get k${i}`, "END\r\n")).toBe(`VALUE k${i} 0 1\r\nv\r\nEND\r\n`);
    }
    expect(await client.ask("stats", "END\r\n")).toContain("STAT curr_items 20\r\n");
  });

  it.each(["", 'username = "platypus"\npassword = "wrong"'])(
    "refuse other logins without harm to any client (%s)",
    async (login) => {
      const client = await clientOf(login);
      expect(await client.ask("get k1", "END\r\n")).toBe("END\r\n");
      expect(await client.ask("set k1 0 0 1\r\nx")).toMatch(/^(SERVER_ERROR|CLIENT_ERROR) .*\r\n$/);
      expect(await client.ask("get k1", "END\r\n")).toBe("END\r\n");
      expect(await client.ask("stats", "END\r\n")).not.toContain("STAT curr_items");
      expect(await client.ask("stats items", "END\r\n")).toBe("END\r\n");
    },
  );

  it("show no part of a password in any message", () => {
    expect(() => nativeConfig(`${targetOf([memcached.port])}\npassword = "a secret"`)).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining("a secret") }),
    );
  });
});
