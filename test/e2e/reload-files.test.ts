/**
 * Files that a configuration is made of: each one that changes is a new configuration, unless it is a broken one. Each test has its
 * own folder and processes. They mostly wait for the watch, so several run at a time.
 */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { describe, expect, it, type TestContext } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const patience = { timeout: 30_000 };

class Scene {
  readonly folder: string;
  readonly port: number;
  private readonly test: TestContext;
  private process: PlatypusProcess | null = null;

  private constructor(folder: string, port: number, test: TestContext) {
    this.folder = folder;
    this.port = port;
    this.test = test;
  }

  static async set(test: TestContext): Promise<Scene> {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-files-"));
    test.onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return new Scene(folder, await freePort(), test);
  }

  file(name: string): string {
    return path.join(this.folder, name);
  }

  async write(files: Record<string, string>): Promise<void> {
    for (const [name, text] of Object.entries(files)) await writeFile(this.file(name), text);
  }

  async start(...args: string[]): Promise<PlatypusProcess> {
    const platypus = PlatypusProcess.run(args);
    this.process = platypus;
    this.test.onTestFinished(() => platypus.stop());
    await platypus.printed(/listens on/);
    return platypus;
  }

  async memcached(): Promise<MemcachedProcess> {
    const memcached = await MemcachedProcess.start();
    this.test.onTestFinished(() => memcached.stop());
    return memcached;
  }

  async ask(command: string, end: string, port = this.port): Promise<string> {
    const client = await TextClient.connect(port);
    const answer = await client.ask(command, end);
    client.close();
    return answer;
  }

  /** Resolves when `count` reloads were applied or refused. */
  async reloads(count: number): Promise<void> {
    const seen = () => this.process!.stderr.match(/: (not )?reloaded/g)?.length ?? 0;
    // The global `expect` does not know which of several running tests calls it.
    await this.test.expect.poll(seen, patience).toBe(count);
  }
}

const native = (port: number, rest: string) => `[server]\nlisten = "127.0.0.1:${port}"\n${rest}`;

