/**
 * mcrouter's configuration and options → Config.
 *
 * Source: mcrouter ProxyConfig-inl.h, ProxyConfigBuilder.cpp, as facts.
 */
import { createHash } from "node:crypto";
import path from "node:path";
import { openAccess } from "../../config/access-config.ts";
import { type Config, type McrouterConfig, noTelemetry } from "../../config/config.ts";
import { FilesRead } from "../../config/files-read.ts";
import { readFailure } from "../../config/read-failure.ts";
import { Problems } from "../../config/section.ts";
import { ConfigError, type ConfigProblem } from "../../errors.ts";
import { hostId } from "../../proxy/hash/host-id.ts";
import { expandMcrouterConfig } from "./expand.ts";
import { Fields, type Spot } from "./fields.ts";
import { globalParams } from "./global-params.ts";
import { type Json, type JsonObject, plainJson } from "./json-value.ts";
import { optionRows } from "./option-table.ts";
import { type McrouterOptions, routePrefixOf } from "./options.ts";
import { PoolReader } from "./read-pools.ts";
import { RouteReader } from "./read-routes.ts";
import { readTree, registerNamed, routeOptionsOf } from "./read-tree.ts";
import { readRuntimeVars } from "./runtime-vars.ts";
import { poolOptionsOf, readListen, type ServerDefaults, serverOf } from "./server-options.ts";

const FILE_PREFIX = "file:";
/** The configuration file, without `file:`. `null` if the configuration is on the command line. */
export function configFileOf(options: McrouterOptions): string | null {
  const config = options.text("config");
  if (config !== "") return config.startsWith(FILE_PREFIX) ? config.slice(FILE_PREFIX.length) : null;
  return options.optionalText("config_file");
}

/** Folder that keeps the last good configuration. */
export function dumpPlaceOf(options: McrouterOptions, root: string) {
  return { root, serviceName: options.text("service_name"), routerName: routerNameOf(options) };
}

/** Reads a file. Rejects as `fs.readFile` does. */
export type ReadText = (path: string) => Promise<string>;

/** Reads the whole configuration. Rejects with a ConfigError that holds every problem. */
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
  const varsFile = options.optionalText("runtime_vars_file");
  const runtimeVars = await readRuntimeVars(varsFile, read, context.warn);
  const reader = new RouteReader(pools, routeOptionsOf(options, runtimeVars), problems, warn);
  registerNamed(fields, reader);
  const tree = readTree(fields, reader, options);
  const statsPools = await readStatsPools(options, fromDisk);
  for (const name of ["macros", "routing_options", "version", "name"]) fields.has(name);
  for (const spot of fields.unread()) warn(spot, "is not known and has no effect");
  const listen = readListen(options);
  const server = { ...defaults, ...(await serverOf(options, defaults, listen, context)) };
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
    asyncLogVersion2: options.toggle("use_asynclog_version2")
      ? { flavorName: options.text("flavor_name"), region: routePrefixOf(options).split("/")[1]! }
      : null,
    asyncLogRoot: options.toggle("asynclog_disable") ? null : options.optionalText("async_spool"),
    statsRoot: options.integer("stats_logging_interval") === 0 ? null : options.optionalText("stats_root"),
    statsIntervalMs: options.integer("stats_logging_interval"),
    dumpRoot: options.optionalText("config_dump_root"),
    isFromDump: readFrom !== null,
    statsPools,
  };
  const own = [file, varsFile].flatMap((name) => (name === null ? [] : [path.resolve(name)]));
  return {
    file: file === null ? null : path.resolve(file),
    files: [...own, ...expanded.files, ...poolFiles.digests.keys(), ...(server.tls?.files ?? [])],
    secrets: [],
    server,
    telemetry: noTelemetry,
    access: openAccess,
    pools: pools.configs,
    routes: [],
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

/** The router's name: the flavor, else the first port, else "0". */
function routerNameOf(options: McrouterOptions): string {
  return options.optionalText("router_name") ?? options.list("ports")[0] ?? "0";
}

/** Reads the pools that the document gives as `file:PATH`. */
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

/** Collects each string `file:PATH` that may be a pool's name: alone, or after the bar of a short form. */
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

async function mainText(options: McrouterOptions, file: string | null, read: ReadText): Promise<string> {
  if (file !== null) {
    return read(file).catch((error: unknown) => {
      // mcrouter's words.
      throw problem(file, `Can not read config: ${readFailure(error)}`);
    });
  }
  const text = options.optionalText("config") ?? options.optionalText("config_str");
  if (text !== null) return text;
  throw problem(null, "no configuration; give one with --config file:PATH or -f PATH");
}

/** `--pool-stats-config-file`: the names of the pools that have separate counters. */
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
