/**
 * All numbers of a process at one moment, as plain data. Workers send their snapshots to each other as JSON, and
 * merge.ts joins them. Each report is a function of a snapshot:
 *
 *     own-snapshot ─► Snapshot ─┬─ link ─► merge ─► Snapshot of all ─┬─► prometheus
 *     (each worker)             │                                    ├─► stats/memcached-stats, stats/mcrouter-stats
 *                               └─► otlp/otlp-metrics                └─► admin/page-state
 *
 * The tables have a row for each field: its kind, which also gives its type (kinds.ts). Amounts count from the start of
 * the process unless a comment says otherwise.
 */
import type { ListenAddress } from "../config/config.ts";
import type { McrouterNumbers } from "../mcrouter/report/self-report.ts";
import type { StateChange } from "../proxy/backend/backend.ts";
import type { OperationNumbers } from "../proxy/backend/operation-durations.ts";
import type { HotKeyCounts } from "../proxy/near/hot-key.ts";
import type { NearCounters } from "../proxy/near/near-cache.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import type { StoreCounters } from "../proxy/store/item-store.ts";
import type { HandoffCounters } from "../refresh/handoff/copier.ts";
import type { RuleCounters } from "../refresh/rules.ts";
import type { TrackedKey } from "../refresh/schedule.ts";
import type { BreakerState } from "../sources/breaker.ts";
import type { HttpCallNumbers } from "../sources/http-calls.ts";
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
  /** Number of processes in the snapshot. */
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
  /** Current memory. */
  residentBytes: sum,
  heapBytes: sum,
  externalBytes: sum,
  activeSeconds: sum,
  idleSeconds: sum,
  /** Delay of timers. */
  loopDelay: durations,
  /** Garbage collections by kind. */
  collections: byName(durations),
  /** Number of log lines that no target took. */
  lostLogLines: sum,
  /** Number of failed reports, by name of the report. */
  reportFailures: sums,
  /** Seconds in which no file could be opened. */
  fileLimitHits: sum,
  /** `max_memory`, which applies to each process. 0 if it is not set. */
  maxMemoryBytes: sum,
  memoryShed: sums,
  /** Reason why the process is not ready. `null` if it is ready. */
  notReady: firstGiven<string>(),
  /** True if a server has been connected to, or if there are no servers. */
  hasConnected: any,
};

const configRows = {
  file: first<string | null>(),
  /** Time since the last successful reload, or the start. */
  ageSeconds: max,
  lastAttemptUnixSeconds: max,
  /** Number of refused reloads. */
  failures: sum,
  /** Reason why the last reload was refused. `null` if it succeeded. */
  reloadError: firstGiven<string>(),
  /** Addresses that clients connect to, with the real ports. */
  listen: first<readonly ListenAddress[]>(),
  maxConnections: first<number>(),
  maxValueBytes: first<number>(),
  isFlushAllAllowed: first<boolean>(),
  /** True if clients log in. */
  hasUsers: first<boolean>(),
  /** True if the names of tracked keys may be shown. */
  showsKeys: first<boolean>(),
};

/** Fields of `ClientCounters`. */
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
  /** The part of `latency` that Platypus or a server could not execute, by result. */
  failed: byName(durations),
};

const clientRows = {
  ...clientCountRows,
  requests: list(fields(requestRows), ({ operation, protocol }) => `${operation} ${protocol}`),
};

/** Maximum number of state changes that are kept per server. */
const MAX_CHANGES = 20;
const changes: Kind<readonly StateChange[]> = (one, other) =>
  [...one, ...other].sort((a, b) => a.unixSeconds - b.unixSeconds).slice(-MAX_CHANGES);

/** Requests of one operation to a server, with one error or none. */
const operationRows = {
  operation: first<string>(),
  error: first<string | null>(),
  latency: durations,
} satisfies { readonly [Field in keyof OperationNumbers]: Kind<OperationNumbers[Field]> };

/** A server, identified by its pool and name. Most fields are those of `BackendCounters`. */
const serverRows = {
  /** The first pool of the server, and all of its pools. */
  pool: first<string>(),
  pools: first<readonly string[]>(),
  /** `host:port` or `unix:path`. */
  name: first<string>(),
  isTls: first<boolean>(),
  timeoutMs: first<number>(),
  version: firstGiven<string>(),
  state: worst<StateChange["state"]>("up", "soft TKO", "hard TKO"),
  /** Number of processes that see the server in each of mcrouter's states. */
  views: sumsOf<Record<"new" | "up" | "down" | "closed", number>>(),
  /** Current requests, those of them that wait for a connection, and connections. */
  outstanding: sum,
  waiting: sum,
  connections: sum,
  requests: sum,
  timeouts: sum,
  connectFailures: sum,
  /** Failures since the last success. */
  failures: sum,
  outOfStep: sum,
  connects: sum,
  disconnects: sum,
  closedByServer: sum,
  connectionErrors: sum,
  unsent: sum,
  bytesWritten: sum,
  bytesRead: sum,
  softTko: sum,
  hardTko: sum,
  operations: sumsByIndex,
  results: sumsByIndex,
  ownFailures: sum,
  latencyUs: max,
  latency: durations,
  /** By operation and error. Empty unless requested. */
  operationDurations: list(fields(operationRows), ({ operation, error }) => `${operation} ${error}`),
  history: changes,
};

