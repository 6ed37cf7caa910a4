/**
 * A snapshot → the admin page's data of each second. Amounts count from the start; the page computes rates from two of
 * them. Times are quantiles since an earlier snapshot.
 */
import { addressText } from "../../config/config.ts";
import { Status } from "../../proxy/reply.ts";
import { type Durations, quantileSince } from "../../telemetry/durations.ts";
import type { RuleNumbers, ServerNumbers, Snapshot, SourceNumbers } from "../snapshot.ts";

/** A JSON value that admin/page/page.js reads. */
export function pageNow(now: Snapshot, earlier: Snapshot | null, hasCommands: boolean) {
  const { process: own, config, servers, rules, sources, store, near, clients } = now;
  return {
    /** `null` during the first second. */
    sample: now.samples.at(-1) ?? null,
    state: {
      version: own.version,
      workers: own.workers,
      uptimeSeconds: Math.floor(own.uptimeSeconds),
      listen: config.listen.map(addressText),
      file: config.file,
      configAgeSeconds: config.ageSeconds,
      notReady: own.notReady,
      reloadError: config.reloadError,
      servers: servers.map((server) => {
        const { pool, name } = server;
        return serverState(
          server,
          earlier?.servers.find((each) => each.pool === pool && each.name === name),
        );
      }),
      rules: rules.map((rule) => {
        return ruleState(
          rule,
          earlier?.rules.find(({ name }) => name === rule.name),
        );
      }),
      sources: sources.map((source) => {
        return sourceState(
          source,
          earlier?.sources.find(({ name }) => name === source.name),
        );
      }),
      discoveries: now.discoveries,
      /** Handoffs under way, and what has become of the keys since the start. */
      moves: now.moves,
      handoffs: now.handoffs,
      store: store === null ? null : { items: store.items, bytes: store.bytes, maxBytes: store.maxBytes },
      /** `gets` counts all keys of gets, `hits` those that were answered from memory. */
      near: { ...near, gets: clients.getHits + clients.getMisses },
      /** Empty if keys are not shown. */
      hotKeys: now.hotKeys,
      memoryBytes: own.residentBytes,
      showsKeys: config.showsKeys,
      /** True if `[server] admin_token` is set. */
      hasCommands,
    },
  };
}

function serverState(now: ServerNumbers, earlier: ServerNumbers | undefined) {
  const { pool, name, state, version, requests, results, ownFailures, outstanding, connections, history } = now;
  return {
    pool,
    name,
    state,
    version,
    requests,
    failed: results.slice(Status.serverError).reduce((sum, count) => sum + count, 0) - ownFailures,
    outstanding,
    connections,
    history,
    ...times(now.latency, earlier?.latency),
  };
}

function ruleState(now: RuleNumbers, earlier: RuleNumbers | undefined) {
  const { name, match, source, mode, tracked, inFlight, counters } = now;
  return {
    name,
    match,
    source,
    mode,
    tracked,
    inFlight,
    fills: counters.fills,
    joined: counters.joined,
    answered: counters.answered,
    failed: counters.failed,
    timedOut: counters.timedOut,
    refreshes: counters.refreshed + counters.unchanged,
    refreshFailed: counters.refreshFailed,
    lagMs: quantileSince(now.lag, earlier?.lag ?? null, 0.99),
    ...times(now.fetch, earlier?.fetch),
  };
}

function sourceState(now: SourceNumbers, earlier: SourceNumbers | undefined) {
  const { name, type, breaker, breakerOpened, inFlight, waiting, counters, lastError } = now;
  return {
    name,
    type,
    breaker,
    opened: breakerOpened,
    inFlight,
    waiting,
    fetches: counters.fetches,
    failed: counters.failed,
    notAsked: counters.overloaded + counters.leftAlone,
    failures: now.failures,
    statuses: now.statuses,
    lastError,
    ...times(now.latency, earlier?.latency),
  };
}

/** Times are `null` if there were no durations. */
function times(now: Durations, earlier: Durations | undefined) {
  const before = earlier ?? null;
  return { p50Ms: quantileSince(now, before, 0.5), p99Ms: quantileSince(now, before, 0.99) };
}
