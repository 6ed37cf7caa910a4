import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/config.ts";
import type { Backend, BackendContext } from "../../../src/proxy/backend/backend.ts";
import { KeyList } from "../../../src/proxy/request.ts";
import type { PoolRoute } from "../../../src/proxy/route/pool-route.ts";
import { type BuiltPools, buildPools, noPools, replaceBackends } from "../../../src/proxy/route/pools.ts";
import { Turn } from "../../../src/proxy/wire/turn.ts";
import { Asked } from "../../support/fakes/asked.ts";
import { KeptLog } from "../../support/fakes/kept-log.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { nativeConfig, targetOf } from "../../support/rigs/native-config.ts";
import { ScriptedBackend } from "../../support/servers/scripted-backend.ts";
import { cutAt, cutFractions, placesOf } from "../../support/vectors/parts.ts";

const SERVER_TIMEOUT_MS = 250;

let clock: ManualClock;
let context: BackendContext;
let servers: ScriptedBackend[];
let pools: BuiltPools;
let pool: PoolRoute;

function target(ports: readonly number[], settings = ""): string {
  return targetOf(ports, `server_timeout = "${SERVER_TIMEOUT_MS}ms"\n${settings}`);
}

function configOf(settings = "", server = ""): Config {
  const ports = servers.map(({ port }) => port);
  return nativeConfig(`[server]\n${server}\n${target(ports, settings)}`);
}

function build(config: Config): void {
  pools = buildPools(config, noPools, context);
  pool = pools.routes.values().next().value!;
}

function ask(frame: string): Asked {
  return new Asked(frame).by((request) => pool.route(request));
}

/** Index of the server that owns `key`, by asking for it. */
async function ownerOf(key: string): Promise<number> {
  const before = servers.map(({ lines }) => lines.length);
  await ask(`get ${key}\r\n`).answer();
  return servers.findIndex(({ lines }, i) => lines.length > before[i]!);
}

/** Keys by owner: `count` for each server. */
async function keysOfEach(count: number): Promise<string[][]> {
  const keys: string[][] = servers.map(() => []);
  for (let i = 0; keys.some((some) => some.length < count); i++) {
    const own = keys[await ownerOf(`key${i}`)]!;
    if (own.length < count) own.push(`key${i}`);
  }
  return keys;
}

/** Answers retrievals with `value of KEY`; `missing` keys have none. */
function serve(missing: ReadonlySet<string> = new Set()): void {
  for (const server of servers) server.script = (line) => answerOf(line, missing);
}

function answerOf(line: string, missing: ReadonlySet<string>): string {
  const words = line.split(" ");
  const keys = words.slice(/^gats? /.test(line) ? 2 : 1);
  return `${keys.map((key) => (missing.has(key) ? "" : blockOf(key))).join("")}END\r\n`;
}

/** The same value under a key with the prefix; of another length for each key, so that no two answers look alike. */
function blockOf(key: string): string {
  const name = key.replace(/^app:/, "");
  const value = `value of ${name} `.repeat(1 + (Number.parseInt(name.slice(3), 10) % 7 || 0));
  return `VALUE ${key} 0 ${value.length}\r\n${value}\r\n`;
}

beforeEach(async () => {
  clock = new ManualClock();
  context = { clock, turn: new Turn(() => clock.nowMs()), log: new KeptLog().log, random: () => 0 };
  servers = await Promise.all([ScriptedBackend.start(), ScriptedBackend.start(), ScriptedBackend.start()]);
  build(configOf());
});

afterEach(async () => {
  for (const backend of pools.backends.values()) backend.close();
  await Promise.all(servers.map((server) => server.stop()));
});

