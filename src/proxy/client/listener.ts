/**
 * Accepts clients on one address. A client becomes a ClientConnection, or is closed immediately at the limit of
 * connections. On a `tls:` address it becomes a ClientConnection after its handshake; before that it is only counted.
 */
import { lstat, unlink } from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import tls from "node:tls";
import type { Clock } from "../../clock.ts";
import { addressText, type ListenAddress, type TlsConfig } from "../../config/config.ts";
import { PlatypusError } from "../../errors.ts";
import { FirstStep } from "../../first-step.ts";
import { makeFolder } from "../../make-folder.ts";
import type { Access } from "./access.ts";
import { peerOf } from "./client-address.ts";
import type { ClientContext, ClientEnds } from "./client-context.ts";
import { ClientConnection } from "./connection.ts";
import { Gate, type GateEvents } from "./gate.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The current configuration of a listener. */
export interface ListenerOptions {
  /** Maximum number of clients of all listeners together. */
  maxConnections(): number;
  /** The number of clients of all listeners has changed. */
  connectionsChanged?(): void;
  /** If true, at the limit the client that was silent longest is closed for a new one. */
  readonly evictsIdle?: boolean;
  readonly clock: Clock;
  /** Maximum time to a client's first byte, and to its login if it needs one (ms). 0 disables the limit. */
  firstByteTimeoutMs(): number;
  readonly backlog: number;
  /** A bound socket that processes share. It is not closed with the listener. */
  readonly socket?: unknown;
  /** For a `tls:` address. */
  readonly tls: TlsConfig | null;
  /** Rights of clients on this address. `null` or absent if each client has all rights. */
  readonly access?: Access | null;
  /** A client's login failed. */
  loginFailed?: GateEvents["loginFailed"];
}

/** A bound address and its clients. */
export class Listener {
  private readonly context: ClientContext;
  private readonly options: ListenerOptions;
  private readonly server: net.Server;
  private readonly clients = new Set<ClientConnection>();
  /** Accepted sockets of a `tls:` address, during and after their handshake. */
  private readonly underTls = new Set<net.Socket>();
  /** The sockets of `underTls` by client address: Node does not report which of them a TLS socket uses. */
  private readonly inHandshake = new Map<string, net.Socket>();
  private readonly handshakes: FirstStep<net.Socket>;
  private readonly firstBytes: FirstStep<ClientConnection>;
  private bound: ListenAddress;
  private access: Access | null;
  private isDraining = false;
  private isFinishing = false;

  private constructor(address: ListenAddress, context: ClientContext, options: ListenerOptions) {
    this.context = context;
    this.options = options;
    this.bound = address;
    this.access = options.access ?? null;
    const { clock } = options;
    const closeSilent = (connection: { close(): void }) => {
      context.counters.silent++;
      connection.close();
    };
    this.handshakes = new FirstStep<net.Socket>({
      clock,
      timeoutMs: () => HANDSHAKE_TIMEOUT_MS,
      isDone: () => false,
      close: (socket) => closeSilent({ close: () => socket.destroy() }),
    });
    this.firstBytes = new FirstStep<ClientConnection>({
      clock,
      timeoutMs: () => options.firstByteTimeoutMs(),
      isDone: ({ hasSpoken, gate }) => hasSpoken && (gate === null || gate.isOpen),
      close: closeSilent,
    });
    this.server = address.type === "tcp" && address.isTls ? this.createTlsServer() : this.createServer();
  }

  /**
   * Starts to listen. Throws a PlatypusError with code LISTEN, with the reason why the address is unavailable and the
   * remedy.
   */
  static async open(address: ListenAddress, context: ClientContext, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(address, context, options);
    if (address.type === "unix" && options.socket === undefined) await makeWay(address.path);
    listener.bound = await listen(listener.server, address, options);
    return listener;
  }

  /** The listening address, with the real port instead of 0. */
  get address(): ListenAddress {
    return this.bound;
  }

