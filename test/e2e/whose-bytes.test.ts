/**
 * Every byte of a value says whose it is: servers that are slow, late or die within a value, and clients that are slow or
 * leave, get and give values of all sizes at once. Misses are allowed; another key's bytes are not.
 */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import tls from "node:tls";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import type { Config } from "../../src/config/config.ts";
import { frameBytes, readAnswers } from "../support/clients/binary-client.ts";
import { nativeConfig, targetOf } from "../support/rigs/native-config.ts";
import { afterTest, startPlatypus } from "../support/rigs/started.ts";
import { treeConfig } from "../support/rigs/tree-config.ts";
import { ScriptedBackend, type ScriptedConnection } from "../support/servers/scripted-backend.ts";
import { seededRandom } from "../support/vectors/seeded-random.ts";

const RUN_MS = 900;
const CLIENTS = 12;
const GETK = 0x0c;

type Random = () => number;

function below(random: Random, end: number): number {
  return Math.floor(random() * end);
}

/** Keys say how long their value is. */
function keyOf(random: Random): string {
  const bytes =
    random() < 0.5 ? below(random, 2_000) : random() < 0.8 ? below(random, 120_000) : below(random, 1_048_576);
  return `k${below(random, 1_000_000)}-${1 + bytes}`;
}

function valueFor(fullKey: string): Buffer {
  const key = fullKey.slice(fullKey.indexOf(":") + 1);
  return Buffer.alloc(Number(key.split("-")[1]), `${key}|`);
}

/** Serves values in pieces; now and then too late, or not to the end. */
async function startServer(random: Random): Promise<ScriptedBackend> {
  const server = await ScriptedBackend.start();
  afterTest(() => server.stop());
  const queues = new Map<ScriptedConnection, Promise<void>>();
  const answer = async (connection: ScriptedConnection, line: string) => {
    const { socket } = connection;
    const bytes = answerTo(line, random);
    if (random() < 0.03) await pause(below(random, 150));
    const stop = random() < 0.01 ? below(random, bytes.length) : bytes.length;
    for (let at = 0; at < stop && !socket.destroyed; ) {
      const piece = random() < 0.5 ? 200_000 : 1 + below(random, 70_000);
      socket.write(bytes.subarray(at, Math.min(stop, at + piece)));
      at += piece;
      if (random() < 0.3) await pause(0);
    }
    if (stop < bytes.length) socket.destroy();
  };
  server.script = null;
  const serve = async () => {
    for (;;) {
      const { connection, line } = await server.command();
      const before = queues.get(connection) ?? Promise.resolve();
      queues.set(
        connection,
        before.then(() => answer(connection, line)),
      );
    }
  };
  void serve();
  return server;
}

function answerTo(line: string, random: Random): Buffer {
  const [verb, ...words] = line.split(" ");
  const isMissing = random() < 0.05;
  if (verb === "mn") return Buffer.from("MN\r\n");
  if (verb === "delete") return Buffer.from("NOT_FOUND\r\n");
  if (verb === "mg") {
    const [key = "", ...flags] = words;
    const echoed = flags.flatMap((flag) =>
      flag[0] === "O" ? [flag] : flag === "k" ? [`k${key}`] : flag === "f" ? ["f0"] : flag === "c" ? ["c7"] : [],
    );
    if (isMissing) return Buffer.from("EN\r\n");
    const value = valueFor(key);
    return Buffer.concat([Buffer.from(`VA ${value.length} ${echoed.join(" ")}\r\n`), value, Buffer.from("\r\n")]);
  }
  const blocks = words.flatMap((key) => {
    if (random() < 0.05) return [];
    const value = valueFor(key);
    return [
      Buffer.from(`VALUE ${key} 0 ${value.length}${verb === "gets" ? " 7" : ""}\r\n`),
      value,
      Buffer.from("\r\n"),
    ];
  });
  return Buffer.concat([...blocks, Buffer.from("END\r\n")]);
}

