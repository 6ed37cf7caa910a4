/**
 * Finds valid settings that cannot work on this machine: a missing folder, an unreadable file, a module without a
 * getter, a host name without an address, AWS without a region or credentials. Each is a warning, because the missing
 * thing may appear later.
 */
import { access, constants } from "node:fs/promises";
import { isIP } from "node:net";
import type { Config } from "../config/config.ts";
import { readFailure } from "../config/read-failure.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { names } from "../name-cache.ts";
import { reservedFiles, roomForClients } from "../server/open-files.ts";
import { typeOf } from "../sources/types.ts";

/** Maximum time for all lookups together (ms). */
const MAX_LOOKUP_MS = 3_000;
/** Maximum number of names that are looked up. A list of a thousand servers would take too long. */
const MAX_NAMES = 50;

export interface PreflightOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Rejects if the name has no address. */
  readonly resolve?: (host: string) => Promise<unknown>;
  /** Limit of open files of a process. `null` if it is unknown. */
  readonly filesLimit?: number | null;
}

/** Resolves to the warnings. Never rejects, and does not change anything. */
export async function preflight(config: Config, options: PreflightOptions): Promise<string[]> {
  const ofSources = await Promise.all(config.sources.map((source) => sourceWarnings(source, options.env)));
  return [
    ...ofSources.flat(),
    ...(await listWarnings(config)),
    ...fileLimitWarnings(config, options.filesLimit ?? null),
    ...(await hostWarnings(config, options.resolve ?? lookUp)),
  ];
}

/** Files with lists of servers that cannot be read. */
async function listWarnings({ pools }: Config): Promise<string[]> {
  const warnings: string[] = [];
  for (const { name, discovery } of pools) {
    if (discovery?.type !== "file") continue;
    await access(discovery.path, constants.R_OK).catch((error: unknown) => {
      warnings.push(`pool ${name}: ${discovery.path}: ${readFailure(error)}`);
    });
  }
  return warnings;
}

/** mcrouter's default means no limit. A user with the default has not asked for this number of connections. */
const UNLIMITED_CONNECTIONS = 1_000_000;

function fileLimitWarnings(config: Config, limit: number | null): string[] {
  const { maxConnections, workers } = config.server;
  const room = roomForClients(config, limit);
  if (limit === null || maxConnections >= UNLIMITED_CONNECTIONS || maxConnections <= room * workers) return [];
  const reserved = reservedFiles(config);
  const needed = Math.ceil(maxConnections / workers) + reserved;
  const each = workers > 1 ? ` in each of ${workers} workers` : "";
  return [
    `max_connections = ${maxConnections} does not fit the limit of ${limit} open files: ${room} clients do${each}, beside ${reserved} files for servers, sources and the admin address; raise the limit (ulimit -n, LimitNOFILE) to ${needed}, or lower max_connections`,
  ];
}

async function sourceWarnings(source: SourceConfig, env: PreflightOptions["env"]): Promise<string[]> {
  const warnings = (await typeOf(source).warnings?.(source, env)) ?? [];
  return warnings.map((message) => `source ${source.name}: ${message}`);
}

/** Uses the lookup cache of the connections. */
function lookUp(host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    names.lookup(host, { all: true }, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** Looks up one name at a time: a slow resolver would take threads from the lookups that clients wait for. */
async function hostWarnings(config: Config, resolve: (host: string) => Promise<unknown>): Promise<string[]> {
  const warnings: string[] = [];
  const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => giveUp("late"), MAX_LOOKUP_MS).unref();
  for (const [host, whose] of [...hostsOf(config)].slice(0, MAX_NAMES)) {
    const found = await Promise.race([resolve(host).then(() => "found", codeOf), late]);
    if (found === "late") break;
    if (found !== "found") warnings.push(`${whose}: the name ${host} has no address (${found})`);
  }
  clearTimeout(timer);
  return warnings;
}

/** Host names, each with the first pool or source that names it. IP addresses are omitted. */
function hostsOf({ pools, sources }: Config): Map<string, string> {
  const hosts = new Map<string, string>();
  const add = (host: string, whose: string) => {
    if (isIP(host) === 0 && !hosts.has(host)) hosts.set(host, whose);
  };
  for (const { name, servers, discovery } of pools) {
    if (discovery?.type === "elasticache") add(discovery.host, `pool ${name}`);
    for (const { address } of servers) if (address.type === "tcp") add(address.host, `pool ${name}`);
  }
  for (const source of sources) {
    const host = typeOf(source).hostOf?.(source);
    if (host !== undefined) add(host, `source ${source.name}`);
  }
  return hosts;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
