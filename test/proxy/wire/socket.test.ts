import dns from "node:dns";
import { once } from "node:events";
import net from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { adoptSocket, type BytesReader, connectSocket } from "../../../src/proxy/wire/socket.ts";

type Sockets = Pick<typeof import("../../../src/proxy/wire/socket.ts"), "adoptSocket" | "connectSocket">;

const servers: net.Server[] = [];
const opened: net.Socket[] = [];

afterEach(() => {
  vi.restoreAllMocks();
  for (const socket of opened.splice(0)) socket.destroy();
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

/** The module as it is where Node has no binding. */
async function socketsWithoutBinding(): Promise<Sockets> {
  vi.resetModules();
  vi.doMock("../../../src/proxy/wire/stream-binding.ts", () => ({ streamBinding: null }));
  const module = await import("../../../src/proxy/wire/socket.ts");
  vi.doUnmock("../../../src/proxy/wire/stream-binding.ts");
  return module;
}

function connect({ connectSocket }: Sockets, port: number, read: BytesReader["read"], host = "127.0.0.1"): net.Socket {
  const socket = connectSocket(
    { type: "tcp", isTls: false, host, port },
    1_000,
    null,
    { read },
    () => {},
    () => null,
  );
  opened.push(socket);
  return socket;
}

describe.each([
  { way: "past Node's streams", load: () => Promise.resolve({ adoptSocket, connectSocket }) },
  { way: "through Node's streams", load: socketsWithoutBinding },
])("sockets that share a read buffer, $way", ({ load }) => {
  it("pass on the received bytes on both sides", async () => {
    const sockets = await load();
    const { port, accepted } = await listen();
    const heard = Promise.withResolvers<string>();
    const client = connect(sockets, port, (chunk, length) => heard.resolve(chunk.toString("latin1", 0, length)));
    const asked = Promise.withResolvers<string>();
    const server = sockets.adoptSocket(await accepted, {
      read: (chunk, length) => {
        asked.resolve(chunk.toString("latin1", 0, length));
        server.write("answer");
      },
    });
    opened.push(server);
    client.write("question");
    expect(await asked.promise).toBe("question");
    expect(await heard.promise).toBe("answer");
  });

  it("pass on the bytes of the last address of a name if the others refuse", async () => {
    const sockets = await load();
    const { port, accepted } = await listen();
    const addresses = ["127.0.0.9", "::1", "127.0.0.1"].map((address) => ({ address, family: net.isIP(address) }));
    const lookup = (_name: string, _options: unknown, found: (error: null, all: dns.LookupAddress[]) => void) =>
      found(null, addresses);
    vi.spyOn(dns, "lookup").mockImplementation(lookup as unknown as typeof dns.lookup);
    const heard = Promise.withResolvers<string>();
    connect(sockets, port, (chunk, length) => heard.resolve(chunk.toString("latin1", 0, length)), "three.test");
    (await accepted).write("from the last");
    expect(await heard.promise).toBe("from the last");
  });

  it("are destroyed by an error of their handler, with that error, and the process continues", async () => {
    const sockets = await load();
    const { port, accepted } = await listen();
    const client = connect(sockets, port, () => {});
    const server = sockets.adoptSocket(await accepted, {
      read: () => {
        throw new Error("a fault");
      },
    });
    opened.push(server);
    client.write("question");
    const [error] = await once(server, "error");
    expect((error as Error).message).toBe("a fault");
    expect(server.destroyed).toBe(true);
  });
});
