/**
 * mcrouter's configuration and options → Config.
 *
 * Source: mcrouter ProxyConfig-inl.h, ProxyConfigBuilder.cpp, as facts.
 */
import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import path from "node:path";
import { openAccess } from "../../config/access-config.ts";
import { parseAddress } from "../../config/address.ts";
import {
  type Config,
  type ListenAddress,
  type McrouterConfig,
  noTelemetry,
  type RouteConfig,
  type TlsConfig,
  type TreeConfig,
} from "../../config/config.ts";
import { FilesRead } from "../../config/files-read.ts";
import { readFailure } from "../../config/read-failure.ts";
import { Problems } from "../../config/section.ts";
import { checkTls } from "../../config/tls-material.ts";
import { ConfigError, type ConfigProblem } from "../../errors.ts";
import { hostId } from "../../proxy/hash/host-id.ts";
import { loggedOf } from "../routes/async-log-route.ts";
import type { BigValueRouteConfig } from "../routes/big-value-route.ts";
import { poolNameOf } from "../routes/pool-handle.ts";
import { isPrefixSelector, type PrefixSelectorRouteConfig } from "../routes/prefix-selector-route.ts";
import { expandMcrouterConfig } from "./expand.ts";
import { Fields, type Spot } from "./fields.ts";
import { globalParams } from "./global-params.ts";
import { describeJson, type Json, type JsonObject, plainJson } from "./json-value.ts";
import { optionRows } from "./option-table.ts";
import type { McrouterOptions } from "./options.ts";
import { type PoolOptions, PoolReader } from "./read-pools.ts";
import { type RouteOptions, RouteReader } from "./read-routes.ts";

const FILE_PREFIX = "file:";
/** `[server]` settings that mcrouter has no option for, as the native defaults have them. */
export type ServerDefaults = Config["server"];

/** The file of the options, without `file:`; null: the configuration is given on the command line. */
export function configFileOf(options: McrouterOptions): string | null {
  const config = options.text("config");
  if (config !== "") return config.startsWith(FILE_PREFIX) ? config.slice(FILE_PREFIX.length) : null;
  return options.optionalText("config_file");
}

/** Where the last good configuration is kept. */
export function dumpPlaceOf(options: McrouterOptions, root: string) {
  return { root, serviceName: options.text("service_name"), routerName: routerNameOf(options) };
}

/** How files are read: rejects as `fs.readFile` does. */
export type ReadText = (path: string) => Promise<string>;

