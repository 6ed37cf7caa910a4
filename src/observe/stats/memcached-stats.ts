/**
 * A snapshot → lines of `stats`, under memcached's names where they exist. Numbers about client commands are Platypus'
 * own; numbers about stored items are the sum of the servers, or those of the embedded store.
 *
 * Source: memcached doc/protocol.txt, "General-purpose statistics" and "Settings statistics".
 */
import { addressText } from "../../config/config.ts";
import type { StatLine } from "../../proxy/client/local-commands.ts";
import { STATUS_COUNT, Status } from "../../proxy/reply.ts";
import { Operation } from "../../proxy/request.ts";
import type { ServerStats } from "../../proxy/route/server-stats.ts";
import { type Durations, quantileMs } from "../../telemetry/durations.ts";
import { memcachedVersion } from "../memcached-version.ts";
import type { ClientCounts, Snapshot } from "../snapshot.ts";
import { mergeSettings, mergeStats } from "./merged-stats.ts";
import { storeItemLines, storeLines, storeSlabLines } from "./store-stats.ts";

/** Groups with numbers from the servers. "" is plain `stats`. */
const groupsOfServers: readonly string[] = ["", "items", "slabs", "sizes", "settings"];

/** True if `memcachedStats` needs the servers' replies to `stats GROUP`. */
export function isOfServers(group: string): boolean {
  return groupsOfServers.includes(group);
}

/**
 * The lines of `stats GROUP`. `null` if there is no such group. `servers` holds the replies of the servers that
 * answered.
 */
export function memcachedStats(
  group: string,
  snapshot: Snapshot,
  servers: readonly ServerStats[],
): readonly StatLine[] | null {
  const { store, clientsSinceReset: clients } = snapshot;
  switch (group) {
    case "":
      return general(snapshot, servers);
    case "platypus":
      return ofPlatypus(snapshot);
    case "settings":
      return settings(snapshot, servers);
    case "items":
      return store === null ? mergeStats(servers) : storeItemLines(store);
    case "slabs":
      if (store === null) return mergeStats(servers);
      return storeSlabLines(store, clients.getHits, setsOf(clients), hitLines(clients));
    case "sizes":
      return store === null ? mergeStats(servers) : [["sizes_status", "disabled"]];
    case "conns":
      return connections(snapshot);
    default:
      return null;
  }
}

function general({ process: own, ...snapshot }: Snapshot, answers: readonly ServerStats[]): StatLine[] {
  const { clientsSinceReset: clients, config, store, servers } = snapshot;
  const lines: StatLine[] = [
    ["pid", own.pid],
    ["uptime", own.unixSeconds - own.startedUnixSeconds],
    ["time", own.unixSeconds],
    ["version", `${memcachedVersion(servers)} platypus/${own.version}`],
    ["pointer_size", 64],
    ["rusage_user", own.userSeconds.toFixed(6)],
    ["rusage_system", own.systemSeconds.toFixed(6)],
    ["max_connections", config.maxConnections],
    ["curr_connections", clients.connections],
    ["total_connections", clients.accepted],
    ["rejected_connections", clients.rejected],
    ["accepting_conns", 1],
    // These lines are about the servers' sockets and have no counterpart for clients.
    ["conn_yields", 0],
    ["listen_disabled_num", 0],
    ["cmd_get", clients.getHits + clients.getMisses],
    ["cmd_set", setsOf(clients)],
    ["cmd_flush", clients.operations[Operation.flushAll]!],
    ["cmd_touch", countOf(clients, [Operation.touch, Operation.gat, Operation.gats])],
    ["get_hits", clients.getHits],
    ["get_misses", clients.getMisses],
    ...hitLines(clients),
    ["auth_cmds", clients.authCommands],
    ["auth_errors", clients.authErrors],
    ["bytes_read", clients.bytesRead],
    ["bytes_written", clients.bytesWritten],
  ];
  const names = new Set(lines.map(([name]) => name));
  const stored = store === null ? mergeStats(answers) : storeLines(store);
  // Text values, such as the version of a library, only apply to a single server.
  return [...lines, ...stored.filter(([name, value]) => !names.has(name) && !Number.isNaN(Number(value)))];
}