describe("PoolRoute's get of many keys over several servers", () => {
  it("sends one request to each server for the server's keys, and answers in the order of the keys", async () => {
    serve();
    const [first, second, third] = (await keysOfEach(2)) as [string[], string[], string[]];
    const keys = [first[0], second[0], third[0], second[1], first[1], second[0], third[1]];
    for (const server of servers) server.lines.length = 0;
    expect(await ask(`get ${keys.join(" ")}\r\n`).text()).toBe(`${keys.map((key) => blockOf(key!)).join("")}END\r\n`);
    expect(servers.map(({ lines }) => lines)).toEqual([
      [`get ${first.join(" ")}`],
      [`get ${second.join(" ")} ${second[0]}`],
      [`get ${third.join(" ")}`],
    ]);
  });

  it("omits missing keys", async () => {
    serve();
    const keys = (await keysOfEach(2)).flat();
    const missing = new Set([keys[0]!, keys[3]!]);
    serve(missing);
    const rest = keys.filter((key) => !missing.has(key));
    expect(await ask(`gets ${keys.join(" ")}\r\n`).text()).toBe(`${rest.map(blockOf).join("")}END\r\n`);
    serve(new Set(keys));
    expect(await ask(`gets ${keys.join(" ")}\r\n`).text()).toBe("END\r\n");
  });

  it("omits the keys of a server that is slow, sends wrong replies, breaks off half-way or fails", async () => {
    serve();
    const keys = await keysOfEach(2);
    const good = keys.map((own) => own.map(blockOf).join(""));
    const half = good[1]!.slice(0, good[1]!.length / 2 + 5);
    const wrongs: Record<string, (command: Awaited<ReturnType<ScriptedBackend["command"]>>) => void> = {
      lies: (command) => command.reply(`${blockOf("another")}END\r\n`),
      fails: (command) => command.reply("SERVER_ERROR out of memory\r\n"),
      "fails behind a value": (command) => command.reply(`${blockOf(keys[1]![0]!)}SERVER_ERROR out of memory\r\n`),
      "breaks off": (command) => {
        command.reply(half);
        command.connection.socket.end();
      },
      "is slow": () => clock.advance(SERVER_TIMEOUT_MS),
    };
    for (const [name, wrong] of Object.entries(wrongs)) {
      // A connection that was lied to once asks for each key alone.
      for (const backend of pools.backends.values()) backend.close();
      build(configOf(""));
      servers[1]!.script = null;
      const asked = ask(`get ${keys.flat().join(" ")}\r\n`);
      const command = await servers[1]!.command();
      // The others have been answered by then, or are answered afterwards: both must do.
      if (name === "is slow") for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      wrong(command);
      expect([name, await asked.text()]).toEqual([name, `${good[0]}${good[2]}END\r\n`]);
      expect(asked.answers.length).toBe(1);
    }
  });

  for (const prefix of ["", "app:"]) {
    const name = prefix === "" ? "" : ", with a prefix";
    it(`has the same reply however the servers' replies are cut and whichever arrives first${name}`, async () => {
      for (const backend of pools.backends.values()) backend.close();
      build(configOf("", `prefix = "${prefix}"`));
      serve();
      const keys = (await keysOfEach(4)).flat();
      for (const server of servers) server.script = null;
      const property = async (order: number[], fractions: number[][]) => {
        const asked = ask(`get ${keys.join(" ")}\r\n`);
        const commands = await Promise.all(servers.map((server) => server.command()));
        const sent = order.map((i) => {
          const answer = Buffer.from(answerOf(commands[i]!.line, new Set()), "latin1");
          return commands[i]!.connection.sendInPieces(cutAt(answer, placesOf(fractions[i]!, answer.length)));
        });
        expect(await asked.text()).toBe(`${keys.map(blockOf).join("")}END\r\n`);
        await Promise.all(sent);
      };
      const order = fc.shuffledSubarray([0, 1, 2], { minLength: 3 });
      await fc.assert(fc.asyncProperty(order, fc.tuple(cutFractions, cutFractions, cutFractions), property), {
        numRuns: 100,
      });
    });
  }

  it("sends a gat of many keys in commands of at most 2 KiB", async () => {
    serve();
    const keys = Array.from({ length: 60 }, (_, i) => `wide${i}:`.padEnd(249, "k"));
    const asked = ask(`gats -2147483648 ${keys.join(" ")}\r\n`);
    expect(await asked.text()).toBe(`${keys.map(blockOf).join("")}END\r\n`);
    const lines = servers.flatMap((server) => server.lines);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(2_048);
    expect(lines.every((line) => line.startsWith("gats -2147483648 wide"))).toBe(true);
  });
});

describe("a pool with a prefix", () => {
  it("adds it to every key of a multi-key get, and removes it from the replies", async () => {
    for (const backend of pools.backends.values()) backend.close();
    build(configOf("", 'prefix = "app:"'));
    serve();
    const keys = Array.from({ length: 12 }, (_, i) => `key${i}`);
    expect(await ask(`get ${keys.join(" ")}\r\n`).text()).toBe(`${keys.map(blockOf).join("")}END\r\n`);
    const asked = servers.flatMap(({ lines }) => lines.flatMap((line) => line.split(" ").slice(1)));
    expect(asked.sort()).toEqual(keys.map((key) => `app:${key}`).sort());
  });
});

describe("a pool with several connections to a server", () => {
  it("sends all requests for a key on one of them, alone or in a multi-key get", async () => {
    for (const backend of pools.backends.values()) backend.close();
    await Promise.all(servers.splice(1).map((server) => server.stop()));
    build(configOf("connections = 4"));
    const keys = Array.from({ length: 40 }, (_, i) => `key${i}`);
    const connectionOf = new Map<string, unknown>();
    for (const key of keys) {
      const asked = ask(`set ${key} 0 0 1 noreply\r\n1\r\n`);
      const command = await servers[0]!.command();
      connectionOf.set(key, command.connection);
      command.reply("STORED\r\n");
      await asked.answer();
    }
    expect(new Set(connectionOf.values()).size).toBe(4);
    const asked = ask(`get ${keys.join(" ")}\r\n`);
    for (const { line, connection, reply } of await servers[0]!.commands(4)) {
      for (const key of line.split(" ").slice(1)) expect(connectionOf.get(key)).toBe(connection);
      reply(answerOf(line, new Set()));
    }
    expect(await asked.text()).toBe(`${keys.map(blockOf).join("")}END\r\n`);
  });
});