/** Reads everything. Rejects with a ConfigError that holds every problem. */
export async function loadMcrouterConfig(
  options: McrouterOptions,
  defaults: ServerDefaults,
  readFrom: ReadText | null = null,
  reads: FilesRead = new FilesRead(true),
): Promise<Config> {
  options.begin();
  const file = configFileOf(options);
  const texts = new Map<string, string>();
  const fromDisk: ReadText = (name) => reads.text(name);
  const read: ReadText = async (name) => {
    const text = await (readFrom ?? fromDisk)(name);
    texts.set(path.resolve(name), text);
    return text;
  };
  const text = await mainText(options, file, read);
  const imports = new Map<string, string>();
  const params = paramsOf(options);
  const expanded = await expandMcrouterConfig({
    text,
    file,
    params,
    readFile: async (name) => {
      const content = await read(name);
      imports.set(name, md5(content));
      return content;
    },
  });
  if (expanded.document === null) throw new ConfigError(expanded.problems);
  const problems = new Problems();
  for (const each of expanded.problems) problems.add({ file: each.file, line: each.line, path: "" }, each.message);
  const { document } = expanded;
  const warnings: string[] = [];
  const warn = (spot: Spot, message: string) => {
    const { file: name, line } = spot.json.place;
    const place = name === null ? "" : `${name}:${line}: `;
    warnings.push(`${place}${spot.path}: ${message}`);
  };
  const fields = new Fields(document, "", problems);
  const context = { reads, warn: (message: string) => warnings.push(message) };
  const poolFiles = await readPoolFiles(document, read, problems);
  const pools = new PoolReader(
    fields.nested("pools")?.object.members ?? new Map(),
    poolFiles.objects,
    await poolOptionsOf(options, context),
    problems,
    warn,
  );
  const reader = new RouteReader(pools, routeOptionsOf(options), problems, warn);
  registerNamed(fields, reader);
  const tree = readTree(fields, reader, options);
  const statsPools = await readStatsPools(options, fromDisk);
  for (const name of ["macros", "routing_options", "version", "name"]) fields.has(name);
  for (const spot of fields.unread()) warn(spot, "is not known and has no effect");
  const listen = readListen(options);
  const server = { ...defaults, ...(await serverOf(options, listen, context)) };
  options.end();
  problems.end();
  const mcrouter: McrouterConfig = {
    root: {
      sendsInvalidToDefault: options.toggle("send_invalid_route_to_default"),
      allowsOnlyGets: options.toggle("allow_only_gets"),
      groupsRemoteErrors: options.toggle("group_remote_errors"),
      showsGetErrors: !options.toggle("miss_on_get_errors"),
      showsArithmeticErrors: !options.toggle("miss_on_arith_errors"),
      maxInflight: options.integer("proxy_max_inflight_requests"),
      maxThrottled: options.integer("proxy_max_throttled_requests"),
      waitTimeoutMs: options.integer("waiting_request_timeout_ms"),
    },
    options: options.all(),
    sources: {
      file,
      digest: expanded.rawDigest,
      imports,
      pools: poolFiles.digests,
      texts,
    },
    document: plainJson(document),
    globalParams: new Map(Object.entries(params).map(([name, value]) => [name, String(value)])),
    serviceName: options.text("service_name"),
    routerName: routerNameOf(options),
    asyncLogRoot: options.toggle("asynclog_disable") ? null : options.optionalText("async_spool"),
    statsRoot: options.integer("stats_logging_interval") === 0 ? null : options.optionalText("stats_root"),
    statsIntervalMs: options.integer("stats_logging_interval"),
    dumpRoot: options.optionalText("config_dump_root"),
    isFromDump: readFrom !== null,
    statsPools,
  };
  const own = file === null ? [] : [path.resolve(file)];
  return {
    file: file === null ? null : path.resolve(file),
    files: [...own, ...expanded.files, ...poolFiles.digests.keys(), ...(server.tls?.files ?? [])],
    secrets: [],
    server,
    telemetry: noTelemetry,
    access: openAccess,
    pools: pools.configs,
    tree,
    mcrouter,
    warnings,
    rules: [],
    sources: [],
  };
}

function paramsOf(options: McrouterOptions): Record<string, string | number> {
  const numbers = optionRows.flatMap(({ name, kind }): (readonly [string, number | boolean])[] => {
    if (kind === "toggle") return [[name, options.toggle(name)]];
    return kind === "integer" && options.optionalText(name) !== null ? [[name, options.integer(name, -1)]] : [];
  });
  return globalParams({
    routePrefix: routePrefixOf(options),
    hostId: hostId(),
    routerName: routerNameOf(options),
    serviceName: options.text("service_name"),
    numProxies: options.integer("num_proxies", 1),
    options: Object.fromEntries(numbers),
    configParams: options.configParams(),
  });
}

/** `/region/cluster/`, with both slashes. */
function routePrefixOf(options: McrouterOptions): string {
  const prefix = options.text("default_route").replace(/^\/?(.*?)\/?$/, "/$1/");
  if (/^\/[^/]+\/[^/]+\/$/.test(prefix)) return prefix;
  options.complain("default_route", `expected /region/cluster/, got ${JSON.stringify(options.text("default_route"))}`);
  return "/././";
}

/** mcrouter names itself after its port. */
function routerNameOf(options: McrouterOptions): string {
  return options.list("ports")[0] ?? options.optionalText("unix_domain_sock")?.replaceAll("/", "_") ?? "unknown";
}

async function poolOptionsOf(options: McrouterOptions, files: FileContext): Promise<PoolOptions> {
  const [, region = ".", cluster = "."] = routePrefixOf(options).split("/");
  return {
    serverTimeoutMs: options.integer("server_timeout_ms", 1),
    maxInflight: options.integer("target_max_inflight_requests"),
    maxPending: options.integer("target_max_pending_requests", 1),
    socket: {
      connectRetries: options.integer("connect_timeout_retries"),
      keepAliveMs: options.integer("keepalive_cnt") === 0 ? 0 : options.integer("keepalive_idle_s") * 1000,
      idleMs: options.integer("reset_inactive_connection_interval"),
    },
    timeoutsUntilTko: options.integer("failures_until_tko", 1),
    isTkoDisabled: options.toggle("disable_tko_tracking"),
    firstProbeMs: options.integer(options.isGiven("retry_timeout") ? "retry_timeout" : "probe_delay_initial_ms", 1),
    lastProbeMs: options.integer("probe_delay_max_ms", 1),
    withinClusterTimeoutMs: options.integer("within_cluster_timeout_ms"),
    crossClusterTimeoutMs: options.integer("cross_cluster_timeout_ms") || options.integer("cluster_pools_timeout_ms"),
    crossRegionTimeoutMs: options.integer("cross_region_timeout_ms") || options.integer("regional_pools_timeout_ms"),
    region,
    cluster,
    tls: await tlsOf(options, { cert: "pem_cert_path", key: "pem_key_path", ca: "pem_ca_path" }, files),
  };
}

