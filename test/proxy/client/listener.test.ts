import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { lstat, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import tls from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { Access } from "../../../src/proxy/client/access.ts";
import { newClientCounters } from "../../../src/proxy/client/client-counters.ts";
import { Listener } from "../../../src/proxy/client/listener.ts";
import { TextClient } from "../../support/clients/text-client.ts";
import { ManualClock } from "../../support/fakes/manual-clock.ts";
import { RecordingRoute } from "../../support/fakes/recording-route.ts";
import { type StartedListener, startListener } from "../../support/rigs/client-listener.ts";
import { nativeConfig } from "../../support/rigs/native-config.ts";

const MAX_CONNECTIONS = 3;
let started: StartedListener;
const clients: TextClient[] = [];

async function connect(): Promise<TextClient> {
  const client = await TextClient.connect(started.port);
  clients.push(client);
  return client;
}

async function turnsUntil(isReached: () => boolean): Promise<void> {
  while (!isReached()) await new Promise((resolve) => setImmediate(resolve));
}

beforeEach(async () => {
  started = await startListener(new RecordingRoute(), { maxConnections: MAX_CONNECTIONS });
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  started.listener.close();
});

describe("the connection limit of a listener", () => {
  it("rejects one client too many with memcached's error, and accepts another when one has left", async () => {
    const taken = await Promise.all([connect(), connect(), connect()]);
    for (const client of taken) expect(await client.ask("version")).toBe("VERSION 1.6.45\r\n");
    expect(await (await connect()).end()).toBe("ERROR Too many open connections\r\n");
    expect(started.counters).toMatchObject({ connections: 3, accepted: 3, rejected: 1 });
    taken[0]!.close();
    await turnsUntil(() => started.counters.connections === 2);
    expect(await (await connect()).ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("does not end the process if the rejected client is gone before it is told", async () => {
    for (let i = 0; i < MAX_CONNECTIONS; i++) expect(await (await connect()).ask("version")).toContain("VERSION");
    // While this process waits for the other one, nothing is accepted here: its resets come first.
    const resets = `
      const net = require("node:net");
      let due = 20;
      for (let i = 0; i < 20; i++) {
        const socket = net.connect(${started.port}, "127.0.0.1", () => {
          socket.resetAndDestroy();
          if (--due === 0) process.exit();
        });
      }`;
    execFileSync(process.execPath, ["-e", resets]);
    await turnsUntil(() => started.counters.rejected === 20);
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(await clients[0]!.ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("counts a client that was reset before it was accepted as one that left", async () => {
    const reset = `
      const socket = require("node:net").connect(${started.port}, "127.0.0.1", () => {
        socket.resetAndDestroy();
        process.exit();
      });`;
    for (let i = 0; i < 5; i++) execFileSync(process.execPath, ["-e", reset]);
    await turnsUntil(() => started.counters.accepted === 5 && started.counters.connections === 0);
    expect(await (await connect()).ask("version")).toBe("VERSION 1.6.45\r\n");
  });
});

describe("the memory of a client", () => {
  it("includes the whole of a value that it has begun to send", async () => {
    const client = await connect();
    client.send("set k 0 0 1000000\r\nx");
    const buffered = () => [...started.listener.connections].map(({ bufferedBytes }) => bufferedBytes);
    await turnsUntil(() => (buffered()[0] ?? 0) > 0);
    expect(buffered()[0]).toBeGreaterThan(1_000_000);
  });
});

describe("a client that does not complete its first step", () => {
  const fault = (error: Error) => {
    throw error;
  };
  let clock: ManualClock;

  async function startWith(changes: Parameters<typeof startListener>[1]): Promise<void> {
    started.listener.close();
    clock = new ManualClock();
    started = await startListener(new RecordingRoute(), { maxConnections: 3, ...changes }, fault, clock);
  }

  it("is disconnected if its first byte does not arrive in time, and another one is accepted", async () => {
    await startWith({ firstByteTimeoutMs: 5_000 });
    const silent = await Promise.all([connect(), connect(), connect()]);
    await turnsUntil(() => started.counters.connections === 3);
    clock.advance(4_999);
    expect(started.counters.connections).toBe(3);
    clock.advance(1);
    for (const client of silent) expect(await client.end()).toBe("");
    expect(started.counters).toMatchObject({ connections: 0, silent: 3 });
    expect(await (await connect()).ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("is not disconnected after its first byte, however long it is idle", async () => {
    await startWith({ firstByteTimeoutMs: 5_000 });
    const [half, whole] = [await connect(), await connect()];
    half.send("v");
    await whole.ask("version");
    await turnsUntil(() => started.counters.bytesRead === 10);
    for (let i = 0; i < 5; i++) clock.advance(5_000);
    expect(await half.ask("ersion")).toBe("VERSION 1.6.45\r\n");
    expect(started.counters.silent).toBe(0);
  });

  it("is not disconnected if the limit is off", async () => {
    await startWith({ firstByteTimeoutMs: 0 });
    const client = await connect();
    await turnsUntil(() => started.counters.connections === 1);
    clock.advance(10_000_000);
    expect(await client.ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("has its own deadline, so that a client that connects later is disconnected later", async () => {
    await startWith({ firstByteTimeoutMs: 5_000 });
    const first = await connect();
    await turnsUntil(() => started.counters.connections === 1);
    clock.advance(3_000);
    const second = await connect();
    await turnsUntil(() => started.counters.connections === 2);
    clock.advance(2_000);
    expect(await first.end()).toBe("");
    expect(started.counters.connections).toBe(1);
    clock.advance(3_000);
    expect(await second.end()).toBe("");
    expect(clock.timerCount).toBe(0);
  });

  it("is disconnected in a TLS handshake that does not end, whatever part of it was sent", async () => {
    const read = (name: string) => readFileSync(new URL(`../../support/tls/${name}`, import.meta.url), "utf8");
    const tlsConfig = {
      cert: read("server.pem"),
      key: read("server.key"),
      ca: read("ca.pem"),
      serverName: null,
      files: [],
    };
    await startWith({ tls: { ...tlsConfig, ca: null } });
    const [bare, begun] = [await connect(), await connect()];
    begun.send(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]));
    const whole = tls.connect({ port: started.port, host: "127.0.0.1", ca: tlsConfig.ca });
    await once(whole, "secureConnect");
    const client = TextClient.over(whole);
    clients.push(client);
    await turnsUntil(() => started.counters.connections === 3 && started.listener.peers.length === 1);
    clock.advance(10_000);
    expect([await bare.end(), await begun.end()]).toEqual(["", ""]);
    await turnsUntil(() => started.counters.connections === 1);
    expect(started.counters.silent).toBe(2);
    expect(await client.ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("is disconnected if it needs a login and does not log in in time", async () => {
    const address = { type: "tcp", host: "127.0.0.1", port: 0, isTls: false } as const;
    const access = Access.of(nativeConfig('[user.a]\npassword = "b"\n').access, address);
    await startWith({ firstByteTimeoutMs: 5_000, access });
    const [stranger, user] = await Promise.all([connect(), connect()]);
    expect(await stranger!.ask("get a")).toBe("CLIENT_ERROR unauthenticated\r\n");
    expect(await user!.ask("set any 0 0 3\r\na b")).toBe("STORED\r\n");
    clock.advance(5_000);
    expect(await stranger!.end()).toBe("");
    expect(await user!.ask("version")).toBe("VERSION 1.6.45\r\n");
    expect(started.counters).toMatchObject({ connections: 1, silent: 1 });
  });

  it("is disconnected after the handshake too, if no first byte arrives", async () => {
    const read = (name: string) => readFileSync(new URL(`../../support/tls/${name}`, import.meta.url), "utf8");
    const certificate = { cert: read("server.pem"), key: read("server.key"), ca: null, serverName: null, files: [] };
    await startWith({ firstByteTimeoutMs: 30_000, tls: certificate });
    const socket = tls.connect({ port: started.port, host: "127.0.0.1", ca: read("ca.pem") });
    await once(socket, "secureConnect");
    const client = TextClient.over(socket);
    clients.push(client);
    // Only now has the listener made a client of it.
    await turnsUntil(() => started.listener.peers.length === 1);
    clock.advance(30_000);
    expect(await client.end()).toBe("");
    await turnsUntil(() => started.counters.connections === 0);
  });
});

describe("a listener's address", () => {
  const context = {
    root: new RecordingRoute(),
    counters: newClientCounters(),
    sizes: { areLarge: false },
  } as unknown as Parameters<typeof Listener.open>[1];

  const options = {
    maxConnections: () => 1,
    firstByteTimeoutMs: () => 0,
    clock: systemClock,
    backlog: 511,
    tls: null,
  };

  it("is named in the error if it is in use, with advice", async () => {
    const address = { type: "tcp", isTls: false, host: "127.0.0.1", port: started.port } as const;
    await expect(Listener.open(address, context, options)).rejects.toThrow(
      `127.0.0.1:${started.port} is in use: another memcached, mcrouter or Platypus`,
    );
  });

  it.each(["file", "folder", "link"])("is refused if it is the path of a %s, which stays", async (kind) => {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const [file, target] = [path.join(folder, "a.sock"), path.join(folder, "data")];
    await writeFile(target, "precious");
    if (kind === "file") await writeFile(file, "precious");
    else if (kind === "folder") await mkdir(file);
    else await symlink(target, file);
    const opening = Listener.open({ type: "unix", path: file }, context, options);
    await expect(opening).rejects.toThrow("something other than a socket is there");
    expect((await lstat(file)).isSocket()).toBe(false);
    if (kind !== "folder") expect(await readFile(file, "utf8")).toBe("precious");
    await rm(folder, { recursive: true });
  });

  it("can be a socket file, which is replaced only if no process answers on it", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "platypus-"));
    const file = path.join(folder, "below", "a.sock");
    const address = { type: "unix", path: file } as const;
    const first = await Listener.open(address, context, options);
    await expect(Listener.open(address, context, options)).rejects.toThrow("in use");
    first.close();
    // What a process that was killed leaves behind.
    const dead = `require("node:net").createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, "SIGKILL"))`;
    expect(() => execFileSync(process.execPath, ["-e", dead], { stdio: "ignore" })).toThrow();
    const second = await Listener.open(address, context, options);
    const client = net.connect(file);
    await once(client, "connect");
    client.destroy();
    second.close();
    await rm(folder, { recursive: true });
  });
});