function setsOf(clients: ClientCounts): number {
  const { set, add, replace, append, prepend, cas, metaSet } = Operation;
  return countOf(clients, [set, add, replace, append, prepend, cas, metaSet]);
}

function countOf({ operations }: ClientCounts, counted: readonly Operation[]): number {
  return counted.reduce((sum, operation) => sum + operations[operation]!, 0);
}

/**
 * Lines of commands with hits and misses. The servers' own numbers would include the commands of fills and refreshes:
 * these write with cas, and exporters subtract cas from the sets of clients.
 */
function hitLines({ results }: ClientCounts): StatLine[] {
  const sum = (operations: readonly Operation[], status: Status) =>
    operations.reduce((total, operation) => total + results[operation * STATUS_COUNT + status]!, 0);
  const { delete: remove, metaDelete, incr, decr, metaArithmetic, cas, touch, gat, gats } = Operation;
  const { deleted, notFound, number, stored, exists, touched, found, missing } = Status;
  return [
    ["delete_hits", sum([remove, metaDelete], deleted)],
    ["delete_misses", sum([remove, metaDelete], notFound)],
    // A meta arithmetic command can be incr or decr.
    ["incr_hits", sum([incr], number) + sum([metaArithmetic], stored)],
    ["incr_misses", sum([incr, metaArithmetic], notFound)],
    ["decr_hits", sum([decr], number)],
    ["decr_misses", sum([decr], notFound)],
    ["cas_hits", sum([cas], stored)],
    ["cas_misses", sum([cas], notFound)],
    ["cas_badval", sum([cas], exists)],
    ["touch_hits", sum([touch], touched) + sum([gat, gats], found)],
    ["touch_misses", sum([touch], notFound) + sum([gat, gats], missing)],
  ];
}

/** Settings about storage. Other settings of a server are about its sockets, but clients use those of Platypus. */
const ofStorage =
  /^(evictions|growth_factor|chunk_size|num_threads|slab_|lru_|hot_|warm_|temp|hash|tail_repair|track_sizes)/;

function settings({ config, store }: Snapshot, servers: readonly ServerStats[]): StatLine[] {
  const tcp = config.listen.flatMap((address) => (address.type === "tcp" ? [address] : []));
  const unix = config.listen.flatMap((address) => (address.type === "unix" ? [address.path] : []));
  const merged = mergeSettings(servers);
  const ofServers = new Map(merged);
  const maxBytes = store === null ? ofServers.get("maxbytes") : store.maxBytes;
  const itemBytes = Math.min(config.maxValueBytes, Number(ofServers.get("item_size_max") ?? Number.POSITIVE_INFINITY));
  return [
    ...(maxBytes === undefined ? [] : [["maxbytes", maxBytes] as const]),
    ["maxconns", config.maxConnections],
    ["tcpport", tcp[0]?.port ?? 0],
    ["udpport", 0],
    ["inter", tcp.map(({ host }) => host).join(",") || "NULL"],
    ["verbosity", 0],
    ["domain_socket", unix.join(",") || "NULL"],
    ["shutdown_command", "no"],
    ["detail_enabled", "no"],
    ["cas_enabled", "yes"],
    ["binding_protocol", "auto-negotiate"],
    ["auth_enabled_sasl", config.hasUsers ? "yes" : "no"],
    ["auth_enabled_ascii", config.hasUsers ? "yes" : "no"],
    ["item_size_max", itemBytes],
    ["flush_enabled", config.isFlushAllAllowed ? "yes" : "no"],
    ["dump_enabled", "no"],
    ...(store === null
      ? merged.filter(([name]) => ofStorage.test(name))
      : ([
          ["evictions", "on"],
          ["num_threads", 1],
          ["lru_crawler", "no"],
          ["lru_maintainer_thread", "no"],
        ] as const)),
  ];
}

