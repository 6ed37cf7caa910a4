/**
 * mcrouter's `stats`: its names, groups and number formats, for the exporters and scripts that read them. Rates are over four
 * minutes; what mcrouter has and Platypus has nothing of (fibers, Facebook's own) is 0.
 *
 * Source: mcrouter stat_list.h, stats.cpp, ProxyStats.cpp, as facts.
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../../clock.ts";
import { addressText, type Config } from "../../config/config.ts";
import type { AsyncLogCounters } from "../../mcrouter/report/async-log.ts";
import { mcrouterVersion } from "../../mcrouter/report/version.ts";
import type { Backend } from "../../proxy/backend/backend.ts";
import type { ClientCounters } from "../../proxy/client/client-counters.ts";
import type { StatLine } from "../../proxy/client/local-commands.ts";
import { Status } from "../../proxy/reply.ts";
import { Operation } from "../../proxy/request.ts";
import type { RouteCounters } from "../../proxy/route/route-counters.ts";

/** What the numbers are made of; the configuration has a mcrouter part. */
export interface McrouterFacts {
  readonly config: Config;
  readonly clock: Clock;
  readonly startedUnixSeconds: number;
  readonly clients: ClientCounters;
  readonly backends: readonly Backend[];
  readonly routes: RouteCounters;
  readonly asyncLog: AsyncLogCounters;
  readonly configAgeSeconds: number;
  readonly configLastAttemptUnixSeconds: number;
  readonly configFailures: number;
  /** A second, by the names of `totalsOf`. */
  readonly rates: ReadonlyMap<string, number>;
}

/** Operations by the names that stats have. */
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

/** Results of servers by the names that stats have. */
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

/** Results as `stats servers` names them. */
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

/** Numbers that only grow, by the name that their rate has. */
export function totalsOf(facts: Omit<McrouterFacts, "rates">): ReadonlyMap<string, number> {
  const { clients, backends, routes, asyncLog } = facts;
  const totals = new Map<string, number>();
  let received = 0;
  for (const [name, all] of operations) {
    const asked = sum(all.map((operation) => clients.operations[operation]!));
    const sent = sum(backends.flatMap(({ counters }) => all.map((operation) => counters.operations[operation]!)));
    received += asked;
    totals.set(`cmd_${name}`, asked);
    totals.set(`cmd_${name}_out`, sent);
    totals.set(`cmd_${name}_out_all`, sent);
  }
  let errors = 0;
  for (const [name, statuses] of results) {
    const count = sum(backends.flatMap(({ counters }) => statuses.map((status) => counters.results[status]!)));
    errors += count;
    totals.set(`result_${name}`, count);
    totals.set(`result_${name}_all`, count);
  }
  totals.set("result_error", errors);
  totals.set("result_error_all", errors);
  totals.set("request_sent", sum(backends.map(({ counters }) => counters.requests)));
  totals.set("request_error", clients.failures);
  totals.set("request_success", Math.max(0, received - clients.failures));
  totals.set("request_replied", received);
  totals.set("final_result_error", clients.failures);
  totals.set("failover_all", routes.failoverAll);
  totals.set("failover_all_failed", routes.failoverAllFailed);
  totals.set("failover_rate_limited", routes.failoverRateLimited);
  totals.set("failover_inorder_policy", routes.failoverAll);
  totals.set("failover_inorder_policy_failed", routes.failoverAllFailed);
  totals.set("asynclog_requests_rate", asyncLog.requests);
  totals.set("asynclog_spool_success_rate", asyncLog.spooled);
  return totals;
}

/** Groups that `stats GROUP` knows. */
const groups = ["all", "detailed", "cmd-error", "ods", "servers", "suspect_servers", "count", "external", "basic"];

/** The lines of `stats GROUP`; null: there is no such group. */
export function mcrouterStatLines(group: string, facts: McrouterFacts): readonly StatLine[] | null {
  switch (group) {
    case "version":
      return [["mcrouter-version", mcrouterVersion]];
    case "servers":
      return serverLines(facts);
    case "suspect_servers":
      return suspectLines(facts);
    case "":
    case "basic":
      return basic(facts);
    case "cmd-error":
    case "count":
      return counts(facts);
    case "external":
      return [];
    default:
      return groups.includes(group)
        ? [...basic(facts), ...detailed(facts), ...rateLines(facts), ...counts(facts)]
        : null;
  }
}

function basic({ clock, startedUnixSeconds, clients, backends, asyncLog }: McrouterFacts): StatLine[] {
  const usage = process.resourceUsage();
  const now = Math.floor(clock.unixSeconds());
  const states = backends.map(stateOf);
  const count = (state: string) => states.filter((each) => each === state).length;
  const outstanding = sum(backends.map((backend) => backend.outstanding));
  const latency = average(backends);
  return [
    ["version", mcrouterVersion],
    ["commandargs", process.argv.slice(2).join(" ")],
    ["pid", process.pid],
    ["parent_pid", process.ppid],
    ["time", now],
    ["start_time", Math.floor(startedUnixSeconds)],
    ["uptime", now - Math.floor(startedUnixSeconds)],
    ["num_servers", backends.length],
    ["num_servers_new", count("new")],
    ["num_servers_up", count("up")],
    ["num_servers_down", count("down")],
    ["num_servers_closed", count("closed")],
    ["num_ssl_servers", backends.filter(({ isTls }) => isTls).length],
    ["num_suspect_servers", count("down")],
    ["num_connections_opened", sum(backends.map(({ counters }) => counters.connects))],
    ["num_connections_closed", sum(backends.map(({ counters }) => counters.disconnects))],
    ["num_connect_retries", 0],
    ["asynclog_requests", asyncLog.requests],
    ["rusage_system", (usage.systemCPUTime / 1e6).toFixed(6)],
    ["rusage_user", (usage.userCPUTime / 1e6).toFixed(6)],
    ["ps_num_minor_faults", usage.minorPageFault],
    ["ps_num_major_faults", usage.majorPageFault],
    ["ps_user_time_sec", (usage.userCPUTime / 1e6).toFixed(6)],
    ["ps_system_time_sec", (usage.systemCPUTime / 1e6).toFixed(6)],
    ["ps_rss", process.memoryUsage.rss()],
    ["ps_vsize", virtualBytes()],
    ["fibers_allocated", 0],
    ["fibers_pool_size", 0],
    ["fibers_stack_high_watermark", 0],
    ["num_proxies", 1],
    ["num_clients", clients.connections],
    ["proxy_reqs_processing", outstanding],
    ["proxy_reqs_waiting", 0],
    ["destination_pending_reqs", 0],
    ["destination_inflight_reqs", outstanding],
    ["max_num_tko", count("down")],
    ["duration_us", latency],
    ["duration_get_us", latency],
    ["duration_update_us", latency],
  ];
}

