/**
 * What this process has counted and how it is, gathered from where it happens for `stats`, metrics and the admin page.
 */
import type { Clock } from "../clock.ts";
import type { ReloadState } from "../config/reload-state.ts";
import type { Backend } from "../proxy/backend/backend.ts";
import { type ClientCounters, countersSince, newClientCounters } from "../proxy/client/client-counters.ts";
import type { Listener } from "../proxy/client/listener.ts";
import type { BuiltPools } from "../proxy/route/pools.ts";
import type { RouteCounters } from "../proxy/route/route-counters.ts";
import type { ItemStore } from "../proxy/store/item-store.ts";
import type { Filler } from "../refresh/filler.ts";
import type { Scheduler } from "../refresh/scheduler.ts";
import type { Log } from "../telemetry/log.ts";
import type { Reports } from "../telemetry/reports.ts";
import { packageVersion } from "../version.ts";
import { memcachedVersion } from "./memcached-version.ts";
import type { MetricFacts, PoolBackend } from "./metrics.ts";
import type { OpenFilesProbe } from "./open-files-probe.ts";
import { ProcessMonitor } from "./process-monitor.ts";
import { limitersOf, type RunningParts } from "./running-parts.ts";
import type { StatsFacts } from "./stats/memcached-stats.ts";

/** Where it happens. */
export interface FactSources {
  readonly clock: Clock;
  readonly startedUnixSeconds: number;
  readonly running: () => RunningParts;
  readonly listeners: () => readonly Listener[];
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
  readonly isReady: () => boolean;
}

/** Of now, each time it is asked. */
export class ProcessFacts {
  private readonly sources: FactSources;
  private monitor: ProcessMonitor | null = null;
  /** What clients did before `stats reset`. */
  private base: ClientCounters = newClientCounters();

  constructor(sources: FactSources) {
    this.sources = sources;
  }

  /** Since the start. */
  get clients(): ClientCounters {
    return this.sources.clients;
  }

  /** Since `stats reset`. */
  stats(): StatsFacts {
    const { clock, clients, listeners, filler, scheduler, reloads } = this.sources;
    const { config, pools, rules } = this.sources.running();
    const backends = [...pools.backends.values()];
    return {
      version: packageVersion,
      memcachedVersion: memcachedVersion(backends),
      startedUnixSeconds: this.sources.startedUnixSeconds,
      unixSeconds: clock.unixSeconds(),
      server: config.server,
      hasUsers: config.access.users.length > 0,
      listeners: listeners(),
      clients: countersSince(clients, this.base),
      backends,
      rules: rules.list,
      sources: limitersOf(this.sources.running()),
      tracked: scheduler.tracked,
      trackedByRule: scheduler.trackedByRule(),
      fillsInFlight: filler.inFlight,
      refreshesInFlight: scheduler.inFlight,
      store: this.servingStore(),
      reloadError: reloads.error,
      configAgeSeconds: reloads.ageSeconds,
      lostLogLines: this.sources.log.lostLines,
      reportFailures: this.sources.reports.failures,
      fileLimitHits: this.sources.openFiles.failures,
      memoryShed: this.sources.memory.counts,
    };
  }

  /** Since the start. */
  metrics(): MetricFacts {
    const { clients, routes, scheduler, reloads, isReady } = this.sources;
    const running = this.sources.running();
    return {
      version: packageVersion,
      isReady: isReady(),
      configAgeSeconds: reloads.ageSeconds,
      isConfigRefused: reloads.error !== null,
      lostLogLines: this.sources.log.lostLines,
      reportFailures: this.sources.reports.failures,
      fileLimitHits: this.sources.openFiles.failures,
      maxMemoryBytes: running.config.server.maxMemoryBytes,
      memoryShed: this.sources.memory.counts,
      clients,
      backends: poolBackendsOf(running.pools),
      rules: running.rules.list,
      sources: limitersOf(running),
      trackedByRule: scheduler.trackedByRule(),
      routes,
      store: this.servingStore(),
      process: this.watchProcess().read(),
    };
  }

  /** `stats reset`. */
  reset(): void {
    const { clients, store } = this.sources;
    this.base = { ...clients, operations: clients.operations.slice(), results: clients.results.slice() };
    store.resetCounters();
  }

  /** What becomes of the process itself is counted from here on, at the latest when it is asked for. */
  watchProcess(): ProcessMonitor {
    this.monitor ??= new ProcessMonitor();
    return this.monitor;
  }

  stop(): void {
    this.monitor?.stop();
  }

  /** Null: there is a pool. */
  private servingStore(): ItemStore | null {
    return this.sources.running().pools.routes.size === 0 ? this.sources.store : null;
  }
}

/** Each backend once. */
function poolBackendsOf(pools: BuiltPools): PoolBackend[] {
  const poolOf = new Map<Backend, string>();
  for (const [name, members] of [...pools.members].reverse()) {
    for (const backend of members) poolOf.set(backend, name);
  }
  return [...pools.backends.values()].map((backend) => ({ pool: poolOf.get(backend) ?? "", backend }));
}
