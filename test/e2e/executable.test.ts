/** Platypus as one executable file, and as a Debian package of it. No Node is found by what is started here. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { packageVersion } from "../../src/version.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILD_TIMEOUT_MS = 180_000;
const isPossible = process.platform === "linux" && existsSync("/usr/bin/dpkg-deb");

describe.skipIf(!isPossible || MemcachedProcess.isMissing)("the executable file", () => {
  let folder: string;
  let binary: string;
  const env = () => ({ PATH: "/usr/bin:/bin", HOME: folder, TMPDIR: folder });

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "platypus-executable-"));
    binary = path.join(folder, "platypus");
    execFileSync(process.execPath, [path.join(ROOT, "packaging/build-deb.mjs"), folder], { stdio: "pipe" });
  }, BUILD_TIMEOUT_MS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function run(name: string, ...args: string[]): string {
    return execFileSync(path.join(folder, name), args, { env: env(), cwd: folder, encoding: "utf8" });
  }

  /** Starts it under `name`; resolves when it listens. */
  async function start(
    { onTestFinished }: TestContext,
    name: string,
    args: readonly string[],
    more = {},
  ): Promise<string> {
    const child = spawn(path.join(folder, name), args, { env: { ...env(), ...more }, cwd: folder });
    const ended = once(child, "exit");
    onTestFinished(async () => {
      child.kill("SIGTERM");
      await ended;
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (output += text));
    while (!output.includes("listens on")) {
      await Promise.race([once(child.stderr, "data"), ended]);
      if (child.exitCode !== null) throw new Error(output);
    }
    return output;
  }

  async function get({ onTestFinished }: TestContext, port: number, key: string): Promise<string> {
    const client = await TextClient.connect(port);
    onTestFinished(() => client.close());
    return client.ask(`get ${key}`, "END\r\n");
  }

  it("prints its version and checks a configuration", () => {
    expect(run("platypus", "--version")).toBe(`platypus ${packageVersion}\n`);
    expect(run("platypus", "check", path.join(ROOT, "config/fleet.toml"))).toContain("no problems");
  });

  it("runs the quickstart with its page", async (context) => {
    const [port, admin] = [await freePort(), await freePort()];
    await start(context, "platypus", ["--listen", `127.0.0.1:${port}`], {
      PLATYPUS_SERVER_ADMIN: `127.0.0.1:${admin}`,
      // Another test may run the quickstart at the same time.
      PLATYPUS_SOURCE_ORIGIN_URL: `http://127.0.0.1:${await freePort()}/quickstart/{1}`,
    });
    expect(await get(context, port, "quickstart/hello")).toContain("VALUE quickstart/hello 0");
    expect(await get(context, port, "file/about.txt")).toContain("This value came from a file");
    for (const name of ["", "page.css", "page.js", "tables.js", "uplot.js", "uplot.css"]) {
      expect((await fetch(`http://127.0.0.1:${admin}/${name}`)).status, name).toBe(200);
    }
  });

  it("fills from a user's module, with a memory bound", async (context) => {
    const port = await freePort();
    writeFileSync(
      path.join(folder, "getter.mjs"),
      'import { platform } from "node:os"; export default ({ key }) => `${key} on ${platform()}`;',
    );
    writeFileSync(
      path.join(folder, "own.toml"),
      `[server]\nlisten = "127.0.0.1:${port}"\nadmin = "off"\nmax_memory = "256MiB"\n[get.a]\nmatch = ".*"\nsource = "s"\nttl = "1m"\nfill_timeout = "5s"\n[source.s]\ntype = "module"\npath = "getter.mjs"\n`,
    );
    await start(context, "platypus", ["--config", "own.toml"]);
    expect(await get(context, port, "key")).toBe("VALUE key 0 12\r\nkey on linux\r\nEND\r\n");
  });

  it("starts workers", async (context) => {
    const [port, memcached] = [await freePort(), await MemcachedProcess.start()];
    context.onTestFinished(() => memcached.stop());
    writeFileSync(
      path.join(folder, "workers.toml"),
      `[server]\nlisten = "127.0.0.1:${port}"\nadmin = "off"\nworkers = 2\n[target]\nservers = ["127.0.0.1:${memcached.port}"]\n`,
    );
    expect(await start(context, "platypus", ["--config", "workers.toml"])).toContain("2 workers");
    expect(await get(context, port, "none")).toBe("END\r\n");
  });

  it("accepts the command lines of nutcracker and mcrouter under their names", async (context) => {
    const [twemproxy, mcrouter, memcached] = [await freePort(), await freePort(), await MemcachedProcess.start()];
    context.onTestFinished(() => memcached.stop());
    for (const name of ["nutcracker", "mcrouter"]) symlinkSync(binary, path.join(folder, name));
    writeFileSync(
      path.join(folder, "n.yml"),
      `p:\n  listen: 127.0.0.1:${twemproxy}\n  servers:\n    - 127.0.0.1:${memcached.port}:1\n`,
    );
    const route = { pools: { A: { servers: [`127.0.0.1:${memcached.port}`] } }, route: "PoolRoute|A" };
    writeFileSync(path.join(folder, "m.json"), JSON.stringify(route));
    expect(run("nutcracker", "-t", "-c", "n.yml")).toContain("no problems");
    const stats = ["-a", "127.0.0.1", "-s", String(await freePort())];
    await start(context, "nutcracker", ["-c", "n.yml", "-v", "6", ...stats], { PLATYPUS_SERVER_ADMIN: "off" });
    await start(context, "mcrouter", ["-p", String(mcrouter), "-f", "m.json"]);
    const client = await TextClient.connect(twemproxy);
    context.onTestFinished(() => client.close());
    expect(await client.ask("set a 0 0 1\r\nv")).toBe("STORED\r\n");
    expect(await text(connect(Number(stats[3]), "127.0.0.1"))).toContain('"service":"nutcracker"');
    expect(await get(context, mcrouter, "a")).toBe("VALUE a 0 1\r\nv\r\nEND\r\n");
    expect(spawnSync(path.join(folder, "mcrouter"), [], { env: env() }).status).not.toBe(0);
  });

  it("is a Debian package with its unit, a valid configuration, a man page and completion", () => {
    const [deb] = execFileSync("ls", [folder], { encoding: "utf8" })
      .split("\n")
      .filter((name) => name.endsWith(".deb"));
    const root = path.join(folder, "root");
    execFileSync("/usr/bin/dpkg-deb", ["-x", path.join(folder, deb!), root]);
    expect(run("root/usr/bin/platypus", "check", path.join(root, "etc/platypus/platypus.toml"))).toContain(
      "no problems",
    );
    const unit = readFileSync(path.join(root, "lib/systemd/system/platypus.service"), "utf8");
    expect(unit).toMatch(/^ExecStart=\/usr\/bin\/platypus --config \/etc\/platypus\/platypus.toml$/m);
    expect(
      execFileSync("gzip", ["-dc", path.join(root, "usr/share/man/man1/platypus.1.gz")], { encoding: "utf8" }),
    ).toContain(".TH PLATYPUS 1");
    expect(existsSync(path.join(root, "usr/share/bash-completion/completions/platypus"))).toBe(true);
    const control = execFileSync("/usr/bin/dpkg-deb", ["-f", path.join(folder, deb!)], { encoding: "utf8" });
    expect(control).toMatch(new RegExp(`^Package: platypus-proxy\\nVersion: ${packageVersion}$`, "m"));
  });
});
