/** Handoff over real memcacheds: servers are added and removed, and no key is missed. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Platypus } from "../../src/server/platypus.ts";
import { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { routedConfig } from "../support/rigs/routed-config.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

const KEYS = Array.from({ length: 300 }, (_, i) => `key${i}`);
const memcacheds: MemcachedProcess[] = [];
const clients: TextClient[] = [];
const running: Platypus[] = [];
let client: TextClient;
let platypus: Platypus;

beforeEach(async () => {
  for (let i = 0; i < 4; i++) memcacheds.push(await MemcachedProcess.start());
});

afterEach(async () => {
  for (const each of clients.splice(0)) each.close();
  for (const each of running.splice(0)) await each.close();
  for (const each of memcacheds.splice(0)) await each.stop();
});

/** A configuration with the first `count` servers and a handoff. */
function config(count: number, settings = 'handoff = "1h"', more = "") {
  const ports = memcacheds.slice(0, count).map(({ port }) => port);
  return nativeConfig(`[server]\nflush_all = true\n${targetOf(ports, settings)}${more}`);
}

async function connect(port: number): Promise<TextClient> {
  const each = await TextClient.connect(port);
  clients.push(each);
  return each;
}

async function start(first: ReturnType<typeof config>): Promise<void> {
  platypus = await Platypus.start(first);
  running.push(platypus);
  const address = platypus.addresses[0]!;
  client = await connect(address.type === "tcp" ? address.port : 0);
}

async function ask(command: string, end = "\r\n", via = client): Promise<string> {
  via.send(command);
  return via.until(end);
}

async function setAll(exptime = 0): Promise<void> {
  for (const key of KEYS) await ask(`set ${key} 7 ${exptime} ${key.length}\r\n${key}\r\n`);
}

/** Number of the keys that are answered with their value. */
async function hits(): Promise<number> {
  let count = 0;
  for (const key of KEYS) count += +(await ask(`get ${key}\r\n`, "END\r\n")).includes(`\r\n${key}\r\n`);
  return count;
}

/** The keys that a server itself has, of those with this prefix. */
async function keysOn(server: number): Promise<Set<string>> {
  const direct = await connect(memcacheds[server]!.port);
  const found = new Set<string>();
  for (const key of KEYS) {
    if ((await ask(`get ${key}\r\n`, "END\r\n", direct)).startsWith("VALUE")) found.add(key);
  }
  return found;
}

/** Keys that go to the fourth server once it is there, with the server that has them before. */
async function moved(): Promise<{ readonly key: string; readonly former: number }[]> {
  const before = await Promise.all([0, 1, 2].map(keysOn));
  const { buildPlacement } = await import("../../src/proxy/hash/build.ts");
  const { placement, servers } = config(4).pools[0]!;
  const built = buildPlacement(placement, servers, { prefix: Buffer.alloc(0), random: () => 0 });
  return KEYS.flatMap((key) => {
    const bytes = Buffer.from(key);
    if (built.locate(bytes, 0, bytes.length) !== 3) return [];
    return [{ key, former: before.findIndex((keys) => keys.has(key)) }];
  });
}

