/** A Platypus that another proxy asks after a miss. Its stand-in is a client that reads the pool first, as mcrouter's failover does. */
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { loadConfig } from "../../src/server/load-config.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { connect, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const FILE = fileURLToPath(new URL("../../config/sidecar.toml", import.meta.url));

describe.skipIf(MemcachedProcess.isMissing)("a sidecar, as config/sidecar.toml has it", () => {
  let origin: HttpOrigin;
  let pool: TextClient;
  let sidecar: TextClient;
  /** Gets that the pool has had. */
  const poolGets = async () => Number(/STAT cmd_get (\d+)/.exec(await pool.ask("stats", "END\r\n"))![1]);

  beforeEach(async () => {
    origin = await startOrigin();
    const memcached = await startMemcached();
    const env = {
      PLATYPUS_SERVER_LISTEN: "127.0.0.1:0",
      PLATYPUS_SERVER_LOG_LEVEL: "error",
      PLATYPUS_SERVER_ADMIN: "off",
      PLATYPUS_TARGET_SERVERS: `127.0.0.1:${memcached.port}`,
      PLATYPUS_TARGET_CONNECT_TIMEOUT: "2s",
      PLATYPUS_SOURCE_USERS_URL: `${origin.url}/users/{1}`,
      // A busy machine is no reason for a miss here.
      PLATYPUS_GET_USERS_FILL_TIMEOUT: "5s",
      PLATYPUS_GET_USERS_LEASE: "process",
    };
    const platypus = await startPlatypus(await loadConfig({ path: FILE, env }));
    const [address] = platypus.addresses;
    pool = await connect(memcached.port);
    sidecar = await connect(address!.type === "tcp" ? address!.port : 0);
  });

  const value = "VALUE user/1 0 17\r\nvalue of /users/1\r\nEND\r\n";

  it("fills the caller's miss without reading the pool, and stores the value there", async () => {
    expect(await pool.ask("get user/1", "END\r\n")).toBe("END\r\n");
    const before = await poolGets();
    expect(await sidecar.ask("get user/1", "END\r\n")).toBe(value);
    expect(await poolGets()).toBe(before);
    expect(await pool.ask("get user/1", "END\r\n")).toBe(value);
  });

  it("reads the pool first if it stored the key a moment ago: the caller's miss is older", async () => {
    await sidecar.ask("get user/1", "END\r\n");
    expect(await sidecar.ask("get user/1", "END\r\n")).toBe(value);
    expect(await sidecar.ask("get user/1 user/2", "END\r\n")).toContain("VALUE user/2");
    expect(origin.requests).toEqual(["GET /users/1", "GET /users/2"]);
  });

  it("answers the gets of every protocol this way, with real flags and cas", async () => {
    expect(await sidecar.ask("gets user/1", "END\r\n")).toMatch(/^VALUE user\/1 0 17 \d+\r\n/);
    expect(await sidecar.ask("mg user/2 v f k", "\r\nvalue of /users/2\r\n")).toBe(
      "VA 17 f0 kuser/2\r\nvalue of /users/2\r\n",
    );
    expect(await sidecar.ask("gat 100 user/3", "END\r\n")).toContain("value of /users/3");
  });

  it("misses keys that no rule covers, without asking a source", async () => {
    await pool.ask("set other 0 0 1\r\nx");
    expect(await sidecar.ask("get other", "END\r\n")).toBe("END\r\n");
    expect(await sidecar.ask("mg other v")).toBe("EN\r\n");
    expect(origin.requests).toEqual([]);
  });

  it("leaves gets that vivify, whose clients fill, to the pool", async () => {
    expect(await sidecar.ask("mg user/9 N30 v t", "\r\n\r\n")).toMatch(/^VA 0 t\d+ W\r\n\r\n$/);
    expect(origin.requests).toEqual([]);
  });

  it("passes writes on, and fetches a deleted key again", async () => {
    await sidecar.ask("get user/1", "END\r\n");
    expect(await sidecar.ask("delete user/1")).toBe("DELETED\r\n");
    expect(await pool.ask("get user/1", "END\r\n")).toBe("END\r\n");
    await sidecar.ask("get user/1", "END\r\n");
    expect(origin.requests).toHaveLength(2);
  });
});

describe("platypus check of a sidecar", () => {
  it("warns if its placement must match the caller's", async () => {
    const servers = "127.0.0.1:1,127.0.0.1:2";
    const checking = PlatypusProcess.run(["check", FILE], { PLATYPUS_TARGET_SERVERS: servers });
    expect(await checking.exit()).toBe(0);
    expect(checking.stdout).toContain("warning: a sidecar over 2 servers places keys by ketama");
    await checking.stop();
  });
});