/** A pool, with the clients of its addresses. */
const poolRows = {
  name: first<string>(),
  /** True if dead servers are ejected. */
  ejects: first<boolean>(),
  clients: sum,
  clientsClosed: sum,
  clientsFailed: sum,
  /** Commands that gets of many keys were split into. */
  fragments: sum,
};

const ruleRows = {
  name: first<string>(),
  match: first<string>(),
  source: first<string>(),
  mode: first<string>(),
  counters: sumsOf<RuleCounters>(),
  /** Current number of tracked keys, and of fetches in flight or waiting. */
  tracked: sum,
  inFlight: sum,
  fetch: durations,
  lag: durations,
};

/** Requests of an HTTP source with one method, path template, status and error. */
const httpCallRows = {
  method: first<string>(),
  address: first<string>(),
  port: first<number>(),
  template: first<string>(),
  status: first<number | null>(),
  error: first<string | null>(),
  latency: durations,
} satisfies { readonly [Field in keyof HttpCallNumbers]: Kind<HttpCallNumbers[Field]> };

const sourceRows = {
  name: first<string>(),
  type: first<string>(),
  counters: sumsOf<SourceCounters>(),
  /** By error code, and by HTTP status of answers that are not values. */
  failures: sums,
  statuses: sums,
  breaker: worst<BreakerState>("closed", "half open", "open"),
  breakerOpened: sum,
  /** Current fetches. */
  inFlight: sum,
  waiting: sum,
  places: sum,
  lastError: firstGiven<string>(),
  latency: durations,
  /** HTTP requests. */
  calls: list(
    fields(httpCallRows),
    ({ method, template, status, error }) => `${method} ${template} ${status} ${error}`,
  ),
};

/** Current number of tracked keys, fills and refreshes. */
const workRows = { tracked: sum, fills: sum, refreshes: sum };

const storeRows = {
  /** Current size. */
  items: sum,
  bytes: sum,
  maxBytes: sum,
  /** Time since the last get of the item that is evicted next. */
  ageSeconds: max,
  counters: sumsOf<StoreCounters>(),
};

const mcrouterRows = {
  isFromDump: first<boolean>(),
  statsPools: first<readonly (readonly [name: string, pools: readonly string[]])[]>(),
  virtualBytes: sum,
  rates: sums,
} satisfies { readonly [Field in keyof McrouterNumbers]: Kind<McrouterNumbers[Field]> };

/** One second of the admin page's plots: amounts per second, and times in ms (`null` if there were no durations). */
const sampleRows = {
  unixSeconds: first<number>(),
  requests: sum,
  errors: sum,
  hits: sum,
  misses: sum,
  /** Number of hits of filled values. */
  filled: sum,
  fetches: sum,
  refreshes: sum,
  clients: sum,
  p50Ms: greatestGiven,
  p99Ms: greatestGiven,
  /** Delay of refreshes, 99th percentile. */
  lagMs: greatestGiven,
};

/** Joins samples of one second, or of the second before, because timers are not exact. */
const samples: Kind<readonly Sample[]> = (one, other) => {
  const bySecond = new Map(other.map((sample) => [sample.unixSeconds, sample]));
  const together = fields(sampleRows);
  return one.map((sample) => {
    const same = bySecond.get(sample.unixSeconds) ?? bySecond.get(sample.unixSeconds - 1);
    return same === undefined ? sample : together(sample, same);
  });
};

/** Maximum number of listed keys per rule. */
export const MAX_TRACKED_KEYS = 20;
const mostNeeded: Kind<readonly TrackedKey[]> = (one, other) =>
  [...one, ...other].sort((a, b) => b.gets - a.gets || a.lastGetMs - b.lastGetMs).slice(0, MAX_TRACKED_KEYS);

/** Maximum number of listed hot keys. */
export const MAX_HOT_KEYS = 20;
const hottest: Kind<readonly HotKeyCounts[]> = (one, other) => {
  const counts = new Map(one.map((each) => [each.key, each]));
  for (const { key, gets, hits } of other) {
    const same = counts.get(key);
    counts.set(key, { key, gets: gets + (same?.gets ?? 0), hits: hits + (same?.hits ?? 0) });
  }
  return [...counts.values()].sort((a, b) => b.gets - a.gets).slice(0, MAX_HOT_KEYS);
};

/** A key in the processes that know it. */
const keyRows = {
  /** Number of processes that track the key. */
  tracking: sum,
  /** In the process that refreshes it first: time until its refresh. `null` if it is refreshed now, or not tracked. */
  dueMs: nullable(min),
  lastGetMs: nullable(min),
  gets: sum,
  /** Failed refreshes in a row. */
  failures: max,
  /** Number of processes that fetch it because of a miss. */
  fetching: sum,
  /** Time for which its misses are not fetched, because its last fetch failed. */
  pausedMs: greatestGiven,
  /** Number of processes in which it is hot, and of those that have a copy. */
  hot: sum,
  copies: sum,
};

