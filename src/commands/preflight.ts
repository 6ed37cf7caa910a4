/**
 * Finds settings that are valid and cannot work on this machine: a folder that does not exist, a file that cannot be read, a
 * module without a getter, a host name without an address, AWS without a region or credentials. Each is a warning, because
 * the missing thing may appear later.
 */
import { access, constants, readFile, stat } from "node:fs/promises";
import { isIP } from "node:net";
import { homedir } from "node:os";
import path from "node:path";
import type { AwsConnection, Config, SourceConfig } from "../config/config.ts";
import { readFailure } from "../config/read-failure.ts";
import { names } from "../name-cache.ts";
import { reservedFiles, roomForClients } from "../server/open-files.ts";
import { parseTemplate } from "../sources/template.ts";

/** Maximum time for the look-ups of all names together. */
const MAX_LOOKUP_MS = 3_000;
/** Maximum number of names that are looked up. A list of a thousand servers would take too long. */
const MAX_NAMES = 50;

export interface PreflightOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Rejects if the name has no address. */
  readonly resolve?: (host: string) => Promise<unknown>;
  /** Limit of open files of a process; `null` if it is unknown. */
  readonly filesLimit?: number | null;
}

/** Resolves to a line for each. Never rejects, and does not change anything. */
export async function preflight(config: Config, options: PreflightOptions): Promise<string[]> {
  const ofSources = await Promise.all(config.sources.map((source) => sourceWarnings(source, options.env)));
  return [
    ...ofSources.flat(),
    ...fileLimitWarnings(config, options.filesLimit ?? null),
    ...(await hostWarnings(config, options.resolve ?? lookUp)),
  ];
}

/** mcrouter's default means: no bound. A user who leaves it has not asked for that many. */
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
  const about = (message: string) => `source ${source.name}: ${message}`;
  switch (source.type) {
    case "file": {
      const wrong = await folderProblem(source.root);
      if (wrong !== null) return [about(`root ${source.root}: ${wrong}`)];
      const parts = parseTemplate(source.path);
      // A path without a part of the key is one file.
      if (parts.some(({ type }) => type === "place")) return [];
      const file = path.join(source.root, ...parts.map((part) => (part.type === "literal" ? part.text : "")));
      const unreadable = await access(file, constants.R_OK).then(() => null, readFailure);
      return unreadable === null ? [] : [about(`${file}: ${unreadable}`)];
    }
    case "module": {
      const text = await readFile(source.path, "utf8").catch(() => null);
      const hasDefault = text === null || /\bexport\s+default\b|\bas\s+default\b|\bexports\b/.test(text);
      return hasDefault ? [] : [about(`${source.path} has no default export, which has to be the getter`)];
    }
    case "awssm":
      return (await awsProblems(source.connection, env)).map(about);
    default:
      return [];
  }
}

async function folderProblem(folder: string): Promise<string | null> {
  try {
    if (!(await stat(folder)).isDirectory()) return "expected a folder, found a file";
    await access(folder, constants.X_OK);
    return null;
  } catch (error) {
    return readFailure(error).replace("no such file", "no such folder");
  }
}

/** Looks at the environment and the shared files, in which the AWS SDK looks as well. */
async function awsProblems({ region, profile }: AwsConnection, env: PreflightOptions["env"]): Promise<string[]> {
  const folder = path.join(env.HOME ?? homedir(), ".aws");
  const configFile = await textOf(env.AWS_CONFIG_FILE ?? path.join(folder, "config"));
  const credentialsFile = await textOf(env.AWS_SHARED_CREDENTIALS_FILE ?? path.join(folder, "credentials"));
  const problems: string[] = [];
  const hasRegion = region !== null || isSet(env.AWS_REGION) || /^\s*region\s*=/m.test(configFile);
  if (!hasRegion) problems.push("no AWS region is set (region, AWS_REGION, or a profile)");
  const name = profile ?? env.AWS_PROFILE;
  const files = configFile + credentialsFile;
  const profiles = [...files.matchAll(/^\s*\[\s*(?:profile\s+)?([^\]]*?)\s*\]/gm)].map((match) => match[1]);
  if (isSet(name) && !profiles.includes(name)) {
    problems.push(`the AWS profile ${JSON.stringify(name)} stands in none of the shared files`);
  }
  const variables = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
  ];
  const hasCredentials = files.trim() !== "" || variables.some((variable) => isSet(env[variable]));
  if (!hasCredentials && !(await mayHaveInstanceRole(env))) {
    problems.push("no AWS credentials are set (environment, shared files, container, or the role of an instance)");
  }
  return problems;
}

/** True on machines of EC2, which may have a role, and so credentials. */
async function mayHaveInstanceRole(env: PreflightOptions["env"]): Promise<boolean> {
  if (env.AWS_EC2_METADATA_DISABLED === "true") return false;
  const vendor = await textOf("/sys/devices/virtual/dmi/id/sys_vendor");
  return /amazon/i.test(vendor) || isSet(env.AWS_EC2_METADATA_SERVICE_ENDPOINT);
}

function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => "");
}

function isSet(value: string | null | undefined): value is string {
  return value !== undefined && value !== null && value !== "";
}

/** Shares the look-up with connections to the host. */
function lookUp(host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    names.lookup(host, { all: true }, (error) => (error === null ? resolve() : reject(error)));
  });
}

/** One name at a time: a resolver that is slow would keep threads from the names that clients wait for. */
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

/** Host names, each with the pool or source that names it first. IP addresses are left out. */
function hostsOf({ pools, sources }: Config): Map<string, string> {
  const hosts = new Map<string, string>();
  const add = (host: string, whose: string) => {
    if (isIP(host) === 0 && !hosts.has(host)) hosts.set(host, whose);
  };
  for (const { name, servers } of pools) {
    for (const { address } of servers) if (address.type === "tcp") add(address.host, `pool ${name}`);
  }
  for (const source of sources) {
    if (source.type === "http")
      add(new URL(/^[^/]+\/\/[^/?#]+/.exec(source.url)![0]).hostname, `source ${source.name}`);
  }
  return hosts;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
