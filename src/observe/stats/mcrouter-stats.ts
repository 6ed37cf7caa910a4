/**
 * A snapshot → mcrouter's `stats`: its names, groups and number formats, for existing exporters and scripts. Numbers
 * without a counterpart in Platypus (fibers, Facebook's features) are 0. Loaded with `src/mcrouter` only.
 *
 * Source: mcrouter stat_list.h, stats.cpp, ProxyStats.cpp, as facts.
 */
import { mcrouterVersion } from "../../mcrouter/report/version.ts";
import type { StatLine } from "../../proxy/client/local-commands.ts";
import { Status } from "../../proxy/reply.ts";
import { Operation } from "../../proxy/request.ts";
import type { CountedNumbers, ServerNumbers, Snapshot } from "../snapshot.ts";

/** Operations by their names in stats. */
const operations: readonly (readonly [name: string, operations: readonly Operation[]])[] = [
  ["add", [Operation.add]],
  ["append", [Operation.append]],
  ["cas", [Operation.cas]],
  ["decr", [Operation.decr]],
  ["delete", [Operation.delete, Operation.metaDelete]],
  ["flushall", [Operation.flushAll]],
  ["flushre", []],
  ["gat", [Operation.gat]],
  ["gats", [Operation.gats]],
  ["get", [Operation.get, Operation.metaGet]],
  ["gets", [Operation.gets]],
  ["incr", [Operation.incr, Operation.metaArithmetic]],
  ["lease_get", []],
  ["lease_set", []],
  ["metaget", [Operation.metaDebug]],
  ["prepend", [Operation.prepend]],
  ["replace", [Operation.replace]],
  ["set", [Operation.set, Operation.metaSet]],
  ["touch", [Operation.touch]],
];

/** Results of servers by their names in stats. */
const results: readonly (readonly [name: string, statuses: readonly Status[]])[] = [
  ["connect_error", [Status.connectError]],
  ["connect_timeout", [Status.connectTimeout]],
  ["data_timeout", [Status.timeout]],
  ["busy", []],
  ["tko", [Status.tko]],
  ["client_error", [Status.clientError]],
  ["local_error", [Status.overloaded, Status.localError]],
  ["remote_error", [Status.serverError, Status.connectionLost]],
  ["deadline_exceeded_error", []],
];

/** Results by their names in `stats servers`. */
const serverResults: readonly (readonly [name: string, statuses: readonly Status[]])[] = [
  ["found", [Status.found]],
  ["notfound", [Status.missing, Status.notFound]],
  ["stored", [Status.stored, Status.number]],
  ["notstored", [Status.notStored]],
  ["exists", [Status.exists]],
  ["deleted", [Status.deleted]],
  ["touched", [Status.touched]],
  ["ok", [Status.ok]],
  ["timeout", [Status.timeout]],
  ["connect_timeout", [Status.connectTimeout]],
  ["connect_error", [Status.connectError]],
  ["tko", [Status.tko]],
  ["remote_error", [Status.serverError, Status.connectionLost]],
  ["client_error", [Status.clientError]],
  ["local_error", [Status.overloaded, Status.localError]],
];

/** Monotonic counters, by the name of their rate. */
export function mcrouterTotals({ clients, servers, routes, asyncLog }: CountedNumbers): ReadonlyMap<string, number> {
  const totals = new Map<string, number>();
  let received = 0;
  for (const [name, all] of operations) {
    const asked = sum(all.map((operation) => clients.operations[operation]!));
    const sent = sum(servers.flatMap((server) => all.map((operation) => server.operations[operation]!)));
    received += asked;
    totals.set(`cmd_${name}`, asked);
    totals.set(`cmd_${name}_out`, sent);
    totals.set(`cmd_${name}_out_all`, sent);
  }
  let errors = 0;
  for (const [name, statuses] of results) {
    const count = sum(servers.map((server) => ended(server, statuses)));
    errors += count;
    totals.set(`result_${name}`, count);
    totals.set(`result_${name}_all`, count);
  }
  totals.set("result_error", errors);
  totals.set("result_error_all", errors);
  totals.set("request_sent", sum(servers.map(({ requests }) => requests)));
  totals.set("request_error", clients.failures);
  totals.set("request_success", Math.max(0, received - clients.failures));
  totals.set("request_replied", received);
  totals.set("final_result_error", clients.failures);
  totals.set("failover_all", routes.failoverAll);
  totals.set("failover_all_failed", routes.failoverAllFailed);
  totals.set("failover_rate_limited", routes.failoverRateLimited);
  totals.set("failover_inorder_policy", routes.inOrderFailovers);
  totals.set("failover_inorder_policy_failed", routes.inOrderFailed);
  totals.set("failover_least_failures_policy", routes.leastFailuresFailovers);
  totals.set("failover_least_failures_policy_failed", routes.leastFailuresFailed);
  totals.set("failover_deterministic_order_policy", routes.deterministicFailovers);
  totals.set("failover_deterministic_order_policy_failed", routes.deterministicFailed);
  totals.set("failover_rendezvous_policy", routes.rendezvousFailovers);
  totals.set("failover_rendezvous_policy_failed", routes.rendezvousFailed);
  totals.set("asynclog_requests_rate", asyncLog.requests);
  totals.set("asynclog_spool_success_rate", asyncLog.spooled);
  return totals;
}

