/**
 * Accepts clients on one address. Each becomes a ClientConnection, or is closed at once past the bound on connections. On
 * a `tls:` address it becomes one when its handshake is done; until then it is only counted.
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
import type { ClientContext } from "./client-context.ts";
import { ClientConnection, peerOf } from "./connection.ts";
import { Gate, type GateEvents } from "./gate.ts";

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** What a listener asks of the configuration of now. */
export interface ListenerOptions {
  /** Bounds the clients of all listeners together. */
  maxConnections(): number;
  /** The number of clients of all listeners has changed. */
  connectionsChanged?(): void;
  /** Past that bound the client that was silent longest makes room. */
  readonly evictsIdle?: boolean;
  readonly clock: Clock;
  /** Maximum time to a client's first byte, and to its login if it needs one (ms). 0 disables the limit. */
  firstByteTimeoutMs(): number;
  readonly backlog: number;
  /** A socket that is bound already, shared with other processes, which is not closed with the listener. */
  readonly socket?: unknown;
  /** For a `tls:` address. */
  readonly tls: TlsConfig | null;
  /** Who may do what here; `null` or absent if every client may do everything. */
  readonly access?: Access | null;
  /** A client was not let in. */
  loginFailed?: GateEvents["loginFailed"];
}

/** A bound address and the clients that came through it. */
export class Listener {
  private readonly context: ClientContext;
  private readonly options: ListenerOptions;
  private readonly server: net.Server;
  private readonly clients = new Set<ClientConnection>();
  /** Accepted sockets of a `tls:` address, in their handshake or behind it. */
  private readonly underTls = new Set<net.Socket>();
  /** The accepted sockets of `underTls` by their other end: Node does not tell which of them a TLS socket is over. */
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

  /** Starts to listen. Throws a PlatypusError with code LISTEN that says why the address cannot be had and what to do. */
  static async open(address: ListenAddress, context: ClientContext, options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(address, context, options);
    if (address.type === "unix" && options.socket === undefined) await makeWay(address.path);
    listener.bound = await listen(listener.server, address, options);
    return listener;
  }

  /** Where it listens: with the real port where 0 was asked for. */
  get address(): ListenAddress {
    return this.bound;
  }

  /** Clients that are still connected, and those in their handshake. */
  get clientCount(): number {
    return Math.max(this.clients.size, this.underTls.size);
  }

  /** Certificates for the connections to come. */
  renew(config: TlsConfig): void {
    if (this.server instanceof tls.Server) this.server.setSecureContext(secureOptions(config));
  }

  /**
   * Who may do what from now on. A client that has lost its login, or needs one now, has what was read answered and is closed,
   * so that it connects and logs in anew.
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
   * No new clients; those that are there have what was read answered, and are closed when they are done. Of one that has only
   * just connected the first commands are waited for: until `finish`.
   */
  drain(): void {
    this.isDraining = true;
    this.server.close();
    for (const client of this.clients) client.drain();
  }

  /**
   * Has the next commands of each client wait for those that are under way. Returns how many clients have some; each calls
   * `done` later, when its own have been answered.
   */
  waitForAll(done: () => void): number {
    let count = 0;
    for (const client of this.clients) if (client.waitForAll(done)) count++;
    return count;
  }

  /** The clients, to look at. */
  get connections(): Iterable<ClientConnection> {
    return this.clients;
  }

  /** Waits no longer for those that have sent nothing yet. */
  finish(): void {
    this.isFinishing = true;
    for (const client of this.clients) client.finish();
  }

  /** The other ends of its clients, as `ClientConnection.peer` has them. */
  get peers(): readonly string[] {
    return [...this.clients].map(({ peer }) => peer);
  }

  /** Closes everything at once. */
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
        // It may be gone already.
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
    // The time of a handshake is bounded by `handshakes`: Node's own bound only tells of it.
    const settings = { handshakeTimeout: 2 * HANDSHAKE_TIMEOUT_MS, ...secureOptions(config!) };
    return tls
      .createServer(settings, (socket) => {
        const accepted = this.inHandshake.get(peerKey(socket));
        if (accepted !== undefined) this.handshakes.delete(accepted);
        // Not before: Node would wait for the end of a handshake whose client has left.
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
    // Its handshake ended behind the others: nothing of it was read.
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

  /** Closes the client that was silent longest. False: there is none here. */
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

/** Of the certificate that was verified in the handshake; `null` if absent, or it has several names. */
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
    // Node wants a handle's backlog beside it.
    if (socket !== undefined) server.listen(socket, backlog, listening);
    else if (address.type === "fd") server.listen({ fd: address.fd }, backlog, listening);
    else if (address.type === "unix") server.listen({ path: address.path, backlog }, listening);
    else server.listen({ host: address.host, port: address.port, backlog }, listening);
  });
}

/** Why an address cannot be had, and what to do. */
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
 * Removes the socket file that a process that is gone left behind; one that is answered stays and fails the listen. Nothing but
 * a socket is ever removed: rejects with a PlatypusError if anything else is there.
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
