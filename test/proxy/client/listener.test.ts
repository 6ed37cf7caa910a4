import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newClientCounters } from "../../../src/proxy/client/connection.ts";
import { Listener } from "../../../src/proxy/client/listener.ts";
import { type StartedListener, startListener } from "../../support/client-listener.ts";
import { RecordingRoute } from "../../support/recording-route.ts";
import { TextClient } from "../../support/text-client.ts";

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

describe("the bound on connections", () => {
  it("closes the one client too many with memcached's words, and takes another when one has left", async () => {
    const taken = await Promise.all([connect(), connect(), connect()]);
    for (const client of taken) expect(await client.ask("version")).toBe("VERSION 1.6.45\r\n");
    expect(await (await connect()).end()).toBe("ERROR Too many open connections\r\n");
    expect(started.counters).toMatchObject({ connections: 3, accepted: 3, rejected: 1 });
    taken[0]!.close();
    await turnsUntil(() => started.counters.connections === 2);
    expect(await (await connect()).ask("version")).toBe("VERSION 1.6.45\r\n");
  });

  it("is no way to end the process: the one too many may be gone before it is told", async () => {
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

describe("an address", () => {
  const context = {
    root: new RecordingRoute(),
    counters: newClientCounters(),
  } as unknown as Parameters<typeof Listener.open>[1];

  const options = { maxConnections: () => 1, backlog: 511, tls: null };

  it("that is taken is named, with what to do", async () => {
    const address = { type: "tcp", isTls: false, host: "127.0.0.1", port: started.port } as const;
    await expect(Listener.open(address, context, options)).rejects.toThrow(
      `127.0.0.1:${started.port} is in use: another memcached, mcrouter or Platypus`,
    );
  });

  it("may be a socket file: one that nobody answers is replaced, one that is answered is not", async () => {
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
