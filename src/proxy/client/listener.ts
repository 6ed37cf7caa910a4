/**
 * Accepts clients on one address. Each becomes a ClientConnection, or is closed at once past the bound on connections.
 */
import { mkdir, unlink } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { type Address, addressText } from "../../config/config.ts";
import { PlatypusError } from "../../errors.ts";
import { ClientConnection, type ClientContext } from "./connection.ts";

const BACKLOG = 4096;

/** A bound address and the clients that came through it. */
export class Listener {
  /** Where it listens: with the real port where 0 was asked for. */
  readonly address: Address;
  private readonly server: net.Server;
  private readonly clients: Set<ClientConnection>;

  private constructor(address: Address, server: net.Server, clients: Set<ClientConnection>) {
    this.address = address;
    this.server = server;
    this.clients = clients;
  }

  /**
   * Starts to listen. `maxConnections()` bounds the clients of all listeners together. Throws a PlatypusError with code
   * LISTEN that says why the address cannot be had and what to do.
   */
  static async open(address: Address, context: ClientContext, maxConnections: () => number): Promise<Listener> {
    const clients = new Set<ClientConnection>();
    const { counters } = context;
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      if (counters.connections >= maxConnections()) {
        counters.rejected++;
        // It may be gone already.
        socket.on("error", () => {});
        socket.end("ERROR Too many open connections\r\n");
        socket.destroySoon();
        return;
      }
      counters.connections++;
      counters.accepted++;
      clients.add(
        new ClientConnection(socket, context, (client) => {
          counters.connections--;
          clients.delete(client);
        }),
      );
    });
    if (address.type === "unix") await makeWay(address.path);
    const bound = await listen(server, address);
    return new Listener(bound, server, clients);
  }

  /** No new clients; those that are there have what was read answered, and are closed when they are done. */
  drain(): void {
    this.server.close();
    for (const client of this.clients) client.finish();
  }

  /** Clients that are still connected. */
  get clientCount(): number {
    return this.clients.size;
  }

  /** The other ends of its clients, as `ClientConnection.peer` has them. */
  get peers(): readonly string[] {
    return [...this.clients].map(({ peer }) => peer);
  }

  /** Closes everything at once. */
  close(): void {
    this.server.close();
    for (const client of this.clients) client.close();
  }
}

function listen(server: net.Server, address: Address): Promise<Address> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
    server.listen(
      address.type === "unix"
        ? { path: address.path, backlog: BACKLOG }
        : { host: address.host, port: address.port, backlog: BACKLOG },
      () => {
        const bound = server.address();
        const isTcp = address.type === "tcp" && bound !== null && typeof bound === "object";
        resolve(isTcp ? { type: "tcp", host: address.host, port: bound.port } : address);
      },
    );
  });
}

function listenError(address: Address, error: NodeJS.ErrnoException): PlatypusError {
  const where = addressText(address);
  const reasons: Record<string, string> = {
    EADDRINUSE: `${where} is in use: another memcached, mcrouter or Platypus is probably running there. Stop it, or set [server] listen or --listen to another address`,
    EACCES: `${where} is not permitted to this user: use a port of 1024 or more, or a folder you may write to`,
    EADDRNOTAVAIL: `${where} is not an address of this machine: set [server] listen or --listen to one that is`,
  };
  const text = reasons[error.code ?? ""] ?? `cannot listen on ${where}: ${error.message}`;
  return new PlatypusError("LISTEN", text, { cause: error });
}

/** Removes the socket file that a process that is gone left behind; one that is answered stays and fails the listen. */
async function makeWay(socketPath: string): Promise<void> {
  await mkdir(path.dirname(socketPath), { recursive: true });
  const isAnswered = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path: socketPath });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (!isAnswered) await unlink(socketPath).catch(() => {});
}
