/** `stats` over real memcacheds: who says what, in time, and in order. */
import { describe, expect, it } from "vitest";
import { BinaryClient } from "../support/clients/binary-client.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, portOf, startMemcacheds, startPlatypus } from "../support/rigs/started.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";

const STAT = 0x10;

async function start(toml: string): Promise<number> {
  return portOf(await startPlatypus(toml));
}

function portsOf(servers: readonly MemcachedProcess[]): number[] {
  return servers.map(({ port }) => port);
}

/** The lines of an answer by name. */
function linesOf(answer: string): Record<string, string> {
  expect(answer).toMatch(/^(STAT [^\r\n]+\r\n)*END\r\n$/);
  return Object.fromEntries([...answer.matchAll(/^STAT (\S+) (.*)\r$/gm)].map(([, name, value]) => [name!, value!]));
}

async function stats(client: TextClient, group = ""): Promise<Record<string, string>> {
  return linesOf(await client.ask(`stats ${group}`.trim(), "END\r\n"));
}

/** The stats of each server, asked directly. */
async function statsOfEach(servers: readonly MemcachedProcess[], group = ""): Promise<Record<string, string>[]> {
  const direct = await Promise.all(servers.map(({ port }) => connect(port)));
  return Promise.all(direct.map((client) => stats(client, group)));
}

async function fill(client: TextClient, count: number, bytes: (i: number) => number = () => 10): Promise<void> {
  for (let i = 0; i < count; i++) {
    const value = "x".repeat(bytes(i));
    expect(await client.ask(`set k${i} 0 0 ${value.length}\r\n${value}`)).toBe("STORED\r\n");
  }
}

function sum(all: readonly Record<string, string>[], name: string): number {
  return all.reduce((total, lines) => total + Number(lines[name] ?? 0), 0);
}

function max(all: readonly Record<string, string>[], name: string): number {
  return Math.max(...all.map((lines) => Number(lines[name] ?? 0)));
}

