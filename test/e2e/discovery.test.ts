/** Pools that follow their servers: a real Platypus over memcacheds, with lists from DNS, a configuration endpoint and a file. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parsePrometheus, sampleValue } from "../support/clients/prometheus-text.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { ClusterEndpoint } from "../support/servers/cluster-endpoint.ts";
import { DnsServer } from "../support/servers/dns-server.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

let folder: string;
let file: string;
const memcacheds: MemcachedProcess[] = [];
const clients: TextClient[] = [];
let platypus: PlatypusProcess | null;
let dns: DnsServer;
let endpoint: ClusterEndpoint;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-discovery-"));
  file = path.join(folder, "servers.txt");
  platypus = null;
  dns = await DnsServer.start();
  endpoint = await ClusterEndpoint.start();
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await platypus?.stop();
  for (const memcached of memcacheds.splice(0)) await memcached.stop();
  await dns.stop();
  await endpoint.stop();
  await rm(folder, { recursive: true });
});

async function startServers(count: number): Promise<void> {
  for (let i = 0; i < count; i++) memcacheds.push(await MemcachedProcess.start());
}

const place = (i: number) => `127.0.0.1:${memcacheds[i]!.port}`;
const listOf = (...indexes: number[]) => indexes.map((i) => `${place(i)}\n`).join("");

async function start(target: string, server = ""): Promise<PlatypusProcess> {
  platypus = await PlatypusProcess.start(
    `[server]\nlisten = "127.0.0.1:0"\n${server}\n[target]\nconnect_timeout = "5s"\nserver_timeout = "5s"\n${target}\n`,
  );
  return platypus;
}

async function connect(port: number): Promise<TextClient> {
  const client = await TextClient.connect(port);
  clients.push(client);
  return client;
}

async function ask(client: TextClient, command: string, end = "\r\n"): Promise<string> {
  client.send(command);
  return client.until(end);
}

/** The memcacheds that have one of many keys that are stored through the process. */
async function used(): Promise<number[]> {
  const client = await connect(platypus!.port);
  for (let i = 0; i < 50; i++) expect(await ask(client, `set key${i} 0 0 1\r\nv\r\n`)).toBe("STORED\r\n");
  const found: number[] = [];
  for (const [index, { port }] of memcacheds.entries()) {
    const direct = await connect(port);
    if (/curr_items [1-9]/.test(await ask(direct, "stats\r\n", "END\r\n"))) found.push(index);
    await ask(direct, "flush_all\r\n");
  }
  return found;
}

