/** A mcrouter configuration, started as its users start it, over real servers, one of which is dead; asked in all protocols. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { BinaryClient, words } from "../support/clients/binary-client.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { base64 } from "../support/fakes/ask.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { freePort, MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const SERVERS = 4;

let folder: string;
let servers: MemcachedProcess[];
let direct: TextClient[];
let deadPort: number;
let platypus: PlatypusProcess;
let port: number;
let text: TextClient;
let binary: BinaryClient;

/** By prefix; each pool of one server is `one0`… */
function documentOf(ports: readonly number[], dead: number): object {
  const at = (each: number) => `127.0.0.1:${each}`;
  const pool = (i: number) => `PoolRoute|one${i}`;
  return {
    pools: {
      all: { servers: ports.map(at) },
      withDead: { servers: [at(ports[0]!), at(dead), at(ports[1]!)] },
      dead: { servers: [at(dead)] },
      kept: { servers: [at(ports[0]!)], keep_routing_prefix: true },
      ...Object.fromEntries(ports.map((each, i) => [`one${i}`, { servers: [at(each)] }])),
    },
    routes: {
      "/a/pool/": "PoolRoute|all",
      "/a/hash/": { type: "HashRoute", children: [pool(0), pool(1), pool(2)], salt: "s" },
      "/a/failover/": {
        type: "FailoverRoute",
        children: [{ type: "PoolRoute", pool: "dead", asynclog: false }, pool(1)],
      },
      "/a/sync/": { type: "AllSyncRoute", children: [pool(0), pool(1)] },
      "/a/fastest/": {
        type: "AllFastestRoute",
        children: [{ type: "PoolRoute", pool: "dead", asynclog: false }, pool(2)],
      },
      "/a/prefix/": { type: "PrefixSelectorRoute", policies: { "user:": pool(0), us: pool(1) }, wildcard: pool(2) },
      "/a/operation/": {
        type: "OperationSelectorRoute",
        default_policy: pool(0),
        operation_policies: { set: pool(1), add: pool(1) },
      },
      "/a/warm/": { type: "WarmUpRoute", cold: pool(0), warm: pool(1), exptime: 1000 },
      "/a/miss/": { type: "MissFailoverRoute", children: [pool(0), pool(1), pool(2)] },
      "/a/shadow/": {
        type: "PoolRoute",
        pool: "one0",
        shadows: [{ target: pool(3), index_range: [0, 1], key_fraction_range: [0, 1] }],
      },
      "/b/dead/": "PoolRoute|withDead",
      "/b/log/": "PoolRoute|dead",
      "/b/kept/": "PoolRoute|kept",
      "/c/one/": pool(0),
      "/c/two/": pool(1),
      "/c/three/": pool(2),
    },
  };
}

async function start(
  document: object,
  args: readonly string[] = [],
): Promise<{ platypus: PlatypusProcess; port: number }> {
  const own = await freePort();
  const file = path.join(folder, `${own}.json`);
  await writeFile(file, `// mcrouter's\n${JSON.stringify(document, null, 2)}`);
  const paths = [
    "--stats-root",
    path.join(folder, "stats"),
    "--config-dump-root",
    path.join(folder, "dump"),
    "-a",
    path.join(folder, "spool"),
  ];
  const started = PlatypusProcess.run([
    "-p",
    String(own),
    "--listen-addresses",
    "127.0.0.1",
    "-f",
    file,
    ...paths,
    ...args,
  ]);
  await started.printed(/listens on/);
  return { platypus: started, port: own };
}

/** What a server has for a key itself. */
async function has(i: number, key: string): Promise<string | null> {
  const answer = await direct[i]!.ask(`get ${key}`, "END\r\n");
  return /\r\n([\s\S]*)\r\nEND/.exec(answer)?.[1] ?? null;
}

const holders = async (key: string) => {
  const found = await Promise.all(servers.map((_, i) => has(i, key)));
  return found.flatMap((value, i) => (value === null ? [] : [i]));
};

const store = (i: number, key: string, value: string) => direct[i]!.ask(`set ${key} 5 0 ${value.length}\r\n${value}`);

