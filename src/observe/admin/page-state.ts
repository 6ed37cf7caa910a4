/**
 * What the page shows beside its plots: pools, rules and sources as they are now. Amounts are those since the start: the page
 * makes rates of what it is told twice. Of workers all together.
 */
import type { Config } from "../../config/config.ts";
import type { StateChange } from "../../proxy/backend/backend.ts";
import { Status } from "../../proxy/reply.ts";
import type { TrackedKey } from "../../refresh/scheduler.ts";
import type { MetricFacts } from "../metrics.ts";
import type { Counted, RecentQuantiles } from "../recent-quantiles.ts";
import { greater, mergeSamples, type Sample } from "./history.ts";

/** Of the last half minute to minute; null: nothing was counted. */
interface Times {
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

interface ServerState extends Times {
  readonly pool: string;
  readonly name: string;
  readonly state: StateChange["state"];
  readonly version: string | null;
  readonly requests: number;
  readonly failed: number;
  readonly outstanding: number;
  readonly connections: number;
  readonly history: readonly StateChange[];
}

interface RuleState extends Times {
  readonly name: string;
  readonly match: string;
  readonly source: string;
  readonly mode: string;
  readonly tracked: number;
  readonly inFlight: number;
  readonly fills: number;
  readonly joined: number;
  readonly answered: number;
  readonly failed: number;
  readonly timedOut: number;
  readonly refreshes: number;
  readonly refreshFailed: number;
  readonly lagMs: number | null;
}

interface SourceState extends Times {
  readonly name: string;
  readonly type: string;
  readonly breaker: "closed" | "half open" | "open";
  readonly opened: number;
  readonly inFlight: number;
  readonly waiting: number;
  readonly fetches: number;
  readonly failed: number;
  readonly notAsked: number;
  /** By their code. */
  readonly failures: Readonly<Record<string, number>>;
}

export interface PageState {
  readonly version: string;
  readonly workers: number;
  readonly uptimeSeconds: number;
  readonly listen: readonly string[];
  readonly file: string | null;
  readonly configAgeSeconds: number;
  /** Why clients are not to be sent here; null: they may be. */
  readonly notReady: string | null;
  readonly reloadError: string | null;
  readonly servers: readonly ServerState[];
  readonly rules: readonly RuleState[];
  readonly sources: readonly SourceState[];
  /** Null: there is a pool. */
  readonly store: { readonly items: number; readonly bytes: number; readonly maxBytes: number } | null;
  readonly memoryBytes: number;
  /** Names of tracked keys may be shown. */
  readonly showsKeys: boolean;
}

/** What a page is told every second. */
export interface PageNow {
  /** Null: the first second is not over yet. */
  readonly sample: Sample | null;
  readonly state: PageState;
}

export interface PageFacts {
  readonly config: Config;
  readonly metrics: MetricFacts;
  readonly listen: readonly string[];
  readonly notReady: string | null;
  readonly reloadError: string | null;
  readonly recent: RecentQuantiles;
  readonly nowMs: number;
}

/** Of this process. */
export function pageState({ config, metrics, listen, notReady, reloadError, recent, nowMs }: PageFacts): PageState {
  const inUse = new Set<Counted>();
  const timesOf = (histogram: Counted): Times => {
    inUse.add(histogram);
    return { p50Ms: recent.of(histogram, 0.5), p99Ms: recent.of(histogram, 0.99) };
  };
  const sourceTypes = new Map(config.sources.map(({ name, type }) => [name, type]));
  const state: PageState = {
    version: metrics.version,
    workers: 1,
    uptimeSeconds: Math.floor(metrics.process.uptimeSeconds),
    listen,
    file: config.file,
    configAgeSeconds: metrics.configAgeSeconds,
    notReady,
    reloadError,
    servers: metrics.backends.map(({ pool, backend }) => ({
      pool,
      name: backend.name,
      state: backend.stateName,
      version: backend.version,
      requests: backend.counters.requests,
      failed: backend.counters.results.slice(Status.serverError).reduce((sum, count) => sum + count, 0),
      outstanding: backend.outstanding,
      connections: backend.connected,
      history: backend.history,
      ...timesOf(backend.latency),
    })),
    rules: metrics.rules.map((rule) => {
      const { config: own, counters, timings } = rule;
      const { fetch, lag } = timings;
      inUse.add(lag);
      return {
        name: own.name,
        match: own.match,
        source: own.source,
        mode: own.mode,
        tracked: metrics.trackedByRule.get(rule) ?? 0,
        inFlight: timings.inFlight,
        fills: counters.fills,
        joined: counters.joined,
        answered: counters.answered,
        failed: counters.failed,
        timedOut: counters.timedOut,
        refreshes: counters.refreshed + counters.unchanged,
        refreshFailed: counters.refreshFailed,
        lagMs: recent.of(lag, 0.99),
        ...timesOf(fetch),
      };
    }),
    sources: metrics.sources.map((source) => ({
      name: source.name,
      type: sourceTypes.get(source.name) ?? "",
      breaker: source.breakerState,
      opened: source.breakerOpened,
      inFlight: source.inFlight,
      waiting: source.waiting,
      fetches: source.counters.fetches,
      failed: source.counters.failed,
      notAsked: source.counters.overloaded + source.counters.leftAlone,
      failures: Object.fromEntries(source.failures),
      ...timesOf(source.latency),
    })),
    store:
      metrics.store === null
        ? null
        : { items: metrics.store.count, bytes: metrics.store.byteLength, maxBytes: metrics.store.maxBytes },
    memoryBytes: metrics.process.residentBytes,
    showsKeys: config.telemetry.keys === "full",
  };
  recent.rotate(nowMs, inUse);
  return state;
}

/** What workers have to tell, as one. */
export function nowOf(workers: readonly PageNow[]): PageNow {
  const samples = workers.flatMap(({ sample }) => (sample === null ? [] : [[sample]]));
  return { sample: mergeSamples(samples)[0] ?? null, state: mergeStates(workers.map(({ state }) => state)) };
}

/** The keys of all workers that were asked for most, as many as one of them has told. */
export function mostNeededOf(workers: readonly (readonly TrackedKey[])[]): TrackedKey[] {
  return workers
    .flat()
    .sort((a, b) => b.gets - a.gets || a.lastGetMs - b.lastGetMs)
    .slice(0, Math.max(0, ...workers.map(({ length }) => length)));
}

/** Of several workers: sums, and of states and times the worst. */
function mergeStates(workers: readonly PageState[]): PageState {
  return workers.slice(1).reduce(statesTogether, workers[0]!);
}

function statesTogether(one: PageState, other: PageState): PageState {
  return {
    ...one,
    workers: one.workers + other.workers,
    uptimeSeconds: Math.max(one.uptimeSeconds, other.uptimeSeconds),
    notReady: one.notReady ?? other.notReady,
    reloadError: one.reloadError ?? other.reloadError,
    servers: joined(one.servers, other.servers, ({ pool, name }) => `${pool} ${name}`, serversTogether),
    rules: joined(one.rules, other.rules, ({ name }) => name, rulesTogether),
    sources: joined(one.sources, other.sources, ({ name }) => name, sourcesTogether),
    memoryBytes: one.memoryBytes + other.memoryBytes,
  };
}

function joined<T>(
  one: readonly T[],
  other: readonly T[],
  nameOf: (item: T) => string,
  together: (a: T, b: T) => T,
): T[] {
  const others = new Map(other.map((item) => [nameOf(item), item]));
  return one.map((item) => {
    const same = others.get(nameOf(item));
    return same === undefined ? item : together(item, same);
  });
}

const badness = ["up", "soft TKO", "hard TKO"];
const MAX_HISTORY = 20;

function serversTogether(one: ServerState, other: ServerState): ServerState {
  return {
    ...summed(one, other),
    state: badness.indexOf(one.state) >= badness.indexOf(other.state) ? one.state : other.state,
    version: one.version ?? other.version,
    history: [...one.history, ...other.history].sort((a, b) => a.unixSeconds - b.unixSeconds).slice(-MAX_HISTORY),
  };
}

function rulesTogether(one: RuleState, other: RuleState): RuleState {
  return { ...summed(one, other), lagMs: greater(one.lagMs, other.lagMs) };
}

const breakers = ["closed", "half open", "open"];

function sourcesTogether(one: SourceState, other: SourceState): SourceState {
  const codes = new Set([...Object.keys(one.failures), ...Object.keys(other.failures)]);
  return {
    ...summed(one, other),
    breaker: breakers.indexOf(one.breaker) >= breakers.indexOf(other.breaker) ? one.breaker : other.breaker,
    failures: Object.fromEntries(
      [...codes].map((code) => [code, (one.failures[code] ?? 0) + (other.failures[code] ?? 0)]),
    ),
  };
}

/** Numbers added up; of times the greater, of everything else what `one` has. */
function summed<T extends Times>(one: T, other: T): T {
  const entries = Object.entries(one).map(([name, value]): [string, unknown] => {
    const same = (other as Record<string, unknown>)[name];
    if (name.endsWith("Ms")) return [name, greater(value as number | null, same as number | null)];
    return [name, typeof value === "number" ? value + Number(same) : value];
  });
  return { ...one, ...Object.fromEntries(entries) };
}