describe.skipIf(MemcachedProcess.isMissing)("handoff", () => {
  it("misses no key when a server is added, and copies keys with their flags and remaining TTL", async () => {
    await start(config(3));
    await setAll(500);
    const moving = await moved();
    expect(moving.length).toBeGreaterThan(30);
    platypus.reload(config(4));
    expect(await hits()).toBe(KEYS.length);
    // At first keys are answered from their former server alone: other processes may not have seen the change yet.
    const copies = async () => {
      expect(await hits()).toBe(KEYS.length);
      return (await keysOn(3)).size;
    };
    await expect.poll(copies, { timeout: 15_000 }).toBe(moving.length);
    const copied = await keysOn(3);
    expect([...copied].every((key) => moving.some((each) => each.key === key))).toBe(true);
    const direct = await connect(memcacheds[3]!.port);
    const meta = await ask(`mg ${moving[0]!.key} f t v\r\n`, `${moving[0]!.key}\r\n`, direct);
    expect(meta).toMatch(/^VA \d+ f7 t(500|49\d)\r\n/);
  });

  it("misses no key when a server is removed that still runs", async () => {
    await start(config(4));
    await setAll();
    expect((await keysOn(3)).size).toBeGreaterThan(30);
    platypus.reload(config(3));
    expect(await hits()).toBe(KEYS.length);
  });

  it("misses the keys that move without it", async () => {
    await start(config(3, ""));
    await setAll();
    const { length } = await moved();
    platypus.reload(config(4, ""));
    expect(await hits()).toBe(KEYS.length - length);
  });

  it("answers a get of many keys completely and in order", async () => {
    await start(config(3));
    await setAll();
    platypus.reload(config(4));
    const text = await ask(`get ${KEYS.slice(0, 100).join(" ")}\r\n`, "END\r\n");
    expect(text).toBe(
      `${KEYS.slice(0, 100)
        .map((key) => `VALUE ${key} 7 ${key.length}\r\n${key}\r\n`)
        .join("")}END\r\n`,
    );
  });

  it("copies keys over several changes, from the latest server that has them", async () => {
    await start(config(2));
    await setAll();
    platypus.reload(config(3));
    await ask("set key1 7 0 4\r\nkey1\r\n");
    platypus.reload(config(4));
    platypus.reload(config(3));
    expect(await hits()).toBe(KEYS.length);
    platypus.reload(config(2));
    expect(await hits()).toBe(KEYS.length);
  });

  it("deletes a key on its former server before a write or a delete is answered", async () => {
    await start(config(3));
    await setAll();
    const [one, two, three] = await moved();
    platypus.reload(config(4));
    const formerHas = async ({ key, former }: NonNullable<typeof one>) => {
      const direct = await connect(memcacheds[former]!.port);
      return (await ask(`get ${key}\r\n`, "END\r\n", direct)) !== "END\r\n";
    };
    expect(await ask(`set ${one!.key} 0 0 3\r\nnew\r\n`)).toBe("STORED\r\n");
    expect(await formerHas(one!)).toBe(false);
    expect(await ask(`delete ${two!.key}\r\n`)).toBe("NOT_FOUND\r\n");
    expect(await formerHas(two!)).toBe(false);
    expect(await ask(`get ${two!.key}\r\n`, "END\r\n")).toBe("END\r\n");
    expect(await ask(`md ${three!.key}\r\n`)).toBe("NF\r\n");
    expect(await formerHas(three!)).toBe(false);
    expect(await ask(`get ${one!.key}\r\n`, "END\r\n")).toBe(`VALUE ${one!.key} 0 3\r\nnew\r\nEND\r\n`);
  });

  it("deletes a key on its former server when the program or an operator deletes it", async () => {
    await start(config(3));
    await setAll();
    const [key, other] = (await moved()).map((each) => each.key);
    platypus.reload(config(4));
    await platypus.delete(key!);
    expect(await ask(`get ${key}\r\n`, "END\r\n")).toBe("END\r\n");
    expect(await ask(`get ${other}\r\n`, "END\r\n")).toContain(`\r\n${other}\r\n`);
  });

  it("copies a key before a command that depends on its item", async () => {
    await start(config(3));
    await setAll();
    const keys = (await moved()).map(({ key }) => key);
    for (const key of keys.slice(0, 3)) await ask(`set ${key} 0 0 1\r\n5\r\n`);
    platypus.reload(config(4));
    const next = () => keys.shift()!;
    expect(await ask(`incr ${next()} 2\r\n`)).toBe("7\r\n");
    expect(await ask(`decr ${next()} 2\r\n`)).toBe("3\r\n");
    expect(await ask(`ma ${next()} v D10\r\n`, "15\r\n")).toBe("VA 2\r\n15\r\n");
    const appended = next();
    expect(await ask(`append ${appended} 0 0 1\r\n!\r\n`)).toBe("STORED\r\n");
    expect(await ask(`get ${appended}\r\n`, "END\r\n")).toContain(`\r\n${appended}!\r\n`);
    expect(await ask(`add ${next()} 0 0 1\r\nx\r\n`)).toBe("NOT_STORED\r\n");
    expect(await ask(`replace ${next()} 0 0 1\r\nx\r\n`)).toBe("STORED\r\n");
    expect(await ask(`touch ${next()} 100\r\n`)).toBe("TOUCHED\r\n");
    const got = next();
    expect(await ask(`gat 100 ${got}\r\n`, "END\r\n")).toBe(`VALUE ${got} 7 ${got.length}\r\n${got}\r\nEND\r\n`);
    const swapped = next();
    const cas = / (\d+)\r\n/.exec(await ask(`gets ${swapped}\r\n`, "END\r\n"))![1];
    expect(await ask(`cas ${swapped} 0 0 1 ${cas}\r\nx\r\n`)).toBe("STORED\r\n");
    expect(await ask(`ms ${next()} 1 ME\r\nx\r\n`)).toBe("NS\r\n");
    expect(await ask(`mg ${next()} s N30\r\n`)).toMatch(/^HD s\d\r\n$/);
  });

  it("keeps the order of pipelined commands for a moved key", async () => {
    await start(config(3));
    await setAll();
    const keys = (await moved()).map(({ key }) => key);
    platypus.reload(config(4));
    let sent = "";
    let expected = "";
    for (let i = 0; i < 20; i++) {
      for (const key of keys) {
        sent += `set ${key} 0 0 2 noreply\r\n${10 + i}\r\nget ${key}\r\nappend ${key} 0 0 1\r\n!\r\nget ${key} none\r\n`;
        expected += `VALUE ${key} 0 2\r\n${10 + i}\r\nEND\r\nSTORED\r\nVALUE ${key} 0 3\r\n${10 + i}!\r\nEND\r\n`;
      }
    }
    client.send(sent);
    expect(await client.take(expected.length)).toBe(expected);
  });

  it("does not wait for a removed server that is dead", async () => {
    await start(config(4));
    await setAll();
    await memcacheds[3]!.stop();
    platypus.reload(config(3));
    const there = await hits();
    expect(there).toBeLessThan(KEYS.length);
    expect(there).toBeGreaterThan(KEYS.length / 2);
    for (const key of KEYS) expect(await ask(`set ${key} 7 0 ${key.length}\r\n${key}\r\n`)).toBe("STORED\r\n");
    expect(await hits()).toBe(KEYS.length);
  });

  it("ends with flush_all", async () => {
    await start(config(3));
    await setAll();
    platypus.reload(config(4));
    expect(await ask("flush_all\r\n")).toBe("OK\r\n");
    expect(await hits()).toBe(0);
    // The former server of another change is emptied too.
    await setAll();
    platypus.reload(config(3));
    await ask("flush_all\r\n");
    expect(await hits()).toBe(0);
    await expect.poll(async () => (await keysOn(3)).size).toBe(0);
  });

  it("leaves nothing of a write that was sent before flush_all", async () => {
    await start(config(3));
    await setAll();
    const keys = (await moved()).map(({ key }) => key);
    platypus.reload(config(4));
    const set = (key: string, value: string) => `set ${key} 0 0 1 noreply\r\n${value}\r\n`;
    const [first, ...others] = keys;
    client.send(`${keys.map((key) => set(key, "1") + set(key, "2")).join("")}flush_all\r\n${set(first!, "3")}`);
    expect(await client.until("\r\n")).toBe("OK\r\n");
    expect(await ask(`get ${others.join(" ")}\r\n`, "END\r\n")).toBe("END\r\n");
    expect(await ask(`get ${first}\r\n`, "END\r\n")).toBe(`VALUE ${first} 0 1\r\n3\r\nEND\r\n`);
  });

  it("ends after its time, and closes the connections to servers that are gone", async () => {
    await start(config(4, 'handoff = "1s"'));
    await setAll();
    platypus.reload(config(3, 'handoff = "1s"'));
    expect((await ask(`get ${KEYS[0]}\r\n`, "END\r\n")).startsWith("VALUE")).toBe(true);
    const direct = await connect(memcacheds[3]!.port);
    const connections = async () =>
      Number(/curr_connections (\d+)/.exec(await ask("stats\r\n", "END\r\n", direct))![1]);
    const before = await connections();
    await expect.poll(connections, { timeout: 10_000 }).toBe(before - 1);
    expect(await hits()).toBeLessThan(KEYS.length);
  });

  it("fills a key of a rule only if it is in neither place", async () => {
    const rule = '[get.all]\nmatch = "(.*)"\nsource = "e"\n[source.e]\ntype = "echo"\ntemplate = "made"\n';
    await start(config(3, undefined, rule));
    await setAll();
    platypus.reload(config(4, undefined, rule));
    expect(await hits()).toBe(KEYS.length);
    expect(await ask("get other1 other2 other3\r\n", "END\r\n")).toContain("made");
    const stats = await ask("stats platypus\r\n", "END\r\n");
    expect(/rule:all:fills (\d+)/.exec(stats)?.[1] ?? stats).toBe("3");
  });

  it("keeps what a refresh has stored when the servers change back, and leaves no old value behind a refresh", async () => {
    const origin = await HttpOrigin.start();
    try {
      let version = 1;
      let isThere = true;
      origin.handle = (_request, response) => (isThere ? response.end(`v${version}`) : response.writeHead(404).end());
      const rule = `\n[get.all]\nmatch = "(key.*)"\nsource = "web"\nttl = "1h"\n[source.web]\ntype = "http"\nurl = "${origin.url}/{1}"\n`;
      const handoff = 'handoff = "1h"';
      await start(config(3, handoff, rule));
      await setAll();
      const [one, two] = await moved();
      await ask("flush_all\r\n");
      const get = (key: string) => ask(`get ${key}\r\n`, "END\r\n");
      for (const { key } of [one!, two!]) expect(await get(key)).toContain("v1");
      platypus.reload(config(4, handoff, rule));
      // The key is copied once copies begin.
      for (const { key } of [one!, two!]) {
        await expect.poll(async () => (await get(key)) && (await keysOn(3)).has(key), { timeout: 15_000 }).toBe(true);
      }
      version = 2;
      expect(await platypus.refresh(one!.key)).toBe("stored");
      expect((await keysOn(one!.former)).has(one!.key)).toBe(false);
      isThere = false;
      expect(await platypus.refresh(two!.key)).toBe("gone");
      expect(await get(two!.key)).toBe("END\r\n");
      isThere = true;
      version = 3;
      platypus.reload(config(3, handoff, rule));
      expect(await get(one!.key)).toContain("v2");
    } finally {
      await origin.close();
    }
  }, 40_000);

  it("works for the pools of routes", async () => {
    const routed = (count: number) => {
      const pool = targetOf(
        memcacheds.slice(0, count).map(({ port }) => port),
        'handoff = "1h"',
      );
      return routedConfig(
        `${pool.replace("[target]", "[pool.main]")}[[route]]\nprefix = "key1"\npool = "main"\n[[route]]\npool = "main"\n`,
      );
    };
    await start(routed(3));
    await setAll();
    platypus.reload(routed(4));
    const text = await ask(`get ${KEYS.slice(0, 100).join(" ")}\r\n`, "END\r\n");
    expect(text.match(/VALUE/g)).toHaveLength(100);
    expect(await hits()).toBe(KEYS.length);
  });
});
