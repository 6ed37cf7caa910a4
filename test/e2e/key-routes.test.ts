/** [[route]] over real memcacheds: where keys are stored, and what clients see while a server is down. */
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { routedConfig } from "../support/rigs/routed-config.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

/** A Platypus over one memcached for each pool. */
class Routed {
  readonly servers = new Map<string, MemcachedProcess>();
  private readonly platypuses: Platypus[] = [];
  private readonly clients: TextClient[] = [];

  async pool(name: string, args: readonly string[] = []): Promise<void> {
    this.servers.set(name, await MemcachedProcess.start({ args }));
  }

  /** Starts a process with these routes and rules, and connects a client to it. */
  async start(toml: string): Promise<TextClient> {
    const pools = [...this.servers].map(
      ([name, { port }]) => `[pool.${name}]\nservers = "127.0.0.1:${port}"\ntimeouts_until_tko = 1\n`,
    );
    const platypus = await Platypus.start(routedConfig(pools.join("") + toml));
    this.platypuses.push(platypus);
    const address = platypus.addresses[0]!;
    return this.connect(address.type === "tcp" ? address.port : 0);
  }

  async connect(port: number): Promise<TextClient> {
    const client = await TextClient.connect(port);
    this.clients.push(client);
    return client;
  }

  /** The reply of the pool's server itself. */
  async direct(pool: string, command: string, end: string): Promise<string> {
    return ask(await this.connect(this.servers.get(pool)!.port), command, end);
  }

  /** The value of a key on the pool's server. `null` if it has none. */
  async value(pool: string, key: string): Promise<string | null> {
    const text = await this.direct(pool, `get ${key}\r\n`, "END\r\n");
    return /\r\n(.*)\r\nEND/.exec(text)?.[1] ?? null;
  }

  async stop(): Promise<void> {
    for (const client of this.clients) client.close();
    for (const platypus of this.platypuses) await platypus.close();
    for (const server of this.servers.values()) await server.stop();
  }
}

async function ask(client: TextClient, command: string, end: string): Promise<string> {
  client.send(command);
  return client.until(end);
}

function set(client: TextClient, key: string, value: string, exptime = 0): Promise<string> {
  return ask(client, `set ${key} 5 ${exptime} ${value.length}\r\n${value}\r\n`, "\r\n");
}

function get(client: TextClient, keys: string): Promise<string> {
  return ask(client, `get ${keys}\r\n`, "END\r\n");
}

const hit = (key: string, value: string) => `VALUE ${key} 5 ${value.length}\r\n${value}\r\nEND\r\n`;

