/** Signals of the programs that Platypus takes the place of: none ends, suspends or opens the process. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

describe("a process with a thread that hangs", () => {
  /** A started process, whose getter reads a pipe that nothing writes to, then does `then`; and a client. */
  async function hanging(then: string) {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-stop-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const pipe = path.join(folder, "pipe");
    execFileSync("/usr/bin/mkfifo", [pipe]);
    const getter = `import fs from "node:fs";
      export default () => { fs.readFile(${JSON.stringify(pipe)}, () => {}); ${then} };`;
    await writeFile(path.join(folder, "getter.mjs"), getter);
    const rule = '[get.a]\nmatch = ".*"\nsource = "s"\n[source.s]\ntype = "module"\npath = ';
    const text = `[server]\nlisten = "127.0.0.1:0"\n${rule}"${path.join(folder, "getter.mjs")}"\n`;
    const platypus = await PlatypusProcess.start(text);
    onTestFinished(() => platypus.stop());
    const client = await TextClient.connect(platypus.port);
    onTestFinished(() => client.close());
    return { platypus, client };
  }

  it("stops", async () => {
    const { platypus, client } = await hanging('return "v";');
    expect(await client.ask("get a", "END\r\n")).toContain("VALUE a");
    client.close();
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(0);
    expect(platypus.stderr).toMatch(/serve: stopped\n$/);
  });

  it("stops at once at a second signal", async () => {
    const { platypus, client } = await hanging('console.error("asked"); return new Promise(() => {});');
    client.send("get a\r\n");
    await platypus.printed(/asked/);
    platypus.child.kill("SIGTERM");
    await platypus.printed(/answering the requests that were read, then stopping/);
    platypus.child.kill("SIGTERM");
    expect(await platypus.exit()).toBe(1);
    expect(platypus.stderr).toMatch(/SIGTERM again: stopping at once\n$/);
  });

  it("ends with an uncaught error", async () => {
    const { platypus, client } = await hanging('setTimeout(() => { throw new Error("broken"); }); return "v";');
    client.send("get a\r\n");
    expect(await platypus.exit()).toBe(1);
    expect(platypus.stderr).toContain("unexpected error: Error: broken");
  });
});

describe("a serving process", () => {
  for (const workers of [1, 2]) {
    it(`continues after SIGTTIN, SIGTTOU, SIGUSR1 and SIGUSR2, with ${workers} workers`, async ({ onTestFinished }) => {
      const memcached = await MemcachedProcess.start();
      onTestFinished(() => memcached.stop());
      const server = `[server]\nlisten = "127.0.0.1:0"\nworkers = ${workers}\nlog_level = "warn,serve=info,workers=info"\n`;
      const platypus = await PlatypusProcess.start(`${server}[target]\nservers = ["127.0.0.1:${memcached.port}"]\n`);
      onTestFinished(() => platypus.stop());
      for (const level of ["info", "debug", "debug"]) {
        platypus.child.kill("SIGTTIN");
        await platypus.printed(new RegExp(`SIGTTIN: the level of the log is ${level}`));
      }
      platypus.child.kill("SIGTTOU");
      await platypus.printed(/SIGTTOU: the level of the log is info/);
      platypus.child.kill("SIGUSR1");
      await platypus.printed(/SIGUSR1 has no effect/);
      platypus.child.kill("SIGUSR2");
      await platypus.printed(workers === 1 ? /SIGUSR2 has no effect/ : /all workers are replaced/);
      expect(platypus.stderr).not.toContain("Debugger listening");
      const client = await TextClient.connect(platypus.port);
      onTestFinished(() => client.close());
      expect(await client.ask("version")).toMatch(/^VERSION/);
      platypus.child.kill("SIGTERM");
      expect(await platypus.exit()).toBe(0);
    });
  }
});
