/**
 * All client addresses: those of the server, and those of pools with separate addresses.
 */
import type { Clock } from "../../clock.ts";
import type { AccessConfig } from "../../config/access-config.ts";
import {
  addressText,
  type ListenAddress,
  type PoolConfig,
  type ServerConfig,
  type TlsConfig,
} from "../../config/config.ts";
import type { Log } from "../../telemetry/log.ts";
import type { AccessObserver } from "../access-observer.ts";
import { ErrorRoute } from "../route/null-route.ts";
import type { Root } from "../route/route.ts";
import type { Tracer } from "../tracing.ts";
import { Access, listenerOf } from "./access.ts";
import type { ClientContext } from "./client-context.ts";
import type { GateEvents } from "./gate.ts";
import { Listener } from "./listener.ts";

/** Closing a client with less memory than this would free too little. */
const LEAST_CUT_OFF_BYTES = 64 * 1024;

/** Maximum time that a drain waits for the first command of a new client (ms). */
const FIRST_COMMAND_MS = 1_000;

/** Dependencies that all listeners share. */
export interface ListenersOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** The current settings. */
  readonly server: () => ServerConfig;
  /** Current maximum number of clients of this process. */
  readonly maxConnections: () => number;
  /** The number of clients has changed. */
  readonly connectionsChanged: () => void;
  /** The current access configuration. */
  readonly access: () => AccessConfig;
  /** A client's login failed. */
  readonly loginFailed: GateEvents["loginFailed"];
  /** Bound sockets, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
}

/** A listener of one pool at a time. It has its own context, because it has its own root. */
interface PoolListener {
  /** Name of the pool. */
  pool: string;
  /** The configured address, as text. A reload may rename a pool, or give the address to another pool. */
  readonly address: string;
  readonly context: ClientContext;
  readonly listener: Listener;
}

/** A pool with its separate addresses. */
type ServedPool = Pick<PoolConfig, "name" | "listen">;

/** The clients of a pool: the current ones, and `ClientEnds`. */
export interface PoolClients {
  readonly clients: number;
  readonly clientsClosed: number;
  readonly clientsFailed: number;
}

/** Answers commands that arrive before the pool of a new address exists. */
const starting = new ErrorRoute("local_error", "this pool is only starting", false);
const notServedYet: Root = {
  name: "starting",
  route: (request) => starting.route(request),
  broadcast: (request) => starting.route(request),
  forEachTarget: () => {},
};

/** The open listeners. */
export class Listeners {
  private readonly options: ListenersOptions;
  private readonly listeners: Listener[] = [];
  /** The configured address of each listener. */
  private readonly configured = new Map<Listener, ListenAddress>();
  /** Listeners of pools with separate addresses. */
  private ofPools: PoolListener[] = [];

  constructor(options: ListenersOptions) {
    this.options = options;
  }

  /** In the order of opening. */
  get all(): readonly Listener[] {
    return this.listeners;
  }

  /** With the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.listeners.map(({ address }) => address);
  }

  /** True if clients are connected. */
  get hasClients(): boolean {
    return this.listeners.some(({ clientCount }) => clientCount > 0);
  }

  /** The clients of a pool's own addresses, or (`null`) those of the server's addresses. */
  clientsOf(pool: string | null): PoolClients {
    const own = this.ofPools.filter((one) => one.pool === pool).map(({ listener }) => listener);
    const ofServer = this.listeners.filter((listener) => !this.ofPools.some((one) => one.listener === listener));
    const listeners = pool === null ? ofServer : own;
    // The addresses of the server share one context.
    const ends = [...new Set(listeners.map((listener) => listener.ends))];
    return {
      clients: listeners.reduce((sum, { clientCount }) => sum + clientCount, 0),
      clientsClosed: ends.reduce((sum, { closed }) => sum + closed, 0),
      clientsFailed: ends.reduce((sum, { failed }) => sum + failed, 0),
    };
  }

  /** Listens on `address` for all pools. Rejects with a PlatypusError if it is unavailable. */
  async open(address: ListenAddress, context: ClientContext): Promise<Listener> {
    const { server, clock, maxConnections, connectionsChanged, loginFailed } = this.options;
    const { evictsIdle, backlog } = server();
    const firstByteTimeoutMs = () => server().firstByteTimeoutMs;
    const socket = this.options.sockets.get(addressText(address));
    const shared = { clock, maxConnections, connectionsChanged, firstByteTimeoutMs, evictsIdle, backlog, loginFailed };
    const own = { tls: this.tlsOf(address), access: Access.of(this.options.access(), address) };
    const options = { ...shared, ...own, ...(socket !== undefined && { socket }) };
    const listener = await Listener.open(address, context, options);
    this.listeners.push(listener);
    this.configured.set(listener, address);
    return listener;
  }

