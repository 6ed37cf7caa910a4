/**
 * Large values go from a server's socket to a client's in one buffer, which is reused when its last user has released it. A bug
 * of Platypus there may send the bytes of another value: the connection on which it shows is closed, and no other.
 */
import { afterEach, describe, expect, it, vi } from "vitest";
import { BufferLease } from "../../src/proxy/wire/buffer-lease.ts";
import type { TextClient } from "../support/clients/text-client.ts";
import { KeptLog } from "../support/fakes/kept-log.ts";
import { targetOf } from "../support/rigs/native-config.ts";
import { afterTest, connect, startPlatypus } from "../support/rigs/started.ts";
import { ScriptedBackend } from "../support/servers/scripted-backend.ts";

const FAULT = "Error: a buffer lease was released too often";

afterEach(async () => {
  vi.restoreAllMocks();
});

function answerOf(bytes: number): string {
  return `VALUE k 0 ${bytes}\r\n${"v".repeat(bytes)}\r\nEND\r\n`;
}

/** Each get is answered with a value that comes in two reads: only those are in leased buffers. */
async function start(bytes: number) {
  const server = await ScriptedBackend.start();
  afterTest(() => server.stop());
  const serve = async () => {
    for (;;) {
      const { connection } = await server.command();
      const answer = answerOf(bytes);
      await connection.sendInPieces([answer.slice(0, 10_000), answer.slice(10_000)]);
    }
  };
  void serve();
  const { log, lines } = new KeptLog();
  const platypus = await startPlatypus(targetOf([server.port]), { log });
  return {
    server,
    client: await connect(platypus),
    other: await connect(platypus),
    faults: () => lines.filter(isFault),
  };
}

async function isServed(client: TextClient, bytes: number): Promise<boolean> {
  client.send("get k\r\n");
  const answer = answerOf(bytes);
  return (await client.take(answer.length)) === answer;
}

function isFault(line: string): boolean {
  return line.includes(FAULT);
}

describe("a buffer that is released too often", () => {
  it.each([
    { how: "at once", bytes: 30_000 },
    { how: "bit by bit", bytes: 10_000_000 },
  ])("closes the connection of the client that its value is written to $how", async ({ bytes }) => {
    const { client, other, faults } = await start(bytes);
    expect(await isServed(other, bytes)).toBe(true);
    vi.spyOn(BufferLease.prototype, "retain").mockImplementationOnce(() => {});
    client.send("get k\r\n");
    await client.end();
    expect(faults()).toEqual([expect.stringContaining(`error client: a connection was closed: ${FAULT}`)]);
    expect(await isServed(other, bytes)).toBe(true);
  });

  it("closes the connection of the server if the fault appears there", async () => {
    const { server, client, other, faults } = await start(30_000);
    vi.spyOn(BufferLease.prototype, "retain").mockImplementationOnce(function (this: BufferLease) {
      this.release();
    });
    client.send("get k\r\n");
    await Promise.all([client.end(), server.connection(0).then(({ closed }) => closed)]);
    expect(faults()).toEqual([
      expect.stringContaining(`connection closed: a fault in Platypus: ${FAULT}`),
      expect.stringContaining(`error client: a connection was closed: ${FAULT}`),
    ]);
    expect(await isServed(other, 30_000)).toBe(true);
    expect(server.connections.length).toBe(2);
  });
});