/** A list for each process. */
const peers: Kind<readonly (readonly Peer[])[]> = (one, other) => [...one, ...other];

const sampledRows = {
  clients: fields(clientRows),
  rules: list(fields(ruleRows), ({ name }) => name),
  sources: list(fields(sourceRows), ({ name }) => name),
};

/** The followed list of servers of a pool. */
const discoveryRows = {
  pool: first<string>(),
  /** What is followed, such as `dns:cache.example:11211`. */
  place: first<string>(),
  /** The list in use. */
  addresses: first<readonly string[]>(),
  servers: max,
  /** The highest age of all workers. */
  ageSeconds: max,
  /** Each worker sees each change. */
  changes: max,
  failures: sum,
  error: firstGiven<string>(),
};

/** A change of a pool's servers whose keys are being moved. */
const moveRows = {
  pool: first<string>(),
  /** Addresses of the servers before and after the change. */
  from: first<readonly string[]>(),
  to: first<readonly string[]>(),
  /** Time until the handoff ends. */
  leftMs: max,
};

const countedRows = {
  ...sampledRows,
  discoveries: list(fields(discoveryRows), ({ pool }) => pool),
  pools: list(fields(poolRows), ({ name }) => name),
  servers: list(fields(serverRows), ({ pool, name }) => `${pool} ${name}`),
  routes: sumsOf<RouteCounters>(),
  /** Changes of servers under way (`handoff`). */
  moves: list(fields(moveRows), ({ pool }) => pool),
  /** Keys that changes of the servers have moved. */
  handoffs: sumsOf<HandoffCounters>(),
  /** Copies of hot keys; `keys` and `bytes` are current sizes. */
  near: sumsOf<NearCounters & Record<"keys" | "bytes", number>>(),
  /** mcrouter's log of deletes. */
  asyncLog: sumsOf<Record<"requests" | "spooled", number>>(),
};

export const snapshotRows = {
  ...countedRows,
  process: fields(processRows),
  config: fields(configRows),
  /** Like `clients`, counted from the last `stats reset`. */
  clientsSinceReset: fields(clientCountRows),
  work: fields(workRows),
  /** The embedded store. `null` if there is a pool. */
  store: nullable(fields(storeRows)),
  /** `null` if the configuration is not mcrouter's. */
  mcrouter: nullable(fields(mcrouterRows)),
  /** The last second, or the last hour on request. Empty without an admin server. */
  samples,
  /** Empty unless requested. */
  peers,
  trackedKeys: mostNeeded,
  /** `null` unless requested. */
  key: nullable(fields(keyRows)),
  /** The keys that clients ask for most. Empty if keys are not shown. */
  hotKeys: hottest,
};

export interface Snapshot extends NumbersOf<typeof snapshotRows> {}
/** Numbers that change with requests, fills and refreshes. */
export interface CountedNumbers extends NumbersOf<typeof countedRows> {}
/** Numbers that samples use. */
export interface SampledNumbers extends NumbersOf<typeof sampledRows> {}
export interface ProcessNumbers extends NumbersOf<typeof processRows> {}
export interface ConfigNumbers extends NumbersOf<typeof configRows> {}
export interface ClientCounts extends NumbersOf<typeof clientCountRows> {}
export interface ClientNumbers extends NumbersOf<typeof clientRows> {}
export interface PoolNumbers extends NumbersOf<typeof poolRows> {}
export interface ServerNumbers extends NumbersOf<typeof serverRows> {}
export interface MoveNumbers extends NumbersOf<typeof moveRows> {}
export interface DiscoveryNumbers extends NumbersOf<typeof discoveryRows> {}
export interface RuleNumbers extends NumbersOf<typeof ruleRows> {}
export interface SourceNumbers extends NumbersOf<typeof sourceRows> {}
export interface KeyNumbers extends NumbersOf<typeof keyRows> {}
export interface StoreNumbers extends NumbersOf<typeof storeRows> {}
export interface Sample extends NumbersOf<typeof sampleRows> {}

/** Amounts by name. */
export type Counts = Readonly<Record<string, number>>;

/** A client's connection: its address, and the address that accepted it. */
export interface Peer {
  readonly client: string;
  readonly address: ListenAddress;
}

/** Long lists that a snapshot only has on request, and actions that a question triggers. */
export interface Details {
  /** Connects to servers if none is connected, so that readiness is known. */
  readonly wantsReadiness?: boolean;
  readonly hasPeers?: boolean;
  /** The samples of the last hour instead of the last one. */
  readonly hasHistory?: boolean;
  /** Durations of requests to servers by operation. */
  readonly hasOperations?: boolean;
  /** Name of the rule whose keys are listed. */
  readonly trackedKeysOf?: string;
  /** A key with one character per byte. */
  readonly stateOfKey?: string;
}