/** Sets and gets a value in each protocol; what came back. */
async function inAllProtocols(prefix: string): Promise<Record<string, unknown>> {
  const [set] = await binary.ask([{ opcode: 0x01, key: `${prefix}b`, value: "binary", extras: words(9, 0) }]);
  const [get] = await binary.ask([{ opcode: 0x0c, key: `${prefix}b` }]);
  return {
    classic: [await text.ask(`set ${prefix}k 7 0 5\r\nhello`), await text.ask(`get ${prefix}k`, "END\r\n")],
    meta: [await text.ask(`ms ${prefix}m 2 F3 k\r\nhi`), await text.ask(`mg ${prefix}m v f k`, "\r\nhi\r\n")],
    base64: [
      await text.ask(`ms ${base64(`${prefix}s p`)} 1 b\r\nx`),
      await text.ask(`mg ${base64(`${prefix}s p`)} b v k`, "\r\nx\r\n"),
    ],
    binary: [set!.status, get!.status, get!.key, get!.value, get!.extras],
    delete: [await text.ask(`delete ${prefix}k`), await text.ask(`get ${prefix}k`, "END\r\n")],
  };
}

const answersOf = (prefix: string) => ({
  classic: ["STORED\r\n", `VALUE ${prefix}k 7 5\r\nhello\r\nEND\r\n`],
  meta: [`HD k${prefix}m\r\n`, `VA 2 f3 k${prefix}m\r\nhi\r\n`],
  base64: ["HD\r\n", `VA 1 k${base64(`${prefix}s p`)} b\r\nx\r\n`],
  binary: [0, 0, `${prefix}b`, "binary", words(9)],
  delete: ["DELETED\r\n", "END\r\n"],
});

