/**
 * Everything that a process tells of its numbers, at one moment, as plain data. Workers tell each other theirs as JSON; merge.ts
 * makes one of them, and every form in which numbers are told is a function of a snapshot:
 *
 *     own-snapshot ─► Snapshot ─┬─ link ─► merge ─► Snapshot of all ─┬─► prometheus
 *     (each worker)             │                                    ├─► stats/memcached-stats, stats/mcrouter-stats
 *                               └─► otlp/otlp-metrics                └─► admin/page-state
 *
 * The tables have a row for each field: what kind of number it is, which is also its type (kinds.ts). Amounts are those since
 * the start of the process where nothing else is said.
 */
import type { ListenAddress } from "../config/config.ts";
import type { McrouterNumbers } from "../mcrouter/report/self-report.ts";
import type { StateChange } from "../proxy/backend/backend.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import type { StoreCounters } from "../proxy/store/item-store.ts";
import type { RuleCounters } from "../refresh/rules.ts";
import type { TrackedKey } from "../refresh/scheduler.ts";
import type { BreakerState } from "../sources/breaker.ts";
import type { SourceCounters } from "../sources/limiter.ts";
import {
  any,
  byName,
  durations,
  fields,
  first,
  firstGiven,
  greatestGiven,
  type Kind,
  list,
  max,
  min,
  type NumbersOf,
  nullable,
  sum,
  sums,
  sumsByIndex,
  sumsOf,
  worst,
} from "./kinds.ts";

const processRows = {
  /** Processes that this is of. */
  workers: sum,
  version: first<string>(),
  pid: first<number>(),
  parentPid: first<number>(),
  args: first<string>(),
  startedUnixSeconds: min,
  unixSeconds: max,
  uptimeSeconds: max,
  userSeconds: sum,
  systemSeconds: sum,
  minorFaults: sum,
  majorFaults: sum,
  /** Of now. */
  residentBytes: sum,
  heapBytes: sum,
  externalBytes: sum,
  activeSeconds: sum,
  idleSeconds: sum,
  /** How late timers were. */
  loopDelay: durations,
  /** Garbage collections by kind. */
  collections: byName(durations),
  /** Log lines that could not be written anywhere. */
  lostLogLines: sum,
  /** What could not be reported, by report. */
  reportFailures: sums,
  /** Seconds in which no file could be opened. */
  fileLimitHits: sum,
  /** 0 if `max_memory` is not set, which is of each process. */
  maxMemoryBytes: sum,
  memoryShed: sums,
  /** Why clients are not to be sent here; null: they may be. */
  notReady: firstGiven<string>(),
  /** A server has been connected to, or there is none to connect to. */
  hasConnected: any,
};

const configRows = {
  file: first<string | null>(),
  /** Since the configuration was taken over. */
  ageSeconds: max,
  lastAttemptUnixSeconds: max,
  /** Reloads that were refused. */
  failures: sum,
  /** Why the last reload was refused; null: it was not. */
  reloadError: firstGiven<string>(),
  /** Where clients are listened for, with the real ports. */
  listen: first<readonly ListenAddress[]>(),
  maxConnections: first<number>(),
  maxValueBytes: first<number>(),
  isFlushAllAllowed: first<boolean>(),
  /** Clients log in. */
  hasUsers: first<boolean>(),
  /** Names of tracked keys may be shown. */
  showsKeys: first<boolean>(),
};

/** As `ClientCounters` has them. */
const clientCountRows = {
  connections: sum,
  accepted: sum,
  rejected: sum,
  cutOff: sum,
  silent: sum,
  authCommands: sum,
  authErrors: sum,
  denied: sum,
  bytesRead: sum,
  bytesWritten: sum,
  getHits: sum,
  getMisses: sum,
  failures: sum,
  operations: sumsByIndex,
  results: sumsByIndex,
};

/** Requests of one operation in one protocol. */
const requestRows = {
  operation: first<string>(),
  protocol: first<string>(),
  latency: durations,
  clientErrors: sum,
  serverErrors: sum,
};

const clientRows = {
  ...clientCountRows,
  requests: list(fields(requestRows), ({ operation, protocol }) => `${operation} ${protocol}`),
};

/** Changes of state that are told of a server. */
const MAX_CHANGES = 20;
const changes: Kind<readonly StateChange[]> = (one, other) =>
  [...one, ...other].sort((a, b) => a.unixSeconds - b.unixSeconds).slice(-MAX_CHANGES);

/** A server, known by its pool and its name; most as `BackendCounters` has it. */
const serverRows = {
  /** The first pool that it stands in, and all of them. */
  pool: first<string>(),
  pools: first<readonly string[]>(),
  /** `host:port` or `unix:path`. */
  name: first<string>(),
  isTls: first<boolean>(),
  timeoutMs: first<number>(),
  version: firstGiven<string>(),
  state: worst<StateChange["state"]>("up", "soft TKO", "hard TKO"),
  /** Processes by how the server looks from there, in mcrouter's words. */
  views: sumsOf<Record<"new" | "up" | "down" | "closed", number>>(),
  /** Requests and connections of now. */
  outstanding: sum,
  connections: sum,
  requests: sum,
  timeouts: sum,
  connectFailures: sum,
  outOfStep: sum,
  connects: sum,
  disconnects: sum,
  softTko: sum,
  hardTko: sum,
  operations: sumsByIndex,
  results: sumsByIndex,
  latencyUs: max,
  latency: durations,
  history: changes,
};

