/**
 * All addresses that clients come to: those of the whole, and those of pools that are served alone.
 */
import type { Clock } from "../../clock.ts";
import { addressText, type ListenAddress, type ServerConfig, type TlsConfig } from "../../config/config.ts";
import type { Log } from "../../telemetry/log.ts";
import type { Tracer } from "../../telemetry/tracing.ts";
import type { Root } from "../route/route.ts";
import type { ClientContext } from "./connection.ts";
import { Listener } from "./listener.ts";

/** So long a drain waits for the first command of a client that has only just connected. */
const FIRST_COMMAND_MS = 1_000;

/** What all listeners have in common. */
export interface ListenersOptions {
  readonly clock: Clock;
  readonly log: Log;
  /** Of now. */
  readonly server: () => ServerConfig;
  /** Sockets that are bound already, by the text of their addresses. */
  readonly sockets: ReadonlyMap<string, unknown>;
}

/** A listener of one pool; its context is its own, as its root is. */
interface PoolListener {
  readonly context: ClientContext;
  readonly listener: Listener;
}

/** Listeners that are open. */
export class Listeners {
  private readonly options: ListenersOptions;
  private readonly listeners: Listener[] = [];
  /** Of pools that are served alone, by name. */
  private readonly ofPools = new Map<string, PoolListener[]>();

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
    const { evictsIdle, backlog, tls } = this.options.server();
    const maxConnections = () => this.options.server().maxConnections;
    const socket = this.options.sockets.get(addressText(address));
    const options = { maxConnections, evictsIdle, backlog, tls, ...(socket !== undefined && { socket }) };
    const listener = await Listener.open(address, context, options);
    this.listeners.push(listener);
    return listener;
  }

  /** Listens on `address` for pool `name`, whose commands enter at `root`; the rest is as in `shared`. */
  async openForPool(name: string, address: ListenAddress, root: Root, shared: ClientContext): Promise<void> {
    const context = { ...shared, root };
    const listener = await this.open(address, context);
    const others = this.ofPools.get(name) ?? [];
    this.ofPools.set(name, [...others, { context, listener }]);
  }

  /** Pools that are served alone go on with their new servers; one that is gone is not served any more. */
  replacePools(roots: ReadonlyMap<string, Root>): void {
    for (const [name, listeners] of this.ofPools) {
      const root = roots.get(name);
      for (const { context, listener } of listeners) {
        if (root === undefined) {
          this.drainSome([listener]);
          const address = addressText(listener.address);
          this.options.log.warn("config", `pool ${name} is gone: ${address} takes no more clients`);
        } else {
          context.root = root;
          context.limits = this.options.server();
        }
      }
      if (root === undefined) this.ofPools.delete(name);
    }
  }

  /** Has the next commands of each client wait for those that are under way: the routes are being replaced. */
  waitForAll(): void {
    for (const listener of this.listeners) listener.waitForAll();
  }

  /** Certificates for the connections to come. */
  renew(config: TlsConfig): void {
    for (const listener of this.listeners) listener.renew(config);
  }

  /** For clients of pools; others have theirs from the context that all share. */
  setPoolTracer(tracer: Tracer | null): void {
    for (const { context } of [...this.ofPools.values()].flat()) context.tracer = tracer;
  }

  /** Takes no more clients; those that are there have what was read answered, and are closed when they are done. */
  drain(): void {
    this.drainSome(this.listeners);
  }

  /** Closes everything at once. */
  close(): void {
    for (const listener of this.listeners) listener.close();
  }

  private drainSome(listeners: readonly Listener[]): void {
    for (const listener of listeners) listener.drain();
    this.options.clock.setTimer(FIRST_COMMAND_MS, () => {
      for (const listener of listeners) listener.finish();
    });
  }
}
