/** What the README shows, run as it stands there; only addresses are those of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it } from "vitest";
import { afterTest, connect, startMemcached, startOrigin } from "../support/rigs/started.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

describe.skipIf(MemcachedProcess.isMissing)("the README", () => {
  let readme: string;
  let origin: HttpOrigin;
  let memcached: MemcachedProcess;
  let folder: string;

  beforeEach(async () => {
    readme = await readFile(path.join(ROOT, "README.md"), "utf8");
    origin = await startOrigin();
    memcached = await startMemcached();
    folder = await mkdtemp(path.join(tmpdir(), "platypus-readme-"));
    afterTest(() => rm(folder, { recursive: true }));
  });

  function block(language: string): string {
    return new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(readme)![1]!;
  }

  it("has a program that fills from its function and stores in its target", async () => {
    const port = await freePort();
    const program = block("ts")
      .replace('"platypus-proxy"', JSON.stringify(path.join(ROOT, "src/index.ts")))
      .replace("127.0.0.1:11211", `127.0.0.1:${memcached.port}`)
      .replace("127.0.0.1:11212", `127.0.0.1:${port}`);
    const file = path.join(folder, "program.ts");
    await writeFile(file, `${program}\nconsole.log("started");\n`);
    const child: ChildProcess = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    afterTest(async () => {
      child.kill("SIGKILL");
      await ended;
    });
    await once(child.stdout!, "data");
    const [client, direct] = [await connect(port), await connect(memcached.port)];
    const value = "VALUE hello/Ada 0 9\r\nhello Ada\r\nEND\r\n";
    // A busy machine may be slower than fill_timeout; the fetch goes on all the same.
    while ((await client.ask("get hello/Ada", "END\r\n")) !== value);
    expect(await direct.ask("get hello/Ada", "END\r\n")).toBe(value);
    expect(await client.ask("get other", "END\r\n")).toBe("END\r\n");
  });

  it("has a configuration that works as described", async () => {
    const file = path.join(folder, "platypus.toml");
    await writeFile(file, block("toml"));
    const platypus = PlatypusProcess.run(["--config", file, "--listen", "127.0.0.1:0"], {
      PLATYPUS_TARGET_SERVERS: `127.0.0.1:${memcached.port}`,
      PLATYPUS_SOURCE_USERS_URL: `${origin.url}/users/{id}`,
      PLATYPUS_GET_USER_FILL_TIMEOUT: "10s",
    });
    afterTest(() => platypus.stop());
    await platypus.printed(/listens on/);
    const [client, direct] = [await connect(platypus.port), await connect(memcached.port)];
    const value = "VALUE user/17 0 18\r\nvalue of /users/17\r\nEND\r\n";
    expect(await client.ask("get user/17", "END\r\n")).toBe(value);
    expect(await direct.ask("get user/17", "END\r\n")).toBe(value);
  });
});
