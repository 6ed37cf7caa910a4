/**
 * Builds the snapshot of this process from its counters, on request.
 */
import { performance } from "node:perf_hooks";
import type { Clock } from "../clock.ts";
import type { Config, ListenAddress } from "../config/config.ts";
import type { ReloadState } from "../config/reload-state.ts";
import type { AsyncLogCounters } from "../mcrouter/report/async-log.ts";
import type { McrouterNumbers } from "../mcrouter/report/self-report.ts";
import type { Backend } from "../proxy/backend/backend.ts";
import type { ClientCounters } from "../proxy/client/client-counters.ts";
import type { PoolClients } from "../proxy/client/listeners.ts";
import type { NearCache } from "../proxy/near/near-cache.ts";
import { statusNameOf } from "../proxy/request-span.ts";
import type { BuiltPools } from "../proxy/route/pools.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import type { ItemStore } from "../proxy/store/item-store.ts";
import type { Filler } from "../refresh/filler.ts";
import type { HandoffCounters } from "../refresh/handoff/copier.ts";
import type { Rules } from "../refresh/rules.ts";
import type { Scheduler } from "../refresh/scheduler.ts";
import type { BuiltSource } from "../sources/build.ts";
import type { Log } from "../telemetry/log.ts";
import { plainNumbers } from "../telemetry/plain-numbers.ts";
import type { Reports } from "../telemetry/reports.ts";
import { packageVersion } from "../version.ts";
import type { Readiness } from "./admin/readiness.ts";
import { withoutSecrets } from "./admin/shown-config.ts";
import type { OpenFilesProbe } from "./open-files-probe.ts";
import { ProcessMonitor } from "./process-monitor.ts";
import {
  type ClientCounts,
  type ClientNumbers,
  type ConfigNumbers,
  type CountedNumbers,
  type Details,
  type DiscoveryNumbers,
  type KeyNumbers,
  MAX_HOT_KEYS,
  MAX_TRACKED_KEYS,
  type MoveNumbers,
  type Peer,
  type PoolNumbers,
  type ProcessNumbers,
  type RuleNumbers,
  type Sample,
  type SampledNumbers,
  type ServerNumbers,
  type Snapshot,
  type SourceNumbers,
  type StoreNumbers,
} from "./snapshot.ts";

/** The parts of the running configuration that a snapshot contains. */
export interface RunningParts {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
}

/** The objects with counters. */
export interface CountingParts {
  readonly clock: Clock;
  readonly startedUnixSeconds: number;
  readonly running: () => RunningParts;
  readonly listeners: () => readonly { readonly address: ListenAddress; readonly peers: readonly string[] }[];
  /** The clients of a pool's addresses; `null`: of the server's addresses. */
  readonly clientsOf: (pool: string | null) => PoolClients;
  readonly clients: ClientCounters;
  readonly routes: RouteCounters;
  readonly store: ItemStore;
  readonly filler: Filler;
  readonly scheduler: Scheduler;
  readonly reloads: ReloadState;
  readonly log: Log;
  readonly reports: Reports;
  readonly openFiles: OpenFilesProbe;
  readonly memory: { readonly counts: Readonly<Record<string, number>> };
  readonly handoffs: HandoffCounters;
  readonly near: NearCache;
  /** The followed lists of servers. */
  readonly discoveries: () => readonly DiscoveryNumbers[];
  readonly readiness: () => Readiness;
  /** `null` if the configuration is not mcrouter's. */
  readonly asyncLog: AsyncLogCounters | null;
  readonly mcrouter: () => McrouterNumbers | null;
  /** Samples of the admin page's plots: those of the last hour, or the latest. */
  readonly samples: (isHour: boolean) => readonly Sample[];
}

export class OwnSnapshot {
  private readonly parts: CountingParts;
  private readonly monitor = new ProcessMonitor();
  /** Client counters at the last `stats reset`. `null` if there was none. */
  private base: ClientCounts | null = null;

  constructor(parts: CountingParts) {
    this.parts = parts;
  }

  take(details: Details = {}): Snapshot {
    const { running, listeners, filler, scheduler, store, mcrouter, samples, readiness } = this.parts;
    if (details.wantsReadiness === true) readiness().greetUnlessConnected();
    const { config } = running();
    const counted = this.counted(details);
    const { requests: _, ...clients } = counted.clients;
    const showsKeys = config.telemetry.keys === "full";
    const keys =
      details.trackedKeysOf === undefined ? [] : scheduler.mostNeeded(details.trackedKeysOf, MAX_TRACKED_KEYS);
    return {
      ...counted,
      process: this.process(),
      config: this.config(),
      clientsSinceReset: this.base === null ? clients : since(clients, this.base),
      work: { tracked: scheduler.tracked, fills: filler.inFlight, refreshes: scheduler.inFlight },
      store: config.pools.length === 0 ? storeNumbers(store) : null,
      mcrouter: mcrouter(),
      samples: samples(details.hasHistory === true),
      peers: details.hasPeers === true ? [listeners().flatMap(peersOf)] : [],
      // Names are omitted if the configuration keeps keys private.
      hotKeys: showsKeys ? this.parts.near.hottest(MAX_HOT_KEYS) : [],
      key: details.stateOfKey === undefined ? null : this.keyNumbers(details.stateOfKey),
      trackedKeys: showsKeys ? keys : keys.map((each) => ({ ...each, key: "" })),
    };
  }