function detailed(facts: McrouterFacts): StatLine[] {
  const { clients, routes, configAgeSeconds, configFailures, config } = facts;
  const now = Math.floor(facts.clock.unixSeconds());
  return [
    ["num_client_connections", clients.connections],
    ["proxy_request_num_outstanding", sum(facts.backends.map((backend) => backend.outstanding))],
    ["dev_null_requests", routes.devNullRequests],
    ["rate_limited_log_count", 0],
    ["config_age", configAgeSeconds],
    ["config_last_attempt", Math.floor(facts.configLastAttemptUnixSeconds)],
    ["config_last_success", now - configAgeSeconds],
    ["config_failures", configFailures],
    ["configs_from_disk", config.mcrouter!.isFromDump ? 1 : 0],
    ["config_full_attempt", configFailures + 1],
  ];
}

function rateLines({ rates }: McrouterFacts): StatLine[] {
  return [...rates].map(([name, rate]) => [name, general(rate)]);
}

function counts(facts: McrouterFacts): StatLine[] {
  return [...totalsOf(facts)]
    .filter(([name]) => !name.endsWith("_rate"))
    .map(([name, total]) => [`${name}_count`, total] as const);
}

function serverLines({ backends }: McrouterFacts): StatLine[] {
  const lines = new Map<string, string>();
  for (const backend of backends) {
    const { counters } = backend;
    const tko = backend.isUp ? "" : `${stateName(backend)}; `;
    const parts = serverResults.flatMap(([name, statuses]) => {
      const count = sum(statuses.map((status) => counters.results[status]!));
      return count === 0 ? [] : [`${name}:${count}`];
    });
    lines.set(
      serverName(backend),
      [
        `avg_latency_us:${counters.latencyUs.toFixed(3)}`,
        "pending_reqs:0",
        `inflight_reqs:${backend.outstanding}`,
        `${tko}${stateOf(backend)}:1;`,
        ...parts,
      ].join(" "),
    );
  }
  return [...lines];
}

function suspectLines({ backends }: McrouterFacts): StatLine[] {
  return backends
    .filter(({ isUp }) => !isUp)
    .map((backend) => [
      backend.name,
      `status:tko num_failures:${backend.counters.timeouts + backend.counters.connectFailures}`,
    ]);
}

/** As mcrouter names a destination: with its protocol, security, compression and time-out. */
function serverName(backend: Backend): string {
  return `${backend.name}:ascii:${backend.isTls ? "ssl" : "plain"}:notcompressed-${backend.serverTimeoutMs}`;
}

function stateOf(backend: Backend): "new" | "up" | "down" | "closed" {
  if (!backend.isUp) return "down";
  if (backend.counters.connects === 0) return "new";
  return backend.counters.connects > backend.counters.disconnects ? "up" : "closed";
}

function stateName(backend: Backend): string {
  return backend.isHardTko ? "hard_tko" : "soft_tko";
}

/** Over the servers that were asked. */
function average(backends: readonly Backend[]): string {
  const asked = backends.filter(({ counters }) => counters.latencyUs > 0);
  return asked.length === 0 ? "0" : (sum(asked.map(({ counters }) => counters.latencyUs)) / asked.length).toFixed(3);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** As C's %g has it: six digits, no zeros behind them. */
function general(number: number): string {
  return String(Number(number.toPrecision(6)));
}

/** Of this process; 0 where the system does not say. */
function virtualBytes(): number {
  try {
    return Number(readFileSync("/proc/self/statm", "latin1").split(" ")[0]) * 4096;
  } catch {
    return 0;
  }
}

/** Counters of single pools for the stats file, as `--pool-stats-config-file` asks for them. */
export function poolStats({ config, backends }: McrouterFacts): StatLine[] {
  const names = config.mcrouter!.statsPools;
  const pools = config.pools.filter(({ name }) => names.some((wanted) => name.startsWith(wanted)));
  return pools.flatMap(({ name, servers }): StatLine[] => {
    const own = backends.filter((backend) => servers.some(({ address }) => addressText(address) === backend.name));
    const errors = own.flatMap(({ counters }) =>
      results.flatMap(([, statuses]) => statuses.map((status) => counters.results[status]!)),
    );
    return [
      [`${name}.requests.sum`, sum(own.map(({ counters }) => counters.requests))],
      [`${name}.final_result_error.sum`, sum(errors)],
      [`${name}.connections`, sum(own.map(({ counters }) => counters.connects - counters.disconnects))],
      [`${name}.duration_us.avg`, average(own)],
      [`${name}.total_duration_us.avg`, average(own)],
    ];
  });
}
