/** Client libraries that log in, each in its own way. */
import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import memjs from "memjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { targetOf } from "../support/rigs/native-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const PYTHON = "/usr/bin/python3";
const PHP = "/usr/bin/php";
const RUBY = "/usr/bin/ruby";
const canRun = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;
const hasDalli = canRun(RUBY, "-e", "require 'dalli'");
const hasPylibmc = canRun(PYTHON, "-c", "import pylibmc; assert pylibmc.support_sasl");
const hasPhp = canRun(PHP, "-r", "exit(Memcached::HAVE_SASL ? 0 : 1);");
const hasPymemcache = canRun(PYTHON, "-c", "import pymemcache");

async function run(program: string, script: string, ...args: string[]): Promise<Record<string, unknown>> {
  const file = fileURLToPath(new URL(`../support/clients/${script}`, import.meta.url));
  const { stdout } = await promisify(execFile)(program, [file, ...args]);
  return JSON.parse(stdout.trim().split("\n").at(-1)!);
}

const PASSWORD = "pa:ss word";
const USERS = `[user.web]\npassword = "${PASSWORD}"\nprefix = "app1:"\n`;
const memjsOptions = { timeout: 5, username: "web", logger: { log: () => {} } };

describe("a process with users", () => {
  let platypus: PlatypusProcess;
  let port: string;

  beforeAll(async () => {
    platypus = await PlatypusProcess.start(`[server]\nlisten = "127.0.0.1:0"\n${USERS}`);
    port = String(platypus.port);
  });

  afterAll(() => platypus.stop());

  it.skipIf(!hasDalli)("serves Dalli", async () => {
    expect(await run(RUBY, "dalli-login.rb", port, "web", PASSWORD)).toEqual({
      set: true,
      get: "v",
      get_multi: { "app1:dalli": "v" },
      denied: "Dalli::DalliError",
      afterwards: "v",
    });
    const refused = await run(RUBY, "dalli-login.rb", port, "web", "wrong");
    expect(refused).toMatchObject({ set: expect.stringMatching(/^Dalli::/), get: expect.stringMatching(/^Dalli::/) });
  });

  it.skipIf(!hasPylibmc)("serves pylibmc", async () => {
    expect(await run(PYTHON, "pylibmc-login.py", port, "web", PASSWORD)).toEqual({
      set: true,
      get: "v",
      get_multi: { "app1:pylibmc": "v" },
      denied: "error",
      afterwards: "v",
    });
    expect(await run(PYTHON, "pylibmc-login.py", port, "web", "wrong")).toMatchObject({ set: "error", get: "error" });
  });

  it.skipIf(!hasPhp)("serves php-memcached", async () => {
    expect(await run(PHP, "php-memcached-login.php", port, "web", PASSWORD)).toEqual({
      set: true,
      get: "v",
      get_multi: { "app1:php": "v" },
      denied: false,
      afterwards: "v",
    });
    expect(await run(PHP, "php-memcached-login.php", port, "web", "wrong")).toMatchObject({ set: false, get: false });
  });

  it("serves memjs", async () => {
    const client = memjs.Client.create(`127.0.0.1:${port}`, { ...memjsOptions, password: "wrong" });
    await expect(client.get("app1:a")).rejects.toThrow();
    client.close();
    const own = memjs.Client.create(`127.0.0.1:${port}`, { ...memjsOptions, password: PASSWORD });
    expect(await own.set("app1:memjs", "v", {})).toBe(true);
    expect((await own.get("app1:memjs")).value?.toString()).toBe("v");
    own.close();
  });

  it.skipIf(!hasPymemcache)("serves pymemcache, which sends the login as its first set", async () => {
    const seen = await run(PYTHON, "pymemcache-login.py", port, "web", PASSWORD);
    expect(seen).toEqual({ login: true, set: true, get: "v" });
    const refused = await run(PYTHON, "pymemcache-login.py", port, "web", "wrong");
    expect(refused).toEqual({ login: "error", set: "error", get: "error" });
  });
});

describe.skipIf(MemcachedProcess.isMissing || !hasPymemcache)("workers with users", () => {
  it("recognise all users", async () => {
    const memcached = await MemcachedProcess.start();
    const server = '[server]\nlisten = "127.0.0.1:0"\nworkers = 2\n';
    const platypus = await PlatypusProcess.start(`${server}${USERS}${targetOf([memcached.port])}`);
    const login = () => run(PYTHON, "pymemcache-login.py", String(platypus.port), "web", PASSWORD);
    expect(await Promise.all([1, 2, 3, 4].map(login))).toEqual(Array(4).fill({ login: true, set: true, get: "v" }));
    await platypus.stop();
    await memcached.stop();
  });
});