describe.skipIf(MemcachedProcess.isMissing)("a mcrouter configuration", () => {
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    servers = await Promise.all(Array.from({ length: SERVERS }, () => MemcachedProcess.start()));
    direct = await Promise.all(servers.map((server) => TextClient.connect(server.port)));
    deadPort = await freePort();
    const document = documentOf(
      servers.map((server) => server.port),
      deadPort,
    );
    ({ platypus, port } = await start(document, ["-R", "/a/pool/", "--enable-flush-cmd"]));
    text = await TextClient.connect(port);
    binary = await BinaryClient.connect(port);
  });

  afterAll(async () => {
    for (const client of [text, binary, ...direct]) client.close();
    await platypus.stop();
    await Promise.all(servers.map((server) => server.stop()));
    await rm(folder, { recursive: true });
  });

  beforeEach(async () => {
    for (const client of direct) await client.ask("flush_all");
  });

  it.each(["pool", "hash", "failover", "sync", "fastest", "prefix", "miss", "shadow"])(
    "answers classic, meta and binary clients through %s",
    async (name) => {
      const prefix = `/a/${name}/`;
      expect(await inAllProtocols(prefix)).toEqual(answersOf(prefix));
    },
  );

  it("PoolRoute places keys where `route` says", async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `key:${i}`);
    for (const key of keys) await text.ask(`set ${key} 0 0 1\r\nx`);
    for (const key of keys) {
      const answer = await text.ask(`get __mcrouter__.route(get,${key})`, "END\r\n");
      const [holder] = await holders(key);
      expect(answer).toContain(`\r\n127.0.0.1:${servers[holder!]!.port}\r\n`);
    }
    expect(new Set((await Promise.all(keys.map(holders))).flat()).size).toBe(SERVERS);
  });

  it("HashRoute places each key on one server, and every server gets keys", async () => {
    const keys = Array.from({ length: 30 }, (_, i) => `h${i}`);
    for (const key of keys) await text.ask(`set /a/hash/${key} 0 0 1\r\nx`);
    const places = [];
    for (const key of keys) places.push(await holders(key));
    expect(places.every(({ length }) => length === 1)).toBe(true);
    expect(new Set(places.flat()).size).toBe(3);
  });

  it("FailoverRoute gets the keys of a dead server from the next server", async () => {
    await text.ask("set /a/failover/k 0 0 1\r\n1");
    expect(await holders("k")).toEqual([1]);
    expect(await text.ask("incr /a/failover/k 5")).toBe("6\r\n");
    expect(await text.ask("touch /a/failover/k 100")).toBe("TOUCHED\r\n");
    expect(await text.ask("gats 100 /a/failover/k", "END\r\n")).toMatch(
      /^VALUE \/a\/failover\/k 0 1 \d+\r\n6\r\nEND\r\n$/,
    );
    expect(await text.ask("delete /a/failover/k")).toBe("DELETED\r\n");
    expect(await holders("k")).toEqual([]);
  });

  it("AllSyncRoute sends writes to all children and returns the worst reply", async () => {
    await text.ask("set /a/sync/k 0 0 1\r\nx");
    expect(await holders("k")).toEqual([0, 1]);
    await direct[1]!.ask("delete k");
    expect(await text.ask("delete /a/sync/k")).toBe("NOT_FOUND\r\n");
    expect(await holders("k")).toEqual([]);
  });

  it("AllFastestRoute does not wait for dead children", async () => {
    await store(2, "k", "fast");
    expect(await text.ask("get /a/fastest/k", "END\r\n")).toBe("VALUE /a/fastest/k 5 4\r\nfast\r\nEND\r\n");
  });

  it("PrefixSelectorRoute and OperationSelectorRoute route by key prefix and by command", async () => {
    for (const key of ["user:1", "usage", "other"]) await text.ask(`set /a/prefix/${key} 0 0 1\r\nx`);
    expect([await holders("user:1"), await holders("usage"), await holders("other")]).toEqual([[0], [1], [2]]);
    await text.ask("ms /a/operation/k 1\r\nx");
    await text.ask("ms /a/operation/r 1 MR\r\nx");
    expect([await holders("k"), await text.ask("get /a/operation/k", "END\r\n")]).toEqual([[1], "END\r\n"]);
  });

  it("WarmUpRoute copies items that only the warm pool has to the cold pool", async () => {
    for (const key of ["k", "g", "m", "b"]) await store(1, key, "old");
    expect(await text.ask("get /a/warm/k", "END\r\n")).toBe("VALUE /a/warm/k 5 3\r\nold\r\nEND\r\n");
    expect(await text.ask("gets /a/warm/g", "END\r\n")).toMatch(/^VALUE \/a\/warm\/g 5 3 \d+\r\nold\r\nEND\r\n$/);
    expect(await text.ask("mg /a/warm/m v t", "\r\nold\r\n")).toMatch(/^VA 3 t(1000|999)\r\nold\r\n$/);
    const [got] = await binary.ask([{ opcode: 0x00, key: "/a/warm/b" }]);
    expect([got!.status, got!.value, got!.extras]).toEqual([0, "old", words(5)]);
    for (const key of ["k", "g", "m", "b"]) expect([key, await has(0, key)]).toEqual([key, "old"]);
    expect(await text.ask("get /a/warm/none", "END\r\n")).toBe("END\r\n");
  });

  it("MissFailoverRoute asks the next child after a miss", async () => {
    await store(2, "k", "third");
    expect(await text.ask("get /a/miss/k", "END\r\n")).toBe("VALUE /a/miss/k 5 5\r\nthird\r\nEND\r\n");
    expect(await text.ask("mg /a/miss/k v", "\r\nthird\r\n")).toBe("VA 5\r\nthird\r\n");
    expect(await text.ask("delete /a/miss/k")).toBe("DELETED\r\n");
    expect(await holders("k")).toEqual([]);
  });

  it("ShadowRoute copies the pool's items to the shadow", async () => {
    await text.ask("set /a/shadow/k 0 0 1\r\nx");
    await expect.poll(() => holders("k")).toEqual([0, 3]);
  });

  it("a prefix with a star reaches all matching routes; the first answers", async () => {
    expect(await text.ask("set /c/*/k 0 0 1\r\nx")).toBe("STORED\r\n");
    await expect.poll(() => holders("k")).toEqual([0, 1, 2]);
    expect(await text.ask("md /c/t*/k k")).toMatch(/^HD k\/c\/t\*\/k\r\n$/);
    await expect.poll(() => holders("k")).toEqual([0]);
    expect(await text.ask("set /no/such/k 0 0 1\r\nx")).toBe("SERVER_ERROR RootRoute: No rh found\r\n");
  });

  it("a pool can keep the prefix of its keys", async () => {
    await text.ask("set /b/kept/k 0 0 1\r\nx");
    expect(await has(0, "/b/kept/k")).toBe("x");
    expect(await text.ask("get /b/kept/k", "END\r\n")).toBe("VALUE /b/kept/k 0 1\r\nx\r\nEND\r\n");
  });

  it("a get of many keys over servers, prefixes and a dead server returns hits in order, without the dead server's keys", async () => {
    const keys = Array.from({ length: 20 }, (_, i) => `d${i}`);
    for (const key of keys) for (const i of [0, 1]) await store(i, key, key);
    await store(2, "there", "yes");
    await text.ask("set plain 5 0 2\r\nok");
    const asked = [
      "plain",
      ...keys.map((key) => `/b/dead/${key}`),
      "/c/three/there",
      "/c/three/not",
      "/no/such/k",
      "plain",
    ];
    const answer = await text.ask(`get ${asked.join(" ")}`, "END\r\n");
    const found = [...answer.matchAll(/VALUE (\S+) 5 \d+\r\n(\S*)\r\n/g)].map(([, key, value]) => [key!, value!]);
    for (const [key, value] of found)
      expect({ plain: "ok", "/c/three/there": "yes" }[key!] ?? key!.slice(8)).toBe(value);
    const names = found.map(([key]) => key!);
    expect(names).toEqual(asked.filter((key) => names.includes(key)));
    expect(names.filter((key) => key.startsWith("/b/dead/")).length).toBeGreaterThan(5);
    expect(names.filter((key) => key.startsWith("/b/dead/")).length).toBeLessThan(keys.length);
    expect([names[0], names.at(-1), names.at(-2)]).toEqual(["plain", "plain", "/c/three/there"]);
  });

  it("errors are reported as by mcrouter, and gets are misses", async () => {
    const reasons =
      "Server unavailable. Reason: mc_res_connect_error|AsyncSocketException: connect failed, type = Socket not open";
    expect(await text.ask("set /b/log/k 0 0 1\r\nx")).toMatch(new RegExp(`^SERVER_ERROR (${reasons})\r\n$`));
    expect(await text.ask("get /b/log/k", "END\r\n")).toBe("END\r\n");
    expect(await text.ask("incr /b/log/k 1")).toBe("NOT_FOUND\r\n");
    const [failed] = await binary.ask([{ opcode: 0x01, key: "/b/log/k", value: "x", extras: words(0, 0) }]);
    expect(failed!.status).toBe(0x86);
  });

  it("failed deletes are logged, one mcrouter line each, and answered as not found", async () => {
    expect(await text.ask("delete /b/log/k1")).toBe("NOT_FOUND\r\n");
    expect(await text.ask("md /b/log/k2 O7")).toBe("NF O7\r\n");
    const [deleted] = await binary.ask([{ opcode: 0x04, key: "/b/log/k3" }]);
    expect(deleted!.status).toBe(1);
    const spool = path.join(folder, "spool");
    const [hour] = await readdir(spool);
    expect(hour).toMatch(/^\d{8}T\d{2}-\d+$/);
    const [file] = await readdir(path.join(spool, hour!));
    expect(file).toMatch(new RegExp(`^\\d{8}T\\d{6}-\\d+-mcrouter-${port}-t\\d+-\\w+$`));
    const lines = (await readFile(path.join(spool, hour!, file!), "latin1")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      ["k1", "k2", "k3"].map((key) => ["AS1.0", expect.any(Number), "C", ["127.0.0.1", deadPort, `delete ${key}\r\n`]]),
    );
  });

  it("flush_all reaches every server", async () => {
    await text.ask("set /c/one/k 0 0 1\r\nx");
    await text.ask("flush_all");
    expect(await holders("k")).toEqual([]);
  });

  it("large values return completely, to the right clients", async () => {
    const values = ["a", "b", "c"].map((letter) => letter.repeat(300_000));
    for (const [i, value] of values.entries()) await text.ask(`set /a/sync/big${i} 0 0 ${value.length}\r\n${value}`);
    const asked = [0, 1, 2, 1, 0, 2, 2, 0].map((i) => ({
      i,
      key: i === 1 ? `/a/failover/big${i}` : `/a/sync/big${i}`,
    }));
    text.send(asked.map(({ key }) => `get ${key}\r\n`).join(""));
    for (const { i, key } of asked) {
      expect(await text.until("\r\nEND\r\n")).toBe(`VALUE ${key} 0 300000\r\n${values[i]}\r\nEND\r\n`);
    }
  });
});