  /** Numbers that change with requests, fills and refreshes. */
  counted(details: Details = {}): CountedNumbers {
    const { running, routes, asyncLog, near } = this.parts;
    return {
      ...this.sampled(),
      pools: this.pools(),
      servers: serverNumbers(running().pools, details),
      discoveries: this.parts.discoveries().map((state) => ({ ...state })),
      routes: { ...routes },
      moves: this.moves(),
      handoffs: { ...this.parts.handoffs },
      near: { ...near.counters, keys: near.size, bytes: near.byteLength },
      asyncLog: { requests: asyncLog?.requests ?? 0, spooled: asyncLog?.spooled ?? 0 },
    };
  }

  /** Numbers that samples use. */
  sampled(): SampledNumbers {
    const { running, clients, scheduler } = this.parts;
    const { rules, sources, config } = running();
    const tracked = scheduler.trackedByRule();
    const types = new Map(config.sources.map(({ name, type }) => [name, type]));
    return {
      clients: clientNumbers(clients),
      rules: rules.list.map((rule): RuleNumbers => {
        const { config: own, counters, timings } = rule;
        return {
          name: own.name,
          match: own.match,
          source: own.source,
          mode: own.mode,
          counters: { ...counters },
          tracked: tracked.get(rule) ?? 0,
          inFlight: timings.inFlight,
          fetch: timings.fetch.read(),
          lag: timings.lag.read(),
        };
      }),
      sources: [...sources.values()].map(({ limiter, source }): SourceNumbers => {
        const { name, counters, failures, statuses, breakerState, breakerOpened, inFlight, waiting, places, latency } =
          limiter;
        const { lastError } = limiter;
        return {
          name,
          type: types.get(name) ?? "",
          counters: { ...counters },
          failures: Object.fromEntries(failures),
          statuses: Object.fromEntries(statuses),
          breaker: breakerState,
          breakerOpened,
          inFlight,
          waiting,
          places,
          lastError: lastError === null ? null : withoutSecrets(lastError, config),
          latency: latency.read(),
          calls: source.httpCalls?.read() ?? [],
        };
      }),
    };
  }

  /** Handoffs under way. Those of a pool that is warmed from another do not end and are not listed. */
  private moves(): MoveNumbers[] {
    const { clock, running } = this.parts;
    const { former, members } = running().pools;
    const namesOf = (backends: readonly Backend[]) => [...new Set(backends.map(({ name }) => name))];
    return [...former].flatMap(([pool, lists]) => {
      const [latest] = lists.filter(({ isEnded, endMs }) => !isEnded && endMs > clock.nowMs());
      if (latest === undefined) return [];
      const to = namesOf(members.get(pool) ?? []);
      return [{ pool, from: namesOf(latest.members), to, leftMs: latest.endMs - clock.nowMs() }];
    });
  }

  private keyNumbers(key: string): KeyNumbers {
    const { scheduler, filler, near } = this.parts;
    const tracked = scheduler.stateOf(key);
    const bytes = Buffer.from(key, "latin1");
    const hot = near.find(bytes, 0, bytes.length);
    return {
      tracking: tracked === null ? 0 : 1,
      dueMs: tracked?.dueMs ?? null,
      lastGetMs: tracked?.lastGetMs ?? null,
      gets: tracked?.gets ?? 0,
      failures: tracked?.failures ?? 0,
      fetching: filler.isFetching(key) ? 1 : 0,
      pausedMs: filler.pausedMs(key),
      hot: hot === null ? 0 : 1,
      copies: hot?.hasCopy === true ? 1 : 0,
    };
  }

  /** The clients of the server's addresses count with the first pool. */
  private pools(): PoolNumbers[] {
    const { running, clientsOf } = this.parts;
    return [...running().pools.routes.values()].map(({ pool, counters }, index): PoolNumbers => {
      const [own, shared] = [clientsOf(pool.name), index === 0 ? clientsOf(null) : null];
      return {
        name: pool.name,
        ejects: pool.ejectsDeadServers,
        clients: own.clients + (shared?.clients ?? 0),
        clientsClosed: own.clientsClosed + (shared?.clientsClosed ?? 0),
        clientsFailed: own.clientsFailed + (shared?.clientsFailed ?? 0),
        fragments: counters.fragments,
      };
    });
  }

  /** Handles `stats reset`. */
  resetStats(): void {
    this.base = clientCounts(this.parts.clients);
    this.parts.store.resetCounters();
  }

  /** Starts to watch the event loop and the garbage collector. */
  watchProcess(): void {
    this.monitor.start();
  }

  stop(): void {
    this.monitor.stop();
  }

