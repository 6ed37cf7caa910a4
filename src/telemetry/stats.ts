/**
 * Numbers → lines of `stats`, under memcached's names where memcached has one.
 *
 * Source: memcached doc/protocol.txt, "General-purpose statistics".
 */
import type { Backend } from "../proxy/backend/backend.ts";
import type { ClientCounters } from "../proxy/client/connection.ts";
import type { StatLine } from "../proxy/client/local-commands.ts";
import { Operation } from "../proxy/request.ts";
import type { ItemStore } from "../proxy/store/item-store.ts";
import type { Rule } from "../refresh/rules.ts";

/** What `stats` speaks of. */
export interface StatsFacts {
  readonly version: string;
  readonly memcachedVersion: string;
  readonly startedUnixSeconds: number;
  readonly unixSeconds: number;
  readonly maxConnections: number;
  readonly clients: ClientCounters;
  readonly backends: readonly Backend[];
  readonly rules: readonly Rule[];
  readonly tracked: number;
  readonly fillsInFlight: number;
  readonly refreshesInFlight: number;
  readonly store: ItemStore | null;
  /** Why the last reload was refused; null: it was not. */
  readonly reloadError: string | null;
  readonly configAgeSeconds: number;
}

/** The lines of `stats GROUP`; null: there is no such group. */
export function statLines(group: string, facts: StatsFacts): readonly StatLine[] | null {
  switch (group) {
    case "":
      return general(facts);
    case "platypus":
      return ofPlatypus(facts);
    case "settings":
      return [["maxconns", facts.maxConnections]];
    case "items":
    case "slabs":
    case "sizes":
    case "conns":
      return [];
    default:
      return null;
  }
}

function general(facts: StatsFacts): StatLine[] {
  const { clients, store } = facts;
  const usage = process.resourceUsage();
  const sets = [Operation.set, Operation.add, Operation.replace, Operation.append, Operation.prepend, Operation.cas];
  const count = (operation: Operation) => clients.operations[operation]!;
  return [
    ["pid", process.pid],
    ["uptime", facts.unixSeconds - facts.startedUnixSeconds],
    ["time", facts.unixSeconds],
    ["version", `${facts.memcachedVersion} platypus/${facts.version}`],
    ["pointer_size", 64],
    ["rusage_user", (usage.userCPUTime / 1e6).toFixed(6)],
    ["rusage_system", (usage.systemCPUTime / 1e6).toFixed(6)],
    ["max_connections", facts.maxConnections],
    ["curr_connections", clients.connections],
    ["total_connections", clients.accepted],
    ["rejected_connections", clients.rejected],
    ["cmd_get", clients.getKeys],
    ["cmd_set", sets.reduce((sum, operation) => sum + count(operation), 0)],
    ["cmd_flush", count(Operation.flushAll)],
    ["cmd_touch", count(Operation.touch)],
    ["get_hits", clients.getHits],
    ["get_misses", clients.getKeys - clients.getHits],
    ["bytes_read", clients.bytesRead],
    ["bytes_written", clients.bytesWritten],
    ["threads", 1],
    ["curr_items", store?.count ?? 0],
    ["bytes", store?.byteLength ?? 0],
    ["evictions", store?.evictions ?? 0],
  ];
}

function ofPlatypus(facts: StatsFacts): StatLine[] {
  const lines: StatLine[] = [
    ["tracked", facts.tracked],
    ["fills_in_flight", facts.fillsInFlight],
    ["refreshes_in_flight", facts.refreshesInFlight],
    ["clients_cut_off", facts.clients.cutOff],
    ["config_age", facts.configAgeSeconds],
    ["config_error", facts.reloadError?.replaceAll(/\s+/g, " ") ?? "none"],
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
  for (const { config, counters } of facts.rules) {
    for (const [name, value] of Object.entries(counters)) {
      lines.push([`rule:${config.name}:${name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`, value]);
    }
  }
  return lines;
}
