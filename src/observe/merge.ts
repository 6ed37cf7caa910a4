/**
 * The snapshots of several workers → one of all of them, as of the one server that clients see. The tables say how each
 * number is put together; a field without a row does not compile.
 */
import type { TrackedKey } from "../refresh/scheduler.ts";
import { type Durations, durationsTogether } from "../telemetry/durations.ts";
import {
  type ClientCounts,
  type ClientNumbers,
  type ConfigNumbers,
  type Counts,
  MAX_TRACKED_KEYS,
  type ProcessNumbers,
  type RequestNumbers,
  type RuleNumbers,
  type Sample,
  type ServerNumbers,
  type Snapshot,
  type SourceNumbers,
  type StoreNumbers,
  type WorkNumbers,
} from "./snapshot.ts";

/** Two values of a field → that of both. */
type Kind<Value> = (one: Value, other: Value) => Value;
type Rows<Numbers> = { readonly [Field in keyof Numbers]: Kind<Numbers[Field]> };

// The kinds.

const sum: Kind<number> = (one, other) => one + other;
const max: Kind<number> = Math.max;
const min: Kind<number> = Math.min;
const any: Kind<boolean> = (one, other) => one || other;
/** All workers have the same, or it is one process's own. */
const first = <Value>(one: Value): Value => one;
const firstGiven = <Value>(one: Value | null, other: Value | null): Value | null => one ?? other;
/** Null is less than any number. */
const greatestGiven: Kind<number | null> = (one, other) => {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
};

/** The one that comes last in `order`. */
function worst<Value>(...order: readonly Value[]): Kind<Value> {
  return (one, other) => (order.indexOf(one) >= order.indexOf(other) ? one : other);
}

/** Values by name, in the order of the first that has each. */
function byName<Value>(kind: Kind<Value>): Kind<Readonly<Record<string, Value>>> {
  return (one, other) => {
    const all = { ...one };
    for (const [name, value] of Object.entries(other)) {
      all[name] = Object.hasOwn(all, name) ? kind(all[name]!, value) : value;
    }
    return all;
  };
}

/** Amounts at the same places. */
const sumsByIndex: Kind<readonly number[]> = (one, other) => one.map((count, at) => count + (other[at] ?? 0));
const sums: Kind<Counts> = byName(sum);
/** The same for counters whose names are known. */
function sumsOf<Counters extends object>(one: Counters, other: Counters): Counters {
  return sums({ ...one } as Counts, { ...other } as Counts) as Counters;
}

/** Field by field. While workers are replaced by those of another version, one of them may lack a field. */
function fields<Numbers extends object>(rows: Rows<Numbers>): Kind<Numbers> {
  const names = Object.keys(rows) as (keyof Numbers)[];
  const field = <Name extends keyof Numbers>(name: Name, one: Numbers[Name], other: Numbers[Name]) =>
    one === undefined ? other : other === undefined ? one : rows[name](one, other);
  return (one, other) => {
    return Object.fromEntries(names.map((name) => [name, field(name, one[name], other[name])])) as Numbers;
  };
}

/** Items of two lists that are about the same, in the order of the first that has each. */
function list<Item>(identity: (item: Item) => string, kind: Kind<Item>): Kind<readonly Item[]> {
  return (one, other) => {
    const all = new Map(one.map((item) => [identity(item), item]));
    for (const item of other) {
      const same = all.get(identity(item));
      all.set(identity(item), same === undefined ? item : kind(same, item));
    }
    return [...all.values()];
  };
}

function nullable<Value>(kind: Kind<Value>): Kind<Value | null> {
  return (one, other) => (one === null || other === null ? (one ?? other) : kind(one, other));
}

const durations: Kind<Durations> = durationsTogether;

// The rows.

const processRows: Rows<ProcessNumbers> = {
  workers: sum,
  version: first,
  pid: first,
  parentPid: first,
  args: first,
  startedUnixSeconds: min,
  unixSeconds: max,
  uptimeSeconds: max,
  userSeconds: sum,
  systemSeconds: sum,
  minorFaults: sum,
  majorFaults: sum,
  residentBytes: sum,
  heapBytes: sum,
  externalBytes: sum,
  activeSeconds: sum,
  idleSeconds: sum,
  loopDelay: durations,
  collections: byName(durations),
  lostLogLines: sum,
  reportFailures: sums,
  fileLimitHits: sum,
  // Each worker has the limit for itself.
  maxMemoryBytes: sum,
  memoryShed: sums,
  notReady: firstGiven,
  hasConnected: any,
};

