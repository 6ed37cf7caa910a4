/**
 * Native configuration: TOML text with overrides from environment and command line. The settings table reads it; then
 * this file checks rules that involve several settings: names, patterns, templates, addresses. All problems are
 * collected before the error is thrown.
 */

import { availableParallelism } from "node:os";
import { dirname, resolve } from "node:path";
import type { LogConfig } from "../telemetry/log-config.ts";
import type { Config, ServerConfig } from "./config.ts";
import { FilesRead } from "./files-read.ts";
import { type LayerInput, type Layers, readLayers } from "./layers.ts";
import { locateLines } from "./locate.ts";
import { parseLogLevels } from "./log-levels.ts";
import { checkAccess, joinAddresses, readListener, readUser } from "./native-access.ts";
import { type AwsConnection, isAwsPool, readAwsPool } from "./native-aws.ts";
import { readAdvertised, readListen, readPool } from "./native-pool.ts";
import { readRoutes } from "./native-route.ts";
import { readRule } from "./native-rule.ts";
import { readAdmin, readPlainAddress, readTelemetry } from "./native-telemetry.ts";
import { resolveReferences } from "./references.ts";
import { Problems, readSection, type Section } from "./section.ts";
import { type SectionKind, sectionsWith, serverSettings, settingsWith } from "./settings.ts";
import { checkParts } from "./source-parts.ts";
import type { SourceTypes } from "./source-types.ts";
import { readServerTls } from "./tls.ts";
import { parseToml } from "./toml.ts";

const LEAST_MAX_MEMORY_BYTES = 128 * 1024 * 1024;
const BACKLOG = 4096;
/** Maximum number of requests in flight per client. At the limit, Platypus stops reading from the client. */
const MAX_OUTSTANDING = 1_000;

/** Input of a native configuration. */
export interface NativeInput {
  /** The path as the user wrote it, for messages. `null` if there is no file; then `text` is empty. */
  readonly file: string | null;
  readonly text: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Command line: full key path ("server.listen") → text in the form of an environment variable. */
  readonly overrides?: Readonly<Record<string, string>>;
  readonly sourceTypes: SourceTypes;
  /** True if the file accompanies a configuration in another format, which has the pools. */
  readonly isAddition?: boolean;
  /** Reads the named files and keeps their contents. If absent, the contents are not kept. */
  readonly reads?: FilesRead;
}

/** Reads and checks the configuration. Throws a `ConfigError` with all problems, or only with the syntax errors. */
export function parseNative(input: NativeInput): Config {
  const { file, text, env, overrides = {}, sourceTypes, isAddition = false, reads = new FilesRead() } = input;
  const document = parseToml(file, text);
  return readDocument({ file, document, lines: locateLines(text), env, overrides, sourceTypes, isAddition, reads });
}

/** Reads and checks a parsed document. Throws a `ConfigError` with all problems. */
export function readDocument(
  input: Omit<LayerInput, "settings"> & Pick<NativeInput, "sourceTypes" | "isAddition" | "reads">,
): Config {
  const { file, env, sourceTypes, isAddition = false, reads = new FilesRead() } = input;
  const settings = settingsWith(sourceTypes.settings);
  const problems = new Problems((key) => sectionsWith(settings, key));
  const layers = readLayers({ ...input, settings }, problems);
  const folder = file === null ? process.cwd() : dirname(resolve(file));

  const files: string[] = [];
  const secrets: string[] = [];
  const resolved = (section: Section, kind: SectionKind) => {
    const rows = kind === "source" ? sourceTypes.settingsOf(section) : settings[kind];
    const result = resolveReferences(section, rows, { env, folder, reads }, problems);
    files.push(...result.files);
    secrets.push(...result.secrets);
    return result.section;
  };
  const readListeners = [...layers.listeners].map(([name, section]) => {
    return readListener(name, section, { folder, reads }, problems);
  });
  const server = readServer(
    resolved(layers.server, "server"),
    isAddition ? [] : readListeners,
    { env, folder, reads },
    problems,
  );
  const users = [...layers.users].map(([name, section]) => readUser(name, resolved(section, "user"), problems));
  const access = checkAccess(users, layers.users, readListeners, server.tls?.ca ?? null, problems);
  const awsPools = new Map<string, AwsConnection>();
  const serverPools: (readonly [string, Section])[] = layers.target === null ? [] : [["target", layers.target]];
  for (const [name, section] of layers.pools) {
    if (isAwsPool(section)) awsPools.set(name, readAwsPool(name, section, problems));
    else serverPools.push([name, section]);
  }
  const pools = serverPools.map(([name, section]) => {
    const isTarget = section === layers.target;
    const pool = resolved(section, isTarget ? "target" : "pool");
    return readPool(name, pool, { isTarget, listen: server.listen, folder, reads }, problems);
  });
  checkPools(layers, serverPools, isAddition, problems);
  const routes = readRoutes(
    layers.routes,
    { poolNames: serverPools.map(([name]) => name), pools, server, serverSection: layers.server },
    problems,
  );
  const readings = [...layers.sources].map(([name, section]) =>
    sourceTypes.read(name, resolved(section, "source"), { folder, awsPools, reads }, problems),
  );
  checkParts(readings, problems);
  const telemetry = readTelemetry(resolved(layers.telemetry, "telemetry"), env, problems);
  const rules = [...layers.rules].map(([name, section]) => readRule(name, section, layers, server, readings, problems));

  if (server.workers > 1 && pools.length === 0 && !isAddition) {
    const found = layers.server.found.get("workers");
    const message = "the store in a process has one owner: give a pool ([target] servers), or take workers = 1";
    problems.add(found?.place ?? layers.server.place, message);
  }
  problems.end();
  return {
    file: file === null ? null : resolve(file),
    files: [
      ...files,
      ...readListeners.flatMap((each) => each.files),
      ...[server.tls, ...pools.map(({ tls }) => tls)].flatMap((tls) => tls?.files ?? []),
      ...readings.flatMap((each) => each.files),
    ],
    secrets,
    server,
    telemetry,
    access,
    pools,
    routes,
    tree: null,
    mcrouter: null,
    warnings: problems.warnings,
    rules: rules.filter((rule) => rule !== null),
    sources: readings.map(({ source }) => source).filter((source) => source !== null),
  };
}

