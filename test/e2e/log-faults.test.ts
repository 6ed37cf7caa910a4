/** A log that cannot be written: the proxy goes on, whatever happens to its log. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, type TestContext } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const patience = { timeout: 20_000 };

type Stderr = "pipe" | number;

/** A proxy before a memcached that is gone: each request has something to say to the log. */
class Scene {
  readonly folder: string;
  readonly server: number;
  readonly port: number;
  child: ChildProcess | null = null;
  private readonly test: TestContext;

  private constructor(folder: string, server: number, port: number, test: TestContext) {
    this.folder = folder;
    this.server = server;
    this.port = port;
    this.test = test;
  }

  static async set(test: TestContext): Promise<Scene> {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-log-"));
    test.onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const memcached = await MemcachedProcess.start();
    await memcached.stop();
    return new Scene(folder, memcached.port, await freePort(), test);
  }

  async start(args: readonly string[], stderr: Stderr): Promise<ChildProcess> {
    const env = { ...process.env, PLATYPUS_SERVER_ADMIN: "off" };
    const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "ignore", stderr], env });
    this.child = child;
    this.test.onTestFinished(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    });
    await expect.poll(() => this.ask("version\r\n"), patience).toMatch(/^VERSION/);
    return child;
  }

  /** A Platypus with `workers` workers over a memcached. */
  async native(workers: number): Promise<string[]> {
    const file = path.join(this.folder, "platypus.toml");
    await writeFile(
      file,
      `[server]\nlisten = "127.0.0.1:${this.port}"\nworkers = ${workers}\n[target]\nservers = ["127.0.0.1:${this.server}"]\n`,
    );
    return ["--config", file];
  }

  async mcrouter(log: string): Promise<string[]> {
    const file = path.join(this.folder, "mcrouter.json");
    const pools = { a: { servers: [`127.0.0.1:${this.server}`] } };
    await writeFile(file, JSON.stringify({ pools, route: "PoolRoute|a" }));
    return ["-p", String(this.port), "--listen-addresses=127.0.0.1", "-f", file, "-L", log];
  }

  /** The first line that a new connection receives. Empty if Platypus does not answer. */
  async ask(text: string): Promise<string> {
    try {
      const client = await TextClient.connect(this.port);
      client.send(text);
      const answer = await client.until("\r\n");
      client.close();
      return answer;
    } catch {
      return "";
    }
  }

  /** Requests that all fail at the server, and the end on SIGTERM. */
  async serves(): Promise<void> {
    for (let i = 0; i < 20; i++) expect(await this.ask(`get key${i}\r\n`)).toBe("END\r\n");
    this.child!.kill("SIGTERM");
    const [code] = await once(this.child!, "exit");
    expect(code).toBe(0);
  }
}

describe("a proxy whose stderr", () => {
  for (const workers of [1, 2]) {
    it(`is a full disk serves, with ${workers} workers`, async (test) => {
      const scene = await Scene.set(test);
      const full = openSync("/dev/full", "w");
      test.onTestFinished(() => closeSync(full));
      await scene.start(await scene.native(workers), full);
      await scene.serves();
    });

    it(`is a pipe whose reader is gone serves, with ${workers} workers`, async (test) => {
      const scene = await Scene.set(test);
      const child = await scene.start(await scene.native(workers), "pipe");
      child.stderr!.destroy();
      await once(child.stderr!, "close");
      await scene.serves();
    });
  }

  it("is a pipe without a reader still serves", async (test) => {
    const scene = await Scene.set(test);
    const child = await scene.start(await scene.native(1), "pipe");
    // More than a pipe holds: every unknown setting of a reload is a line.
    child.stderr!.pause();
    const file = path.join(scene.folder, "platypus.toml");
    await writeFile(file, Array.from({ length: 20_000 }, (_, i) => `[get.r${i}]\nunknown = 1\n`).join(""));
    child.kill("SIGHUP");
    await expect.poll(() => scene.ask("stats platypus\r\n"), patience).toMatch(/^STAT/);
    await scene.serves();
  });
});

describe("a proxy whose log file", () => {
  it("is on a full disk serves and writes to stderr", async (test) => {
    const scene = await Scene.set(test);
    const child = await scene.start(await scene.mcrouter("/dev/full"), "pipe");
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await scene.serves();
    expect(said).toMatch(/telemetry: the log cannot be written to \/dev\/full \(ENOSPC/);
  });

  it("is in a folder that does not exist serves, and writes the file when the folder is there", async (test) => {
    const scene = await Scene.set(test);
    const file = path.join(scene.folder, "later", "mcrouter.log");
    await scene.start(await scene.mcrouter(file), "pipe");
    await mkdir(path.dirname(file));
    await expect
      .poll(() => readFile(file, "utf8").catch(() => ""), patience)
      .toMatch(/lines? of the log went to stderr \(ENOENT/);
    await rm(path.dirname(file), { recursive: true });
    await scene.serves();
  });
});

describe("a JSON log", () => {
  it("has Node's warnings and the error that ends the process as separate lines", async (test) => {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-log-"));
    test.onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFile(
      path.join(folder, "getter.mjs"),
      `export default ({ key }) => {
        if (key === "throw") setImmediate(() => { throw new Error("nobody catches this"); });
        process.emitWarning("be careful", "CarefulWarning");
        return "v";
      };`,
    );
    const rule = '[get.a]\nmatch = ".*"\nsource = "s"\n[source.s]\ntype = "module"\npath = ';
    const server = '[server]\nlisten = "127.0.0.1:0"\nlog_form = "json"\n';
    const platypus = await PlatypusProcess.start(`${server}${rule}"${path.join(folder, "getter.mjs")}"\n`);
    test.onTestFinished(() => platypus.stop());
    const client = await TextClient.connect(platypus.port);
    expect(await client.ask("get a", "END\r\n")).toContain("VALUE a");
    await platypus.printed(/CarefulWarning: be careful/);
    client.send("get throw\r\n");
    expect(await platypus.exit()).toBe(1);
    const lines = platypus.stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual(expect.objectContaining({ level: "warn", message: "CarefulWarning: be careful" }));
    expect(lines.at(-1)).toMatchObject({ level: "error", message: expect.stringContaining("nobody catches this") });
  });
});