const configRows: Rows<ConfigNumbers> = {
  file: first,
  ageSeconds: max,
  lastAttemptUnixSeconds: max,
  failures: sum,
  reloadError: firstGiven,
  listen: first,
  maxConnections: first,
  maxValueBytes: first,
  isFlushAllAllowed: first,
  hasUsers: first,
  showsKeys: first,
};

const clientCountRows: Rows<ClientCounts> = {
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

const requestRows: Rows<RequestNumbers> = {
  operation: first,
  protocol: first,
  latency: durations,
  clientErrors: sum,
  serverErrors: sum,
};

const clientRows: Rows<ClientNumbers> = {
  ...clientCountRows,
  requests: list(({ operation, protocol }) => `${operation} ${protocol}`, fields(requestRows)),
};

/** Changes of state that are told of a server. */
const MAX_CHANGES = 20;

const serverRows: Rows<ServerNumbers> = {
  pool: first,
  name: first,
  pools: first,
  isTls: first,
  timeoutMs: first,
  version: firstGiven,
  state: worst("up", "soft TKO", "hard TKO"),
  views: sumsOf,
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
  history: (one, other) => [...one, ...other].sort((a, b) => a.unixSeconds - b.unixSeconds).slice(-MAX_CHANGES),
};

const ruleRows: Rows<RuleNumbers> = {
  name: first,
  match: first,
  source: first,
  mode: first,
  counters: sumsOf,
  tracked: sum,
  inFlight: sum,
  fetch: durations,
  lag: durations,
};

const sourceRows: Rows<SourceNumbers> = {
  name: first,
  type: first,
  counters: sumsOf,
  failures: sums,
  breaker: worst("closed", "half open", "open"),
  breakerOpened: sum,
  inFlight: sum,
  waiting: sum,
  latency: durations,
};

const workRows: Rows<WorkNumbers> = { tracked: sum, fills: sum, refreshes: sum };

const storeRows: Rows<StoreNumbers> = { items: sum, bytes: sum, maxBytes: sum, ageSeconds: max, counters: sumsOf };

const mcrouterRows: Rows<NonNullable<Snapshot["mcrouter"]>> = {
  isFromDump: first,
  statsPools: first,
  virtualBytes: sum,
  rates: sums,
};

const sampleRows: Rows<Sample> = {
  unixSeconds: first,
  requests: sum,
  errors: sum,
  hits: sum,
  misses: sum,
  filled: sum,
  fetches: sum,
  refreshes: sum,
  clients: sum,
  p50Ms: greatestGiven,
  p99Ms: greatestGiven,
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

/** The keys that were asked for most. */
const mostNeeded: Kind<readonly TrackedKey[]> = (one, other) => {
  const all = [...one, ...other].sort((a, b) => b.gets - a.gets || a.lastGetMs - b.lastGetMs);
  return all.slice(0, MAX_TRACKED_KEYS);
};

const together: Kind<Snapshot> = fields<Snapshot>({
  process: fields(processRows),
  config: fields(configRows),
  clients: fields(clientRows),
  clientsSinceReset: fields(clientCountRows),
  servers: list(({ pool, name }) => `${pool} ${name}`, fields(serverRows)),
  rules: list(({ name }) => name, fields(ruleRows)),
  sources: list(({ name }) => name, fields(sourceRows)),
  routes: sumsOf,
  asyncLog: sumsOf,
  work: fields(workRows),
  store: nullable(fields(storeRows)),
  mcrouter: nullable(fields(mcrouterRows)),
  samples,
  peers: (one, other) => [...one, ...other],
  trackedKeys: mostNeeded,
});

/** One snapshot of all; there is at least one. */
export function merge(snapshots: readonly Snapshot[]): Snapshot {
  return snapshots.reduce(together);
}