describe.concurrent("a file beside the configuration", () => {
  const rule = (value: string) =>
    `[get.a]\nmatch = "(.*)"\nsource = "s"\n[source.s]\ntype = "echo"\ntemplate = "${value}"\n`;

  it("is applied from its first change on if it holds a secret", async (test) => {
    const scene = await Scene.set(test);
    await scene.write({ "p.toml": native(scene.port, rule("${file:secrets/value} {1}")) });
    await mkdir(scene.file("secrets"));
    await scene.write({ "secrets/value": "one" });
    const platypus = await scene.start("--config", scene.file("p.toml"));
    expect(await scene.ask("get a", "END\r\n")).toContain("one a");
    await scene.write({ "secrets/value": "two" });
    await scene.reloads(1);
    expect(await scene.ask("get b", "END\r\n")).toContain("two b");
    await scene.write({ "secrets/new": "three" });
    await rename(scene.file("secrets/new"), scene.file("secrets/value"));
    platypus.child.kill("SIGHUP");
    await scene.reloads(2);
    expect(await scene.ask("get c", "END\r\n")).toContain("three c");
    expect(platypus.stderr).not.toContain("not reloaded");
  });

  it("may be removed and come back if it holds a secret", async (test) => {
    const scene = await Scene.set(test);
    await scene.write({ "p.toml": native(scene.port, rule("${file:value} {1}")), value: "one" });
    const platypus = await scene.start("--config", scene.file("p.toml"));
    await rm(scene.file("value"));
    await scene.reloads(1);
    expect(platypus.stderr).toMatch(/not reloaded, the configuration in use stays:\n.*value: there is no such file/);
    await scene.write({ value: "two" });
    await scene.reloads(2);
    expect(await scene.ask("get a", "END\r\n")).toContain("two a");
  });

  it("is applied if Kubernetes swaps it by a link", async (test) => {
    const scene = await Scene.set(test);
    for (const version of ["one", "two"]) {
      await mkdir(scene.file(`..${version}`));
      await scene.write({ [`..${version}/value`]: version });
    }
    await symlink("..one", scene.file("..data"));
    await symlink("..data/value", scene.file("value"));
    await scene.write({ "p.toml": native(scene.port, rule("${file:value} {1}")) });
    await scene.start("--config", scene.file("p.toml"));
    await symlink("..two", scene.file("..tmp"));
    await rename(scene.file("..tmp"), scene.file("..data"));
    await scene.reloads(1);
    expect(await scene.ask("get a", "END\r\n")).toContain("two a");
  });

  it("is refused while it is a certificate that does not match its key", async (test) => {
    const scene = await Scene.set(test);
    const fixture = (name: string) => readFile(new URL(`../support/tls/${name}`, import.meta.url), "utf8");
    const [cert, key, other, otherKey] = await Promise.all(
      ["server.pem", "server.key", "client.pem", "client.key"].map(fixture),
    );
    await scene.write({ "cert.pem": cert!, "key.pem": key! });
    const tlsListen = `[server]\nlisten = "tls:127.0.0.1:${scene.port}"\ntls_cert = "cert.pem"\ntls_key = "key.pem"\n`;
    await scene.write({ "p.toml": tlsListen });
    const platypus = await scene.start("--config", scene.file("p.toml"));
    const served = async () => {
      const socket = tls.connect({ host: "127.0.0.1", port: scene.port, rejectUnauthorized: false });
      await once(socket, "secureConnect");
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      return new X509Certificate(raw).toString();
    };
    await scene.write({ "cert.pem": "", "key.pem": key! });
    platypus.child.kill("SIGHUP");
    await scene.reloads(1);
    await scene.write({ "cert.pem": other! });
    platypus.child.kill("SIGHUP");
    await scene.reloads(2);
    expect(platypus.stderr.match(/: not reloaded/g)).toHaveLength(2);
    expect(platypus.stderr).toMatch(/server\.tls_cert: expected a certificate/);
    expect(platypus.stderr).toMatch(/server\.tls_cert: .* its private key is another one/);
    expect(await served()).toBe(new X509Certificate(cert!).toString());
    await scene.write({ "key.pem": otherKey! });
    platypus.child.kill("SIGHUP");
    await scene.reloads(3);
    expect(await served()).toBe(new X509Certificate(other!).toString());
  });

  it("is applied if mcrouter's configuration names it: pools, imports and rules", async (test) => {
    const scene = await Scene.set(test);
    const [one, two] = [await scene.memcached(), await scene.memcached()];
    const pool = (port: number) => JSON.stringify({ servers: [`127.0.0.1:${port}`] });
    await scene.write({
      "m.json": JSON.stringify({ route: `@import(file:${scene.file("route.json")})` }),
      "route.json": JSON.stringify(`PoolRoute|file:${scene.file("pool.json")}`),
      "pool.json": pool(one.port),
      "rules.toml": "",
    });
    const where = ["-p", String(scene.port), "--listen-addresses=127.0.0.1", "--reconfiguration-delay-ms=50"];
    await scene.start(...where, "-f", scene.file("m.json"), "--rules", scene.file("rules.toml"));
    await scene.ask("set k 0 0 3\r\none", "\r\n");
    await scene.write({ "pool.json": pool(two.port) });
    await scene.reloads(1);
    expect(await scene.ask("get k", "END\r\n")).toBe("END\r\n");
    await scene.write({ "route.json": JSON.stringify("ErrorRoute|as the file says") });
    await scene.reloads(2);
    expect(await scene.ask("set k 0 0 3\r\none", "\r\n")).toContain("as the file says");
    await scene.write({ "rules.toml": '[server]\nlog_level = "debug"\n' });
    await scene.reloads(3);
  });
});