function readServer(
  section: Section,
  listeners: Parameters<typeof joinAddresses>[2],
  { env, folder, reads }: Pick<NativeInput, "env"> & { readonly folder: string; readonly reads: FilesRead },
  problems: Problems,
): ServerConfig {
  const values = readSection(section, serverSettings, problems);
  // The prefix is part of keys, which have at most 250 bytes.
  if (!/^[!-~]{0,200}$/.test(values.prefix)) {
    const place = section.found.get("prefix")?.place ?? section.place;
    problems.add(place, "expected at most 200 ASCII characters without blanks");
  }
  const own = readListen(section, values.listen, folder, problems);
  const listen = joinAddresses(own, section.found.has("listen"), listeners);
  if (values.maxMemoryBytes > 0 && values.maxMemoryBytes < LEAST_MAX_MEMORY_BYTES) {
    const place = section.found.get("max_memory")?.place ?? section.place;
    problems.add(place, "a process takes about 110MiB at rest: use at least 128MiB, or 0 for no limit");
  }
  const { tlsCert, tlsKey, tlsCa, logLevel, logForm, ...same } = values;
  return {
    ...same,
    listen,
    advertise: readAdvertised(section, values.advertise ?? [], folder, problems),
    stateFolder: stateFolder(values.stateFolder, folder, env),
    admin: readAdmin(section, values, folder, problems),
    twemproxyStats: readPlainAddress(section, "twemproxy_stats", values.twemproxyStats, folder, problems),
    accessLog: values.accessLog === null ? null : resolve(folder, values.accessLog),
    adminHosts: values.adminHosts.map((host) => host.toLowerCase()),
    workers: values.workers === "auto" ? availableParallelism() : values.workers,
    tls: readServerTls(section, { tlsCert, tlsKey, tlsCa }, listen, { folder, reads }, problems),
    evictsIdle: false,
    backlog: BACKLOG,
    maxOutstanding: MAX_OUTSTANDING,
    writeTimeoutMs: 0,
    hasMcrouterWords: false,
    keepsClientAddress: false,
    log: { ...readLogLevels(section, logLevel, problems), form: logForm },
  };
}

/** From the setting, else from systemd, which separates several folders by colons. */
function stateFolder(given: string | null, folder: string, env: NativeInput["env"]): string | null {
  return given !== null ? resolve(folder, given) : env.STATE_DIRECTORY?.split(":")[0] || null;
}

function readLogLevels(section: Section, text: string, problems: Problems): Omit<LogConfig, "form"> {
  const levels = parseLogLevels(text);
  if (!("problem" in levels)) return levels;
  problems.add(section.found.get("log_level")?.place ?? section.place, levels.problem);
  return { level: "info" };
}

/** Several pools need routes, which say where each key is stored. */
function checkPools(
  { target, routes }: Pick<Layers, "target" | "routes">,
  pools: readonly (readonly [string, Section])[],
  isAddition: boolean,
  problems: Problems,
): void {
  const [route] = routes.values();
  if (isAddition && route !== undefined) {
    problems.add(route.place, "cannot be added to another configuration, which has its own routes");
  }
  const second = pools[1];
  if (second === undefined) return;
  const [name, section] = second;
  if (target !== null) {
    problems.add(section.place, "[target] is the only pool already; use [pool.NAME] for each pool, or one [target]");
  } else if (routes.size === 0) {
    problems.add(
      section.place,
      `several pools need routes: add [[route]] with pool = ${JSON.stringify(name)} and the prefix of its keys, and [[route]] with the pool of all other keys`,
    );
  }
}