describe.skipIf(MemcachedProcess.isMissing)("stats of a pool", () => {
  it("count the clients' activity here, and the servers' items", async () => {
    const servers = await startMemcacheds(3, ["-m", "32"]);
    const client = await connect(await start(targetOf(portsOf(servers))));
    await fill(client, 30);
    expect(await client.ask("get k1 k2 none", "END\r\n")).toContain("VALUE k2");
    expect(await client.ask("delete k3")).toBe("DELETED\r\n");
    expect(await client.ask("delete k3")).toBe("NOT_FOUND\r\n");
    const seen = await stats(client);
    expect(seen).toMatchObject({
      pid: String(process.pid),
      cmd_get: "3",
      get_hits: "2",
      get_misses: "1",
      cmd_set: "30",
      curr_connections: "1",
      curr_items: "29",
      total_items: "30",
      limit_maxbytes: String(3 * 32 * 1024 * 1024),
      threads: "3",
      delete_hits: "1",
      delete_misses: "1",
      cas_misses: "0",
      hash_power_level: "16",
    });
    const each = await statsOfEach(servers);
    expect(each.every(({ curr_items }) => Number(curr_items) > 0)).toBe(true);
    for (const name of ["bytes", "evictions", "reclaimed", "expired_unfetched", "evicted_unfetched", "total_items"]) {
      expect(Number(seen[name]), name).toBe(sum(each, name));
    }
    expect(seen).not.toHaveProperty("libevent");
  });

  it("sum items and slabs of the servers by name, but not sizes and ages", async () => {
    const servers = await startMemcacheds(3);
    const client = await connect(await start(targetOf(portsOf(servers))));
    await fill(client, 40, (i) => (i % 2 === 0 ? 10 : 5_000));
    for (const group of ["items", "slabs"]) {
      const seen = await stats(client, group);
      const each = await statsOfEach(servers, group);
      expect(new Set(Object.keys(seen))).toEqual(new Set(each.flatMap((lines) => Object.keys(lines))));
      for (const [name, value] of Object.entries(seen)) {
        // Time goes on between the two, and a server's LRU with it.
        if (/:age|moves_|number_|crawler/.test(name)) continue;
        const isAmount = !/chunk_size|chunks_per_page|active_slabs/.test(name);
        expect(Number(value), name).toBe(isAmount ? sum(each, name) : max(each, name));
      }
    }
    expect(sum([await stats(client, "items")], "items:1:number")).toBeLessThan(40);
  });

  it("sum sizes of the servers too", async () => {
    const servers = await startMemcacheds(2, ["-o", "track_sizes"]);
    const client = await connect(await start(targetOf(portsOf(servers))));
    await fill(client, 20);
    const each = await statsOfEach(servers, "sizes");
    const seen = await stats(client, "sizes");
    expect(seen["96"]).toBe(String(sum(each, "96")));
    expect(seen["96"]).toBe("20");
    const plain = await connect(await start(targetOf(portsOf(await startMemcacheds(2)))));
    expect(await stats(plain, "sizes")).toEqual({ sizes_status: "disabled" });
  });

  it("list our sockets and limits, and the servers' memory, in settings", async () => {
    const servers = [
      ...(await startMemcacheds(1, ["-m", "32", "-I", "2m"])),
      ...(await startMemcacheds(1, ["-m", "64"])),
    ];
    const port = await start(`${targetOf(portsOf(servers))}[server]\nmax_value = "4MiB"\nmax_connections = 77`);
    expect(await stats(await connect(port), "settings")).toMatchObject({
      maxconns: "77",
      maxbytes: String(96 * 1024 * 1024),
      item_size_max: String(1024 * 1024),
      tcpport: String(port),
      inter: "127.0.0.1",
      verbosity: "0",
      evictions: "on",
      lru_crawler: "yes",
      lru_maintainer_thread: "yes",
      hot_lru_pct: "20",
      num_threads: "2",
      flush_enabled: "no",
    });
  });

  it("are equal over binary and text", async () => {
    const servers = await startMemcacheds(2);
    const port = await start(targetOf(portsOf(servers)));
    const text = await connect(port);
    const binary = await BinaryClient.connect(port);
    afterTest(() => binary.close());
    await fill(text, 20);
    for (const group of ["items", "slabs", "settings", "sizes"]) {
      const frames = await binary.ask([{ opcode: STAT, key: group, opaque: 7 }]);
      const last = frames.pop()!;
      expect([last.key, last.value, last.status, last.opaque]).toEqual(["", "", 0, 7]);
      const lines = Object.fromEntries(frames.map(({ key, value }) => [key, value]));
      const expected = await stats(text, group);
      expect(Object.keys(lines)).toEqual(Object.keys(expected));
      for (const name of Object.keys(lines))
        if (!/:age|moves_|number_|crawler/.test(name)) expect(lines[name]).toBe(expected[name]);
    }
    const [plain] = [await binary.ask([{ opcode: STAT }])];
    expect(plain.map(({ key }) => key)).toEqual([...Object.keys(await stats(text)), ""]);
    expect((await binary.ask([{ opcode: STAT, key: "reset" }])).map(({ status, key }) => [status, key])).toEqual([
      [0, ""],
    ]);
    expect((await binary.ask([{ opcode: STAT, key: "nonsense" }])).map(({ status }) => status)).toEqual([1]);
    for (const key of ["detail on", "detail off"]) {
      expect((await binary.ask([{ opcode: STAT, key }])).map(({ status }) => status)).toEqual([0]);
    }
  });

  it("are answered in the order of the client's commands, and reach no other client", async () => {
    const servers = await startMemcacheds(2);
    const port = await start(targetOf(portsOf(servers)));
    const clients = await Promise.all([1, 2, 3].map(() => connect(port)));
    await fill(clients[0]!, 10);
    const round = "get k1\r\nstats items\r\nget k2\r\nstats\r\nget k3\r\nstats nonsense\r\nget k4\r\n";
    for (const client of clients) client.send(`${round.repeat(20)}version\r\n`);
    const value = (i: number) => `VALUE k${i} 0 10\r\nxxxxxxxxxx\r\nEND\r\n`;
    for (const client of clients) {
      const said = (await client.until("VERSION ")).replaceAll(/(STAT [^\r]+\r\n)+END\r\n/g, "STATS\r\n");
      const once = `${value(1)}STATS\r\n${value(2)}STATS\r\n${value(3)}ERROR\r\n${value(4)}`;
      expect(said).toBe(`${once.repeat(20)}VERSION `);
    }
  });

  it("come in time from the others while a server hangs, and are in step when it continues", async () => {
    const servers = await startMemcacheds(3);
    // With longer time-outs than a client has patience.
    const target = targetOf(portsOf(servers), 'server_timeout = "30s"');
    const client = await connect(await start(target));
    await fill(client, 30);
    const each = await statsOfEach(servers);
    servers[0]!.pause();
    const seen = await stats(client);
    expect(Number(seen.curr_items)).toBe(30 - Number(each[0]!.curr_items));
    expect(Object.keys(await stats(client, "items"))).toContain("items:1:number");
    servers[0]!.resume();
    for (let i = 0; i < 30; i++) expect(await client.ask(`get k${i}`, "END\r\n")).toContain(`VALUE k${i} `);
    expect((await stats(client)).curr_items).toBe("30");
  });

  it("omit a server whose timeout is over, whose circuit breaker then opens", async () => {
    const servers = await startMemcacheds(2);
    const target = targetOf(portsOf(servers), 'server_timeout = "200ms"\ntimeouts_until_tko = 2');
    const client = await connect(await start(target));
    await fill(client, 20);
    const each = await statsOfEach(servers);
    servers[0]!.pause();
    for (let i = 0; i < 5; i++) expect((await stats(client)).curr_items).toBe(each[1]!.curr_items);
    expect(Object.values(await stats(client, "platypus"))).toContain("tko");
    servers[0]!.resume();
    while ((await stats(client)).curr_items !== "20");
  });

  it("contain only our part while no server is up", async () => {
    const client = await connect(await start(targetOf([await freePort(), await freePort()])));
    const seen = await stats(client);
    expect(seen.curr_connections).toBe("1");
    expect(seen).not.toHaveProperty("curr_items");
    expect(await stats(client, "items")).toEqual({});
    expect(await stats(client, "settings")).toMatchObject({ item_size_max: "1048576" });
  });

  it("reset our counters and not the servers'", async () => {
    const servers = await startMemcacheds(1);
    const client = await connect(await start(targetOf(portsOf(servers))));
    await fill(client, 5);
    expect(await client.ask("stats reset")).toBe("RESET\r\n");
    expect(await stats(client)).toMatchObject({ cmd_set: "0", curr_connections: "1", total_items: "5" });
    expect((await statsOfEach(servers))[0]!.cmd_set).toBe("5");
  });

  it("list our clients for conns", async () => {
    const port = await start(targetOf(portsOf(await startMemcacheds(1))));
    const clients = [await connect(port), await connect(port)];
    for (const client of clients) await client.ask("version");
    expect(Object.values(await stats(clients[0]!, "conns")).toSorted()).toEqual(
      [
        `tcp:127.0.0.1:${port}`,
        `tcp:127.0.0.1:${port}`,
        ...clients.map(({ socket }) => `tcp:127.0.0.1:${socket.localPort}`),
      ].toSorted(),
    );
  });

  it.each([
    ["stats nonsense", "ERROR"],
    ["stats detail", "CLIENT_ERROR usage: stats detail on|off|dump"],
    ["stats detail of", "CLIENT_ERROR usage: stats detail on|off|dump"],
    ["stats cachedump", "CLIENT_ERROR bad command line"],
    ["stats cachedump x 1", "CLIENT_ERROR bad command line format"],
    ["stats cachedump 64 1", "CLIENT_ERROR Illegal slab id"],
    ["slabs automove invalid", "CLIENT_ERROR bad command line format"],
    ...["stats sizes_enable", "watch fetchers"].map((line) => [
      line,
      "CLIENT_ERROR not available through a proxy, ask the memcached server itself",
    ]),
    ...["lru tune 10 25 0.1 2.0", "lru_crawler crawl all", "slabs automove 0", "cache_memlimit 64"].map((line) => [
      line,
      "CLIENT_ERROR not available through a proxy, ask the memcached server itself",
    ]),
    ["shutdown", "ERROR: shutdown not enabled"],
  ])("refuse %j with %j, without a request to a server", async (line, answer) => {
    const servers = await startMemcacheds(1);
    const client = await connect(await start(targetOf(portsOf(servers))));
    client.send(`${line}\r\nset k 0 0 1\r\nv\r\nget k\r\n`);
    expect(await client.until("END\r\n")).toBe(`${answer}\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n`);
    expect((await statsOfEach(servers, "settings"))[0]).toMatchObject({ detail_enabled: "no", track_sizes: "no" });
  });
});