describe("a PoolRoute command for every server", () => {
  const flush = () => new Asked("flush_all\r\n").by((request) => pool.broadcast(request));

  it("is answered when all servers have answered", async () => {
    const asked = flush();
    const commands = await Promise.all(servers.map((server) => server.command()));
    expect(commands.map(({ line }) => line)).toEqual(["flush_all", "flush_all", "flush_all"]);
    for (const { reply } of commands) {
      expect(asked.answers).toEqual([]);
      reply("OK\r\n");
    }
    expect(await asked.text()).toBe("OK\r\n");
  });

  it("is answered with the worst of the replies", async () => {
    const asked = flush();
    const commands = await Promise.all(servers.map((server) => server.command()));
    commands[0]!.reply("OK\r\n");
    commands[1]!.reply("SERVER_ERROR no\r\n");
    commands[2]!.connection.socket.destroy();
    expect(await asked.text()).toMatch(/^SERVER_ERROR (no|remote error)\r\n$/);
    const next = flush();
    const again = await Promise.all(servers.map((server) => server.command()));
    again[0]!.reply("OK\r\n");
    again[1]!.reply("CLIENT_ERROR what\r\n");
    again[2]!.reply("OK\r\n");
    expect(await next.text()).toBe("CLIENT_ERROR what\r\n");
  });
});

describe("a PoolRoute after a reload", () => {
  it("takes over the remaining servers with their outstanding requests, and closes the others", async () => {
    serve();
    const [stays, goes] = (await keysOfEach(1)).map(([key]) => key!);
    for (const server of servers) server.script = null;
    const asked = [ask(`get ${stays}\r\n`), ask(`get ${goes}\r\n`)];
    const commands = [await servers[0]!.command(), await servers[1]!.command()];
    const old = pools;
    const ports = [servers[0]!.port, servers[2]!.port];
    pools = buildPools(nativeConfig(target(ports)), old, context);
    pool = pools.routes.values().next().value!;
    replaceBackends(old, pools)();
    commands[0]!.reply(answerOf(commands[0]!.line, new Set()));
    commands[1]!.reply(answerOf(commands[1]!.line, new Set()));
    expect(await asked[0]!.text()).toBe(`${blockOf(stays!)}END\r\n`);
    expect(await asked[1]!.text()).toBe(`${blockOf(goes!)}END\r\n`);
    await commands[1]!.connection.closed;
    serve();
    expect(await ask(`get ${stays} ${goes}\r\n`).text()).toBe(`${blockOf(stays!)}${blockOf(goes!)}END\r\n`);
    expect(servers.map(({ connections }) => connections.length)).toEqual([1, 1, 1]);
  });

  it("counts the servers that are down together with those that it takes over", () => {
    const withBounds = (ports: readonly number[]): Config => {
      const config = nativeConfig(target(ports));
      const health = { ...config.pools[0]!.health, failOpen: { upper: 1, lower: 1 } };
      return { ...config, pools: [{ ...config.pools[0]!, health }] };
    };
    build(withBounds([servers[0]!.port, servers[1]!.port]));
    [...pools.healths.values()][0]!.connectFailed();
    pools = buildPools(withBounds([servers[0]!.port, servers[2]!.port]), pools, context);
    [...pools.healths.values()][1]!.connectFailed();
    const { backends } = pools.routes.values().next().value!;
    expect(backends.map((backend) => (backend as Backend).isUp)).toEqual([false, true]);
  });
});

describe("the lanes of many keys", () => {
  it.each([
    ["", ""],
    ["connections = 3", ""],
    ['hash = "modula"', ""],
    ['hash_tag = "{}"', ""],
    ["", 'prefix = "app:"'],
  ])("are those of each key, with %j and %j", (settings, server) => {
    build(configOf(settings, server));
    const names = Array.from({ length: 201 }, (_, i) => `k{${i}}${"x".repeat((7 * i) % 90)}`);
    const bytes = Buffer.from(names.join(""));
    const ends = names.map((_, i) => names.slice(0, i + 1).join("").length);
    const starts = names.map(({ length }, i) => ends[i]! - length);
    const lanes = new Uint32Array(names.length);
    pool.lanesOf(new KeyList(bytes, starts, ends), lanes);
    expect([...lanes]).toEqual(names.map((_, i) => pool.lane(bytes, starts[i]!, ends[i]!)));
    expect(new Set(lanes).size).toBe(pool.laneCount);
  });
});
