import { execFile, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import memjs from "memjs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const CAPABLE = "/usr/bin/memccapable";
const DALLI = fileURLToPath(new URL("../support/clients/dalli-session.rb", import.meta.url));
const PYLIBMC = fileURLToPath(new URL("../support/clients/pylibmc-session.py", import.meta.url));
const PHP_SESSION = fileURLToPath(new URL("../support/clients/php-memcached-session.php", import.meta.url));
const PHP = "/usr/bin/php";
const RUBY = "/usr/bin/ruby";
const PYTHON = "/usr/bin/python3";
const isPylibmcMissing = spawnSync(PYTHON, ["-c", "import pylibmc"]).status !== 0;
const isPhpMissing = spawnSync(PHP, ["-r", "new Memcached();"]).status !== 0;
const isDalliMissing = spawnSync(RUBY, ["-e", "require 'dalli'"]).status !== 0;

const inTurn = { concurrent: false };

const RULES = `
[get.hello]
match = "hello/(?P<name>.*)"
source = "greeting"
[source.greeting]
type = "echo"
template = "Hello, {name}!"
`;

async function run(program: string, args: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(program, args).catch((error) => error);
  return stdout + stderr;
}

/** The result of a session with a memcached that no other client uses. */
async function ofMemcached(session: (port: string) => Promise<string>): Promise<Record<string, unknown>> {
  const direct = await MemcachedProcess.start({ args: ["-I", "4m"] });
  try {
    return JSON.parse(await session(String(direct.port)));
  } finally {
    await direct.stop();
  }
}

describe.skipIf(MemcachedProcess.isMissing)("binary clients over", () => {
  let servers: MemcachedProcess[] = [];
  const processes = new Map<string, PlatypusProcess>();

  beforeAll(async () => {
    servers = await Promise.all([1, 2, 3, 4].map(() => MemcachedProcess.start({ args: ["-I", "4m"] })));
    const ports = servers.map(({ port }) => `"127.0.0.1:${port}"`);
    const server = `[server]\nlisten = "127.0.0.1:0"\nflush_all = true\nmax_value = "4MiB"\n`;
    for (const [name, target] of [
      ["one server", `[target]\nservers = [${ports[0]}]\n`],
      ["three servers", `[target]\nservers = [${ports.slice(1)}]\nconnections = 2\n`],
      ["the embedded store", ""],
    ] as const) {
      processes.set(name, await PlatypusProcess.start(server + target + RULES));
    }
  });

  afterAll(async () => {
    await Promise.all([...processes.values()].map((platypus) => platypus.stop()));
    await Promise.all(servers.map((memcached) => memcached.stop()));
  });

  // Each has its own servers. Tests of one of them share keys, so they run one after another.
  describe.concurrent.each(["one server", "three servers", "the embedded store"])("%s", (name) => {
    it.skipIf(!existsSync(CAPABLE)).each(["-a", "-b"])("pass memccapable %s completely", inTurn, async (protocol) => {
      const said = await run(CAPABLE, ["-h", "127.0.0.1", "-p", String(processes.get(name)!.port), protocol]);
      expect(said).toMatch(/All tests passed/);
    });

    it.skipIf(isDalliMissing)(
      "work with Dalli as over memcached, and read the values of the source",
      inTurn,
      async () => {
        const expected = await ofMemcached((port) => run(RUBY, [DALLI, port]));
        const seen = JSON.parse(await run(RUBY, [DALLI, String(processes.get(name)!.port)]));
        expect(expected.filled).toEqual([null, ["n"]]);
        expect(seen).toEqual({ ...expected, filled: ["Hello, Bob!", ["hello/Tim", "n"]] });
      },
    );

    it.skipIf(isPylibmcMissing).each(["text", "binary"])(
      "work with pylibmc (%s) as over memcached",
      inTurn,
      async (protocol) => {
        const expected = await ofMemcached((port) => run(PYTHON, [PYLIBMC, port, protocol]));
        const seen = JSON.parse(await run(PYTHON, [PYLIBMC, String(processes.get(name)!.port), protocol]));
        expect(expected.filled).toEqual([null, {}]);
        expect(seen).toEqual({ ...expected, filled: ["Hello, Bob!", { "hello/Tim": "Hello, Tim!" }] });
      },
    );

    it.skipIf(isPhpMissing).each(["text", "binary"])(
      "work with php-memcached (%s) as over memcached",
      inTurn,
      async (protocol) => {
        const expected = await ofMemcached((port) => run(PHP, [PHP_SESSION, port, protocol]));
        const seen = JSON.parse(await run(PHP, [PHP_SESSION, String(processes.get(name)!.port), protocol]));
        expect(expected).toMatchObject({ filled: [false, []], "filled extended": null, big: [true, true] });
        expect(seen).toEqual({
          ...expected,
          filled: ["Hello, Bob!", { "hello/Tim": "Hello, Tim!" }],
          "filled extended": ["Hello, Eve!", 0, true],
        });
      },
    );

    it("work with memjs, which sets, gets in parallel, counts and is filled", inTurn, async () => {
      const client = memjs.Client.create(`127.0.0.1:${processes.get(name)!.port}`, { timeout: 5 });
      await client.set("memjs", "value", { expires: 60 });
      const keys = ["memjs", "memjs none", "hello/Bob", "hello/Ann"];
      const values = await Promise.all(keys.map(async (key) => (await client.get(key)).value?.toString() ?? null));
      expect(values).toEqual(["value", null, "Hello, Bob!", "Hello, Ann!"]);
      expect((await client.increment("memjs count", 2, { initial: 5 })).value).toBe(5);
      expect((await client.increment("memjs count", 2, { initial: 5 })).value).toBe(7);
      expect(await client.delete("memjs")).toBe(true);
      expect((await client.get("memjs")).value).toBe(null);
      client.close();
    });
  });
});
