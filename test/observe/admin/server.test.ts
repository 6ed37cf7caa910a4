/** The admin server over real HTTP. */
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import http from "node:http";
import { hostname } from "node:os";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { type Clock, systemClock } from "../../../src/clock.ts";
import { addressText, type ListenAddress } from "../../../src/config/config.ts";
import type { AdminControl } from "../../../src/observe/admin/actions.ts";
import { AdminServer } from "../../../src/observe/admin/server.ts";
import { Platypus } from "../../../src/server/platypus.ts";
import { Reports } from "../../../src/telemetry/reports.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { nativeConfig, targetOf } from "../../support/rigs/native-config.ts";
import { afterTest, connect, startMemcached, startPlatypus, temporaryFolder } from "../../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../../support/servers/memcached-process.ts";

const ADMIN = `[server]\nadmin = "127.0.0.1:0"\n`;
const facts = {
  metrics: async () => "m 1\n",
  notReady: async () => null,
  config: () => ({}),
  history: async () => [],
  now: async () => ({}),
  tracked: async () => [],
  explain: async () => [],
};

async function start(toml: string, log = new KeptLog()): Promise<Platypus> {
  const platypus = await startPlatypus(toml, { log: log.log });
  return platypus;
}

const noControl: AdminControl = {
  token: () => null,
  execute: async () => ({ counts: {} }),
  refused: () => {},
};

const loopback: ListenAddress = { type: "tcp", host: "127.0.0.1", port: 0, isTls: false };

function openAt(
  clock: Clock,
  address: ListenAddress = loopback,
  hosts: () => readonly string[] = () => [],
): Promise<AdminServer> {
  return AdminServer.open({
    address,
    facts,
    clock,
    hosts,
    control: noControl,
    reports: new Reports(new KeptLog().log, clock),
  });
}

async function open(): Promise<number> {
  const server = await openAt(systemClock);
  afterTest(() => server.close());
  return server.address.type === "tcp" ? server.address.port : 0;
}

/** Status of a request with any headers, which `fetch` would not send. */
function ask(port: number, options: http.RequestOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: "127.0.0.1", port, ...options }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    request.on("error", reject).end();
  });
}

describe("the admin server", () => {
  it("answers under the names of this machine and no others", async () => {
    const port = await open();
    for (const host of ["localhost", `localhost:${port}`, `127.0.0.1:${port}`, "127.1.2.3", "[::1]:80"]) {
      expect(await ask(port, { path: "/metrics", headers: { host } }), host).toBe(200);
    }
    for (const host of ["evil.example", `evil.example:${port}`, "localhost.evil.example", "127.0.0.1.evil.example"]) {
      expect(await ask(port, { path: "/metrics", headers: { host } }), host).toBe(403);
    }
  });

  it("beyond loopback answers under addresses, private names and configured names, and not under foreign names", async () => {
    const address = { type: "tcp", host: "0.0.0.0", port: 0, isTls: false } as const;
    let hosts = ["cache.example.com"];
    const server = await openAt(systemClock, address, () => hosts);
    afterTest(() => server.close());
    const port = server.address.type === "tcp" ? server.address.port : 0;
    const own = [
      "10.1.2.3:80",
      "[fd00::1]:80",
      "localhost",
      "cache-1",
      "platypus.default.svc.cluster.local",
      "a.internal.",
    ];
    for (const host of [...own, hostname(), "CACHE.example.com:11280"]) {
      expect(await ask(port, { path: "/metrics", headers: { host } }), host).toBe(200);
    }
    for (const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "x.cache.example.com",
      "1.2.3.4.5",
      "internal.evil.com",
    ]) {
      expect(await ask(port, { path: "/metrics", headers: { host } }), host).toBe(403);
    }
    hosts = [];
    expect(await ask(port, { path: "/metrics", headers: { host: "cache.example.com" } })).toBe(403);
  });

  it("closes a connection that sends no first byte in time, and keeps other connections", async () => {
    const clock = new ManualClock();
    const server = await openAt(clock);
    afterTest(() => server.close());
    const port = server.address.type === "tcp" ? server.address.port : 0;
    const [silent, begun] = [await TextClient.connect(port), await TextClient.connect(port)];
    afterTest(() => begun.close());
    begun.send("GET /healthz HTTP/1.1\r\n");
    // An answer: what was sent before it has been read by then.
    expect(await ask(port, { path: "/healthz" })).toBe(200);
    clock.advance(10_000);
    expect(await silent.end()).toBe("");
    begun.send("host: localhost\r\n\r\n");
    expect(await begun.until("ok\n")).toContain("200 OK");
  });

  it("takes over a socket file that a killed process left behind, and no other file", async () => {
    const folder = await temporaryFolder();
    const file = path.join(folder, "admin.sock");
    const dead = `require("node:net").createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(() => execFileSync(process.execPath, ["-e", dead], { stdio: "ignore" })).toThrow();
    const server = await openAt(systemClock, { type: "unix", path: file });
    await expect(openAt(systemClock, { type: "unix", path: file })).rejects.toThrow("EADDRINUSE");
    await server.close();
    await writeFile(file, "precious");
    await expect(openAt(systemClock, { type: "unix", path: file })).rejects.toThrow("other than a socket");
    expect(await readFile(file, "utf8")).toBe("precious");
  });

  it("is read-only for every client", async () => {
    const port = await open();
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      expect(await ask(port, { path: "/config", method }), method).toBe(405);
    }
    expect(await ask(port, { path: "/metrics", method: "HEAD" })).toBe(200);
  });

  it("lets no page of another site read it, but accepts a link from there", async () => {
    const port = await open();
    const from = (site: string, mode: string) => {
      return ask(port, { path: "/events", headers: { "sec-fetch-site": site, "sec-fetch-mode": mode } });
    };
    expect(await from("cross-site", "cors")).toBe(403);
    expect(await from("same-site", "no-cors")).toBe(403);
    expect(await from("same-origin", "cors")).toBe(200);
    expect(
      await ask(port, { path: "/", headers: { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" } }),
    ).toBe(200);
  });

  it("serves the files of the page and no others, with a policy that blocks external content", async () => {
    const port = await open();
    for (const path of [
      "/",
      "/page.css",
      "/page.js",
      "/dom.js",
      "/format.js",
      "/plots.js",
      "/seen.js",
      "/table.js",
      "/tables.js",
      "/icon.svg",
      "/uplot.js",
      "/uplot.css",
    ]) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      expect([response.status, path]).toEqual([200, path]);
      expect(response.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self';/);
    }
    for (const path of ["/page/../server.ts", "/..%2fserver.ts", "/page.js/", "/index.html"]) {
      expect(await ask(port, { path }), path).toBe(404);
    }
  });

  it("lists the available paths at an unknown path", async () => {
    const response = await fetch(`http://127.0.0.1:${await open()}/nothing`);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("/metrics");
    expect(await ask(await open(), { path: "/__proto__" })).toBe(404);
  });

  it("starts without its default address if that is in use, but fails for a configured address", async () => {
    const port = await open();
    const taken = nativeConfig(`[server]\nadmin = "127.0.0.1:${port}"\n`);
    await expect(Platypus.start(taken, { log: new KeptLog().log })).rejects.toThrow(
      /admin address 127.0.0.1:\d+ cannot/,
    );
    const byDefault = { ...taken, server: { ...taken.server, admin: { ...taken.server.admin!, isDefault: true } } };
    const kept = new KeptLog();
    const platypus = await startPlatypus(byDefault, { log: kept.log });
    expect(platypus.adminAddress).toBeNull();
    expect(kept.lines.filter((line) => line.includes("admin"))).toHaveLength(1);
  });
});