/** What reads files, and what is told of them. */
interface FileContext {
  readonly reads: FilesRead;
  readonly warn: (message: string) => void;
}

async function tlsOf(
  options: McrouterOptions,
  names: { cert: string; key: string; ca: string },
  { reads, warn }: FileContext,
): Promise<TlsConfig | null> {
  const files = [names.cert, names.key, names.ca].map((name) => options.optionalText(name));
  if (files.every((file) => file === null)) return null;
  const [cert, key, ca] = await Promise.all(
    files.map(async (file, index) => {
      if (file === null) return null;
      try {
        return await reads.text(file);
      } catch (error) {
        options.complain([names.cert, names.key, names.ca][index]!, `${file}: ${readFailure(error)}`);
        return null;
      }
    }),
  );
  const material = { cert: cert ?? null, key: key ?? null, ca: ca ?? null };
  const { problems, warnings } = checkTls(material, Date.now());
  // A file that could not be read has been complained of.
  for (const { about, message } of problems) if (material[about] !== null) options.complain(names[about], message);
  for (const { about, message } of warnings) warn(`--${names[about].replaceAll("_", "-")}: ${message}`);
  return {
    ...material,
    serverName: options.optionalText("ssl_service_identity"),
    files: files.flatMap((file) => (file === null ? [] : [path.resolve(file)])),
  };
}

/** `--num-proxies`, or `--proxy-threads`, which may be "auto". */
function workersOf(options: McrouterOptions): Partial<ServerDefaults> {
  if (options.text("proxy_threads") === "auto") return { workers: availableParallelism() };
  const name = options.isGiven("proxy_threads") ? "proxy_threads" : "num_proxies";
  return options.isGiven(name) ? { workers: options.integer(name, 1) } : {};
}

/** `--max-conns` lets the idlest client go for a new one; `--connection-limit` of older releases is a bound for all. */
function connectionLimits(options: McrouterOptions): Partial<ServerDefaults> {
  const maxConns = options.integer("max_conns");
  // 1 is for "as many as the system allows", which the system sees to.
  if (maxConns > 1) return { maxConnections: maxConns, evictsIdle: true };
  const limit = options.integer("connection_limit");
  return limit > 0 ? { maxConnections: limit, evictsIdle: true } : { maxConnections: UNLIMITED_CONNECTIONS };
}

/** More than a system lets a process have. */
const UNLIMITED_CONNECTIONS = 1_000_000;

/** Pools whose names are files, wherever the document names one. */
async function readPoolFiles(
  document: JsonObject,
  read: ReadText,
  problems: Problems,
): Promise<{ objects: Map<string, JsonObject>; digests: Map<string, string> }> {
  const objects = new Map<string, JsonObject>();
  const digests = new Map<string, string>();
  const spots = new Map<string, Json>();
  collectPoolFiles(document, spots);
  for (const [name, json] of spots) {
    const file = name.slice(FILE_PREFIX.length);
    try {
      const text = await read(file).catch((error: unknown) => {
        throw problem(file, readFailure(error));
      });
      digests.set(path.resolve(file), md5(text));
      const expanded = await expandMcrouterConfig({
        text,
        file,
        params: {},
        readFile: read,
      });
      for (const each of expanded.problems)
        problems.add({ file: each.file, line: each.line, path: name }, each.message);
      if (expanded.document !== null) objects.set(name, expanded.document);
    } catch (error) {
      const reason = error instanceof ConfigError ? error.problems[0]!.message : String(error);
      problems.add({ ...json.place, path: name }, reason);
    }
  }
  return { objects, digests };
}

