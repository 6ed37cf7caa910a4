/**
 * Keys that are kept fresh, over a real memcached and a real origin. The tests mostly wait for ttls of whole seconds, so they
 * run side by side, each with its own servers.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it, type TestContext } from "vitest";
import { TextClient } from "../support/clients/text-client.ts";
import { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";
import { PlatypusProcess } from "../support/servers/platypus-process.ts";

const POLL_MS = 20;
const HANGS_MS = 15_000;
/** Falls due after 2.7 to 3 s, well before the end: a busy machine comes late. */
const REFRESHED = 'ttl = "6s"\nrefresh_before = "3s"';

type Undo = (step: () => unknown) => void;

/** A memcached, an origin, and processes with one rule: keys of `k/…`, from the origin under the same path. */
class Scene {
  readonly origin: HttpOrigin;
  readonly direct: TextClient;
  private readonly memcached: MemcachedProcess;
  private readonly undo: Undo;

  private constructor(origin: HttpOrigin, memcached: MemcachedProcess, direct: TextClient, undo: Undo) {
    this.origin = origin;
    this.memcached = memcached;
    this.direct = direct;
    this.undo = undo;
  }

  static async set({ onTestFinished }: TestContext): Promise<Scene> {
    // Called last first.
    const undo: Undo = (step) => onTestFinished(async () => void (await step()));
    const origin = await HttpOrigin.start();
    undo(() => origin.close());
    const memcached = await MemcachedProcess.start();
    undo(() => memcached.stop());
    const direct = await TextClient.connect(memcached.port);
    undo(() => direct.close());
    return new Scene(origin, memcached, direct, undo);
  }

  async start(rule: string, rest = ""): Promise<PlatypusProcess> {
    const platypus = await PlatypusProcess.start(`
      [server]
      listen = "127.0.0.1:0"
      [target]
      servers = ["127.0.0.1:${this.memcached.port}"]
      # On a busy machine a lease that times out would leave a value that is not stored.
      server_timeout = "5s"
      [source.origin]
      type = "http"
      url = "${this.origin.url}/{key:path}"
      breaker_failures = 0
      retries = 0
      [get.rule]
      match = "k/.*"
      source = "origin"
      fill_timeout = "5s"
      ${rule}
      ${rest}
    `);
    this.undo(() => platypus.stop());
    return platypus;
  }

  async connect(platypus: PlatypusProcess): Promise<TextClient> {
    const client = await TextClient.connect(platypus.port);
    this.undo(() => client.close());
    return client;
  }

  /** Cas and TTL of an item, asked of memcached directly. `null` if there is no such item. */
  async item(key: string): Promise<{ cas: string; ttl: number } | null> {
    const answer = await this.direct.ask(`mg ${key} c t`);
    const [, cas, ttl] = /^HD c(\d+) t(-?\d+)\r\n$/.exec(answer) ?? [];
    return cas === undefined ? null : { cas, ttl: Number(ttl) };
  }

  /** The origin answers the n-th request (from 1) so. */
  answer(how: (n: number, request: IncomingMessage, response: ServerResponse) => void): void {
    let n = 0;
    this.origin.handle = (request, response) => how(++n, request, response);
  }
}

/** The value of a key. `null` on a miss. */
async function get(client: TextClient, key: string): Promise<string | null> {
  const answer = await client.ask(`get ${key}`, "END\r\n");
  return /^VALUE \S+ 0 \d+\r\n(.*)\r\nEND\r\n$/.exec(answer)?.[1] ?? null;
}

/** A number of `stats platypus`. */
async function stat(client: TextClient, name: string): Promise<number> {
  const answer = await client.ask("stats platypus", "END\r\n");
  return Number(new RegExp(`^STAT ${name} (\\d+)\\r$`, "m").exec(answer)![1]);
}