describe("stats by key prefix, and items of a slab class", () => {
  it("are enabled and disabled on every server, and added up", async () => {
    const servers = await startMemcacheds(2);
    const client = await connect(await start(targetOf(portsOf(servers))));
    expect(await client.ask("stats detail on")).toBe("OK\r\n");
    for (const settings of await statsOfEach(servers, "settings"))
      expect(settings).toMatchObject({ detail_enabled: "yes" });
    for (let i = 0; i < 20; i++) await client.ask(`get p:${i}`, "END\r\n");
    expect(await client.ask("stats detail dump", "END\r\n")).toBe("PREFIX p get 20 hit 0 set 0 del 0\r\nEND\r\n");
    expect(await client.ask("stats detail off")).toBe("OK\r\n");
    for (const settings of await statsOfEach(servers, "settings"))
      expect(settings).toMatchObject({ detail_enabled: "no" });
  });

  it("are listed server after server, up to the limit", async () => {
    const servers = await startMemcacheds(2);
    const client = await connect(await start(targetOf(portsOf(servers))));
    for (let i = 0; i < 20; i++) await client.ask(`set k${i} 0 0 1\r\nx`);
    const linesOf = async (from: TextClient, limit: number) => {
      const answer = await from.ask(`stats cachedump 1 ${limit}`, "END\r\n");
      return answer.split("\r\n").slice(0, -2);
    };
    const directly = await Promise.all(servers.map(({ port }) => connect(port)));
    const direct = () => Promise.all(directly.map(async (server) => (await linesOf(server, 0)).sort()));
    // A server lists the items of one of its lists, and moves items from list to list by itself.
    for (;;) {
      const before = await direct();
      const all = await linesOf(client, 0);
      const limited = await linesOf(client, 1);
      const after = await direct();
      if (JSON.stringify(before) !== JSON.stringify(after) || before[0]!.length === 0) continue;
      const [first, second] = after as [string[], string[]];
      expect(all.slice(0, first.length).sort()).toEqual(first);
      expect(all.slice(first.length).sort()).toEqual(second);
      expect(limited).toHaveLength(1);
      expect(first).toContain(limited[0]);
      break;
    }
  });

  it("count earlier commands on a connection, and no later ones", async () => {
    const client = await connect(await start(targetOf(portsOf(await startMemcacheds(1)))));
    client.send("get a\r\nget b\r\nstats reset\r\nget c\r\nget d\r\nstats\r\nget e\r\n");
    await client.until("RESET\r\nEND\r\nEND\r\n");
    expect(await client.until("END\r\n")).toContain("STAT cmd_get 2\r\n");
    expect(await client.until("END\r\n")).toBe("END\r\n");
  });
});

