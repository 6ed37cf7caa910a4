/**
 * Numbers → lines of `stats`, under memcached's names where memcached has one. Of what clients do here, the numbers are
 * Platypus' own; of what is stored, the servers' together, or the embedded store's.
 *
 * Source: memcached doc/protocol.txt, "General-purpose statistics" and "Settings statistics".
 */
import { addressText, type ListenAddress, type ServerConfig } from "../../config/config.ts";
import type { Backend } from "../../proxy/backend/backend.ts";
import { type ClientCounters, resultsOf } from "../../proxy/client/client-counters.ts";
import type { StatLine } from "../../proxy/client/local-commands.ts";
import { Status } from "../../proxy/reply.ts";
import { Operation } from "../../proxy/request.ts";
import type { ServerStats } from "../../proxy/route/server-stats.ts";
import type { ItemStore } from "../../proxy/store/item-store.ts";
import type { Rule } from "../../refresh/rules.ts";
import type { Limiter } from "../../sources/limiter.ts";
import type { Histogram } from "../../telemetry/histogram.ts";
import type { ReportName } from "../../telemetry/reports.ts";
import { mergeSettings, mergeStats } from "./merged-stats.ts";
import { storeItemLines, storeLines, storeSlabLines } from "./store-stats.ts";

/** What `stats` speaks of. */
export interface StatsFacts {
  readonly version: string;
  readonly memcachedVersion: string;
  readonly startedUnixSeconds: number;
  readonly unixSeconds: number;
  readonly server: ServerConfig;
  /** Clients log in. */
  readonly hasUsers: boolean;
  readonly listeners: readonly { readonly address: ListenAddress; readonly peers: readonly string[] }[];
  readonly clients: ClientCounters;
  readonly backends: readonly Backend[];
  readonly rules: readonly Rule[];
  readonly sources: readonly Limiter[];
  readonly tracked: number;
  readonly trackedByRule: ReadonlyMap<Rule, number>;
  readonly fillsInFlight: number;
  readonly refreshesInFlight: number;
  /** Null: there is a pool. */
  readonly store: ItemStore | null;
  /** Why the last reload was refused; null: it was not. */
  readonly reloadError: string | null;
  readonly configAgeSeconds: number;
  /** Log lines that could not be written anywhere. */
  readonly lostLogLines: number;
  readonly reportFailures: ReadonlyMap<ReportName, number>;
  /** Times at which this process could open no file. */
  readonly fileLimitHits: number;
  readonly memoryShed: Readonly<Record<string, number>>;
}

/** Groups of which the servers have something to say; "" is plain `stats`. */
const groupsOfServers: readonly string[] = ["", "items", "slabs", "sizes", "settings"];

/** True where `statLines` wants the servers' answers to `stats GROUP`. */
export function isOfServers(group: string): boolean {
  return groupsOfServers.includes(group);
}

/** The lines of `stats GROUP`; null: there is no such group. `servers`: what those that answered said of it. */
export function statLines(
  group: string,
  facts: StatsFacts,
  servers: readonly ServerStats[],
): readonly StatLine[] | null {
  const { store } = facts;
  switch (group) {
    case "":
      return general(facts, servers);
    case "platypus":
      return ofPlatypus(facts);
    case "settings":
      return settings(facts, servers);
    case "items":
      return store === null ? mergeStats(servers) : storeItemLines(store);
    case "slabs":
      if (store === null) return mergeStats(servers);
      return storeSlabLines(store, facts.clients.getHits, setsOf(facts.clients), hitLines(facts.clients));
    case "sizes":
      return store === null ? mergeStats(servers) : [["sizes_status", "disabled"]];
    case "conns":
      return connections(facts);
    default:
      return null;
  }
}