/** Looks again and again until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + HANGS_MS;
  while (!(await isSo())) {
    if (performance.now() > endMs) throw new Error(`never became so: ${isSo}`);
    await delay(POLL_MS);
  }
}

describe.skipIf(MemcachedProcess.isMissing)("a refresh", { timeout: 25_000, concurrent: true }, () => {
  it("extends the item's life without rewriting it if its ETag gets a 304", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((_n, request, response) => {
      const isKnown = request.headers["if-none-match"] === '"one"';
      response.writeHead(isKnown ? 304 : 200, { etag: '"one"' }).end(isKnown ? "" : "value");
    });
    const client = await scene.connect(await scene.start(REFRESHED));
    expect(await get(client, "k/1")).toBe("value");
    const { cas } = (await scene.item("k/1"))!;
    await until(async () => (await stat(client, "rule:rule:unchanged")) === 1);
    // It had 4 or 5 s left of its 7.
    const after = (await scene.item("k/1"))!;
    expect(after.cas).toBe(cas);
    expect(after.ttl).toBeGreaterThanOrEqual(6);
    expect(scene.origin.headers.map((headers) => headers["if-none-match"])).toEqual([undefined, '"one"']);
    expect(await get(client, "k/1")).toBe("value");
    expect(await stat(client, "rule:rule:fills")).toBe(1);
  });

  it("extends the item's life without rewriting it if the bytes are equal, without a validator", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((_n, _request, response) => response.end("value"));
    const client = await scene.connect(await scene.start(REFRESHED));
    expect(await get(client, "k/1")).toBe("value");
    const { cas } = (await scene.item("k/1"))!;
    await until(async () => (await stat(client, "rule:rule:unchanged")) === 1);
    const after = (await scene.item("k/1"))!;
    expect(after.cas).toBe(cas);
    expect(after.ttl).toBeGreaterThanOrEqual(6);
    expect(scene.origin.requests).toEqual(["GET /k/1", "GET /k/1"]);
  });

  it("replaces a client's value with the source's, even if the source has not changed", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((_n, request, response) => {
      const isKnown = request.headers["if-none-match"] === '"one"';
      response.writeHead(isKnown ? 304 : 200, { etag: '"one"' }).end(isKnown ? "" : "the source's");
    });
    const client = await scene.connect(await scene.start(REFRESHED));
    expect(await get(client, "k/1")).toBe("the source's");
    expect(await client.ask("set k/1 0 0 8\r\nclient's")).toBe("STORED\r\n");
    expect(await get(client, "k/1")).toBe("client's");
    await until(async () => (await stat(client, "rule:rule:refreshed")) === 1);
    expect(await get(client, "k/1")).toBe("the source's");
    expect(await get(scene.direct, "k/1")).toBe("the source's");
    expect(scene.origin.headers.map((headers) => headers["if-none-match"])).toEqual([undefined, undefined]);
    expect((await scene.item("k/1"))!.ttl).toBeLessThanOrEqual(7);
  });

  it("leaves the value in place until stale is over if it fails, and no longer", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((n, _request, response) => response.writeHead(n === 1 ? 200 : 500).end("value"));
    const client = await scene.connect(await scene.start('ttl = "4s"\nrefresh_before = "2s"\nstale = "6s"'));
    expect(await get(client, "k/1")).toBe("value");
    // Failed after 2, 3 and 5 s: the item of a value without stale would be gone by the third.
    await until(async () => (await stat(client, "rule:rule:refresh_failed")) === 3);
    expect(await get(client, "k/1")).toBe("value");
    expect(await stat(client, "rule:rule:fills")).toBe(1);
    await until(async () => (await get(client, "k/1")) === null);
    expect(await scene.item("k/1")).toBeNull();
  });

  it("follows the freshness that the source reports if the rule takes its ttl from it", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((n, _request, response) =>
      response.writeHead(200, { "cache-control": `max-age=${n === 1 ? 6 : 100}` }).end(`value ${n}`),
    );
    // Falls due half of its time before the end, which a busy machine does not miss.
    const client = await scene.connect(await scene.start('ttl = "source"\nrefresh_before = "3s"'));
    expect(await get(client, "k/1")).toBe("value 1");
    const first = (await scene.item("k/1"))!.ttl;
    expect([6, 7]).toContain(first);
    await until(async () => (await stat(client, "rule:rule:refreshed")) === 1);
    expect(await get(client, "k/1")).toBe("value 2");
    expect([100, 101]).toContain((await scene.item("k/1"))!.ttl);
    expect(await stat(client, "rule:rule:fills")).toBe(1);
  });

  it("is made by the next process before the item ends if the process that filled the key was killed", async (context) => {
    const scene = await Scene.set(context);
    scene.answer((n, _request, response) => response.end(`value ${n}`));
    const rule = 'ttl = "30s"\nrefresh_before = "28s"';
    const first = await scene.start(rule);
    expect(await get(await scene.connect(first), "k/1")).toBe("value 1");
    first.child.kill("SIGKILL");
    expect(await first.exit()).toBe("SIGKILL");
    const client = await scene.connect(await scene.start(rule));
    const seen: (string | null)[] = [];
    await until(async () => seen[seen.push(await get(client, "k/1")) - 1] !== "value 1");
    // Each get was a hit, so no client waited.
    expect([seen[0], seen.at(-1)]).toEqual(["value 1", "value 2"]);
    expect(await stat(client, "rule:rule:picked_up")).toBe(1);
    expect(await stat(client, "rule:rule:refreshed")).toBe(1);
    expect(await stat(client, "rule:rule:fills")).toBe(0);
  });

  it("is made by one process at a time if two processes keep the key fresh", async (context) => {
    const scene = await Scene.set(context);
    let [running, most] = [0, 0];
    scene.answer((n, _request, response) => {
      most = Math.max(most, ++running);
      // Long enough for the other one to find the key due as well.
      setTimeout(() => {
        running--;
        response.end(`value ${n}`);
      }, 300);
    });
    const rule = 'ttl = "5s"\nrefresh_before = "1s"';
    const clients = await Promise.all([1, 2].map(async () => scene.connect(await scene.start(rule))));
    const dues = () => Promise.all(clients.map((client) => stat(client, "rule:rule:due")));
    await until(async () => {
      for (const client of clients) expect(await get(client, "k/1")).toMatch(/^value \d$/);
      return (await dues()).every((due) => due >= 2);
    });
    await until(async () => running === 0);
    const [one, two] = await dues();
    expect(await Promise.all(clients.map((client) => stat(client, "tracked")))).toEqual([1, 1]);
    expect(most).toBe(1);
    // It fell due twice in each: the second look found that the first had been there, or was there.
    expect(scene.origin.requests.length - 1).toBeLessThanOrEqual((one! + two!) / 2 + 1);
  });

  it("deletes the item if the source has no value, or keeps it if the rule says so", async (context) => {
    const scene = await Scene.set(context);
    scene.origin.handle = (request, response) => {
      const isFirst = scene.origin.requests.filter((asked) => asked === `GET ${request.url}`).length === 1;
      response.writeHead(isFirst ? 200 : 404).end("value");
    };
    const times = 'ttl = "2s"\nrefresh_before = "1s"\nstale = "1m"';
    const keeping = `[get.keeping]\nmatch = "kept/.*"\nsource = "origin"\nnot_found = "keep"\n${times}`;
    const client = await scene.connect(await scene.start(times, keeping));
    expect([await get(client, "k/1"), await get(client, "kept/1")]).toEqual(["value", "value"]);
    await until(async () => (await scene.item("k/1")) === null);
    expect(await get(client, "k/1")).toBeNull();
    await until(async () => scene.origin.requests.filter((asked) => asked === "GET /kept/1").length === 3);
    expect(await get(client, "kept/1")).toBe("value");
    expect(await get(scene.direct, "kept/1")).toBe("value");
    expect(await stat(client, "rule:keeping:fills")).toBe(1);
  });
});