/** The groups of `stats GROUP`. */
const groups = ["all", "detailed", "cmd-error", "ods", "servers", "suspect_servers", "count", "external", "basic"];

/** The lines of `stats GROUP`. `null` if there is no such group. */
export function mcrouterStats(group: string, snapshot: Snapshot): readonly StatLine[] | null {
  switch (group) {
    case "version":
      return [["mcrouter-version", mcrouterVersion]];
    case "servers":
      return serverLines(snapshot);
    case "suspect_servers":
      return suspectLines(snapshot.servers);
    case "":
    case "basic": {
      const isCommand = ([name]: StatLine) => name.startsWith("cmd_");
      return [...basic(snapshot), ...[...rateLines(snapshot), ...counts(snapshot)].filter(isCommand)];
    }
    case "cmd-error":
    case "count":
      return counts(snapshot);
    case "external":
      return [];
    default:
      return groups.includes(group)
        ? [...basic(snapshot), ...detailed(snapshot), ...rateLines(snapshot), ...counts(snapshot)]
        : null;
  }
}

/** Values that stay strings in the stats file. */
const textStats: ReadonlySet<string> = new Set(["version", "commandargs"]);

function numberOf(value: string | number): string | number {
  return typeof value === "string" && /^-?\d+(?:\.\d+)?$/.test(value) ? Number(value) : value;
}

/** Content of the stats file. */
export function mcrouterFileStats(snapshot: Snapshot): Readonly<Record<string, string | number>> {
  const lines = [...(mcrouterStats("ods", snapshot) ?? []), ...poolStats(snapshot)];
  return Object.fromEntries(lines.map(([name, value]) => [name, textStats.has(name) ? value : numberOf(value)]));
}

function basic({ process: own, clients, servers, asyncLog, mcrouter }: Snapshot): StatLine[] {
  const now = Math.floor(own.unixSeconds);
  const started = Math.floor(own.startedUnixSeconds);
  const seen = (view: keyof ServerNumbers["views"]) => sum(servers.map(({ views }) => views[view]));
  const outstanding = sum(servers.map((server) => server.outstanding));
  const latency = average(servers);
  return [
    ["version", mcrouterVersion],
    ["commandargs", own.args],
    ["pid", own.pid],
    ["parent_pid", own.parentPid],
    ["time", now],
    ["start_time", started],
    ["uptime", now - started],
    // Each proxy, which is a process in Platypus, has a separate connection to each server.
    ["num_servers", servers.length * own.workers],
    ["num_servers_new", seen("new")],
    ["num_servers_up", seen("up")],
    ["num_servers_down", seen("down")],
    ["num_servers_closed", seen("closed")],
    ["num_ssl_servers", servers.filter(({ isTls }) => isTls).length],
    ["num_suspect_servers", suspectLines(servers).length],
    ["num_connections_opened", sum(servers.map(({ connects }) => connects))],
    ["num_connections_closed", sum(servers.map(({ disconnects }) => disconnects))],
    ["num_connect_retries", 0],
    ["asynclog_requests", asyncLog.requests],
    ["rusage_system", own.systemSeconds.toFixed(6)],
    ["rusage_user", own.userSeconds.toFixed(6)],
    ["ps_num_minor_faults", own.minorFaults],
    ["ps_num_major_faults", own.majorFaults],
    ["ps_user_time_sec", own.userSeconds.toFixed(6)],
    ["ps_system_time_sec", own.systemSeconds.toFixed(6)],
    ["ps_rss", own.residentBytes],
    ["ps_vsize", mcrouter?.virtualBytes ?? 0],
    ["fibers_allocated", 0],
    ["fibers_pool_size", 0],
    ["fibers_stack_high_watermark", 0],
    ["num_proxies", own.workers],
    ["num_clients", clients.connections],
    ["proxy_reqs_processing", outstanding],
    ["proxy_reqs_waiting", 0],
    ["destination_pending_reqs", 0],
    ["destination_inflight_reqs", outstanding],
    ["max_num_tko", servers.filter(isTko).length],
    ["duration_us", latency],
    ["duration_get_us", latency],
    ["duration_update_us", latency],
  ];
}

