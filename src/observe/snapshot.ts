/**
 * Everything that a process tells of its numbers, at one moment, as plain data. The other workers' snapshots come as JSON;
 * `merge.ts` makes one of them, and every form in which numbers are told is a function of a snapshot:
 *
 *     own-snapshot ─► Snapshot ─┬─ link ─► merge ─► Snapshot of all ─┬─► prometheus
 *     (each worker)             │                                    ├─► stats/memcached-stats, stats/mcrouter-stats
 *                               └─► otlp/otlp-metrics                └─► admin/page-state
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
import type { Durations } from "../telemetry/durations.ts";

/** Amounts by name. */
export type Counts = Readonly<Record<string, number>>;
/** Numbers that only grow, unless their meaning says otherwise; times are of the process, in seconds. */
export interface Snapshot extends CountedNumbers {
  readonly process: ProcessNumbers;
  readonly config: ConfigNumbers;
  /** As `clients`, since `stats reset`. */
  readonly clientsSinceReset: ClientCounts;
  readonly work: WorkNumbers;
  /** The store in the process; null: there is a pool. */
  readonly store: StoreNumbers | null;
  /** Null: the configuration is none of mcrouter's. */
  readonly mcrouter: McrouterNumbers | null;
  /** The last second of the admin page's plots, or as many as were asked for; empty without an admin server. */
  readonly samples: readonly Sample[];
  /** Only where it was asked for: for each process the addresses of each client. */
  readonly peers: readonly (readonly Peer[])[];
  /** Only where it was asked for: the keys of one rule that are needed most. */
  readonly trackedKeys: readonly TrackedKey[];
}

/** What happens on account of requests. */
export interface CountedNumbers extends SampledNumbers {
  readonly servers: readonly ServerNumbers[];
  readonly routes: Readonly<RouteCounters>;
  /** mcrouter's log of deletes. */
  readonly asyncLog: { readonly requests: number; readonly spooled: number };
}