describe("stats of the embedded store", () => {
  it("are the store's numbers, in memcached's form", async () => {
    const client = await connect(await start('[server]\nembedded_size = "64KiB"'));
    expect(await stats(client, "items")).toEqual({});
    expect(await stats(client, "slabs")).toEqual({ active_slabs: "0", total_malloced: "0" });
    await fill(client, 20, () => 10_000);
    await client.ask("get k19", "END\r\n");
    const seen = await stats(client);
    const count = Number(seen.curr_items);
    expect(count).toBe(6);
    expect(seen).toMatchObject({
      limit_maxbytes: "65536",
      total_items: "20",
      evictions: "14",
      evicted_unfetched: "14",
      threads: "1",
      cas_hits: "0",
    });
    expect(await stats(client, "items")).toMatchObject({ "items:1:number": "6", "items:1:evicted": "14" });
    expect(await stats(client, "slabs")).toMatchObject({
      "1:used_chunks": seen.bytes,
      "1:get_hits": "1",
      "1:cmd_set": "20",
      total_malloced: seen.bytes,
    });
    expect(await stats(client, "settings")).toMatchObject({ maxbytes: "65536", lru_crawler: "no", evictions: "on" });
    expect(await stats(client, "sizes")).toEqual({ sizes_status: "disabled" });
    expect(await client.ask("stats reset")).toBe("RESET\r\n");
    expect(await stats(client)).toMatchObject({ total_items: "0", evictions: "0", curr_items: "6" });
  });
});
