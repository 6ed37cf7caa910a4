/** What surrounds mcrouter's routing: command line, stats, files, reload. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

let folder: string;
let file: string;
let port: number;
let running: PlatypusProcess[] = [];
let clients: TextClient[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "platypus-mcrouter-"));
  file = path.join(folder, "config.json");
  port = await freePort();
});

afterEach(async () => {
  for (const client of clients) client.close();
  await Promise.all(running.map((one) => one.stop()));
  await rm(folder, { recursive: true });
  clients = [];
  running = [];
});

/** The options that every mcrouter here has. */
function options(): string[] {
  return [
    "-p",
    String(port),
    "--listen-addresses=127.0.0.1",
    "-f",
    file,
    "--stats-root",
    path.join(folder, "stats"),
    "--config-dump-root",
    path.join(folder, "dump"),
    "-a",
    path.join(folder, "async"),
    "--stats-logging-interval=100",
    "--reconfiguration-delay-ms=50",
  ];
}

function run(...more: string[]): PlatypusProcess {
  const started = PlatypusProcess.run([...options(), ...more]);
  running.push(started);
  return started;
}

async function start(...more: string[]): Promise<TextClient> {
  await run(...more).printed(/listens on/);
  const client = await TextClient.connect(port);
  clients.push(client);
  return client;
}

function pool(servers: readonly number[]): string {
  const list = servers.map((server) => `"127.0.0.1:${server}"`).join(", ");
  return `{ "pools": { "A": { "servers": [${list}] } }, "route": "PoolRoute|A" }`;
}

async function stats(client: TextClient, group: string): Promise<Map<string, string>> {
  const text = await client.ask(`stats ${group}`, "END\r\n");
  const lines = text.split("\r\n").filter((line) => line.startsWith("STAT "));
  // As exporters read them: split at the first two blanks.
  return new Map(lines.map((line) => [line.split(" ")[1]!, line.split(" ").slice(2).join(" ")]));
}

