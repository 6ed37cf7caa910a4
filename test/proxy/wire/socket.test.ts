import dns from "node:dns";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { adoptSocket, connectSocket } from "../../../src/proxy/wire/socket.ts";

const servers: net.Server[] = [];
const sockets: net.Socket[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

/** A server that hands out what it accepts. */
async function listen(): Promise<{ port: number; accepted: Promise<net.Socket> }> {
  const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true });
  servers.push(server);
  const accepted = once(server, "connection").then(([socket]) => socket as net.Socket);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as net.AddressInfo).port, accepted };
}

function connect(port: number, onBytes: (chunk: Buffer, length: number) => void, host = "127.0.0.1"): net.Socket {
  const socket = connectSocket(
    { type: "tcp", isTls: false, host, port },
    null,
    onBytes,
    () => {},
    () => null,
  );
  sockets.push(socket);
  return socket;
}

describe("sockets that share a read buffer", () => {
  it("hand out what was read on both sides", async () => {
    const { port, accepted } = await listen();
    const heard = Promise.withResolvers<string>();
    const client = connect(port, (chunk, length) => heard.resolve(chunk.toString("latin1", 0, length)));
    const asked = Promise.withResolvers<string>();
    const server = adoptSocket(await accepted, (chunk, length) => {
      asked.resolve(chunk.toString("latin1", 0, length));
      server.write("answer");
    });
    sockets.push(server);
    client.write("question");
    expect(await asked.promise).toBe("question");
    expect(await heard.promise).toBe("answer");
  });

  it("hand out what was read by the last of the addresses that a name has, where the others refuse", async () => {
    const { port, accepted } = await listen();
    const addresses = ["127.0.0.9", "::1", "127.0.0.1"].map((address) => ({ address, family: net.isIP(address) }));
    const lookup = (_name: string, _options: unknown, found: (error: null, all: dns.LookupAddress[]) => void) =>
      found(null, addresses);
    vi.spyOn(dns, "lookup").mockImplementation(lookup as unknown as typeof dns.lookup);
    const heard = Promise.withResolvers<string>();
    connect(port, (chunk, length) => heard.resolve(chunk.toString("latin1", 0, length)), "three.test");
    (await accepted).write("from the last");
    expect(await heard.promise).toBe("from the last");
  });

  it("are destroyed by a fault of their handler, with that error, and the process lives on", async () => {
    const { port, accepted } = await listen();
    const client = connect(port, () => {});
    const server = adoptSocket(await accepted, () => {
      throw new Error("a fault");
    });
    sockets.push(server);
    client.write("question");
    const [error] = await once(server, "error");
    expect((error as Error).message).toBe("a fault");
    expect(server.destroyed).toBe(true);
  });
});