/** What a client read, taken from its front. */
class Reader {
  private readonly socket: net.Socket;
  private bytes = Buffer.alloc(0);
  private isClosed = false;
  private wake = () => {};

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.wake();
    });
    socket.on("close", () => {
      this.isClosed = true;
      this.wake();
    });
  }

  private async more(): Promise<void> {
    if (this.isClosed) throw new Error("closed by Platypus");
    this.socket.resume();
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.bytes.indexOf("\r\n");
      if (end >= 0) return this.take(end + 2).then((line) => line.toString("latin1", 0, end));
      await this.more();
    }
  }

  async take(length: number): Promise<Buffer> {
    while (this.bytes.length < length) await this.more();
    const taken = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return taken;
  }
}

interface Seen {
  hits: number;
  readonly wrong: string[];
}

function check(key: string, value: Buffer, seen: Seen): void {
  if (value.equals(valueFor(key))) seen.hits++;
  else seen.wrong.push(`${key}: ${JSON.stringify(value.toString("latin1", 0, 60))}`);
}

/** Sends a command and what its answer is checked with. */
type Command = { readonly bytes: Buffer; readonly check: (reader: Reader, seen: Seen) => Promise<void> };

function classic(random: Random): Command {
  const keys = Array.from({ length: random() < 0.6 ? 1 : 2 + below(random, 5) }, () => keyOf(random));
  const verb = random() < 0.8 ? "get" : "gets";
  const noreply = random() < 0.1 ? "delete gone noreply\r\n" : "";
  return {
    bytes: Buffer.from(`${noreply}${verb} ${keys.join(" ")}\r\n`),
    check: async (reader, seen) => {
      let next = 0;
      for (;;) {
        const line = await reader.line();
        if (line === "END") return;
        const [word, key = "", , length] = line.split(" ");
        const at = keys.indexOf(key, next);
        if (word !== "VALUE" || at < 0) {
          seen.wrong.push(`${keys}: ${line}`);
          throw new Error("out of step");
        }
        next = at + 1;
        check(key, (await reader.take(Number(length) + 2)).subarray(0, -2), seen);
      }
    },
  };
}

function meta(random: Random): Command {
  const keys = Array.from({ length: 1 + below(random, 4) }, () => keyOf(random));
  const isQuiet = random() < 0.4;
  const flags = isQuiet ? "v k q" : "v k";
  const lines = keys.map((key, i) => `mg ${key} ${flags} O${i}\r\n`);
  return {
    bytes: Buffer.from(`${lines.join("")}mn\r\n`),
    check: async (reader, seen) => {
      let answered = -1;
      for (;;) {
        const line = await reader.line();
        if (line === "MN") return;
        const [word, length, ...rest] = line.split(" ");
        if (word !== "VA") {
          if (word === "EN" && !isQuiet) continue;
          seen.wrong.push(`${keys}: ${line}`);
          throw new Error("out of step");
        }
        const at = Number(rest.find((flag) => flag[0] === "O")?.slice(1));
        const key = rest.find((flag) => flag[0] === "k")!.slice(1);
        if (at <= answered || keys[at] !== key) seen.wrong.push(`${keys}: ${line}`);
        answered = at;
        check(key, (await reader.take(Number(length) + 2)).subarray(0, -2), seen);
      }
    },
  };
}

function binary(random: Random): Command {
  const keys = Array.from({ length: 1 + below(random, 5) }, () => keyOf(random));
  return {
    bytes: Buffer.concat(keys.map((key, opaque) => frameBytes({ opcode: GETK, key, opaque }))),
    check: async (reader, seen) => {
      for (const [at, key] of keys.entries()) {
        const header = Buffer.from(await reader.take(24));
        const body = await reader.take(header.readUInt32BE(8));
        const [answer] = readAnswers(Buffer.concat([header, body])).answers;
        if (answer!.opaque !== at || answer!.key !== key) seen.wrong.push(`${key}: ${answer!.key} ${answer!.opaque}`);
        else if (answer!.status === 0) check(key, Buffer.from(answer!.value, "latin1"), seen);
      }
    },
  };
}