describe.skipIf(MemcachedProcess.isMissing)("Platypus as mcrouter with a server", () => {
  let memcached: MemcachedProcess;

  beforeEach(async () => {
    memcached = await MemcachedProcess.start();
    await writeFile(file, pool([memcached.port]));
  });

  afterEach(() => memcached.stop());

  it("has every stats name that mcrouter's exporter reads, and counts requests", async () => {
    const client = await start();
    await client.ask("set k 0 0 1\r\nx", "STORED\r\n");
    await client.ask("get k\r\nget none", "END\r\nEND\r\n");
    const all = await stats(client, "all");
    const operations =
      "add append cas decr flushall flushre get gets incr metaget prepend replace touch set delete lease_get lease_set";
    const names = [
      ..."version commandargs start_time dev_null_requests duration_us fibers_allocated fibers_pool_size".split(" "),
      ..."proxy_reqs_processing proxy_reqs_waiting config_failures config_last_attempt config_last_success".split(" "),
      ..."num_clients num_client_connections num_servers_closed num_servers_down num_servers_new num_servers_up".split(
        " ",
      ),
      ..."ps_user_time_sec ps_system_time_sec ps_rss ps_vsize".split(" "),
      ..."asynclog_requests asynclog_requests_rate asynclog_spool_success_rate".split(" "),
      ...operations.split(" ").flatMap((name) => ["", "_count", "_out", "_out_all"].map((end) => `cmd_${name}${end}`)),
      ...["error", "replied", "sent", "success"].flatMap((name) => [`request_${name}`, `request_${name}_count`]),
      ..."busy connect_error connect_timeout data_timeout error local_error tko"
        .split(" ")
        .flatMap((name) => ["", "_count", "_all", "_all_count"].map((end) => `result_${name}${end}`)),
    ];
    expect(names.filter((name) => !all.has(name))).toEqual([]);
    expect([all.get("cmd_get_count"), all.get("cmd_set_count"), all.get("cmd_get_out_all_count")]).toEqual([
      "2",
      "1",
      "2",
    ]);
    expect(all.get("num_servers_up")).toBe("1");
    const servers = await stats(client, "servers");
    const line = servers.get(`127.0.0.1:${memcached.port}:ascii:plain:notcompressed-1000`);
    expect(line).toMatch(/^avg_latency_us:\d+\.\d{3} pending_reqs:0 inflight_reqs:0 up:1; found:1 notfound:1 stored:1/);
    // memcached's groups are there as well, for its own exporter.
    expect((await stats(client, "settings")).has("maxconns")).toBe(true);
  });

  it("marks a server that is down as suspect and hard TKO", async () => {
    const client = await start();
    await client.ask("get k", "END\r\n");
    await memcached.stop();
    for (let i = 0; i < 3; i++) await client.ask("get k", "END\r\n");
    const name = `127.0.0.1:${memcached.port}`;
    // As in mcrouter: the connection, and the request that waited for it.
    expect([...(await stats(client, "suspect_servers"))]).toEqual([[name, "status:tko num_failures:2"]]);
    expect((await stats(client, "all")).get("num_suspect_servers")).toBe("1");
    const servers = await stats(client, "servers");
    expect(servers.get(`127.0.0.1:${memcached.port}:ascii:plain:notcompressed-1000`)).toContain("hard_tko; down:1;");
  });

  it("reports a dead server that leaves the configuration, with mcrouter's words", async () => {
    await memcached.stop();
    const client = await start();
    await client.ask("get k", "END\r\n");
    const name = `127.0.0.1:${memcached.port}`;
    expect((await stats(client, "suspect_servers")).has(name)).toBe(true);
    await writeFile(file, pool([await freePort()]));
    await running[0]!.printed(new RegExp(`${name} was TKO, removed from config`));
    await expect.poll(async () => [...(await stats(client, "suspect_servers"))]).toEqual([]);
  });

  it("selects servers by the client's address with --retain-source-ip only", async () => {
    const document = JSON.parse(pool([memcached.port]));
    const children = ["PoolRoute|A", "PoolRoute|A"];
    await writeFile(file, JSON.stringify({ ...document, route: { type: "OriginalClientHashRoute", children } }));
    const client = await start("--retain-source-ip");
    expect(await client.ask("set k 0 0 1\r\nx")).toBe("STORED\r\n");
    expect(await client.ask("get none k", "END\r\n")).toBe("VALUE k 0 1\r\nx\r\nEND\r\n");
    await running[0]!.stop();
    const other = await start();
    expect(await other.ask("set k 0 0 1\r\nx")).toBe("SERVER_ERROR Missing IP\r\n");
  });

  it("writes mcrouter's stats files", async () => {
    const client = await start();
    await client.ask("get k", "END\r\n");
    const name = (kind: string) => path.join(folder, "stats", `libmcrouter.mcrouter.${port}.${kind}`);
    const read = async (kind: string) => JSON.parse(await readFile(name(kind), "utf8").catch(() => "{}"));
    await expect
      .poll(() => read("stats"), { timeout: 5_000 })
      .toMatchObject({ [`libmcrouter.mcrouter.${port}.cmd_get_count`]: 1 });
    expect(await read("startup_options")).toMatchObject({ server_timeout_ms: "1000", ports: String(port) });
    expect(await read("config_sources_info")).toMatchObject({ config_file: file });
  });

  it("applies a changed file; it refuses and counts an invalid file", async () => {
    const other = await MemcachedProcess.start();
    try {
      const client = await start();
      const route = async () => (await client.ask("get __mcrouter__.route(get,k)", "END\r\n")).split("\r\n")[1];
      expect(await route()).toBe(`127.0.0.1:${memcached.port}`);
      await writeFile(file, pool([other.port]));
      await expect.poll(route, { timeout: 10_000 }).toBe(`127.0.0.1:${other.port}`);
      await writeFile(file, '{ "route": "NoSuchRoute" }');
      await running[0]!.printed(/Unknown RouteHandle: NoSuchRoute/);
      expect(await route()).toBe(`127.0.0.1:${other.port}`);
      expect((await stats(client, "all")).get("config_failures")).toBe("1");
    } finally {
      await other.stop();
    }
  });

  it("starts with the last good configuration if the file has become invalid", async () => {
    const first = run();
    await first.printed(/listens on/);
    first.child.kill("SIGTERM");
    expect(await first.exit()).toBe(0);
    await writeFile(file, "{");
    const client = await start();
    expect((await stats(client, "all")).get("configs_from_disk")).toBe("1");
    expect(running[1]!.stderr).toContain("the last good one");
    await client.ask("set k 0 0 1\r\nx", "STORED\r\n");
  });
});

describe("mcrouter's command line", () => {
  it("validates a configuration and exits with mcrouter's codes", async () => {
    await writeFile(file, pool([1]));
    expect(await run("--validate-config").exit()).toBe(0);
    await writeFile(file, '{ "route": "NoSuchRoute" }');
    const bad = run("--validate-config", "--config-dump-root=");
    expect(await bad.exit()).toBe(3);
    expect(bad.stderr).toContain(`${file}:1: route: Unknown RouteHandle: NoSuchRoute`);
    expect(await run("-f", path.join(folder, "none.json"), "--config-dump-root=").exit()).toBe(2);
    const wrong = run("--server-timeout=soon");
    expect(await wrong.exit()).toBe(3);
    expect(wrong.stderr).toContain('--server-timeout: expected a whole number from 1 on, got "soon"');
  });

  it("reports options that are unknown or have no effect, and runs", async () => {
    await writeFile(file, pool([1]));
    const started = run("--no-such-option", "--fibers-max-pool-size=10");
    await started.printed(/listens on/);
    expect(started.stderr).toContain("unknown option --no-such-option, left out");
    expect(started.stderr).toContain("--fibers-max-pool-size is accepted and has no effect");
  });

  it("writes its pid and its log to the given paths", async () => {
    await writeFile(file, pool([1]));
    const log = path.join(folder, "log");
    const started = run("-P", path.join(folder, "pid"), "-L", log);
    await expect.poll(() => readFile(log, "utf8").catch(() => ""), { timeout: 5_000 }).toContain("listens on");
    expect(Number(await readFile(path.join(folder, "pid"), "utf8"))).toBe(started.child.pid);
  });
});