/** Each client by its number. With several processes, the number of the process precedes it. */
function connections({ peers }: Snapshot): StatLine[] {
  return peers.flatMap((all, worker) => {
    const prefix = peers.length > 1 ? `${worker}:` : "";
    return all.flatMap(({ client, address }, i): StatLine[] => {
      const text = addressText(address);
      const own = address.type === "unix" ? text : `${text.startsWith("[") ? "tcp6" : "tcp"}:${text}`;
      return [
        [`${prefix}${i + 1}:addr`, client],
        [`${prefix}${i + 1}:listen_addr`, own],
      ];
    });
  });
}

function ofPlatypus({ process: own, config, clientsSinceReset: clients, work, ...snapshot }: Snapshot): StatLine[] {
  const { servers, sources, rules, discoveries, handoffs, near } = snapshot;
  const hasNear = Object.values(near).some((count) => count > 0);
  const hasHandoff = Object.values(handoffs).some((count) => count > 0);
  return [
    ["tracked", work.tracked],
    ["fills_in_flight", work.fills],
    ["refreshes_in_flight", work.refreshes],
    ["clients_cut_off", clients.cutOff],
    ["clients_silent", clients.silent],
    ["commands_denied", clients.denied],
    ["config_age", config.ageSeconds],
    ["config_error", config.reloadError?.replaceAll(/\s+/g, " ") ?? "none"],
    ["log_lines_lost", own.lostLogLines],
    ...Object.entries(own.reportFailures).map(([name, count]): StatLine => [`report:${name}:failures`, count]),
    ["file_limit_hits", own.fileLimitHits],
    ...Object.entries(own.memoryShed).map(([step, count]): StatLine => [`memory_shed:${step}`, count]),
    ...discoveries.flatMap(({ pool, servers: count, ageSeconds, changes, failures }): StatLine[] => [
      [`discovery:${pool}:servers`, count],
      [`discovery:${pool}:age`, ageSeconds],
      [`discovery:${pool}:changes`, changes],
      [`discovery:${pool}:failures`, failures],
    ]),
    ...Object.entries(hasHandoff ? handoffs : {}).map(([result, count]): StatLine => [`handoff:${result}`, count]),
    ...Object.entries(hasNear ? near : {}).map(([name, count]): StatLine => [`near:${name}`, count]),
    ...servers.flatMap(({ name, state, ...server }): StatLine[] => [
      [`backend:${name}:state`, state === "up" ? "up" : "tko"],
      [`backend:${name}:requests`, server.requests],
      [`backend:${name}:outstanding`, server.outstanding],
      [`backend:${name}:timeouts`, server.timeouts],
      [`backend:${name}:connect_failures`, server.connectFailures],
      [`backend:${name}:out_of_step`, server.outOfStep],
    ]),
    ...sources.flatMap(({ name, counters, failures, ...source }): StatLine[] => [
      [`source:${name}:breaker`, source.breaker],
      [`source:${name}:breaker_opened`, source.breakerOpened],
      [`source:${name}:in_flight`, source.inFlight],
      [`source:${name}:waiting`, source.waiting],
      [`source:${name}:places`, source.places],
      ...countersOf(`source:${name}`, counters),
      ...Object.entries(failures).map(([code, count]): StatLine => {
        return [`source:${name}:failed_${code.replace("SOURCE_", "").toLowerCase()}`, count];
      }),
    ]),
    ...rules.flatMap(({ name, tracked, inFlight, counters, fetch, lag }): StatLine[] => [
      [`rule:${name}:tracked`, tracked],
      [`rule:${name}:in_flight`, inFlight],
      ...countersOf(`rule:${name}`, counters),
      ...quantilesOf(`rule:${name}:fetch_ms`, fetch),
      ...quantilesOf(`rule:${name}:refresh_lag_ms`, lag),
    ]),
  ];
}

function countersOf(name: string, counters: object): StatLine[] {
  return Object.entries(counters).map(([key, value]) => {
    const words = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return [`${name}:${words}`, Math.round(value)] as const;
  });
}

function quantilesOf(name: string, durations: Durations): StatLine[] {
  return [
    [`${name}:count`, durations.count],
    [`${name}:p50`, Math.round(quantileMs(durations, 0.5))],
    [`${name}:p99`, Math.round(quantileMs(durations, 0.99))],
    [`${name}:max`, Math.round(durations.maxMs)],
  ];
}