  /** Number of connected clients, including those in their handshake. */
  get clientCount(): number {
    return Math.max(this.clients.size, this.underTls.size);
  }

  /** Clients that have left. */
  get ends(): ClientEnds {
    return this.context.ends;
  }

  /** Sets the certificates of later connections. */
  renew(config: TlsConfig): void {
    if (this.server instanceof tls.Server) this.server.setSecureContext(secureOptions(config));
  }

  /**
   * Sets the access. A client that has lost its login, or needs one now, gets replies to the requests that were read
   * and is closed, so that it connects and logs in again.
   */
  renewAccess(access: Access | null): void {
    this.access = access;
    for (const client of this.clients) {
      if (access === null) client.gate = null;
      else if (client.gate === null) {
        client.gate = this.gateOf(access, client.socket);
        if (access.needsLogin) client.finish();
      } else if (!client.gate.renew(access)) client.finish();
    }
  }

  /**
   * Stops accepting. Connected clients get replies to the requests that were read, and are closed when they are done. A
   * client that has just connected may still send its first commands until `finish`.
   */
  drain(): void {
    this.isDraining = true;
    this.server.close();
    for (const client of this.clients) client.drain();
  }

  /**
   * Delays the next commands of each client until its requests in flight are answered. Returns the number of clients
   * with such requests; each calls `done` later, after its last reply.
   */
  waitForAll(done: () => void): number {
    let count = 0;
    for (const client of this.clients) if (client.waitForAll(done)) count++;
    return count;
  }

  /** The clients, for inspection. */
  get connections(): Iterable<ClientConnection> {
    return this.clients;
  }

  /** Stops waiting for clients without a first command. */
  finish(): void {
    this.isFinishing = true;
    for (const client of this.clients) client.finish();
  }

  /** The addresses of its clients, as in `ClientConnection.peer`. */
  get peers(): readonly string[] {
    return [...this.clients].map(({ peer }) => peer);
  }

  /** Closes all connections immediately. */
  close(): void {
    this.handshakes.stop();
    this.firstBytes.stop();
    this.server.close();
    for (const client of this.clients) client.close();
    for (const socket of this.underTls) socket.destroy();
  }

  private createServer(): net.Server {
    return net.createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => {
      if (this.isFull()) {
        // The client may be gone already.
        socket.on("error", () => {});
        socket.end("ERROR Too many open connections\r\n");
        socket.destroySoon();
        return;
      }
      this.count();
      this.begin(socket, () => this.uncount());
    });
  }

  private createTlsServer(): net.Server {
    const { tls: config } = this.options;
    // `handshakes` limits the handshake: Node's own limit only emits an event.
    const settings = { handshakeTimeout: 2 * HANDSHAKE_TIMEOUT_MS, ...secureOptions(config!) };
    return tls
      .createServer(settings, (socket) => {
        const accepted = this.inHandshake.get(peerKey(socket));
        if (accepted !== undefined) this.handshakes.delete(accepted);
        // Not earlier: Node would wait for the end of a handshake whose client has left.
        socket.allowHalfOpen = true;
        this.begin(socket, () => {});
      })
      .prependListener("connection", (socket: net.Socket) => {
        if (this.isFull()) {
          socket.destroy();
          return;
        }
        this.count();
        this.underTls.add(socket);
        this.handshakes.add(socket);
        const key = peerKey(socket);
        this.inHandshake.set(key, socket);
        socket.once("close", () => {
          if (this.inHandshake.get(key) === socket) this.inHandshake.delete(key);
          this.underTls.delete(socket);
          this.handshakes.delete(socket);
          this.uncount();
        });
      });
  }

  private begin(socket: net.Socket, onClosed: () => void): void {
    const forget = (closed: ClientConnection) => {
      this.clients.delete(closed);
      this.firstBytes.delete(closed);
      onClosed();
    };
    const gate = this.access === null ? null : this.gateOf(this.access, socket);
    const client = new ClientConnection(socket, this.context, forget, gate);
    this.clients.add(client);
    this.firstBytes.add(client);
    // The handshake ended after the others: no command was read from this client.
    if (this.isFinishing) client.finish();
    else if (this.isDraining) client.drain();
  }

  private gateOf(access: Access, socket: net.Socket): Gate {
    const events = {
      counters: this.context.counters,
      loginFailed: (...failure: Parameters<GateEvents["loginFailed"]>) => this.options.loginFailed?.(...failure),
    };
    return new Gate(access, events, peerOf(socket), commonNameOf(socket));
  }

  private isFull(): boolean {
    const { counters } = this.context;
    if (counters.connections < this.options.maxConnections()) return false;
    counters.rejected++;
    if (this.options.evictsIdle && this.evict()) return false;
    return true;
  }

  /** Closes the client that was silent longest. False if no client is connected here. */
  private evict(): boolean {
    let idlest: ClientConnection | null = null;
    for (const client of this.clients) if (idlest === null || client.lastReadMs < idlest.lastReadMs) idlest = client;
    idlest?.close();
    return idlest !== null;
  }

  private count(): void {
    this.context.counters.connections++;
    this.context.counters.accepted++;
    this.options.connectionsChanged?.();
  }

  private uncount(): void {
    this.context.counters.connections--;
    this.options.connectionsChanged?.();
  }
}