function detailed({ process: own, config, clients, servers, routes, mcrouter }: Snapshot): StatLine[] {
  return [
    ["num_client_connections", clients.connections],
    ["proxy_request_num_outstanding", sum(servers.map((server) => server.outstanding))],
    ["dev_null_requests", routes.devNullRequests],
    ["rate_limited_log_count", 0],
    ["config_age", config.ageSeconds],
    ["config_last_attempt", Math.floor(config.lastAttemptUnixSeconds)],
    ["config_last_success", Math.floor(own.unixSeconds) - config.ageSeconds],
    ["config_failures", config.failures],
    ["configs_from_disk", mcrouter?.isFromDump ? 1 : 0],
    ["config_full_attempt", config.failures + own.workers],
  ];
}

function rateLines({ mcrouter }: Snapshot): StatLine[] {
  return Object.entries(mcrouter?.rates ?? {}).map(([name, rate]) => [name, general(rate)]);
}

function counts(snapshot: Snapshot): StatLine[] {
  const { routes } = snapshot;
  const totals = [...mcrouterTotals(snapshot)]
    .filter(([name]) => !name.endsWith("_rate"))
    .map(([name, total]): StatLine => [`${name}_count`, total]);
  return [
    ...totals,
    ["failover_policy_result_error", routes.failoverResultErrors],
    ["failover_policy_tko_error", routes.failoverTkoErrors],
    ["failover_num_collisions", routes.failoverCollisions],
    ["failover_num_failed_domain_collisions", routes.failoverDomainCollisions],
    ["failover_same_failure_domain", routes.failoverSameDomain],
  ];
}

function serverLines({ servers }: Snapshot): StatLine[] {
  const lines = new Map<string, string>();
  for (const server of servers) {
    const views = Object.entries(server.views).flatMap(([view, count]) => (count === 0 ? [] : [`${view}:${count};`]));
    const parts = serverResults.flatMap(([name, statuses]) => {
      const count = ended(server, statuses);
      return count === 0 ? [] : [`${name}:${count}`];
    });
    lines.set(
      serverName(server),
      [
        `avg_latency_us:${server.latencyUs.toFixed(3)}`,
        "pending_reqs:0",
        `inflight_reqs:${server.outstanding}`,
        ...(isTko(server) ? [`${server.state === "hard TKO" ? "hard_tko" : "soft_tko"};`] : []),
        ...views,
        ...parts,
      ].join(" "),
    );
  }
  return [...lines];
}

/** Servers with failures since their last success. Pools share the state of a server. */
function suspectLines(servers: readonly ServerNumbers[]): StatLine[] {
  const suspects = servers.filter(({ failures }) => failures > 0);
  const lines = suspects.map((server): readonly [string, string] => {
    return [server.name, `status:${isTko(server) ? "tko" : "down"} num_failures:${server.failures}`];
  });
  return [...new Map(lines)];
}

/** Number of requests to a server with these results. */
function ended({ results: all }: ServerNumbers, statuses: readonly Status[]): number {
  return sum(statuses.map((status) => all[status]!));
}

function isTko({ state }: ServerNumbers): boolean {
  return state !== "up";
}

/** mcrouter's name of a destination, with its protocol, security, compression and timeout. */
function serverName({ name, isTls, timeoutMs }: ServerNumbers): string {
  return `${name}:ascii:${isTls ? "ssl" : "plain"}:notcompressed-${timeoutMs}`;
}

/** Average over the servers that got requests. */
function average(servers: readonly ServerNumbers[]): string {
  const asked = servers.filter(({ latencyUs }) => latencyUs > 0);
  return asked.length === 0 ? "0" : (sum(asked.map(({ latencyUs }) => latencyUs)) / asked.length).toFixed(3);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Format of C's %g: six digits without trailing zeros. */
function general(number: number): string {
  return String(Number(number.toPrecision(6)));
}

/** Counters of single pools, for `--pool-stats-config-file`. */
function poolStats({ mcrouter, servers }: Snapshot): StatLine[] {
  return (mcrouter?.statsPools ?? []).flatMap(([name, members]): StatLine[] => {
    const own = servers.filter(({ pools }) => pools.some((pool) => members.includes(pool)));
    const latency = Math.round(Number(average(own)));
    const errors = own.flatMap((server) => results.map(([, statuses]) => ended(server, statuses)));
    return [
      [`${name}.requests.sum`, sum(own.map(({ requests }) => requests))],
      [`${name}.final_result_error.sum`, sum(errors)],
      [`${name}.connections`, sum(own.map(({ connects, disconnects }) => connects - disconnects))],
      [`${name}.duration_us.avg`, latency],
      [`${name}.total_duration_us.avg`, latency],
    ];
  });
}
