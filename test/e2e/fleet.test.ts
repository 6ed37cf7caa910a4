/**
 * Several processes over one pool, as config/fleet.toml has them: real processes, real memcacheds, a real origin. One of
 * them fetches a key for all, and whatever happens to it, its pool or its key meanwhile, everybody is answered.
 */
import type { ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const CONFIG = fileURLToPath(new URL("../../config/fleet.toml", import.meta.url));
const CLIENTS = 1_000;
const FETCH_MS = 500;
/** For what must not hang: far above every time-out of the configuration. */
const HANGS_MS = 10_000;
/** For a lease to be gone once its readers are answered: below the time that it lives by itself. */
const LEASE_GONE_MS = 5_000;

/** Processes over memcacheds of their own, and one origin. */
class Fleet {
  readonly memcacheds: MemcachedProcess[] = [];
  readonly processes: PlatypusProcess[] = [];
  readonly clients: TextClient[] = [];
  readonly origin: HttpOrigin;

  private constructor(origin: HttpOrigin) {
    this.origin = origin;
  }

  static async start(size: number, servers: number, env: Record<string, string> = {}): Promise<Fleet> {
    const fleet = new Fleet(await HttpOrigin.start());
    try {
      for (let i = 0; i < servers; i++) fleet.memcacheds.push(await MemcachedProcess.start());
      for (let i = 0; i < size; i++) {
        const settings = {
          PLATYPUS_TARGET_SERVERS: fleet.memcacheds.map(({ port }) => `127.0.0.1:${port}`).join(","),
          PLATYPUS_SOURCE_PRODUCTS_URL: `${fleet.origin.url}/products/{id}`,
          ...env,
        };
        fleet.processes.push(PlatypusProcess.run(["--config", CONFIG, "--listen", "127.0.0.1:0"], settings));
      }
      for (const process of fleet.processes) await process.printed(/listens on/);
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** A client of the process `via`. */
  connect(via: number): Promise<TextClient> {
    return this.connectTo(this.processes[via]!.port);
  }

  /** A client of a server itself. */
  direct(server = 0): Promise<TextClient> {
    return this.connectTo(this.memcacheds[server]!.port);
  }

  /** `size` clients, over all processes in turn. */
  crowd(size: number): Promise<TextClient[]> {
    return Promise.all(Array.from({ length: size }, (_, i) => this.connect(i % this.processes.length)));
  }

  leave(): void {
    for (const client of this.clients.splice(0)) client.close();
  }

  /** Has the origin keep its answers until the test gives them. */
  holdAnswers(): ServerResponse[] {
    const responses: ServerResponse[] = [];
    this.origin.handle = (_request, response) => responses.push(response);
    return responses;
  }

  async stop(): Promise<void> {
    this.leave();
    await Promise.all(this.processes.map((process) => process.stop()));
    await Promise.all(this.memcacheds.map((memcached) => memcached.stop()));
    await this.origin.close();
  }

  private async connectTo(port: number): Promise<TextClient> {
    const client = await TextClient.connect(port);
    this.clients.push(client);
    return client;
  }
}

/** What everybody is answered, each once: the answer and how often. */
async function ask(clients: readonly TextClient[], command: string, end: string): Promise<[string, number][]> {
  const answers = await inTime(Promise.all(clients.map((client) => client.ask(command, end))));
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return [...counts];
}

/** The same promise, rejected when it hangs. */
async function inTime<T>(promise: Promise<T>): Promise<T> {
  const abort = new AbortController();
  const late = delay(HANGS_MS, null, { signal: abort.signal }).then(
    () => {
      throw new Error("no process answered");
    },
    () => new Promise<never>(() => {}),
  );
  return Promise.race([promise, late]).finally(() => abort.abort());
}

function found(key: string, value: string): string {
  return `VALUE ${key} 0 ${value.length}\r\n${value}\r\nEND\r\n`;
}

/** Keys of all items of a server. */
async function keysOf(direct: TextClient): Promise<string[]> {
  for (;;) {
    direct.send("lru_crawler metadump all\r\n");
    let dump = "";
    // Lines of keys end with \n alone.
    while (!/^BUSY|END\r\n$/.test(dump)) dump += await direct.until("\r\n");
    // The crawler serves one at a time.
    if (!dump.startsWith("BUSY")) return [...dump.matchAll(/key=(\S+)/g)].map(([, key]) => decodeURIComponent(key!));
  }
}

/** The lease items of all servers. */
async function leasesOf(fleet: Fleet): Promise<string[]> {
  const keys = await Promise.all(fleet.memcacheds.map(async (_, at) => keysOf(await fleet.direct(at))));
  return keys.flat().filter((key) => key.startsWith("platypus:lease:"));
}

/** The leases, of which one is held: memcached's list of keys may miss an item that it moves at that moment. */
async function leasesHeld(fleet: Fleet): Promise<string[]> {
  const endMs = performance.now() + LEASE_GONE_MS;
  let held = await leasesOf(fleet);
  while (held.length === 0 && performance.now() < endMs) held = await leasesOf(fleet);
  return held;
}

/**
 * The leases that stay. Readers are answered before servers have answered that a lease is deleted, so it is looked for
 * until it is gone, for far less time than a lease lives.
 */
async function leasesLeft(fleet: Fleet): Promise<string[]> {
  const endMs = performance.now() + LEASE_GONE_MS;
  let left = await leasesOf(fleet);
  while (left.length > 0 && performance.now() < endMs) left = await leasesOf(fleet);
  return left;
}

describe.skipIf(MemcachedProcess.isMissing)("a fleet over one pool", () => {
  let fleet: Fleet;
  let id = 0;
  /** A key that no client has asked for yet. */
  let key = "";

  beforeAll(async () => {
    fleet = await Fleet.start(4, 3, {
      PLATYPUS_SOURCE_PRODUCTS_TIMEOUT: "10s",
      PLATYPUS_SERVER_FLUSH_ALL: "true",
      // On a busy machine, servers and fills may be late.
      PLATYPUS_TARGET_SERVER_TIMEOUT: "5s",
      PLATYPUS_GET_PRODUCTS_FILL_TIMEOUT: "10s",
    });
  });
  afterAll(() => fleet?.stop());
  beforeEach(() => {
    key = `product/${++id}`;
    fleet.origin.requests.length = 0;
  });
  afterEach(() => fleet.leave());

  /** The origin answers with `status` and `value` after a while. */
  function slowAnswers(status: number, value: string): void {
    fleet.origin.handle = (_request, response) => {
      setTimeout(() => response.writeHead(status).end(value), FETCH_MS);
    };
  }

  describe(`with ${CLIENTS} clients that miss one key at once`, () => {
    it("answers all from one fetch", async () => {
      slowAnswers(200, "slow");
      const clients = await fleet.crowd(CLIENTS);
      expect(await ask(clients, `get ${key}`, "END\r\n")).toEqual([[found(key, "slow"), CLIENTS]]);
      expect(fleet.origin.requests).toEqual([`GET /products/${id}`]);
      expect(await leasesLeft(fleet)).toEqual([]);
    });

    it("answers gets with the cas in the pool", async () => {
      slowAnswers(200, "slow");
      const clients = await fleet.crowd(CLIENTS);
      const answers = await ask(clients, `gets ${key}`, "END\r\n");
      expect(answers).toEqual([[expect.any(String), CLIENTS]]);
      const [, cas] = /^VALUE \S+ 0 4 (\d+)\r\nslow\r\nEND\r\n$/.exec(answers[0]![0])!;
      expect(fleet.origin.requests).toHaveLength(1);
      expect(await clients[0]!.ask(`cas ${key} 0 0 3 ${cas}\r\nnew`)).toBe("STORED\r\n");
    });

    it("answers mg with flags, cas and ttl of the item", async () => {
      slowAnswers(200, "slow");
      const clients = await fleet.crowd(CLIENTS);
      const answers = await ask(clients, `mg ${key} s v f c t`, "slow\r\n");
      expect(answers.reduce((sum, [, count]) => sum + count, 0)).toBe(CLIENTS);
      const read = answers.map(([answer]) => /^VA 4 s4 f0 c(\d+) t(\d+)\r\nslow\r\n$/.exec(answer)!);
      // Seconds go by while a thousand are answered.
      for (const [, , ttl] of read) expect(Number(ttl)).toBeGreaterThan(290);
      for (const [, , ttl] of read) expect(Number(ttl)).toBeLessThanOrEqual(301);
      expect(new Set(read.map(([, cas]) => cas)).size).toBe(1);
      expect(await clients[0]!.ask(`ms ${key} 3 C${read[0]![1]}\r\nnew`)).toBe("HD\r\n");
      expect(fleet.origin.requests).toHaveLength(1);
    });

    it("answers none if there is no value, which the whole fleet then remembers for negative_ttl", async () => {
      slowAnswers(404, "");
      const clients = await fleet.crowd(CLIENTS);
      expect(await ask(clients, `get ${key}`, "END\r\n")).toEqual([["END\r\n", CLIENTS]]);
      expect(await ask(clients.slice(0, 40), `get ${key}`, "END\r\n")).toEqual([["END\r\n", 40]]);
      expect(fleet.origin.requests).toHaveLength(1);
      // It ends by itself, and then one of them asks again.
      while (fleet.origin.requests.length < 2) await ask(clients.slice(0, 4), `get ${key}`, "END\r\n");
      expect(fleet.origin.requests).toHaveLength(2);
      // So does a client's write end it.
      expect(await clients[0]!.ask(`delete ${key}`)).toBe("NOT_FOUND\r\n");
      expect(await leasesLeft(fleet)).toEqual([]);
    });

    it("ends a negative result with a client's write", async () => {
      fleet.origin.handle = (_request, response) => response.writeHead(404).end();
      const clients = await fleet.crowd(4);
      expect(await ask(clients, `get ${key}`, "END\r\n")).toEqual([["END\r\n", 4]]);
      fleet.origin.handle = (_request, response) => response.end("here now");
      for (const client of clients) expect(await client.ask(`delete ${key}`)).toBe("NOT_FOUND\r\n");
      expect(await ask(clients, `get ${key}`, "END\r\n")).toEqual([[found(key, "here now"), 4]]);
      expect(fleet.origin.requests).toHaveLength(2);
    });
  });

  describe("during a fetch, a write through another process", () => {
    it.each([
      ["delete", (of: string) => `delete ${of}`, "NOT_FOUND\r\n"],
      ["incr", (of: string) => `incr ${of} 1`, "NOT_FOUND\r\n"],
      ["append", (of: string) => `append ${of} 0 0 1\r\n+`, "NOT_STORED\r\n"],
      ["md", (of: string) => `md ${of}`, "NF\r\n"],
      ["flush_all", () => "flush_all", "OK\r\n"],
    ])("such as %s keeps the older value from the reader and out of the pool", async (_verb, command, expected) => {
      const responses = fleet.holdAnswers();
      const [reader, writer] = [await fleet.connect(0), await fleet.connect(1)];
      reader.send(`get ${key}\r\n`);
      await fleet.origin.received(1);
      expect(await writer.ask(command(key))).toBe(expected);
      responses[0]!.end("old");
      await fleet.origin.received(2);
      // The value that was fetched is out again before it is fetched once more; those who ask now wait for the new one.
      const later = await fleet.connect(2);
      later.send(`get ${key}\r\n`);
      responses[1]!.end("new");
      expect(await inTime(reader.until("END\r\n"))).toBe(found(key, "new"));
      expect(await inTime(later.until("END\r\n"))).toBe(found(key, "new"));
      expect(fleet.origin.requests).toHaveLength(2);
      expect(await leasesLeft(fleet)).toEqual([]);
    });

    it.each([
      ["set", (of: string) => `set ${of} 5 0 6\r\nclient`, "STORED\r\n"],
      ["add", (of: string) => `add ${of} 5 0 6\r\nclient`, "STORED\r\n"],
      ["ms", (of: string) => `ms ${of} 6 F5\r\nclient`, "HD\r\n"],
    ])("such as %s determines the value for every reader", async (_verb, command, expected) => {
      const responses = fleet.holdAnswers();
      const [reader, watcher, writer] = [await fleet.connect(0), await fleet.connect(2), await fleet.connect(1)];
      reader.send(`get ${key}\r\n`);
      await fleet.origin.received(1);
      watcher.send(`get ${key}\r\n`);
      expect(await writer.ask(command(key))).toBe(expected);
      responses[0]!.end("old");
      const theirs = `VALUE ${key} 5 6\r\nclient\r\nEND\r\n`;
      for (const client of [reader, watcher]) expect(await inTime(client.until("END\r\n"))).toBe(theirs);
      expect(await writer.ask(`get ${key}`, "END\r\n")).toBe(theirs);
      expect(fleet.origin.requests).toHaveLength(1);
      expect(await leasesLeft(fleet)).toEqual([]);
    });
  });

  describe("the leases of the fleet", () => {
    it("are invisible to clients that request the key, and disappear", async () => {
      const responses = fleet.holdAnswers();
      const [reader, other] = [await fleet.connect(0), await fleet.connect(1)];
      reader.send(`get ${key}\r\n`);
      await fleet.origin.received(1);
      other.send(`gets ${key}\r\n`);
      for (const at of fleet.memcacheds.keys()) {
        const direct = await fleet.direct(at);
        expect(await direct.ask(`get ${key}`, "END\r\n")).toBe("END\r\n");
        expect(await direct.ask(`mg ${key} v`)).toBe("EN\r\n");
      }
      const held = await leasesHeld(fleet);
      expect(held).toEqual([expect.stringMatching(/^platypus:lease:[\w-]{22}$/)]);
      responses[0]!.end("v");
      expect(await inTime(reader.until("END\r\n"))).toBe(found(key, "v"));
      expect(await inTime(other.until("END\r\n"))).toMatch(/^VALUE \S+ 0 1 \d+\r\nv\r\nEND\r\n$/);
      expect(await leasesLeft(fleet)).toEqual([]);
    });

    it("disappear if the source fails", async () => {
      fleet.origin.handle = (_request, response) => response.writeHead(500).end();
      const client = await fleet.connect(0);
      expect(await client.ask(`get ${key}`, "END\r\n")).toBe("END\r\n");
      // The answer is given beside the lease's end, on another connection.
      while ((await leasesOf(fleet)).length > 0);
      fleet.origin.handle = (_request, response) => response.end("back");
      expect(await (await fleet.connect(1)).ask(`get ${key}`, "END\r\n")).toBe(found(key, "back"));
    });
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a fleet in trouble", () => {
  const fleets: Fleet[] = [];

  afterEach(async () => {
    for (const fleet of fleets.splice(0)) await fleet.stop();
  });

  async function startFleet(size: number, env: Record<string, string> = {}): Promise<Fleet> {
    const fleet = await Fleet.start(size, 1, env);
    fleets.push(fleet);
    return fleet;
  }

  it.each([
    ["300ms", "long before its lease ends"],
    ["10s", "long after its lease ends"],
  ])(
    "whose holder is killed answers all clients, with a fill_timeout of %s (%s), and one takes over",
    async (fillTimeout) => {
      const fleet = await startFleet(3, { PLATYPUS_GET_PRODUCTS_FILL_TIMEOUT: fillTimeout });
      fleet.holdAnswers();
      const lost = await fleet.connect(0);
      const others = (await fleet.crowd(60)).filter((_, i) => i % 3 !== 0);
      lost.send("get product/1\r\n");
      await fleet.origin.received(1);
      await fleet.processes[0]!.stop();
      fleet.origin.handle = (_request, response) => response.end("second");
      for (const [answer] of await ask(others, "get product/1", "END\r\n")) {
        expect(
          fillTimeout === "10s" ? [found("product/1", "second")] : ["END\r\n", found("product/1", "second")],
        ).toContain(answer);
      }
      const value = async () =>
        (await ask(others, "get product/1", "END\r\n")).every(([answer]) => answer !== "END\r\n");
      while (!(await inTime(value())));
      expect(await ask(others, "get product/1", "END\r\n")).toEqual([[found("product/1", "second"), 40]]);
      expect(fleet.origin.requests).toHaveLength(2);
      expect(await leasesLeft(fleet)).toEqual([]);
    },
  );

  it.each(["hangs", "dies"])(
    "whose memcached %s during a fetch answers all clients, and works after it is back",
    async (trouble) => {
      const fleet = await startFleet(2);
      const responses = fleet.holdAnswers();
      const clients = await fleet.crowd(40);
      for (const client of clients) client.send("get product/1\r\n");
      await fleet.origin.received(1);
      const [memcached] = fleet.memcacheds;
      if (trouble === "hangs") memcached!.pause();
      else await memcached!.stop();
      // Without leases each process may ask for itself.
      fleet.origin.handle = (_request, response) => response.end("v");
      responses[0]!.end("v");
      const answers = await inTime(Promise.all(clients.map((client) => client.until("END\r\n"))));
      for (const answer of answers) expect(["END\r\n", found("product/1", "v")]).toContain(answer);
      expect(answers).toContain(found("product/1", "v"));
      if (trouble === "hangs") memcached!.resume();
      else fleet.memcacheds[0] = await MemcachedProcess.start({ port: memcached!.port });
      for (const client of clients.slice(0, 2)) {
        while ((await inTime(client.ask("set other 0 0 1\r\n1"))) !== "STORED\r\n");
      }
      expect(await ask(clients, "get product/2", "END\r\n")).toEqual([[found("product/2", "v"), 40]]);
      expect(await (await fleet.direct()).ask("get product/2", "END\r\n")).toBe(found("product/2", "v"));
    },
  );
});
