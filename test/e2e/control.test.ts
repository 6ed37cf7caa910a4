/** An operator's commands: the command line, the admin address and a real memcached. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import type { TextClient } from "../support/clients/text-client.ts";
import { afterTest, connect, startMemcached, startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import type { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const TOKEN = "a-token-of-the-tests";
const main = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

let origin: HttpOrigin;
let memcached: MemcachedProcess;
let platypus: PlatypusProcess;
let client: TextClient;

beforeEach(async () => {
  origin = await startOrigin();
  memcached = await startMemcached();
});

async function start(settings = ""): Promise<void> {
  platypus = await PlatypusProcess.start(`
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
admin_token = "${TOKEN}"
${settings}
[target]
servers = ["127.0.0.1:${memcached.port}"]
[get.items]
match = "item/(.*)"
source = "web"
fill_timeout = "10s"
[source.web]
type = "http"
url = "${origin.url}/{1}"
breaker_failures = 1
breaker_time = "1h"
retries = 0
  `);
  afterTest(() => platypus.stop());
  await platypus.printed(/admin on http/);
  client = await connect(platypus.port);
}

function adminPort(): number {
  return Number(/admin on http:\/\/127\.0\.0\.1:(\d+)/.exec(platypus.stdout + platypus.stderr)?.[1]);
}

/** Runs `platypus` with the admin address and the token. */
function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const words = [main, ...args, "--admin", `127.0.0.1:${adminPort()}`];
  const env = { ...process.env, PLATYPUS_SERVER_ADMIN_TOKEN: TOKEN };
  return new Promise((resolve) => {
    execFile(process.execPath, words, { env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

async function get(key: string): Promise<string | null> {
  const reply = await client.ask(`get ${key}`, "END\r\n");
  return /\r\n(.*)\r\nEND/.exec(reply)?.[1] ?? null;
}

describe("platypus refresh", () => {
  it.each([
    ["one process", ""],
    ["two workers", "workers = 2"],
  ])("fetches the tracked keys of a prefix again, in %s", async (_what, settings) => {
    await start(settings);
    for (const key of ["item/a1", "item/a2", "item/b"]) await get(key);
    origin.handle = (request, response) => response.end(`new ${request.url}`);
    expect(await run("refresh", "item/a*")).toEqual({ code: 0, stdout: "2 tracked keys: 2 stored\n", stderr: "" });
    expect([await get("item/a1"), await get("item/a2"), await get("item/b")]).toEqual([
      "new /a1",
      "new /a2",
      "value of /b",
    ]);
    expect((await run("refresh", "item/b")).stdout).toBe("1 tracked key: 1 stored\n");
    expect((await run("refresh", "--rule", "items")).stdout).toBe("3 tracked keys: 3 unchanged\n");
    expect((await run("refresh", "other*")).stdout).toBe("0 tracked keys\n");
  });

  it("reports keys whose source fails, and exits with 1", async () => {
    await start();
    await get("item/a");
    origin.handle = (_request, response) => response.writeHead(500).end();
    expect(await run("refresh", "item/*")).toMatchObject({ code: 1, stdout: "1 tracked key: 1 failed\n" });
    expect(await get("item/a")).toBe("value of /a");
  });
});

describe("platypus forget", () => {
  it("deletes tracked keys from the pool, so that the next get fetches them", async () => {
    await start();
    for (const key of ["item/a", "item/b"]) await get(key);
    expect((await run("forget", "item/a")).stdout).toBe("1 tracked key: 1 deleted\n");
    const direct = await connect(memcached.port);
    expect(await direct.ask("get item/a item/b", "END\r\n")).toMatch(/^VALUE item\/b /);
    expect(await get("item/a")).toBe("value of /a");
    expect(origin.requests).toEqual(["GET /a", "GET /b", "GET /a"]);
  });
});

describe("platypus drain", () => {
  it("takes a server out of use until undrain", async () => {
    await start();
    const server = `127.0.0.1:${memcached.port}`;
    await client.ask("set plain 0 0 1\r\nx", "STORED\r\n");
    expect((await run("drain", server)).stdout).toContain(`${server} is drained`);
    expect(await get("plain")).toBeNull();
    expect((await run("top", "--once")).stdout).toContain("hard TKO");
    expect((await run("undrain", server)).stdout).toContain(`${server} is used again`);
    expect(await get("plain")).toBe("x");
    expect(await run("drain", "127.0.0.1:1")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`there is no server 127.0.0.1:1; there are ${server}`),
    });
  });
});

describe("platypus breaker close", () => {
  it("lets a source be asked again at once", async () => {
    await start();
    origin.handle = (_request, response) => response.writeHead(500).end();
    expect(await get("item/a")).toBeNull();
    origin.handle = (_request, response) => response.end("well");
    // The breaker is open: no key is fetched.
    expect(await get("item/b")).toBeNull();
    expect(origin.requests).toHaveLength(1);
    expect((await run("breaker", "close", "web")).code).toBe(0);
    expect(await get("item/c")).toBe("well");
    expect((await run("breaker", "close", "wbe")).stderr).toContain("there is no source wbe; there are web");
  });
});

describe("platypus top --once", () => {
  it("shows servers, rules and sources", async () => {
    await start();
    await get("item/a");
    const { code, stdout } = await run("top", "--once");
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^127\\.0\\.0\\.1:${memcached.port} +target +up `, "m"));
    expect(stdout).toMatch(/^items +web +1 /m);
    expect(stdout).toMatch(/^web +http +closed /m);
  });
});

describe("platypus top in a terminal", () => {
  it("shows a view that changes, and ends with q", async () => {
    await start();
    await get("item/a");
    const command = `${process.execPath} ${main} top --admin 127.0.0.1:${adminPort()}`;
    const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
    afterTest(() => child.kill("SIGKILL"));
    let screen = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      screen += text;
    });
    await expect.poll(() => screen, { timeout: 10_000 }).toMatch(/items +web +1 /);
    const { length } = screen;
    await expect.poll(() => screen.length, { timeout: 5_000 }).toBeGreaterThan(length);
    const ended = once(child, "exit");
    child.stdin.write("q");
    const [code] = (await ended) as [number];
    expect(code).toBe(0);
    // The terminal is as it was before.
    expect(screen.endsWith("\x1b[?25h\x1b[?1049l")).toBe(true);
  }, 30_000);
});

describe("commands over the admin address", () => {
  const post = (path: string, token: string | null) =>
    fetch(`http://127.0.0.1:${adminPort()}${path}`, {
      method: "POST",
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
    });

  it("need the token, and only POST executes them", async () => {
    await start();
    expect((await post("/forget?rule=items", null)).status).toBe(401);
    const wrong = await post("/forget?rule=items", `${TOKEN}x`);
    expect([wrong.status, wrong.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
    expect((await fetch(`http://127.0.0.1:${adminPort()}/forget?rule=items`)).status).toBe(404);
    expect((await post("/forget?rule=items", TOKEN)).status).toBe(200);
    expect((await post("/forget", TOKEN)).status).toBe(400);
    expect((await post("/nothing", TOKEN)).status).toBe(404);
    const shown = await (await fetch(`http://127.0.0.1:${adminPort()}/config`)).text();
    expect(shown).not.toContain(TOKEN);
  });

  it("change the level of the log", async () => {
    await start();
    expect((await post("/log-level?level=debug", TOKEN)).status).toBe(200);
    const refused = await post("/log-level?level=loud", TOKEN);
    expect([refused.status, await refused.text()]).toEqual([404, expect.stringContaining('got "loud"')]);
  });

  it("do not exist without a token in the configuration", async () => {
    await start();
    await platypus.stop();
    platypus = await PlatypusProcess.start('[server]\nlisten = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\n');
    await platypus.printed(/admin on http/);
    const response = await post("/log-level?level=debug", "");
    expect([response.status, await response.text()]).toEqual([405, expect.stringContaining("admin_token is not set")]);
  });
});

describe("a command for a process that cannot be reached", () => {
  it("says so and exits with 1", async () => {
    await start();
    await platypus.stop();
    const { code, stderr } = await run("refresh", "item/*");
    expect([code, stderr]).toEqual([1, expect.stringContaining("cannot be reached: connect ECONNREFUSED")]);
  });
});