describe.skipIf(MemcachedProcess.isMissing)("rules beside a mcrouter configuration", () => {
  let origin: HttpOrigin;
  let memcached: MemcachedProcess;
  let running: { platypus: PlatypusProcess; port: number } | null = null;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    origin = await HttpOrigin.start();
    memcached = await MemcachedProcess.start();
  });

  afterAll(async () => {
    await memcached.stop();
    await origin.close();
    await rm(folder, { recursive: true });
  });

  const trees = {
    "a plain PoolRoute": "PoolRoute|A",
    "a FailoverRoute whose first server is dead": {
      type: "FailoverRoute",
      children: [
        { type: "PoolRoute", pool: { name: "dead", servers: ["127.0.0.1:1"] }, asynclog: false },
        "PoolRoute|A",
      ],
    },
  };

  it.each(Object.entries(trees))(
    "fill the misses of %s, in every protocol, and once for all clients",
    async (_name, route) => {
      const rules = path.join(folder, "rules.toml");
      await writeFile(
        rules,
        `[get.stuff]\nmatch = "stuff/(.*)"\nsource = "origin"\nttl = "1h"\nfill_timeout = "10s"\n
       [source.origin]\ntype = "http"\nurl = "${origin.url}/stuff/{1}"\n`,
      );
      const key = `stuff/${route === "PoolRoute|A" ? "pool" : "tree"}`;
      const value = `value of /${key}`;
      const document = { pools: { A: { servers: [`127.0.0.1:${memcached.port}`] } }, route };
      running = await start(document, ["--rules", rules]);
      try {
        const clients = await Promise.all([1, 2, 3].map(() => TextClient.connect(running!.port)));
        const answers = await Promise.all(clients.map((client) => client.ask(`get ${key}`, "END\r\n")));
        expect(answers).toEqual(Array(3).fill(`VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`));
        const [client] = clients;
        expect(await client!.ask(`mg ${key} v k`, `${value}\r\n`)).toBe(`VA ${value.length} k${key}\r\n${value}\r\n`);
        expect(await client!.ask(`get none ${key}1 ${key}`, "END\r\n")).toBe(
          `VALUE ${key}1 0 ${value.length + 1}\r\n${value}1\r\nVALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`,
        );
        const binaryClient = await BinaryClient.connect(running.port);
        const [got] = await binaryClient.ask([{ opcode: 0x00, key: `${key}2` }]);
        expect(got!.value).toBe(`${value}2`);
        const stored = await TextClient.connect(memcached.port);
        for (const each of [key, `${key}1`, `${key}2`]) expect(await stored.ask(`mg ${each}`)).toBe("HD\r\n");
        expect([...origin.requests].sort()).toEqual([`GET /${key}`, `GET /${key}1`, `GET /${key}2`]);
        for (const each of [...clients, stored]) each.close();
        binaryClient.close();
      } finally {
        origin.requests.length = 0;
        await running.platypus.stop();
      }
    },
  );

  it("may have users, who log in at its addresses", async () => {
    const rules = path.join(folder, "rules.toml");
    await writeFile(rules, '[user.web]\npassword = "web"\nprefix = "app1:"\n');
    const document = { pools: { A: { servers: [`127.0.0.1:${memcached.port}`] } }, route: "PoolRoute|A" };
    running = await start(document, ["--rules", rules]);
    const client = await TextClient.connect(running.port);
    expect(await client.ask("get __mcrouter__.version")).toBe("CLIENT_ERROR unauthenticated\r\n");
    expect(await client.ask("set any 0 0 7\r\nweb web")).toBe("STORED\r\n");
    expect(await client.ask("set app1:a 0 0 1\r\nv")).toBe("STORED\r\n");
    for (const key of ["__mcrouter__.version", "/a/a/app1:a"]) {
      expect(await client.ask(`get ${key}`)).toMatch(/^CLIENT_ERROR access denied/);
    }
    client.close();
    await running.platypus.stop();
    await writeFile(rules, '[listen.other]\naddress = "127.0.0.1:1"\nreadonly = true\n');
    await expect(start(document, ["--rules", rules])).rejects.toThrow(
      /listen\.other\.address: 127\.0\.0\.1:1 is not an address of this configuration/,
    );
  });
});