function general(facts: StatsFacts, servers: readonly ServerStats[]): StatLine[] {
  const { clients, store } = facts;
  const usage = process.resourceUsage();
  const own: StatLine[] = [
    ["pid", process.pid],
    ["uptime", facts.unixSeconds - facts.startedUnixSeconds],
    ["time", facts.unixSeconds],
    ["version", `${facts.memcachedVersion} platypus/${facts.version}`],
    ["pointer_size", 64],
    ["rusage_user", (usage.userCPUTime / 1e6).toFixed(6)],
    ["rusage_system", (usage.systemCPUTime / 1e6).toFixed(6)],
    ["max_connections", facts.server.maxConnections],
    ["curr_connections", clients.connections],
    ["total_connections", clients.accepted],
    ["rejected_connections", clients.rejected],
    ["accepting_conns", 1],
    // Of sockets of the servers, where clients have none.
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
  const names = new Set(own.map(([name]) => name));
  const stored = store === null ? mergeStats(servers) : storeLines(store);
  // Texts, such as the version of a library, belong to one server alone.
  return [...own, ...stored.filter(([name, value]) => !names.has(name) && !Number.isNaN(Number(value)))];
}

function setsOf(clients: ClientCounters): number {
  const { set, add, replace, append, prepend, cas, metaSet } = Operation;
  return countOf(clients, [set, add, replace, append, prepend, cas, metaSet]);
}

function countOf({ operations }: ClientCounters, counted: readonly Operation[]): number {
  return counted.reduce((sum, operation) => sum + operations[operation]!, 0);
}

/**
 * Of commands that find their item or do not. The servers' own numbers would have what fills and refreshes do in them: those
 * write by cas, and exporters take cas off the sets that clients made.
 */
function hitLines(clients: ClientCounters): StatLine[] {
  const sum = (operations: readonly Operation[], status: Status) =>
    operations.reduce((total, operation) => total + resultsOf(clients, operation, status), 0);
  const { delete: remove, metaDelete, incr, decr, metaArithmetic, cas, touch, gat, gats } = Operation;
  const { deleted, notFound, number, stored, exists, touched, found, missing } = Status;
  return [
    ["delete_hits", sum([remove, metaDelete], deleted)],
    ["delete_misses", sum([remove, metaDelete], notFound)],
    // A meta command does either.
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

/** Settings that say how servers store; the others would speak of their sockets, and clients have to do with ours. */
const ofStorage =
  /^(evictions|growth_factor|chunk_size|num_threads|slab_|lru_|hot_|warm_|temp|hash|tail_repair|track_sizes)/;

function settings(facts: StatsFacts, servers: readonly ServerStats[]): StatLine[] {
  const { server, store } = facts;
  const tcp = facts.listeners.flatMap(({ address }) => (address.type === "tcp" ? [address] : []));
  const unix = facts.listeners.flatMap(({ address }) => (address.type === "unix" ? [address.path] : []));
  const merged = mergeSettings(servers);
  const ofServers = new Map(merged);
  const maxBytes = store === null ? ofServers.get("maxbytes") : store.maxBytes;
  const itemBytes = Math.min(server.maxValueBytes, Number(ofServers.get("item_size_max") ?? Number.POSITIVE_INFINITY));
  return [
    ...(maxBytes === undefined ? [] : [["maxbytes", maxBytes] as const]),
    ["maxconns", server.maxConnections],
    ["tcpport", tcp[0]?.port ?? 0],
    ["udpport", 0],
    ["inter", tcp.map(({ host }) => host).join(",") || "NULL"],
    ["verbosity", 0],
    ["domain_socket", unix.join(",") || "NULL"],
    ["shutdown_command", "no"],
    ["detail_enabled", "no"],
    ["cas_enabled", "yes"],
    ["binding_protocol", "auto-negotiate"],
    ["auth_enabled_sasl", facts.hasUsers ? "yes" : "no"],
    ["auth_enabled_ascii", facts.hasUsers ? "yes" : "no"],
    ["item_size_max", itemBytes],
    ["flush_enabled", server.isFlushAllAllowed ? "yes" : "no"],
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

function connections({ listeners }: StatsFacts): StatLine[] {
  const ends = listeners.flatMap(({ address, peers }) => {
    const text = addressText(address);
    const own = address.type === "unix" ? text : `${text.startsWith("[") ? "tcp6" : "tcp"}:${text}`;
    return peers.map((peer) => [peer, own] as const);
  });
  return ends.flatMap(([peer, own], i) => [[`${i + 1}:addr`, peer] as const, [`${i + 1}:listen_addr`, own] as const]);
}

function ofPlatypus(facts: StatsFacts): StatLine[] {
  const lines: StatLine[] = [
    ["tracked", facts.tracked],
    ["fills_in_flight", facts.fillsInFlight],
    ["refreshes_in_flight", facts.refreshesInFlight],
    ["clients_cut_off", facts.clients.cutOff],
    ["clients_silent", facts.clients.silent],
    ["commands_denied", facts.clients.denied],
    ["config_age", facts.configAgeSeconds],
    ["config_error", facts.reloadError?.replaceAll(/\s+/g, " ") ?? "none"],
    ["log_lines_lost", facts.lostLogLines],
    ...[...facts.reportFailures].map(([name, count]): StatLine => [`report:${name}:failures`, count]),
    ["file_limit_hits", facts.fileLimitHits],
    ...Object.entries(facts.memoryShed).map(([step, count]): StatLine => [`memory_shed:${step}`, count]),
  ];
  for (const backend of facts.backends) {
    const { requests, timeouts, connectFailures, outOfStep } = backend.counters;
    lines.push(
      [`backend:${backend.name}:state`, backend.isUp ? "up" : "tko"],
      [`backend:${backend.name}:requests`, requests],
      [`backend:${backend.name}:outstanding`, backend.outstanding],
      [`backend:${backend.name}:timeouts`, timeouts],
      [`backend:${backend.name}:connect_failures`, connectFailures],
      [`backend:${backend.name}:out_of_step`, outOfStep],
    );
  }
  for (const source of facts.sources) {
    const { name, counters, failures, inFlight, waiting, breakerState, breakerOpened } = source;
    lines.push(
      [`source:${name}:breaker`, breakerState],
      [`source:${name}:breaker_opened`, breakerOpened],
      [`source:${name}:in_flight`, inFlight],
      [`source:${name}:waiting`, waiting],
      ...countersOf(`source:${name}`, counters),
      ...[...failures].map(([code, count]) => {
        return [`source:${name}:failed_${code.replace("SOURCE_", "").toLowerCase()}`, count] as const;
      }),
    );
  }
  for (const rule of facts.rules) {
    const { config, counters, timings } = rule;
    const name = `rule:${config.name}`;
    lines.push(
      [`${name}:tracked`, facts.trackedByRule.get(rule) ?? 0],
      [`${name}:in_flight`, timings.inFlight],
      ...countersOf(name, counters),
      ...quantilesOf(`${name}:fetch_ms`, timings.fetch),
      ...quantilesOf(`${name}:refresh_lag_ms`, timings.lag),
    );
  }
  return lines;
}

function countersOf(name: string, counters: object): StatLine[] {
  return Object.entries(counters).map(([key, value]) => {
    const words = key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    return [`${name}:${words}`, Math.round(value)] as const;
  });
}

function quantilesOf(name: string, histogram: Histogram): StatLine[] {
  const shares = [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const;
  return [
    [`${name}:count`, histogram.count],
    ...shares.map(([label, share]) => [`${name}:${label}`, Math.round(histogram.quantileMs(share))] as const),
    [`${name}:max`, Math.round(histogram.maxMs)],
  ];
}