  /** Listens on `address` for pool `name`, whose commands enter at `root`; the rest is as in `shared`. */
  async openForPool(name: string, address: ListenAddress, root: Root, shared: ClientContext): Promise<void> {
    const context = { ...shared, root, ends: { closed: 0, failed: 0 } };
    const listener = await this.open(address, context);
    this.ofPools.push({ pool: name, address: addressText(address), context, listener });
  }

  /**
   * Listens on the addresses of new pools. Until `replacePools`, their clients get an error. Rejects with a
   * PlatypusError if an address is unavailable; then none of them stays open.
   */
  async openNewPools(pools: readonly ServedPool[], shared: ClientContext): Promise<void> {
    const before = [...this.ofPools];
    try {
      for (const { name, listen } of pools) {
        for (const address of listen) {
          if (this.ofPools.some((one) => one.address === addressText(address))) continue;
          await this.openForPool(name, address, notServedYet, shared);
        }
      }
    } catch (error) {
      this.dropNewPools(before);
      throw error;
    }
  }

  /** Assigns each address to its current pool, and closes the addresses without a pool. */
  replacePools(pools: readonly ServedPool[], roots: ReadonlyMap<string, Root>): void {
    const gone: PoolListener[] = [];
    for (const one of this.ofPools) {
      const pool = pools.find(({ listen }) => listen.some((address) => addressText(address) === one.address));
      const root = pool === undefined ? undefined : roots.get(pool.name);
      if (pool === undefined || root === undefined) {
        gone.push(one);
        continue;
      }
      one.pool = pool.name;
      one.context.root = root;
      one.context.limits = this.options.server();
    }
    this.ofPools = this.ofPools.filter((one) => !gone.includes(one));
    this.drainSome(gone.map(({ listener }) => listener));
    for (const { pool, listener } of gone) {
      const address = addressText(listener.address);
      this.options.log.warn("config", `pool ${pool} is gone: ${address} accepts no more clients`);
    }
  }

  /**
   * Delays the next commands of each client until its requests in flight are answered, because the routes are being
   * replaced. Calls `done` once, after the last reply; synchronously if there are no requests.
   */
  waitForAll(done: () => void): void {
    let due = 1;
    const quiet = () => {
      if (--due === 0) done();
    };
    for (const listener of this.listeners) due += listener.waitForAll(quiet);
    quiet();
  }

  /**
   * Closes the clients that use the most memory, until about `bytes` are free. Returns the number of bytes that this
   * frees.
   */
  cutOffLargest(bytes: number): number {
    const all = [...this.listeners].flatMap((listener) => [...listener.connections]);
    const large = all.filter(({ bufferedBytes }) => bufferedBytes >= LEAST_CUT_OFF_BYTES);
    large.sort((a, b) => b.bufferedBytes - a.bufferedBytes);
    let freed = 0;
    for (const client of large) {
      if (freed >= bytes) break;
      freed += client.bufferedBytes;
      client.cutOff();
    }
    return freed;
  }

  /** Applies the current certificates to later connections, and the current access to all clients. */
  renew(): void {
    for (const [listener, address] of this.configured) {
      const tls = this.tlsOf(address);
      if (tls !== null) listener.renew(tls);
      listener.renewAccess(Access.of(this.options.access(), address));
    }
  }

  /** For clients of pools with separate addresses; other clients use the shared context. */
  setPoolAccessLog(accessLog: AccessObserver | null): void {
    for (const { context } of this.ofPools) context.accessLog = accessLog;
  }

  /** For clients of pools with separate addresses; other clients use the shared context. */
  setPoolTracer(tracer: Tracer | null): void {
    for (const { context } of this.ofPools) context.tracer = tracer;
  }

  /**
   * Stops accepting. Connected clients get replies to the requests that were read, and are closed when they are done.
   */
  drain(): void {
    this.drainSome(this.listeners);
  }

  /** Closes all connections immediately. */
  close(): void {
    for (const listener of this.listeners) listener.close();
  }

  /** The certificates of `[server]`, with the certificate authorities of the address if it has some. */
  private tlsOf(address: ListenAddress): TlsConfig | null {
    const { tls } = this.options.server();
    const ca = listenerOf(this.options.access(), address)?.ca ?? null;
    return tls === null || ca === null ? tls : { ...tls, ca };
  }

  private dropNewPools(before: readonly PoolListener[]): void {
    for (const one of this.ofPools) {
      if (before.includes(one)) continue;
      one.listener.close();
      this.listeners.splice(this.listeners.indexOf(one.listener), 1);
      this.configured.delete(one.listener);
    }
    this.ofPools = [...before];
  }

  private drainSome(listeners: readonly Listener[]): void {
    for (const listener of listeners) listener.drain();
    this.options.clock.setTimer(FIRST_COMMAND_MS, () => {
      for (const listener of listeners) listener.finish();
    });
  }
}