const ruleRows = {
  name: first<string>(),
  match: first<string>(),
  source: first<string>(),
  mode: first<string>(),
  counters: sumsOf<RuleCounters>(),
  /** Of now: keys that are kept fresh, fetches under way or waiting. */
  tracked: sum,
  inFlight: sum,
  fetch: durations,
  lag: durations,
};

const sourceRows = {
  name: first<string>(),
  type: first<string>(),
  counters: sumsOf<SourceCounters>(),
  /** By their code. */
  failures: sums,
  breaker: worst<BreakerState>("closed", "half open", "open"),
  breakerOpened: sum,
  /** Of now. */
  inFlight: sum,
  waiting: sum,
  latency: durations,
};

/** Fills and refreshes, of now. */
const workRows = { tracked: sum, fills: sum, refreshes: sum };

const storeRows = {
  /** Of now. */
  items: sum,
  bytes: sum,
  maxBytes: sum,
  /** Since the last get of the item that goes next. */
  ageSeconds: max,
  counters: sumsOf<StoreCounters>(),
};

const mcrouterRows = {
  isFromDump: first<boolean>(),
  statsPools: first<readonly string[]>(),
  virtualBytes: sum,
  rates: sums,
} satisfies { readonly [Field in keyof McrouterNumbers]: Kind<McrouterNumbers[Field]> };

/** One second: amounts a second, times in ms; null: there was nothing to take the time of. */
const sampleRows = {
  unixSeconds: first<number>(),
  requests: sum,
  errors: sum,
  hits: sum,
  misses: sum,
  /** Of the hits those that came from a fill. */
  filled: sum,
  fetches: sum,
  refreshes: sum,
  clients: sum,
  p50Ms: greatestGiven,
  p99Ms: greatestGiven,
  /** By how much refreshes began late, the 99th percentile. */
  lagMs: greatestGiven,
};

/** Samples of the same second, or of the one before: timers are not to the second. */
const samples: Kind<readonly Sample[]> = (one, other) => {
  const bySecond = new Map(other.map((sample) => [sample.unixSeconds, sample]));
  const together = fields(sampleRows);
  return one.map((sample) => {
    const same = bySecond.get(sample.unixSeconds) ?? bySecond.get(sample.unixSeconds - 1);
    return same === undefined ? sample : together(sample, same);
  });
};

/** Tracked keys of a rule that are told. */
export const MAX_TRACKED_KEYS = 20;
const mostNeeded: Kind<readonly TrackedKey[]> = (one, other) =>
  [...one, ...other].sort((a, b) => b.gets - a.gets || a.lastGetMs - b.lastGetMs).slice(0, MAX_TRACKED_KEYS);

/** For each process the addresses of each client. */
const peers: Kind<readonly (readonly Peer[])[]> = (one, other) => [...one, ...other];

const sampledRows = {
  clients: fields(clientRows),
  rules: list(fields(ruleRows), ({ name }) => name),
  sources: list(fields(sourceRows), ({ name }) => name),
};

const countedRows = {
  ...sampledRows,
  servers: list(fields(serverRows), ({ pool, name }) => `${pool} ${name}`),
  routes: sumsOf<RouteCounters>(),
  /** mcrouter's log of deletes. */
  asyncLog: sumsOf<Record<"requests" | "spooled", number>>(),
};

export const snapshotRows = {
  ...countedRows,
  process: fields(processRows),
  config: fields(configRows),
  /** As `clients`, since `stats reset`. */
  clientsSinceReset: fields(clientCountRows),
  work: fields(workRows),
  /** The store in the process; null: there is a pool. */
  store: nullable(fields(storeRows)),
  /** Null: the configuration is none of mcrouter's. */
  mcrouter: nullable(fields(mcrouterRows)),
  /** The last second of the admin page's plots, or as many as were asked for; empty without an admin server. */
  samples,
  /** Only where they are asked for. */
  peers,
  trackedKeys: mostNeeded,
};

export interface Snapshot extends NumbersOf<typeof snapshotRows> {}
/** What happens on account of requests. */
export interface CountedNumbers extends NumbersOf<typeof countedRows> {}
/** What samples are taken of. */
export interface SampledNumbers extends NumbersOf<typeof sampledRows> {}
export interface ProcessNumbers extends NumbersOf<typeof processRows> {}
export interface ConfigNumbers extends NumbersOf<typeof configRows> {}
export interface ClientCounts extends NumbersOf<typeof clientCountRows> {}
export interface ClientNumbers extends NumbersOf<typeof clientRows> {}
export interface ServerNumbers extends NumbersOf<typeof serverRows> {}
export interface RuleNumbers extends NumbersOf<typeof ruleRows> {}
export interface SourceNumbers extends NumbersOf<typeof sourceRows> {}
export interface StoreNumbers extends NumbersOf<typeof storeRows> {}
export interface Sample extends NumbersOf<typeof sampleRows> {}

/** Amounts by name. */
export type Counts = Readonly<Record<string, number>>;

/** A client's connection: the other end, and where it was accepted. */
export interface Peer {
  readonly client: string;
  readonly address: ListenAddress;
}

/** What is asked for beyond the usual: long lists, which a snapshot has only then. */
export interface Details {
  /** Whether clients may be sent here is of interest: servers that were never connected to are connected to. */
  readonly wantsReadiness?: boolean;
  readonly hasPeers?: boolean;
  /** All samples instead of the last one. */
  readonly hasHistory?: boolean;
  /** Name of a rule. */
  readonly trackedKeysOf?: string;
}
