/**
 * twemproxy's statistics port: each connection gets the statistics as one JSON object and is closed. Nothing is read.
 */
import net from "node:net";
import { hostname } from "node:os";
import { type Address, addressText, type Config } from "../../config/config.ts";
import { PlatypusError } from "../../errors.ts";
import type { Workers } from "../siblings.ts";
import { type NameOf, twemproxyStats } from "./twemproxy-stats.ts";

/** Name of the inherited socket of workers. */
export const TWEMPROXY_STATS_SOCKET = "twemproxy_stats";
/** Open connections at the same time; more are closed at once. */
const MAX_CONNECTIONS = 16;
/** A client that does not take its reply in this time is closed. */
const SEND_MS = 10_000;

export class TwemproxyStatsServer {
  private readonly server: net.Server;

  private constructor(server: net.Server) {
    this.server = server;
  }

  /** Throws a PlatypusError with code LISTEN if the address is unavailable. `socket` is an inherited socket. */
  static async open(
    address: Address,
    { workers, config, socket }: { workers: Workers; config: () => Config; socket: unknown },
  ): Promise<TwemproxyStatsServer> {
    const server = net.createServer((client) => {
      client.on("error", () => {});
      client.setTimeout(SEND_MS, () => client.destroy());
      workers.snapshot({}, (snapshot) => {
        client.end(twemproxyStats(snapshot, hostname(), serverNames(config())));
        client.destroySoon();
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(twemproxyStatsError(address, error)));
      if (socket !== undefined) server.listen(socket, resolve);
      else if (address.type === "unix") server.listen({ path: address.path }, resolve);
      else server.listen({ host: address.host, port: address.port }, resolve);
    });
    // Open connections do not keep the process alive.
    server.unref();
    return new TwemproxyStatsServer(server);
  }

  /** The port that it listens on. `null` for a Unix socket. */
  get port(): number | null {
    const address = this.server.address();
    return address !== null && typeof address === "object" ? address.port : null;
  }

  /** Stops accepting connections. */
  close(): void {
    this.server.close();
  }
}

/** The reason why the address is unavailable, and the remedy. */
export function twemproxyStatsError(address: Address, error: Error): PlatypusError {
  const text = `the statistics address ${addressText(address)} cannot be opened: ${error.message}; set [server] twemproxy_stats (nutcracker: -a and -s) to another one, or to "off"`;
  return new PlatypusError("LISTEN", text, { cause: error });
}

/** The names of servers in the configuration, else their addresses. */
function serverNames({ pools }: Config): NameOf {
  const names = new Map(
    pools.flatMap((pool) =>
      pool.servers.map(({ name, address }) => [`${pool.name} ${addressText(address)}`, name] as const),
    ),
  );
  return (pool, server) => names.get(`${pool} ${server}`) ?? server;
}
