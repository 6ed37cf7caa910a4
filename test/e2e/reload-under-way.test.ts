/** Reloads of a running Platypus while it fills and refreshes: over one pool and through a routing tree. */
import type { ServerResponse } from "node:http";
import { connect as connectSocket } from "node:net";
import { beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../src/config/config.ts";
import type { Platypus } from "../../src/server/platypus.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { connect, portOf, startMemcached, startOrigin, startPlatypus } from "../support/rigs/started.ts";
import { treeConfig } from "../support/rigs/tree-config.ts";
import type { HttpOrigin } from "../support/servers/http-origin.ts";
import { MemcachedProcess } from "../support/servers/memcached-process.ts";

describe.skipIf(MemcachedProcess.isMissing)("a reload while a key is fetched", () => {
  const patience = { timeout: 10_000 };
  let memcached: MemcachedProcess;
  let origin: HttpOrigin;
  let platypus: Platypus;
  let client: TextClient;

  beforeEach(async () => {
    memcached = await startMemcached();
    origin = await startOrigin();
  });

  async function start(config: Config): Promise<void> {
    platypus = await startPlatypus(config);
    client = await connect(platypus);
  }

  const rules = (url = origin.url, ttl = "2s") => `
    [get.a]
    match = "a/(.*)"
    source = "o"
    ttl = "${ttl}"
    fill_timeout = "5s"
    [source.o]
    type = "http"
    url = "${url}/{1}"
  `;
  const overPool = (text = rules(), settings = "") => nativeConfig(targetOf([memcached.port], settings) + text);

  /** Two copies of each key: keys do not lie on one server of one pool. */
  async function throughTree(text = rules(), settings: object = {}): Promise<Config> {
    const servers = [`127.0.0.1:${memcached.port}`];
    const tree = await treeConfig({
      pools: { A: { servers, ...settings }, B: { servers, ...settings } },
      route: { type: "AllSyncRoute", children: ["PoolRoute|A", "PoolRoute|B"] },
    });
    const native = nativeConfig(text);
    return { ...tree, server: native.server, rules: native.rules, sources: native.sources };
  }

  function holdAnswers(): ServerResponse[] {
    const responses: ServerResponse[] = [];
    origin.handle = (_request, response) => responses.push(response);
    return responses;
  }

  const get = async () => (await client.ask("get a/1", "END\r\n")).split("\r\n")[1];

  /** The key is filled, and its first refresh has been asked of the origin. */
  async function refreshing(): Promise<ServerResponse> {
    origin.handle = (_request, response) => response.end("first");
    expect(await get()).toBe("first");
    const responses = holdAnswers();
    await origin.received(2);
    return responses[0]!;
  }

  const kinds: [string, () => Promise<Config>, () => Promise<Config>][] = [
    ["over one pool, which stays", async () => overPool(), async () => overPool()],
    ["over one pool, without rules", async () => overPool(), async () => overPool("")],
    ["through a routing tree, which is built anew", () => throughTree(), () => throughTree()],
    ["through a routing tree, without rules", () => throughTree(), () => throughTree("")],
    ["through a routing tree, with another ttl", () => throughTree(), () => throughTree(rules(origin.url, "5s"))],
    ["from a routing tree to one pool", () => throughTree(), async () => overPool()],
    ["from one pool to a routing tree", async () => overPool(), () => throughTree()],
  ];

  it.each(kinds)("keeps a client's write that came during a refresh: %s", async (_which, before, after) => {
    await start(await before());
    const response = await refreshing();
    platypus.reload(await after());
    origin.handle = (_request, later) => later.end("later");
    const other = await connect(memcached.port);
    expect(await client.ask("set a/1 0 0 8\r\nclient's")).toBe("STORED\r\n");
    response.end("fetched before");
    const seen = new Set<string>();
    // Until the refresh has ended, or the next one has replaced the client's value.
    await expect
      .poll(async () => {
        seen.add((await other.ask("get a/1", "END\r\n")).split("\r\n")[1]!);
        return (await client.ask("stats platypus", "END\r\n")).includes("STAT refreshes_in_flight 0\r\n");
      }, patience)
      .toBe(true);
    seen.add((await other.ask("get a/1", "END\r\n")).split("\r\n")[1]!);
    expect(seen).not.toContain("fetched before");
  });

  const ofProcess = () => rules().replace("[source", 'lease = "process"\n[source');
  const withOtherConnections: [string, () => Promise<Config>, () => Promise<Config>][] = [
    ["over one pool", async () => overPool(ofProcess()), async () => overPool(ofProcess(), "connections = 2")],
    ["through a routing tree", () => throughTree(), () => throughTree(rules(), { server_timeout: 2_000 })],
  ];

  it.each(withOtherConnections)(
    "ends a fill that clients wait for, without blocking others, if servers get other connections: %s",
    async (_which, before, after) => {
      await start(await before());
      const responses = holdAnswers();
      client.send("get a/1\r\n");
      await origin.received(1);
      const other = await connect(platypus);
      platypus.reload(await after());
      other.send("set b 0 0 1\r\nx\r\n");
      responses[0]!.end("fetched");
      expect(await client.until("END\r\n")).toBe("VALUE a/1 0 7\r\nfetched\r\nEND\r\n");
      expect(await other.until("STORED\r\n")).toBe("STORED\r\n");
      expect(await other.ask("get a/1", "END\r\n")).toBe("VALUE a/1 0 7\r\nfetched\r\nEND\r\n");
    },
  );

  it("fills through the current pool after two reloads if a client that has left was waiting at the first", async () => {
    await start(overPool(ofProcess()));
    const responses = holdAnswers();
    const leaving = connectSocket(portOf(platypus), "127.0.0.1");
    leaving.write("get a/1\r\n");
    await origin.received(1);
    const direct = await connect(memcached.port);
    platypus.reload(overPool(ofProcess(), "connections = 2"));
    leaving.resetAndDestroy();
    await expect.poll(() => client.ask("stats", "END\r\n")).toContain("STAT curr_connections 1\r\n");
    platypus.reload(overPool(ofProcess(), "connections = 3"));
    responses[0]!.end("fetched");
    await expect.poll(() => direct.ask("get a/1", "END\r\n")).toContain("fetched");
    origin.handle = (_request, response) => response.end("second");
    expect(await client.ask("get a/2", "END\r\n")).toContain("second");
    expect(await direct.ask("get a/2", "END\r\n")).toContain("second");
  });

  it.each(["fill", "refresh"])("does not ask a new source with the ETag of the old one, after a %s", async (kind) => {
    const other = await startOrigin();
    other.handle = (request, response) => {
      if (request.headers["if-none-match"] !== undefined) response.writeHead(304).end();
      else response.end("of the new source");
    };
    await start(overPool());
    const responses = holdAnswers();
    client.send("get a/1\r\n");
    await origin.received(1);
    if (kind === "refresh") {
      responses[0]!.writeHead(200, { etag: '"1"' }).end("of the old source");
      await client.until("END\r\n");
      await origin.received(2);
    }
    platypus.reload(overPool(rules(other.url)));
    responses.at(-1)!.writeHead(200, { etag: '"1"' }).end("of the old source");
    if (kind === "fill") await client.until("END\r\n");
    await expect.poll(get, patience).toBe("of the new source");
    expect(other.headers[0]!["if-none-match"]).toBeUndefined();
  });

  it("lets a fill store its value through the rebuilt tree", async () => {
    await start(await throughTree());
    const responses = holdAnswers();
    client.send("get a/1\r\n");
    await origin.received(1);
    platypus.reload(await throughTree());
    responses[0]!.end("v");
    expect(await client.until("END\r\n")).toContain("v");
    const direct = await connect(memcached.port);
    expect(await direct.ask("get a/1", "END\r\n")).toContain("v");
  });
});