describe.concurrent("a configuration that was emptied or truncated", () => {
  it.for<[what: string, text: string]>([
    ["is empty", ""],
    ["has only a comment", "# to be continued\n"],
    ["ends before its pool", native(0, "")],
  ])("is refused if it %s, and its pool continues", async ([_what, text], test) => {
    const scene = await Scene.set(test);
    const memcached = await scene.memcached();
    const whole = native(scene.port, `\n[target]\nservers = ["127.0.0.1:${memcached.port}"]\n`);
    await scene.write({ "p.toml": whole });
    const platypus = await scene.start("--config", scene.file("p.toml"));
    await scene.write({ "p.toml": text.replace(":0", `:${scene.port}`) });
    platypus.child.kill("SIGHUP");
    await scene.reloads(1);
    expect(platypus.stderr).toContain("there is no pool of servers any more");
    await scene.ask("set k 0 0 1\r\nv", "\r\n");
    expect(await scene.ask("get k", "END\r\n", memcached.port)).toContain("VALUE k");
    await scene.write({ "p.toml": `${whole}# whole again\n` });
    await scene.reloads(2);
    expect(platypus.stderr).toContain(": reloaded");
  });

  it.for<[whose: string, name: string, text: string, message: RegExp]>([
    ["mcrouter's, and is empty", "m.json", "", /m\.json/],
    ["mcrouter's, and is TOML", "m.json", '[target]\nservers = ["a:1"]\n', /m\.json/],
    ["twemproxy's, and is empty", "n.yml", "", /expected pools by name/],
    ["twemproxy's, and is TOML", "n.yml", '[target]\nservers = ["a:1"]\n', /expected twemproxy's YAML/],
  ])("is refused if it was %s", async ([_whose, name, text, message], test) => {
    const scene = await Scene.set(test);
    const memcached = await scene.memcached();
    const server = `127.0.0.1:${memcached.port}`;
    const whole = name.endsWith(".yml")
      ? `a:\n  listen: 127.0.0.1:${scene.port}\n  servers:\n  - ${server}:1\n`
      : JSON.stringify({ pools: { a: { servers: [server] } }, route: "PoolRoute|a" });
    await scene.write({ [name]: whole });
    const args = name.endsWith(".yml") ? [] : ["-p", String(scene.port), "--listen-addresses=127.0.0.1"];
    const platypus = await scene.start("--config", scene.file(name), ...args);
    await scene.write({ [name]: text });
    platypus.child.kill("SIGHUP");
    await scene.reloads(1);
    expect(platypus.stderr).toContain("not reloaded");
    expect(platypus.stderr).toMatch(message);
    await scene.ask("set k 0 0 1\r\nv", "\r\n");
    expect(await scene.ask("get k", "END\r\n", memcached.port)).toContain("VALUE k");
  });

  it("is not used by a worker that starts later", async (test) => {
    const scene = await Scene.set(test);
    const memcached = await scene.memcached();
    const whole = native(scene.port, `workers = 2\n[target]\nservers = ["127.0.0.1:${memcached.port}"]\n`);
    await scene.write({ "p.toml": whole });
    const platypus = await scene.start("--config", scene.file("p.toml"));
    await scene.write({ "p.toml": native(scene.port, "") });
    platypus.child.kill("SIGUSR2");
    await platypus.printed(/worker 0 is not replaced/);
    expect(platypus.stderr).toContain("there is no pool of servers any more");
    for (let i = 0; i < 10; i++) await scene.ask(`set k${i} 0 0 1\r\nv`, "\r\n");
    for (let i = 0; i < 10; i++) expect(await scene.ask(`get k${i}`, "END\r\n", memcached.port)).toContain("VALUE");
  });
});

describe("a configuration that cannot be read", () => {
  it("causes an error at the start that does not mention a configuration in use", async (test) => {
    const scene = await Scene.set(test);
    const platypus = PlatypusProcess.run(["--config", scene.file("none.toml")]);
    expect(await platypus.exit()).toBe(2);
    expect(platypus.stderr).toContain("there is no such file");
    expect(platypus.stderr).not.toContain("in use stays");
  });
});
