/**
 * All addresses that clients come to: those of the whole, and those of pools that are served alone.
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
import { ErrorRoute } from "../route/null-route.ts";
import type { Root } from "../route/route.ts";
import type { Tracer } from "../tracing.ts";
import { Access, listenerOf } from "./access.ts";
import type { ClientContext } from "./client-context.ts";
import type { GateEvents } from "./gate.ts";
import { Listener } from "./listener.ts";

/** To cut off a client that takes less would free nothing worth it. */
const LEAST_CUT_OFF_BYTES = 64 * 1024;

/** So long a drain waits for the first command of a client that has only just connected. */
const FIRST_COMMAND_MS = 1_000;

/** What all listeners have in common. */
export interface ListenersOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Of now. */
  readonly server: () => ServerConfig;
  /** Bound of the clients of this process now. */
  readonly maxConnections: () => number;
  /** The number of clients has changed. */
  readonly connectionsChanged: () => void;
  /** Who may connect, of now. */
  readonly access: () => AccessConfig;
  /** A client was not let in. */
  readonly loginFailed: GateEvents["loginFailed"];
  /** Sockets that are bound already, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
}

/** A listener of one pool at a time; its context is its own, as its root is. */
interface PoolListener {
  /** Name of the pool. */
  pool: string;
  /** The address as it is configured, as text. A pool may get another name, and an address another pool. */
  readonly address: string;
  readonly context: ClientContext;
  readonly listener: Listener;
}

/** A pool with the addresses at which it is served alone. */
type ServedPool = Pick<PoolConfig, "name" | "listen">;

/** Answers what comes before the pool of a new address is there. */
const starting = new ErrorRoute("local_error", "this pool is only starting", false);
const notServedYet: Root = {
  name: "starting",
  route: (request) => starting.route(request),
  broadcast: (request) => starting.route(request),
  forEachTarget: () => {},
};

/** Listeners that are open. */
export class Listeners {
  private readonly options: ListenersOptions;
  private readonly listeners: Listener[] = [];
  /** Where each listens, as it is configured. */
  private readonly configured = new Map<Listener, ListenAddress>();
  /** Of pools that are served alone. */
  private ofPools: PoolListener[] = [];

  constructor(options: ListenersOptions) {
    this.options = options;
  }

  /** In the order in which they were opened. */
  get all(): readonly Listener[] {
    return this.listeners;
  }

  /** With the real ports. */
  get addresses(): readonly ListenAddress[] {
    return this.listeners.map(({ address }) => address);
  }

  /** Clients are still connected. */
  get hasClients(): boolean {
    return this.listeners.some(({ clientCount }) => clientCount > 0);
  }

  /** Listens on `address` for all. Rejects with a PlatypusError when it cannot be had. */
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
    const context = { ...shared, root };
    const listener = await this.open(address, context);
    this.ofPools.push({ pool: name, address: addressText(address), context, listener });
  }

  /**
   * Listens on the addresses of pools that are new. Until `replacePools` their clients are answered with an error. Rejects
   * with a PlatypusError when one of them cannot be had; then none of them is left open.
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

  /** Each address serves the pool that has it now; one that no pool has is not served any more. */
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
      this.options.log.warn("config", `pool ${pool} is gone: ${address} takes no more clients`);
    }
  }

  /**
   * Has the next commands of each client wait for those that are under way, because the routes are being replaced. Calls `done`
   * once, when all of these have been answered; before this returns if there are none.
   */
  waitForAll(done: () => void): void {
    let due = 1;
    const quiet = () => {
      if (--due === 0) done();
    };
    for (const listener of this.listeners) due += listener.waitForAll(quiet);
    quiet();
  }

  /** Cuts off the clients that take the most memory, until about `bytes` are free. Returns the bytes that this frees. */
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

  /** Certificates for the connections to come, and who may do what from now on. */
  renew(): void {
    for (const [listener, address] of this.configured) {
      const tls = this.tlsOf(address);
      if (tls !== null) listener.renew(tls);
      listener.renewAccess(Access.of(this.options.access(), address));
    }
  }

  /** For clients of pools; others have theirs from the context that all share. */
  setPoolTracer(tracer: Tracer | null): void {
    for (const { context } of this.ofPools) context.tracer = tracer;
  }

  /** Takes no more clients; those that are there have what was read answered, and are closed when they are done. */
  drain(): void {
    this.drainSome(this.listeners);
  }

  /** Closes everything at once. */
  close(): void {
    for (const listener of this.listeners) listener.close();
  }

  /** Of `[server]`, with the authorities of an address that has its own. */
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