/** What samples are taken of. */
export interface SampledNumbers {
  readonly clients: ClientNumbers;
  readonly rules: readonly RuleNumbers[];
  readonly sources: readonly SourceNumbers[];
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

/** Tracked keys of a rule that are told. */
export const MAX_TRACKED_KEYS = 20;

export interface ProcessNumbers {
  /** Processes that this is of. */
  readonly workers: number;
  readonly version: string;
  readonly pid: number;
  readonly parentPid: number;
  readonly args: string;
  readonly startedUnixSeconds: number;
  readonly unixSeconds: number;
  readonly uptimeSeconds: number;
  readonly userSeconds: number;
  readonly systemSeconds: number;
  readonly minorFaults: number;
  readonly majorFaults: number;
  /** Of now. */
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly activeSeconds: number;
  readonly idleSeconds: number;
  /** How late timers were. */
  readonly loopDelay: Durations;
  /** Garbage collections by kind. */
  readonly collections: Readonly<Record<string, Durations>>;
  /** Log lines that could not be written anywhere. */
  readonly lostLogLines: number;
  /** What could not be reported, by report. */
  readonly reportFailures: Counts;
  /** Seconds in which no file could be opened. */
  readonly fileLimitHits: number;
  /** 0 if `max_memory` is not set. */
  readonly maxMemoryBytes: number;
  readonly memoryShed: Counts;
  /** Why clients are not to be sent here; null: they may be. */
  readonly notReady: string | null;
  /** A server has been connected to, or there is none to connect to. */
  readonly hasConnected: boolean;
}

export interface ConfigNumbers {
  readonly file: string | null;
  /** Since the configuration was taken over. */
  readonly ageSeconds: number;
  readonly lastAttemptUnixSeconds: number;
  /** Reloads that were refused. */
  readonly failures: number;
  /** Why the last reload was refused; null: it was not. */
  readonly reloadError: string | null;
  /** Where clients are listened for, with the real ports. */
  readonly listen: readonly ListenAddress[];
  readonly maxConnections: number;
  readonly maxValueBytes: number;
  readonly isFlushAllAllowed: boolean;
  /** Clients log in. */
  readonly hasUsers: boolean;
  /** Names of tracked keys may be shown. */
  readonly showsKeys: boolean;
}

export interface ClientCounts {
  /** Of now. */
  readonly connections: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly cutOff: number;
  readonly silent: number;
  readonly authCommands: number;
  readonly authErrors: number;
  readonly denied: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Keys of gets. */
  readonly getHits: number;
  readonly getMisses: number;
  /** Requests whose reply was a failure. */
  readonly failures: number;
  /** By `Operation`. */
  readonly operations: readonly number[];
  /** Answers by operation and how they ended, index `Operation` × STATUS_COUNT + `Status`. */
  readonly results: readonly number[];
}

export interface ClientNumbers extends ClientCounts {
  readonly requests: readonly RequestNumbers[];
}

/** Requests of one operation in one protocol. */
export interface RequestNumbers {
  readonly operation: string;
  readonly protocol: string;
  readonly latency: Durations;
  readonly clientErrors: number;
  readonly serverErrors: number;
}

/** A server, known by its pool and its name. */
export interface ServerNumbers {
  /** The first pool that it stands in. */
  readonly pool: string;
  /** `host:port` or `unix:path`. */
  readonly name: string;
  /** All pools that it stands in. */
  readonly pools: readonly string[];
  readonly isTls: boolean;
  readonly timeoutMs: number;
  readonly version: string | null;
  readonly state: StateChange["state"];
  /** Processes by how the server looks from there, in mcrouter's words. */
  readonly views: { readonly new: number; readonly up: number; readonly down: number; readonly closed: number };
  /** Of now. */
  readonly outstanding: number;
  readonly connections: number;
  readonly requests: number;
  readonly timeouts: number;
  readonly connectFailures: number;
  readonly outOfStep: number;
  readonly connects: number;
  readonly disconnects: number;
  readonly softTko: number;
  readonly hardTko: number;
  /** By `Operation`. */
  readonly operations: readonly number[];
  /** By `Status`. */
  readonly results: readonly number[];
  /** Smoothed time from sending a request to its answer, in µs. */
  readonly latencyUs: number;
  readonly latency: Durations;
  /** The last changes of its state, oldest first. */
  readonly history: readonly StateChange[];
}

export interface RuleNumbers {
  readonly name: string;
  readonly match: string;
  readonly source: string;
  readonly mode: string;
  readonly counters: Readonly<RuleCounters>;
  /** Of now: keys that are kept fresh, fetches under way or waiting. */
  readonly tracked: number;
  readonly inFlight: number;
  readonly fetch: Durations;
  readonly lag: Durations;
}

export interface SourceNumbers {
  readonly name: string;
  readonly type: string;
  readonly counters: Readonly<SourceCounters>;
  /** By their code. */
  readonly failures: Counts;
  readonly breaker: BreakerState;
  readonly breakerOpened: number;
  /** Of now. */
  readonly inFlight: number;
  readonly waiting: number;
  readonly latency: Durations;
}

/** Fills and refreshes, of now. */
export interface WorkNumbers {
  readonly tracked: number;
  readonly fills: number;
  readonly refreshes: number;
}

export interface StoreNumbers {
  /** Of now. */
  readonly items: number;
  readonly bytes: number;
  readonly maxBytes: number;
  /** Since the last get of the item that goes next. */
  readonly ageSeconds: number;
  readonly counters: Readonly<StoreCounters>;
}

/** One second: amounts a second, times in ms; null: there was nothing to take the time of. */
export interface Sample {
  readonly unixSeconds: number;
  readonly requests: number;
  readonly errors: number;
  readonly hits: number;
  readonly misses: number;
  /** Of the hits those that came from a fill. */
  readonly filled: number;
  readonly fetches: number;
  readonly refreshes: number;
  readonly clients: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** By how much refreshes began late, the 99th percentile. */
  readonly lagMs: number | null;
}

/** A client's connection: the other end, and where it was accepted. */
export interface Peer {
  readonly client: string;
  readonly address: ListenAddress;
}
