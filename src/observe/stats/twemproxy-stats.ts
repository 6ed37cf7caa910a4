/**
 * A snapshot → the JSON object of twemproxy's statistics port, for existing exporters. The names of pools and servers are
 * members beside the numbers, as in twemproxy.
 *
 * Source: `nutcracker --describe-stats` and the output of twemproxy 0.5, as facts.
 */
import { Status } from "../../proxy/reply.ts";
import type { PoolNumbers, ServerNumbers, Snapshot } from "../snapshot.ts";

/** The version whose form this is; exporters may check it. */
const TWEMPROXY_VERSION = "0.5.0";

type Numbers = Readonly<Record<string, number>>;

/** One line of JSON. `hostName` is the name of the machine, and `namesOf` the servers' names by `pool server`. */
export function twemproxyStats(snapshot: Snapshot, hostName: string, nameOf: NameOf): string {
  const { process: own, clients, servers, pools } = snapshot;
  const serverConnections = servers.map(({ connections }) => connections);
  return `${JSON.stringify({
    service: "nutcracker",
    source: hostName,
    version: TWEMPROXY_VERSION,
    uptime: Math.floor(own.unixSeconds - own.startedUnixSeconds),
    timestamp: Math.floor(own.unixSeconds),
    total_connections: clients.accepted + sum(servers.map(({ connects }) => connects)),
    curr_connections: clients.connections + sum(serverConnections),
    ...Object.fromEntries(pools.map((pool) => [pool.name, poolMembers(pool, servers, nameOf)])),
  })}\n`;
}

/** Name of a server in its pool. */
export type NameOf = (pool: string, server: string) => string;

function poolMembers(pool: PoolNumbers, all: readonly ServerNumbers[], nameOf: NameOf): object {
  const servers = all.filter(({ pools }) => pools.includes(pool.name));
  return {
    client_eof: pool.clientsClosed,
    client_err: pool.clientsFailed,
    client_connections: pool.clients,
    server_ejects: pool.ejects ? sum(servers.map(({ softTko, hardTko }) => softTko + hardTko)) : 0,
    forward_error: sum(servers.map(({ unsent }) => unsent)),
    fragments: pool.fragments,
    ...Object.fromEntries(servers.map((server) => [nameOf(pool.name, server.name), serverNumbers(server, pool)])),
  };
}

function serverNumbers(server: ServerNumbers, { ejects }: PoolNumbers): Numbers {
  const down = ejects ? server.history.findLast(({ state }) => state !== "up") : undefined;
  return {
    server_eof: server.closedByServer,
    server_err: server.connectFailures + server.connectionErrors,
    server_timedout: server.timeouts,
    server_connections: server.connections,
    server_ejected_at: down === undefined ? 0 : Math.floor(down.unixSeconds * 1e6),
    requests: server.requests,
    request_bytes: server.bytesWritten,
    responses: sum(server.results.slice(0, Status.timeout)),
    response_bytes: server.bytesRead,
    in_queue: server.waiting,
    // Bytes in queues are not counted.
    in_queue_bytes: 0,
    out_queue: server.outstanding - server.waiting,
    out_queue_bytes: 0,
  };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