describe("/readyz", () => {
  const statusOf = async (platypus: Platypus, path: string) => {
    const response = await fetch(`http://${addressText(platypus.adminAddress!)}${path}`);
    return [response.status, await response.text()];
  };

  it("is ready at once with a store in the process", async () => {
    const platypus = await start(ADMIN);
    expect(await statusOf(platypus, "/readyz")).toEqual([200, "ready\n"]);
  });

  it.skipIf(MemcachedProcess.isMissing)("waits for the first server, without a request from a client", async () => {
    const port = await freePort();
    const log = new KeptLog();
    const platypus = await start(`${ADMIN}${targetOf([port])}`, log);
    await log.said(/hard TKO/);
    expect(await statusOf(platypus, "/readyz")).toEqual([503, "not ready: no server has been connected to yet\n"]);
    expect(await statusOf(platypus, "/healthz")).toEqual([200, "ok\n"]);
    const server = await startMemcached({ port });
    await log.said(/up again/);
    expect(await statusOf(platypus, "/readyz")).toEqual([200, "ready\n"]);
    // Ready it stays: a client of a server that is gone is answered, and filled.
    await server.stop();
    expect((await statusOf(platypus, "/readyz"))[0]).toBe(200);
  });

  it.skipIf(MemcachedProcess.isMissing)("notices a server that starts without a circuit breaker", async () => {
    const port = await freePort();
    const config = nativeConfig(`${ADMIN}${targetOf([port])}`);
    const pools = config.pools.map((pool) => ({ ...pool, health: { ...pool.health, timeoutsUntilTko: null } }));
    const platypus = await startPlatypus({ ...config, pools }, { log: new KeptLog().log });
    expect((await statusOf(platypus, "/readyz"))[0]).toBe(503);
    await startMemcached({ port });
    await expect.poll(async () => (await statusOf(platypus, "/readyz"))[0], { timeout: 10_000 }).toBe(200);
  });

  it("is not ready while the process drains", async () => {
    const platypus = await start(ADMIN);
    const client = await connect(platypus);
    await client.ask("version");
    // The client's end stays open, so that the drain goes on until it is closed here.
    const drained = platypus.drain();
    expect(await statusOf(platypus, "/readyz")).toEqual([503, "not ready: draining\n"]);
    client.close();
    await drained;
  });
});

describe("/metrics", () => {
  it("is compressed for clients that accept gzip, and plain for others", async () => {
    const port = await open();
    const get = (encoding: string) =>
      new Promise<[string | undefined, Buffer]>((resolve, reject) => {
        const headers = { "accept-encoding": encoding };
        http
          .get({ host: "127.0.0.1", port, path: "/metrics", headers }, async (response) => {
            const chunks: Buffer[] = [];
            for await (const chunk of response) chunks.push(chunk as Buffer);
            resolve([response.headers["content-encoding"], Buffer.concat(chunks)]);
          })
          .once("error", reject);
      });
    const [plainCoding, plain] = await get("gzip;q=0");
    const [coding, body] = await get("deflate, gzip");
    expect([plainCoding, coding]).toEqual([undefined, "gzip"]);
    expect(gunzipSync(body).toString()).toBe(plain.toString());
  });
});