describe.skipIf(MemcachedProcess.isMissing)("[[route]]", () => {
  let routed: Routed;
  beforeEach(() => {
    routed = new Routed();
  });
  afterEach(() => routed.stop());

  it("stores keys in the pool of the first route that fits, and a get of many finds them all in order", async () => {
    for (const name of ["one", "two", "rest"]) await routed.pool(name);
    const client = await routed.start(
      '[[route]]\nprefix = ["a:", "b:"]\npool = "one"\n[[route]]\nmatch = "[a-z]+/[0-9]+"\npool = "two"\n[[route]]\npool = "rest"\n',
    );
    for (const key of ["a:1", "b:1", "x/7", "x/y"]) expect(await set(client, key, key)).toBe("STORED\r\n");
    expect(await get(client, "x/y a:1 none x/7 b:1")).toBe(
      "VALUE x/y 5 3\r\nx/y\r\nVALUE a:1 5 3\r\na:1\r\nVALUE x/7 5 3\r\nx/7\r\nVALUE b:1 5 3\r\nb:1\r\nEND\r\n",
    );
    expect(await get(client, "a:1 b:1")).toBe("VALUE a:1 5 3\r\na:1\r\nVALUE b:1 5 3\r\nb:1\r\nEND\r\n");
    expect([await routed.value("one", "a:1"), await routed.value("one", "b:1")]).toEqual(["a:1", "b:1"]);
    expect([await routed.value("two", "x/7"), await routed.value("rest", "x/y")]).toEqual(["x/7", "x/y"]);
    expect(await routed.value("rest", "a:1")).toBe(null);
  });

  it("sends the keys of a dead server to the failover pool, where they expire", async () => {
    for (const name of ["main", "gutter"]) await routed.pool(name);
    const client = await routed.start('[[route]]\npool = "main"\nfailover = "gutter"\nfailover_ttl = "30s"\n');
    await set(client, "k", "one");
    expect([await routed.value("main", "k"), await routed.value("gutter", "k")]).toEqual(["one", null]);
    await routed.servers.get("main")!.stop();
    expect(await get(client, "k")).toBe("END\r\n");
    expect(await set(client, "k", "two")).toBe("STORED\r\n");
    expect(await get(client, "k")).toBe(hit("k", "two"));
    const ttl = /t(\d+)/.exec(await routed.direct("gutter", "mg k t\r\n", "\r\n"))![1];
    expect(Number(ttl)).toBeGreaterThan(25);
    expect(Number(ttl)).toBeLessThanOrEqual(30);
  });

  it("writes and deletes in all replicas, and reads from the next one if a server is dead", async () => {
    for (const name of ["here", "there"]) await routed.pool(name);
    const client = await routed.start('[[route]]\nreplicas = ["here", "there"]\n');
    await set(client, "k", "v");
    await set(client, "gone", "v");
    expect([await routed.value("here", "k"), await routed.value("there", "k")]).toEqual(["v", "v"]);
    expect(await ask(client, "delete gone\r\n", "\r\n")).toBe("DELETED\r\n");
    expect([await routed.value("here", "gone"), await routed.value("there", "gone")]).toEqual([null, null]);
    await routed.servers.get("here")!.stop();
    expect(await get(client, "k")).toBe(hit("k", "v"));
    expect(await get(client, "k gone")).toBe(hit("k", "v"));
  });

  it('reads the fastest replica with read = "fastest"', async () => {
    for (const name of ["here", "there"]) await routed.pool(name);
    const client = await routed.start('[[route]]\nreplicas = ["here", "there"]\nread = "fastest"\n');
    await set(client, "k", "v");
    routed.servers.get("here")!.pause();
    expect(await get(client, "k")).toBe(hit("k", "v"));
  });

  it("copies a miss from the pool that keys move away from, with flags and remaining TTL, and deletes there what is written", async () => {
    for (const name of ["new", "old"]) await routed.pool(name);
    const client = await routed.start('[[route]]\npool = "new"\nwarm_from = "old"\n');
    await routed.direct("old", "set k 5 100 3\r\nold\r\n", "\r\n");
    expect(await get(client, "k")).toBe(hit("k", "old"));
    // The copy is made behind the reply; the next command for the key is sent after it.
    expect(await ask(client, "mg k v f t\r\n", "\r\nold\r\n")).toMatch(/^VA 3 f5 t(100|9\d)\r\n/);
    expect(await routed.value("new", "k")).toBe("old");
    await set(client, "k", "two");
    expect([await routed.value("new", "k"), await routed.value("old", "k")]).toEqual(["two", null]);
    await routed.direct("old", "set other 5 0 3\r\nold\r\n", "\r\n");
    expect(await ask(client, "append other 0 0 1\r\n!\r\n", "\r\n")).toBe("STORED\r\n");
    expect(await get(client, "other k")).toBe("VALUE other 5 4\r\nold!\r\nVALUE k 5 3\r\ntwo\r\nEND\r\n");
    await routed.direct("old", "set k 5 0 3\r\nold\r\n", "\r\n");
    await ask(client, "delete k\r\n", "\r\n");
    expect([await routed.value("new", "k"), await routed.value("old", "k")]).toEqual([null, null]);
    expect(await get(client, "k")).toBe("END\r\n");
  });

  it("misses at once when the pool that keys move away from is dead", async () => {
    for (const name of ["new", "old"]) await routed.pool(name);
    const client = await routed.start('[[route]]\npool = "new"\nwarm_from = "old"\n');
    await routed.servers.get("old")!.stop();
    expect(await get(client, "k other")).toBe("END\r\n");
    expect(await set(client, "k", "v")).toBe("STORED\r\n");
    expect(await get(client, "k")).toBe(hit("k", "v"));
  });

  it("removes a prefix on the way to the servers", async () => {
    await routed.pool("main");
    const client = await routed.start(
      '[[route]]\nprefix = "app:"\npool = "main"\nstrip_prefix = "app:"\n[[route]]\npool = "main"\n',
    );
    await set(client, "app:k", "v");
    expect([await routed.value("main", "k"), await routed.value("main", "app:k")]).toEqual(["v", null]);
    expect(await get(client, "app:k k")).toBe("VALUE app:k 5 1\r\nv\r\nVALUE k 5 1\r\nv\r\nEND\r\n");
  });

  it("fills keys of a rule through every kind of route, with a lease where one pool stores the keys", async () => {
    for (const name of ["main", "other"]) await routed.pool(name);
    const client = await routed.start(
      `[[route]]\nprefix = "plain:"\npool = "main"\n[[route]]\nreplicas = ["main", "other"]\n
[get.all]\nmatch = "(.*)"\nsource = "echo"\n[source.echo]\ntype = "echo"\ntemplate = "made {1}"\n`,
    );
    expect(await get(client, "plain:1")).toContain("made plain:1");
    expect(await get(client, "spread:1")).toContain("made spread:1");
    expect([await routed.value("main", "plain:1"), await routed.value("other", "plain:1")]).toEqual([
      "made plain:1",
      null,
    ]);
    await expect.poll(() => routed.value("other", "spread:1")).toBe("made spread:1");
    expect(await routed.value("main", "spread:1")).toBe("made spread:1");
    // Each fill under a lease adds and deletes one more item.
    const stats = await routed.direct("main", "stats\r\n", "END\r\n");
    expect(/STAT delete_hits (\d+)/.exec(stats)![1]).toBe("1");
  });

  it("begins and ends with a reload, and clients stay connected", async () => {
    for (const name of ["main", "other"]) await routed.pool(name);
    const { PlatypusProcess } = await import("../support/servers/platypus-process.ts");
    const [main, other] = ["main", "other"].map((name) => routed.servers.get(name)!.port);
    const one = `[server]\nlisten = "127.0.0.1:0"\n[pool.main]\nservers = "127.0.0.1:${main}"\n`;
    const both = `${one}[pool.other]\nservers = "127.0.0.1:${other}"\n[[route]]\nprefix = "a"\npool = "other"\n[[route]]\npool = "main"\n`;
    const process = await PlatypusProcess.start(one);
    const client = await routed.connect(process.port);
    const reloaded = async (text: string, count: number) => {
      await writeFile(process.configFile, text);
      await expect.poll(() => process.stderr.match(/: reloaded/g)?.length, { timeout: 10_000 }).toBe(count);
    };
    await set(client, "k", "v");
    await reloaded(both, 1);
    await set(client, "a", "v");
    expect(await get(client, "a k")).toBe("VALUE a 5 1\r\nv\r\nVALUE k 5 1\r\nv\r\nEND\r\n");
    expect(await routed.value("other", "a")).toBe("v");
    await reloaded(one, 2);
    expect(await get(client, "a k")).toBe(hit("k", "v"));
    await process.stop();
  });

  it("flushes all pools, if flush_all is allowed", async () => {
    for (const name of ["main", "other"]) await routed.pool(name);
    const client = await routed.start(
      '[server]\nflush_all = true\n[[route]]\nprefix = "a"\npool = "main"\n[[route]]\npool = "other"\n',
    );
    await set(client, "a", "v");
    await set(client, "b", "v");
    expect(await ask(client, "flush_all\r\n", "\r\n")).toBe("OK\r\n");
    expect(await get(client, "a b")).toBe("END\r\n");
  });
});