/** One client after the other, until the time is over. */
async function play(port: number, random: Random, command: (random: Random) => Command, seen: Seen): Promise<void> {
  const endMs = performance.now() + RUN_MS;
  while (performance.now() < endMs) {
    const socket = net.connect(port, "127.0.0.1");
    await once(socket, "connect");
    const reader = new Reader(socket);
    const leaves = random() < 0.3;
    try {
      for (let round = 0; round < 4 && performance.now() < endMs; round++) {
        const commands = Array.from({ length: 1 + below(random, 8) }, () => command(random));
        socket.write(Buffer.concat(commands.map(({ bytes }) => bytes)));
        if (random() < 0.3) {
          socket.pause();
          await pause(below(random, 40));
        }
        for (const [at, one] of commands.entries()) {
          if (leaves && round === 1 && at === 1) throw new Error("leaves");
          await one.check(reader, seen);
        }
      }
    } catch (error) {
      const { message } = error as Error;
      if (message !== "leaves") seen.wrong.push(message);
    }
    socket.destroy();
  }
}

async function stress(
  config: (ports: number[]) => Config | Promise<Config>,
  seed: number,
  kinds = [classic, meta, binary],
): Promise<void> {
  const random = seededRandom(seed);
  const servers = await Promise.all([startServer(random), startServer(random), startServer(random)]);
  const platypus = await startPlatypus(await config(servers.map(({ port }) => port)));
  const [address] = platypus.addresses;
  const port = address?.type === "tcp" ? address.port : 0;
  const seen: Seen = { hits: 0, wrong: [] };
  const clients = Array.from({ length: CLIENTS }, (_, i) => play(port, random, kinds[i % kinds.length]!, seen));
  await Promise.all(clients);
  expect(seen.wrong).toEqual([]);
  expect(seen.hits).toBeGreaterThan(0);
}

const SETTINGS = 'server_timeout = "60ms"\nconnect_timeout = "2s"\ntimeouts_until_tko = 1000000';
const seed = 1;

it("values reach the right clients through a pool", async () => {
  await stress((ports) => nativeConfig(targetOf(ports, `${SETTINGS}\nconnections = 2`)), seed);
});

it("values reach the right clients through TLS", async () => {
  const folder = fileURLToPath(new URL("../support/tls/", import.meta.url));
  const [cert, key] = ["server.pem", "server.key"].map((name) => readFileSync(folder + name));
  const wrapped = async (port: number) => {
    const server = tls.createServer({ cert, key }, (outer) => {
      const inner = net.connect(port, "127.0.0.1");
      for (const [one, other] of [
        [outer, inner],
        [inner, outer],
      ] as const) {
        one.on("error", () => {});
        one.on("close", () => other.destroy());
        one.pipe(other);
      }
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    afterTest(() => server.close());
    return (server.address() as net.AddressInfo).port;
  };
  const settings = `${SETTINGS.replace("60ms", "150ms")}\ntls = true\ntls_ca = "${folder}ca.pem"\nconnections = 2`;
  await stress(async (ports) => nativeConfig(targetOf(await Promise.all(ports.map(wrapped)), settings)), seed + 3);
});

it("values reach the right clients through a pool under a prefix", async () => {
  const server = '[server]\nprefix = "ours:"\n';
  await stress((ports) => nativeConfig(`${server}${targetOf(ports, SETTINGS)}`), seed + 1);
});

it("values reach the right clients through routes that keep replies", async () => {
  const tree = (ports: number[]) => {
    const [first, second, third] = ports.map((port) => `PoolRoute|p${port}`);
    const pools = ports.map((port) => [`p${port}`, { servers: [`127.0.0.1:${port}`], server_timeout: 200 }]);
    const route = {
      type: "RandomRoute",
      children: [
        { type: "AllSyncRoute", children: [first, second] },
        { type: "MissFailoverRoute", children: [first, { type: "FailoverRoute", children: [second, third] }] },
        { type: "LatencyInjectionRoute", child: third, after_latency_ms: 3 },
        { type: "AllFastestRoute", children: [first, second, third] },
      ],
    };
    return treeConfig({ pools: Object.fromEntries(pools), route }, { timeouts_until_tko: "1000000" });
  };
  await stress(tree, seed + 2);
});