/** Every string `file:PATH` that may be a pool's name: alone, or behind the bar of a short form. */
function collectPoolFiles(json: Json, into: Map<string, Json>): void {
  if (json.type === "string") {
    const at = json.value.lastIndexOf("|") + 1;
    const name = json.value.slice(at);
    if (name.startsWith(FILE_PREFIX)) into.set(name, json);
  } else if (json.type === "array") {
    for (const item of json.items) collectPoolFiles(item, into);
  } else if (json.type === "object") {
    for (const member of json.members.values()) collectPoolFiles(member, into);
  }
}

function routeOptionsOf(options: McrouterOptions): RouteOptions {
  return {
    isAsyncLogOn: !options.toggle("asynclog_disable"),
    maxShadows: options.integer("target_max_shadow_requests"),
  };
}

function registerNamed(fields: Fields, reader: RouteReader): void {
  const spot = fields.get("named_handles");
  if (spot === null) return;
  if (spot.json.type === "array") {
    // Read in their order; each is known by its own name from then on.
    for (const [index, json] of spot.json.items.entries()) reader.list({ json, path: `named_handles[${index}]` });
  } else if (spot.json.type === "object") {
    for (const [name, json] of spot.json.members) reader.register(name, { json, path: `named_handles.${name}` });
  } else {
    fields.complainAt(spot, `expected an object or a list, got ${describeJson(spot.json)}`);
  }
}

function readTree(fields: Fields, reader: RouteReader, options: McrouterOptions): TreeConfig {
  const defaultPrefix = routePrefixOf(options);
  const routes = new Map<string, RouteConfig>();
  // A route that stands in several places stays one: a wildcard asks it once.
  const wrapped = new Map<RouteConfig, RouteConfig>();
  const wrap = (route: RouteConfig) => bigValues(route, options, wrapped);
  const route = fields.get("route");
  const list = fields.get("routes");
  if (route !== null && list !== null) fields.complainAt(list, '"route" and "routes" do not go together');
  if (route !== null) {
    routes.set(defaultPrefix, wrap(reader.one(route)));
  } else if (list?.json.type === "object") {
    for (const [prefix, json] of list.json.members) {
      routes.set(prefix, wrap(reader.one({ json, path: `routes.${prefix}` })));
    }
  } else if (list?.json.type === "array") {
    for (const [index, json] of list.json.items.entries()) readAliased(json, index, routes, reader, wrap);
  } else if (list !== null) {
    fields.complainAt(list, `expected an object or a list, got ${describeJson(list.json)}`);
  } else {
    fields.complain('no route; expected "route" or "routes"');
  }
  if (list !== null && !routes.has(defaultPrefix)) {
    fields.complainAt(
      list,
      `invalid default route: ${defaultPrefix} is not among them (--route-prefix says which it is)`,
    );
  }
  return { routes, defaultPrefix };
}

function readAliased(
  json: Json,
  index: number,
  routes: Map<string, RouteConfig>,
  reader: RouteReader,
  wrap: (route: RouteConfig) => RouteConfig,
): void {
  const at = `routes[${index}]`;
  if (json.type !== "object") {
    reader.complain({ json, path: at }, `expected an object with "aliases" and "route", got ${describeJson(json)}`);
    return;
  }
  const fields = reader.fieldsOf(json, at);
  fields.need("aliases");
  const aliases = fields.strings("aliases") ?? [];
  const found = fields.need("route");
  if (found === null) return;
  const route = wrap(reader.one(found));
  for (const alias of aliases) routes.set(alias, route);
}

/** Large values are split above everything else, for each prefix of a prefix selector apart. */
function bigValues(route: RouteConfig, options: McrouterOptions, wrapped: Map<RouteConfig, RouteConfig>): RouteConfig {
  const thresholdBytes = options.integer("big_value_split_threshold");
  if (thresholdBytes === 0) return route;
  const wrap = (target: RouteConfig): RouteConfig => {
    const known = wrapped.get(target);
    if (known !== undefined) return known;
    const batchSize = options.integer("big_value_batch_size");
    const big: BigValueRouteConfig = { type: "big-value", target, thresholdBytes, batchSize };
    wrapped.set(target, big);
    return big;
  };
  if (!isPrefixSelector(route)) return wrap(route);
  const split: PrefixSelectorRouteConfig = {
    ...route,
    policies: new Map([...route.policies].map(([prefix, each]) => [prefix, wrap(each)])),
    wildcard: route.wildcard === null ? null : wrap(route.wildcard),
  };
  return split;
}