describe.skipIf(MemcachedProcess.isMissing)("discover", () => {
  it("follows a file: a server is added and one removed without a lost connection to the others", async () => {
    await startServers(3);
    await writeFile(file, listOf(0, 1));
    const process = await start(`discover = "file:${file}"`);
    expect(await used()).toEqual([0, 1]);
    const direct = await connect(memcacheds[0]!.port);
    const opened = async () => /total_connections (\d+)/.exec(await ask(direct, "stats\r\n", "END\r\n"))![1];
    const before = await opened();
    await writeFile(file, `${listOf(0, 1)}${place(2)} # new\n`);
    await process.printed(/3 servers; added 127\.0\.0\.1:\d+; removed none; \d+\.\d % of the keys moved/);
    expect(await used()).toEqual([0, 1, 2]);
    await writeFile(file, listOf(0, 2));
    await process.printed(/2 servers; added none; removed 127\.0\.0\.1:\d+; \d+\.\d % of the keys moved/);
    expect(await used()).toEqual([0, 2]);
    // Only this test's own connections to the first server were opened meanwhile: two in `used`.
    expect(Number(await opened()) - Number(before)).toBe(2);
  });

  it("keeps the last list when the file is emptied, broken or removed, and says so", async () => {
    await startServers(2);
    await writeFile(file, listOf(0, 1));
    const process = await start(`discover = "file:${file}"`);
    await writeFile(file, "");
    await process.printed(/warn {2}pool: pool target, file:.*: the list is empty; the last list of 2 servers stays/);
    await writeFile(file, `${listOf(0)}not a server at all\n`);
    await process.printed(/servers\.txt:2: expected .*; the last list of 2 servers stays/);
    await rm(file);
    await process.printed(/no such file; the last list of 2 servers stays/);
    expect(await used()).toEqual([0, 1]);
    await writeFile(file, listOf(0, 1));
    await process.printed(/answers again/);
  });

  it("follows all addresses of a name", async () => {
    await startServers(1);
    const [{ port }] = memcacheds as [MemcachedProcess];
    dns.records.set("cache.test", { a: ["127.0.0.1"] });
    const process = await start(
      `discover = "dns:cache.test:${port}"\ndiscover_dns = "${dns.address}"\ndiscover_interval = "1s"`,
    );
    await process.printed(/1 server; added 127\.0\.0\.1:\d+/);
    dns.records.set("cache.test", { a: ["127.0.0.1", "127.0.0.3"] });
    await process.printed(/2 servers; added 127\.0\.0\.3:\d+; removed none/);
  });

  it("places servers of SRV records by their host name, and keeps the last list while DNS does not answer", async () => {
    await startServers(2);
    dns.records.set("_memcache._tcp.cache.test", {
      srv: [{ name: "localhost", port: memcacheds[0]!.port }],
    });
    const process = await start(
      `discover = "srv:_memcache._tcp.cache.test"\ndiscover_dns = "${dns.address}"\ndiscover_interval = "1s"`,
    );
    await process.printed(/1 server; added localhost:\d+/);
    expect(await used()).toEqual([0]);
    dns.silent.add("_memcache._tcp.cache.test");
    await process.printed(/query\w* \w+ .*; the last list of 1 server stays/i);
    expect(await used()).toEqual([0]);
  });

  it("asks a configuration endpoint again as soon as a connection to a server is lost", async () => {
    await startServers(2);
    const entry = (i: number) => `localhost|127.0.0.1|${memcacheds[i]!.port}`;
    endpoint.entries = [entry(0)];
    const process = await start(`discover = "elasticache:127.0.0.1:${endpoint.port}"\ndiscover_interval = "1h"`);
    expect(await used()).toEqual([0]);
    endpoint.entries = [entry(0), entry(1)];
    endpoint.version = 2;
    const [first] = memcacheds.splice(0, 1);
    await first!.stop();
    await process.printed(/2 servers; added localhost:\d+; removed none/);
  });

  it("starts with the kept list when the place does not answer", async () => {
    await startServers(2);
    const state = path.join(folder, "state");
    await writeFile(file, listOf(0, 1));
    const target = `discover = "file:${file}"`;
    const process = await start(target, `state_folder = "${state}"`);
    expect(await used()).toEqual([0, 1]);
    expect(JSON.parse(await readFile(path.join(state, "servers-target.json"), "utf8"))).toEqual({
      discover: `file:${file}`,
      servers: [place(0), place(1)],
    });
    await process.stop();
    await rm(file);
    await start(target, `state_folder = "${state}"`);
    expect(await used()).toEqual([0, 1]);
  });

  it("answers with errors while no list is known, and serves when there is one", async () => {
    await startServers(1);
    const process = await start(`discover = "file:${file}"`);
    await process.printed(/no such file; no server is known/);
    const client = await connect(process.port);
    expect(await ask(client, "set k 0 0 1\r\nv\r\n")).toBe(
      "SERVER_ERROR the servers of the pool are not known yet\r\n",
    );
    await writeFile(file, listOf(0));
    await process.printed(/1 server; added/);
    expect(await ask(client, "set k 0 0 1\r\nv\r\n")).toBe("STORED\r\n");
  });

  it("reaches all workers", async () => {
    await startServers(2);
    await writeFile(file, listOf(0));
    const adminPort = await freePort();
    platypus = await PlatypusProcess.start(
      `[server]\nlisten = "127.0.0.1:0"\nworkers = 2\nadmin = "127.0.0.1:${adminPort}"\n[target]\ndiscover = "file:${file}"\n`,
    );
    await writeFile(file, listOf(0, 1));
    await expect.poll(() => platypus!.stderr.match(/2 servers; added/g)?.length, { timeout: 10_000 }).toBe(2);
    const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
    const samples = parsePrometheus(text);
    expect(sampleValue(samples, "platypus_discovery_servers", { pool: "target" })).toBe(2);
    expect(sampleValue(samples, "platypus_discovery_changes_total", { pool: "target" })).toBe(1);
    expect(sampleValue(samples, "platypus_discovery_failures_total", { pool: "target" })).toBe(0);
    expect(await used()).toEqual([0, 1]);
  });

  it("follows another place after a reload, and keeps the list on a reload that does not concern it", async () => {
    await startServers(2);
    await writeFile(file, listOf(0));
    const other = path.join(folder, "other.txt");
    await writeFile(other, listOf(1));
    const process = await start(`discover = "file:${file}"`);
    const text = await readFile(process.configFile, "utf8");
    await writeFile(process.configFile, `${text}\n[get.e]\nmatch = "none"\nsource = "e"\n[source.e]\ntype = "echo"\n`);
    await process.printed(/reloaded/);
    expect(await used()).toEqual([0]);
    await writeFile(process.configFile, text.replace(file, other));
    await expect.poll(() => process.stderr.match(/: reloaded/g)?.length, { timeout: 10_000 }).toBe(2);
    expect(await used()).toEqual([1]);
  });
});

describe.skipIf(MemcachedProcess.isMissing)("advertise", () => {
  it("answers clients that discover servers with Platypus' own addresses", async () => {
    await startServers(1);
    const process = await start(`servers = "${place(0)}"`, 'advertise = ["cache.test:11211", "10.0.0.9:11212"]');
    const client = await connect(process.port);
    const reply = await ask(client, "config get cluster\r\n", "END\r\n");
    const [, length, body] = /^CONFIG cluster 0 (\d+)\r\n(.*)\r\nEND\r\n$/s.exec(reply)!;
    expect(body).toMatch(/^\d+\ncache\.test\|\|11211 10\.0\.0\.9\|10\.0\.0\.9\|11212\n$/);
    expect(Number(length)).toBe(body!.length);
    expect(await ask(client, "get AmazonElastiCache:cluster\r\n", "END\r\n")).toBe(
      `VALUE AmazonElastiCache:cluster 0 ${length}\r\n${body}\r\nEND\r\n`,
    );
    expect(await ask(client, "config get other\r\n")).toBe("ERROR\r\n");
  });

  it("makes another Platypus follow it", async () => {
    await startServers(1);
    const port = await freePort();
    const first = await PlatypusProcess.start(
      `[server]\nlisten = "127.0.0.1:${port}"\nadvertise = "127.0.0.1:${port}"\n[target]\nservers = "${place(0)}"\n`,
    );
    const process = await start(`discover = "elasticache:127.0.0.1:${port}"`);
    await process.printed(new RegExp(`1 server; added 127.0.0.1:${port}`));
    expect(await used()).toEqual([0]);
    await first.stop();
  });

  it("is unknown without the setting, as in memcached", async () => {
    await startServers(1);
    const process = await start(`servers = "${place(0)}"`);
    const client = await connect(process.port);
    expect(await ask(client, "config get cluster\r\n")).toBe("ERROR\r\n");
    expect(await ask(client, "get AmazonElastiCache:cluster\r\n", "END\r\n")).toBe("END\r\n");
  });
});
