/** One suite for every pool that fill and refresh can stand on: the embedded store and a real memcached. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { BackendError } from "../../../src/errors.ts";
import { buildPools, noPools, replaceBackends } from "../../../src/proxy/route/pools.ts";
import { ItemStore } from "../../../src/proxy/store/item-store.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { EmbeddedPoolPort } from "../../../src/refresh/pool/embedded-pool-port.ts";
import type { PoolPort } from "../../../src/refresh/pool/pool-port.ts";
import { RoutedPoolPort } from "../../../src/refresh/pool/routed-pool-port.ts";
import { Log } from "../../../src/telemetry/log.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { nativeConfig, targetOf } from "../../support/rigs/native-config.ts";
import { freePort, MemcachedProcess } from "../../support/servers/memcached-process.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";

const undo: (() => unknown)[] = [];
afterAll(async () => {
  for (const step of undo.reverse()) await step();
});

function routedPort(port: number, settings = "", targetSettings = ""): PoolPort {
  const config = nativeConfig(`${settings}\n${targetOf([port], targetSettings)}`);
  const pools = buildPools(config, noPools, {
    clock: systemClock,
    turn: new Turn(() => systemClock.nowMs()),
    log: new Log(config.server.log),
    random: Math.random,
  });
  undo.push(() => replaceBackends(pools, noPools)());
  return new RoutedPoolPort(pools.routes.values().next().value!, config.server.prefix);
}

const kinds: [string, () => Promise<PoolPort>][] = [
  ["the embedded store", async () => new EmbeddedPoolPort(new ItemStore(1 << 24, 1 << 20, systemClock.unixSeconds))],
];
if (!MemcachedProcess.isMissing) {
  const start = async (settings: string) => {
    const memcached = await MemcachedProcess.start();
    undo.push(() => memcached.stop());
    return routedPort(memcached.port, settings);
  };
  kinds.push(["a memcached", () => start("")], ["a memcached under a prefix", () => start('[server]\nprefix = "p:"')]);
}

describe.each(kinds)("%s", (_kind, make) => {
  let port: PoolPort;
  beforeAll(async () => {
    port = await make();
  });

  const value = Buffer.from("value");

  it("reads nothing if nothing is stored", async () => {
    expect(await port.read("missing")).toBeNull();
  });

  it("adds an item if there is none, and returns the cas that is read later", async () => {
    const added = await port.add("added", "added", value, 100);
    const item = await port.read("added");
    expect(added).toEqual({ result: "stored", cas: item!.cas });
    expect(item!.ttlSeconds).toBeGreaterThan(97);
    expect(item!.ttlSeconds).toBeLessThanOrEqual(100);
  });

  it("does not add an item if there is one", async () => {
    await port.add("twice", "twice", value, 0);
    const { cas } = (await port.read("twice"))!;
    expect(await port.add("twice", "twice", value, 0)).toMatchObject({ result: "notStored" });
    expect(await port.read("twice")).toEqual({ ttlSeconds: -1, cas });
  });

  it("accepts an exptime over 30 days as a unix time", async () => {
    const exptime = systemClock.unixSeconds() + 100 * 86_400;
    await port.add("late", "late", value, exptime);
    const { ttlSeconds } = (await port.read("late"))!;
    expect(Math.abs(ttlSeconds! - 100 * 86_400)).toBeLessThan(5);
  });

  it("replaces only the item with the given cas", async () => {
    await port.add("cas", "cas", value, 10);
    const { cas } = (await port.read("cas"))!;
    expect(await port.cas("cas", "cas", value, 100, cas + 1_000n)).toMatchObject({ result: "exists" });
    const written = await port.cas("cas", "cas", value, 100, cas);
    const item = (await port.read("cas"))!;
    expect(written).toEqual({ result: "stored", cas: item.cas });
    expect(item.cas).not.toBe(cas);
    expect(item.ttlSeconds).toBeGreaterThan(50);
    expect(await port.cas("cas", "cas", value, 100, cas)).toMatchObject({ result: "exists" });
    expect(await port.cas("nothing", "nothing", value, 100, cas)).toMatchObject({ result: "notFound" });
  });

  it("deletes only the item with the given cas", async () => {
    await port.add("delete", "delete", value, 0);
    const { cas } = (await port.read("delete"))!;
    expect(await port.deleteIf("delete", "delete", cas + 1_000n)).toBe(false);
    expect(await port.deleteIf("delete", "delete", cas)).toBe(true);
    expect(await port.read("delete")).toBeNull();
    expect(await port.deleteIf("delete", "delete", cas)).toBe(false);
  });

  it("accepts empty values, values of any bytes, and keys beyond ASCII", async () => {
    const bytes = Buffer.from("\r\nEND\r\n\0\xff", "latin1");
    const key = Buffer.from("ключ").toString("latin1");
    expect(await port.add(key, key, bytes, 0)).toMatchObject({ result: "stored" });
    expect(await port.add("empty", "empty", Buffer.alloc(0), 0)).toMatchObject({ result: "stored" });
    expect(await port.read(key)).not.toBeNull();
    expect(await port.read("empty")).not.toBeNull();
  });

  it("rejects a value that the pool does not accept, and continues to work", async () => {
    await expect(port.add("large", "large", Buffer.alloc(2 << 20), 0)).rejects.toBeInstanceOf(BackendError);
    expect(await port.add("small", "small", value, 0)).toMatchObject({ result: "stored" });
  });

  it("marks the error as a refusal if the value is too large", async () => {
    const error = await port.add("refused", "refused", Buffer.alloc(2 << 20), 0).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ isRefused: true });
  });

  it("keeps the order of concurrent operations on a key", async () => {
    const [, added, read] = await Promise.all([
      port.read("order"),
      port.add("order", "order", value, 50),
      port.read("order"),
    ]);
    expect(added).toMatchObject({ result: "stored", cas: read!.cas });
  });
});

describe.skipIf(MemcachedProcess.isMissing)("a memcached shared with other clients", () => {
  it("shows a stored value as an item with flags 0", async () => {
    const memcached = await MemcachedProcess.start();
    undo.push(() => memcached.stop());
    await routedPort(memcached.port).add("k", "k", Buffer.from("v"), 0);
    const client = await TextClient.connect(memcached.port);
    expect(await client.ask("get k", "END\r\n")).toBe("VALUE k 0 1\r\nv\r\nEND\r\n");
    client.close();
  });
});

describe("an unreachable pool", () => {
  it("fails every call with a BackendError", async () => {
    const port = routedPort(await freePort());
    const calls = [
      port.read("k"),
      port.add("k", "k", Buffer.from("v"), 0),
      port.cas("k", "k", Buffer.from("v"), 0, 1n),
      port.deleteIf("k", "k", 1n),
    ];
    for (const call of calls) await expect(call).rejects.toBeInstanceOf(BackendError);
  });

  it("has not executed operations that could not be sent", async () => {
    const port = routedPort(await freePort());
    await expect(port.read("k")).rejects.toMatchObject({ isRefused: true });
  });
});

describe("a pool that does not answer", () => {
  it.each(["time-out", "lost connection", "error of a proxy"])("may have executed a write after a %s", async (why) => {
    const server = await ScriptedBackend.start();
    undo.push(() => server.stop());
    const port = routedPort(server.port, "", 'server_timeout = "20ms"');
    const added = port.add("k", "k", Buffer.from("v"), 0).catch((reason: unknown) => reason);
    const { connection, reply } = await server.command();
    if (why === "lost connection") connection.socket.destroy();
    if (why === "error of a proxy") reply("SERVER_ERROR timeout\r\n");
    expect(await added).toMatchObject({ isRefused: false });
  });
});