function peerKey({ remoteAddress, remotePort }: net.Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

/** Common name of the verified certificate. `null` if it is absent, or if there are several. */
function commonNameOf(socket: net.Socket): string | null {
  if (!(socket instanceof tls.TLSSocket) || !socket.authorized) return null;
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  return typeof name === "string" ? name : null;
}

function secureOptions({ cert, key, ca }: TlsConfig): tls.SecureContextOptions & tls.TlsOptions {
  return { cert: cert!, key: key!, ...(ca !== null && { ca, requestCert: true, rejectUnauthorized: true }) };
}

function listen(server: net.Server, address: ListenAddress, options: ListenerOptions): Promise<ListenAddress> {
  const { backlog, socket } = options;
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(address, error)));
    const listening = () => {
      const bound = server.address();
      const isTcp = address.type === "tcp" && bound !== null && typeof bound === "object";
      resolve(isTcp ? { ...address, port: bound.port } : address);
    };
    // For a handle, Node requires the backlog as a separate argument.
    if (socket !== undefined) server.listen(socket, backlog, listening);
    else if (address.type === "fd") server.listen({ fd: address.fd }, backlog, listening);
    else if (address.type === "unix") server.listen({ path: address.path, backlog }, listening);
    else server.listen({ host: address.host, port: address.port, backlog }, listening);
  });
}

/** The reason why an address is unavailable, and the remedy. */
export function listenError(address: ListenAddress, error: NodeJS.ErrnoException): PlatypusError {
  const where = addressText(address);
  const reasons: Record<string, string> = {
    EADDRINUSE: `${where} is in use: another memcached, mcrouter or Platypus is probably running there. Stop it, or set [server] listen or --listen to another address`,
    EACCES: `${where} is not permitted to this user: use a port of 1024 or more, or a folder you may write to`,
    EADDRNOTAVAIL: `${where} is not an address of this machine: set [server] listen or --listen to one that is`,
  };
  const text = reasons[error.code ?? ""] ?? `cannot listen on ${where}: ${error.message}`;
  return new PlatypusError("LISTEN", text, { cause: error });
}

/**
 * Removes a socket file that a dead process left behind. If a process answers on it, it stays, and listening fails.
 * Only sockets are removed: rejects with a PlatypusError for any other file.
 */
export async function makeWay(socketPath: string): Promise<void> {
  await makeFolder(path.dirname(socketPath));
  const found = await lstat(socketPath).catch(() => null);
  if (found === null) return;
  if (!found.isSocket()) {
    throw new PlatypusError(
      "LISTEN",
      `unix:${socketPath}: something other than a socket is there; remove it, or set another path`,
    );
  }
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
