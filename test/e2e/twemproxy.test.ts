import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { afterTest, connect } from "../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { NutcrackerProcess } from "../support/servers/nutcracker-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const keys = Array.from({ length: 100 }, (_, i) => `user:{${i % 50}}:${i}`);

/** A pool of twemproxy's file; servers stand in it as they are given. */
function pool(name: string, port: number, servers: readonly string[], directives: readonly string[] = []): string {
  const lines = [`listen: 127.0.0.1:${port}`, ...directives, "servers:", ...servers.map((server) => ` - ${server}`)];
  return `${name}:\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

describe.skipIf(MemcachedProcess.isMissing)("twemproxy's file", () => {
  let folder: string;
  let servers: MemcachedProcess[];
  let socket: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    socket = path.join(folder, "memcached.sock");
    servers = await Promise.all([
      MemcachedProcess.start(),
      MemcachedProcess.start(),
      MemcachedProcess.start({ path: socket }),
    ]);
  });

  afterEach(async () => {
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true });
  });

  async function start(yaml: string): Promise<PlatypusProcess> {
    const platypus = await PlatypusProcess.start(yaml);
    afterTest(() => platypus.stop());
    return platypus;
  }

  async function setAll(port: number, value: string): Promise<void> {
    const client = await connect(port);
    for (const key of keys) {
      expect(await client.ask(`set ${key} 0 0 ${value.length}\r\n${value}`)).toBe("STORED\r\n");
    }
  }

  /** Keys that have this value. */
  async function keysWith(port: number, value: string): Promise<string[]> {
    const client = await connect(port);
    const found: string[] = [];
    for (const key of keys)
      if ((await client.ask(`get ${key}`, "END\r\n")).includes(`\r\n${value}\r\n`)) found.push(key);
    return found;
  }

  it.skipIf(NutcrackerProcess.isMissing)("defines the pools that twemproxy would create, on their ports", async () => {
    const [one, two] = servers.map((server) => `127.0.0.1:${server.port}`);
    const yaml = (alpha: number, beta: number) =>
      pool("alpha", alpha, [`${one}:1`, `${two}:2`, `${socket}:1`]) +
      pool(
        "beta",
        beta,
        [`${one}:1 zeta`, `${two}:1 eta`, `${socket}:3`],
        ["distribution: modula", 'hash_tag: "{}"', "hash: murmur"],
      );
    const theirs = [await freePort(), await freePort()] as const;
    const ours = [await freePort(), await freePort()] as const;
    const nutcracker = await NutcrackerProcess.start(yaml(...theirs), theirs[1]);
    afterTest(() => nutcracker.stop());
    const platypus = await start(yaml(...ours));
    expect(platypus.stderr).toContain(`listens on 127.0.0.1:${ours[0]}, 127.0.0.1:${ours[1]}`);
    for (const i of [0, 1] as const) {
      const value = `of pool ${i}`;
      await setAll(theirs[i], value);
      expect(await keysWith(ours[i], value)).toEqual(keys);
    }
    // The pools place keys differently: a key of one is not always where the other looks.
    expect((await keysWith(ours[0], "of pool 1")).length).toBeLessThan(keys.length);
  });

  it("moves the keys of a dead server to the others with auto_eject_hosts, and not without", async () => {
    const ports = [await freePort(), await freePort()] as const;
    const list = servers.slice(0, 2).map((server) => `127.0.0.1:${server.port}:1`);
    const ejecting = ["auto_eject_hosts: true", "server_retry_timeout: 100000", "timeout: 2000"];
    await start(pool("ejects", ports[0], list, ejecting) + pool("keeps", ports[1], list));
    await setAll(ports[0], "before");
    await servers[1]!.stop();
    const client = await connect(ports[0]);
    // The first that is refused is the last that is asked of it.
    for (const key of keys) await client.ask(`set ${key} 0 0 5\r\nafter`);
    await setAll(ports[0], "after");
    expect(await keysWith(ports[0], "after")).toEqual(keys);
    const other = await connect(ports[1]);
    const answers = new Set<string>();
    for (const key of keys) answers.add((await other.ask(`set ${key} 0 0 1\r\nx`)).slice(0, 12));
    expect(answers).toEqual(new Set(["STORED\r\n", "SERVER_ERROR"]));
  });

  it("is reloaded: pools continue with new servers, and a removed pool accepts no more clients", async () => {
    const ports = [await freePort(), await freePort()] as const;
    const [one, two] = servers.map((server) => `127.0.0.1:${server.port}:1`);
    const platypus = await start(pool("stays", ports[0], [one!]) + pool("goes", ports[1], [one!]));
    await setAll(ports[0], "one");
    const left = await connect(ports[1]);
    await writeFile(platypus.configFile, pool("stays", ports[0], [two!]));
    platypus.child.kill("SIGHUP");
    await platypus.printed(/pool goes is gone/);
    await platypus.printed(/reloaded/);
    expect(await keysWith(ports[0], "one")).toEqual([]);
    await expect(TextClient.connect(ports[1])).rejects.toThrow("ECONNREFUSED");
    expect(await left.end()).toBe("");
  });

  it("is reloaded: addresses serve the pools that have them then, whatever the pools' names", async () => {
    const ports = [await freePort(), await freePort(), await freePort()] as const;
    const [one, two] = servers.map((server) => `127.0.0.1:${server.port}:1`);
    const platypus = await start(pool("a", ports[0], [one!]) + pool("b", ports[1], [two!]));
    await setAll(ports[0], "one");
    await setAll(ports[1], "two");
    const clients = [await connect(ports[0]), await connect(ports[1])] as const;
    const read = async () => {
      const answers = await Promise.all(clients.map((client) => client.ask(`get ${keys[0]}`, "END\r\n")));
      return answers.map((answer) => answer.split("\r\n")[1]);
    };
    let count = 0;
    const reload = async (text: string) => {
      await writeFile(platypus.configFile, text);
      platypus.child.kill("SIGHUP");
      count++;
      await expect.poll(() => platypus.stderr.match(/: (not )?reloaded/g)?.length, { timeout: 10_000 }).toBe(count);
    };
    expect(await read()).toEqual(["one", "two"]);
    await reload(pool("renamed", ports[0], [one!]) + pool("b", ports[1], [two!]));
    expect(await read()).toEqual(["one", "two"]);
    await reload(pool("renamed", ports[1], [one!]) + pool("b", ports[0], [two!]));
    expect(await read()).toEqual(["two", "one"]);
    await reload(pool("b", ports[0], [one!]) + pool("c", ports[1], [two!]) + pool("new", ports[2], [one!]));
    expect(await read()).toEqual(["one", "two"]);
    expect(await keysWith(ports[2], "one")).toEqual(keys);
    expect(platypus.stderr).not.toMatch(/is gone|needs a restart/);
  });

  it("is refused as a whole if a new address is unavailable", async () => {
    const ports = [await freePort(), await freePort()] as const;
    const [one, two] = servers.map((server) => `127.0.0.1:${server.port}:1`);
    const platypus = await start(pool("a", ports[0], [one!]));
    await setAll(ports[0], "one");
    const taken = `127.0.0.1:${servers[0]!.port}`;
    const both = pool("a", ports[0], [two!]) + pool("b", ports[1], [two!]) + pool("c", servers[0]!.port, [two!]);
    await writeFile(platypus.configFile, both);
    platypus.child.kill("SIGHUP");
    await platypus.printed(/not reloaded/);
    expect(platypus.stderr).toContain(`${taken} is in use`);
    expect(await keysWith(ports[0], "one")).toEqual(keys);
    await expect(TextClient.connect(ports[1])).rejects.toThrow("ECONNREFUSED");
  });

  it.skipIf(NutcrackerProcess.isMissing)("describes a twemproxy that can be a server of Platypus", async () => {
    const port = await freePort();
    const [one, two] = servers.map((server) => `127.0.0.1:${server.port}:1`);
    const twemproxy = await NutcrackerProcess.start(pool("alpha", port, [one!, two!]), port);
    afterTest(() => twemproxy.stop());
    const platypus = await start(`[server]\nlisten = "127.0.0.1:0"\n[target]\nservers = ["127.0.0.1:${port}"]\n`);
    const client = await connect(platypus.port);
    // twemproxy closes the connection after `mn`, which loses no request, and answers a get of many keys in another order.
    expect(await client.ask("set first 0 0 1\r\n1")).toBe("STORED\r\n");
    await setAll(platypus.port, "value");
    await client.ask(`get ${keys.join(" ")}`, "END\r\n");
    const all = await client.ask(`get ${keys.join(" ")}`, "END\r\n");
    expect(all).toBe(`${keys.map((key) => `VALUE ${key} 0 5\r\nvalue\r\n`).join("")}END\r\n`);
    expect(await keysWith(platypus.port, "value")).toEqual(keys);
  });

  it("is checked and explained, with warnings for settings without effect", async () => {
    const file = path.join(folder, "nutcracker.yml");
    await writeFile(file, pool("alpha", 1, ["10.0.0.1:1:1"], ["preconnect: true"]) + pool("beta", 2, ["10.0.0.2:1:1"]));
    const check = PlatypusProcess.run(["check", file]);
    expect(await check.exit()).toBe(0);
    expect(check.stdout).toContain("warning: alpha.preconnect (line 3) has no effect");
    expect(check.stdout).toContain("no problems (2 pools, 0 rules, 0 sources)");
    const explain = PlatypusProcess.run(["explain", "key", "--config", file]);
    expect(await explain.exit()).toBe(0);
    expect(explain.stdout).toMatch(/10\.0\.0\.1:1 of pool alpha\n.*10\.0\.0\.2:1 of pool beta\n/);
    await writeFile(file, pool("alpha", 1, ["10.0.0.1"]));
    const wrong = PlatypusProcess.run(["check", file]);
    expect(await wrong.exit()).toBe(2);
    expect(wrong.stderr).toContain(`${file}:4: alpha.servers[0]: expected host:port:weight`);
  });
});