  private process(): ProcessNumbers {
    const { clock, startedUnixSeconds, log, reports, openFiles, memory, running, readiness } = this.parts;
    const { rss, heapUsed, external } = process.memoryUsage();
    const usage = process.resourceUsage();
    const { active, idle } = performance.eventLoopUtilization();
    return {
      workers: 1,
      version: packageVersion,
      pid: process.pid,
      parentPid: process.ppid,
      args: process.argv.slice(2).join(" "),
      startedUnixSeconds,
      unixSeconds: clock.unixSeconds(),
      uptimeSeconds: process.uptime(),
      userSeconds: usage.userCPUTime / 1e6,
      systemSeconds: usage.systemCPUTime / 1e6,
      minorFaults: usage.minorPageFault,
      majorFaults: usage.majorPageFault,
      residentBytes: rss,
      heapBytes: heapUsed,
      externalBytes: external,
      activeSeconds: active / 1000,
      idleSeconds: idle / 1000,
      loopDelay: this.monitor.loopDelay,
      collections: this.monitor.collections,
      lostLogLines: log.lostLines,
      reportFailures: Object.fromEntries(reports.failures),
      fileLimitHits: openFiles.failures,
      maxMemoryBytes: running().config.server.maxMemoryBytes,
      memoryShed: { ...memory.counts },
      notReady: readiness().notReady(),
      hasConnected: readiness().hasConnected(),
    };
  }

  private config(): ConfigNumbers {
    const { running, reloads, listeners } = this.parts;
    const { file, server, access, telemetry } = running().config;
    return {
      file,
      ageSeconds: reloads.ageSeconds,
      lastAttemptUnixSeconds: reloads.lastAttemptUnixSeconds,
      failures: reloads.failures,
      reloadError: reloads.error,
      listen: listeners().map(({ address }) => address),
      maxConnections: server.maxConnections,
      maxValueBytes: server.maxValueBytes,
      isFlushAllAllowed: server.isFlushAllAllowed,
      hasUsers: access.users.length > 0,
      showsKeys: telemetry.keys === "full",
    };
  }
}

/** A copy of running counters. */
export function clientNumbers(counters: ClientCounters): ClientNumbers {
  const requests = counters.requests.all().map(({ failed, ...series }) => ({
    ...series,
    latency: series.latency.read(),
    failed: Object.fromEntries([...failed].map(([status, histogram]) => [statusNameOf(status), histogram.read()])),
  }));
  return { ...clientCounts(counters), requests };
}

function clientCounts({ operations, results, requests: _, ...numbers }: ClientCounters): ClientCounts {
  return { ...numbers, operations: plainNumbers(operations), results: plainNumbers(results) };
}

/** Amounts since `base` was copied. */
function since(now: ClientCounts, base: ClientCounts): ClientCounts {
  const { connections } = now;
  const amounts = Object.entries<number | readonly number[]>({ ...now }).map(([name, value]) => {
    const before = base[name as keyof ClientCounts];
    if (typeof value === "number") return [name, value - Number(before)];
    return [name, value.map((count, at) => count - (before as readonly number[])[at]!)];
  });
  return { ...(Object.fromEntries(amounts) as ClientCounts), connections };
}

/** Lists each server once. */
function serverNumbers({ members, former, backends }: BuiltPools, details: Details): ServerNumbers[] {
  const poolsOf = new Map<Backend, string[]>();
  const left = [...former].map(([name, lists]) => [name, lists.flatMap((list) => list.members)] as const);
  for (const [name, all] of [...members, ...left]) {
    for (const backend of new Set(all)) poolsOf.set(backend, [...new Set([...(poolsOf.get(backend) ?? []), name])]);
  }
  return [...backends.values()].map((backend): ServerNumbers => {
    const { operations, results, ...counters } = backend.counters;
    const pools = poolsOf.get(backend) ?? [];
    return {
      ...counters,
      pool: pools[0] ?? "",
      name: backend.name,
      pools,
      isTls: backend.isTls,
      timeoutMs: backend.serverTimeoutMs,
      version: backend.version,
      state: backend.stateName,
      failures: backend.failures,
      views: { new: 0, up: 0, down: 0, closed: 0, [viewOf(backend)]: 1 },
      outstanding: backend.inFlight,
      waiting: backend.waiting,
      connections: backend.connected,
      operations: plainNumbers(operations),
      results: plainNumbers(results),
      latency: backend.durations.answered(),
      operationDurations: details.hasOperations === true ? backend.durations.all() : [],
      history: [...backend.history],
    };
  });
}

function viewOf({ isUp, counters: { connects, disconnects } }: Backend): keyof ServerNumbers["views"] {
  if (!isUp) return "down";
  if (connects === 0) return "new";
  return connects > disconnects ? "up" : "closed";
}

function storeNumbers({ count, byteLength, maxBytes, ageSeconds, counters }: ItemStore): StoreNumbers {
  return { items: count, bytes: byteLength, maxBytes, ageSeconds, counters: { ...counters } };
}

function peersOf({ address, peers }: { readonly address: ListenAddress; readonly peers: readonly string[] }): Peer[] {
  return peers.map((client) => ({ client, address }));
}