function readListen(options: McrouterOptions): ListenAddress[] {
  const hosts = options.list("listen_addresses");
  const listen: ListenAddress[] = [];
  const add = (name: string, isTls: boolean) => {
    for (const text of options.list(name)) {
      const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
      if (port < 1 || port > 65535) {
        options.complain(name, `expected ports from 1 to 65535, got ${JSON.stringify(text)}`);
        continue;
      }
      for (const host of hosts.length === 0 ? ["::"] : hosts) {
        const address = parseAddress(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, "/");
        if (address === null) options.complain("listen_addresses", `expected an address, got ${JSON.stringify(host)}`);
        else listen.push(address.type === "tcp" ? { ...address, isTls } : address);
      }
    }
  };
  add("ports", false);
  add("ssl_ports", true);
  const socket = options.optionalText("unix_domain_sock");
  if (socket !== null) listen.push({ type: "unix", path: path.resolve(socket) });
  const fd = options.integer("listen_sock_fd", -1);
  if (fd >= 0) listen.push({ type: "fd", fd });
  return listen;
}

async function serverOf(
  options: McrouterOptions,
  listen: readonly ListenAddress[],
  files: FileContext,
): Promise<Partial<ServerDefaults>> {
  const names = {
    cert: "server_pem_cert_path",
    key: "server_pem_key_path",
    ca: "server_pem_ca_path",
  };
  const tls = await tlsOf(options, names, files);
  const isPeerChecked = options.toggle("ssl_require_peer_certs");
  const level = (["warn", "info", "debug"] as const)[Math.min(2, options.integer("verbosity"))]!;
  const isQuiet = options.toggle("test_mode") || !options.toggle("enable_failure_logging");
  return {
    ...(listen.length === 0 ? {} : { listen }),
    ...(tls === null ? {} : { tls: { ...tls, ca: isPeerChecked ? tls.ca : null } }),
    ...(options.toggle("enable_flush_cmd") ? { isFlushAllAllowed: true } : {}),
    ...connectionLimits(options),
    ...workersOf(options),
    backlog: options.integer("tcp_listen_backlog", 1),
    maxOutstanding: options.integer("max_client_outstanding_reqs") || Number.MAX_SAFE_INTEGER,
    writeTimeoutMs: options.integer("client_timeout_ms"),
    ...(isQuiet || options.isGiven("verbosity") ? { log: { level: isQuiet ? "error" : level, form: "text" } } : {}),
    prefix: "",
    mode: "front",
  };
}

async function mainText(options: McrouterOptions, file: string | null, read: ReadText): Promise<string> {
  if (file !== null) {
    return read(file).catch((error: unknown) => {
      throw problem(file, readFailure(error));
    });
  }
  const text = options.optionalText("config") ?? options.optionalText("config_str");
  if (text !== null) return text;
  throw problem(null, "no configuration; give one with --config file:PATH or -f PATH");
}

/** `--pool-stats-config-file`: which pools have counters of their own. */
async function readStatsPools(options: McrouterOptions, read: ReadText): Promise<readonly string[]> {
  const file = options.optionalText("pool_stats_config_file");
  if (file === null) return [];
  try {
    const { document } = await expandMcrouterConfig({
      text: await read(file),
      file,
      params: {},
      readFile: read,
    });
    const list = document?.members.get("stats_enabled_pools");
    if (list?.type === "array") return list.items.flatMap((item) => (item.type === "string" ? [item.value] : []));
    options.complain("pool_stats_config_file", `${file}: expected {"stats_enabled_pools": ["NAME", …]}`);
  } catch (error) {
    options.complain("pool_stats_config_file", `${file}: ${readFailure(error)}`);
  }
  return [];
}

function problem(file: string | null, message: string): ConfigError {
  const found: ConfigProblem = { file, line: null, message };
  return new ConfigError([found]);
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

/** What a user should know of a tree that is right as such: rules fill through it, but cannot do all that they can in a pool. */
export function treeWarnings({ tree, rules }: Config): string[] {
  if (tree === null || rules.length === 0) return [];
  const top = tree.routes.get(tree.defaultPrefix);
  if (top !== undefined && plainPoolOf(top) !== null) return [];
  return rules.map(
    ({ name }) =>
      `rule ${name}: keys do not lie in one pool here, so values are stored by set through the tree, without leases: writes through other processes may be overtaken`,
  );
}

/** The pool that a node is nothing but; null: there is more to it. */
function plainPoolOf(node: RouteConfig): string | null {
  const logged = loggedOf(node);
  return logged === null ? poolNameOf(node) : plainPoolOf(logged);
}
