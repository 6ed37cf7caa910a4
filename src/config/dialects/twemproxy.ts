/**
 * twemproxy's YAML (nutcracker.yml) → Config: pools by name, each on an address of its own.
 *
 *     alpha:
 *       listen: 127.0.0.1:22121
 *       hash: fnv1a_64
 *       servers:
 *        - 10.0.0.1:11211:1 name
 *
 * Every value is text, as twemproxy itself takes it: `0x10` is no number here. Source: twemproxy src/nc_conf.c, as facts.
 */

import { resolve } from "node:path";
import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type YAMLMap } from "yaml";
import { ConfigError, type ConfigProblem } from "../../errors.ts";
import { openAccess } from "../access-config.ts";
import { defaultPort, reachesListener } from "../address.ts";
import {
  type Address,
  addressText,
  type Config,
  keyHashNames,
  noTelemetry,
  type PlacementConfig,
  type PoolConfig,
  type PoolServer,
  type ServerConfig,
} from "../config.ts";
import { suggestion } from "../nearest-name.ts";

/** What a pool of twemproxy's has for what its file does not say. */
const defaults = {
  hash: "fnv1a_64",
  distribution: "ketama",
  serverConnections: 1,
  serverRetryTimeoutMs: 30_000,
  serverFailureLimit: 2,
} as const;
/** Without `timeout` twemproxy waits for ever; that would hold up whoever asks for another key of the same server. */
const TIMEOUT_MS = 5_000;
/** Of servers whose keys nobody else takes: looked at again soon. */
const probes = { firstProbeMs: 250, lastProbeMs: 5_000 } as const;
const TIMEOUTS_UNTIL_TKO = 3;

const distributions = ["ketama", "modula", "random"] as const;

/** Directives, and what one that has no effect here is about; null: it has one. */
const directives: Readonly<Record<string, string | null>> = {
  listen: null,
  hash: null,
  hash_tag: null,
  distribution: null,
  timeout: null,
  backlog: "connections wait in a queue of 4096",
  client_connections: "twemproxy has none for it either",
  redis: null,
  redis_auth: null,
  redis_db: "it is Redis'",
  tcpkeepalive: "a server that is gone is found by time-outs",
  reuseport: "the address belongs to this process alone",
  preconnect: "servers are connected to when they are first needed",
  auto_eject_hosts: null,
  server_connections: null,
  server_retry_timeout: null,
  server_failure_limit: null,
  servers: null,
};

export interface TwemproxyInput {
  /** As the user named it, for messages. */
  readonly file: string;
  readonly text: string;
  /** Everything of the process but where it listens: twemproxy's file says nothing of it. */
  readonly server: ServerConfig;
}

/** Reads and checks everything. Throws a `ConfigError` with all problems, or with those of the syntax alone. */
export function parseTwemproxy({ file, text, server }: TwemproxyInput): Config {
  const lines = new LineCounter();
  // Text stays text with the failsafe schema.
  const document = parseDocument(text, { schema: "failsafe", lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) => ({ file, line: lines.linePos(pos[0]).line, message }));
    throw new ConfigError(problems);
  }
  const reader = new FileReader(file, lines);
  const pools = reader.readPools(document.contents);
  if (reader.problems.length > 0) throw new ConfigError(reader.problems.toSorted((a, b) => a.line! - b.line!));
  return {
    file: resolve(file),
    files: [],
    secrets: [],
    server: { ...server, listen: [] },
    telemetry: noTelemetry,
    access: openAccess,
    pools,
    tree: null,
    mcrouter: null,
    warnings: reader.warnings,
    rules: [],
    sources: [],
  };
}

/** Reads the pools of one file, and collects what is wrong with them. */
class FileReader {
  readonly problems: ConfigProblem[] = [];
  readonly warnings: string[] = [];
  private readonly file: string;
  private readonly lines: LineCounter;

  constructor(file: string, lines: LineCounter) {
    this.file = file;
    this.lines = lines;
  }

  readPools(contents: Node | null): PoolConfig[] {
    if (!isMap(contents) || contents.items.length === 0) {
      this.add(contents, "", "expected pools by name");
      return [];
    }
    const pools = contents.items.map((pair) => this.readPool(pair));
    const listens = pools.map(({ listen }) => listen[0]);
    for (const [i, pair] of contents.items.entries()) {
      const listen = listens[i];
      if (listen === undefined) continue;
      const other = listens.findIndex((each) => each !== undefined && addressText(each) === addressText(listen));
      const where = listenOf(pair);
      if (other < i)
        this.add(where, `${pools[i]!.name}.listen`, `${addressText(listen)} is pool ${pools[other]!.name}'s`);
      const own = pools[i]!.servers.find(({ address }) => reachesListener(address, listen));
      if (own === undefined) continue;
      this.add(where, `${pools[i]!.name}.listen`, `${addressText(own.address)} is one of its own servers`);
    }
    return pools;
  }

  private readPool({ key, value }: Pair): PoolConfig {
    const name = isScalar(key) ? String(key.value) : "";
    const pool = new PoolReader(this, name, key as Node);
    if (!isMap(value)) this.add(key as Node, name, "expected a pool: listen, servers and what else it has");
    else pool.take(value);
    return pool.read();
  }

  add(node: Node | null, path: string, message: string): void {
    const line = node?.range == null ? 1 : this.lines.linePos(node.range[0]).line;
    this.problems.push({ file: this.file, line, message: path === "" ? message : `${path}: ${message}` });
  }
}

/** A value of a directive and where it stands. */
interface Given {
  readonly text: string;
  readonly node: Node;
}

/** Reads the directives of one pool. */
class PoolReader {
  private readonly file: FileReader;
  private readonly name: string;
  private readonly node: Node;
  private readonly given = new Map<string, Given>();
  private servers: readonly Given[] = [];

  constructor(file: FileReader, name: string, node: Node) {
    this.file = file;
    this.name = name;
    this.node = node;
  }

  take(map: YAMLMap): void {
    for (const { key, value } of map.items) {
      const node = key as Node;
      const name = isScalar(key) ? String(key.value) : "";
      const noEffect = Object.hasOwn(directives, name) ? directives[name] : undefined;
      if (noEffect === undefined) {
        this.problem(node, name, `there is no such directive${suggestion(name, Object.keys(directives))}`);
      } else if (name === "servers") {
        this.servers = this.takeServers(node, value as Node | null);
      } else if (!isScalar(value)) {
        const hint = name === "hash_tag" ? '; braces stand in quotes: "{}"' : "";
        this.problem(node, name, `expected a single value${hint}`);
      } else {
        this.given.set(name, { text: String(value.value), node: value });
        if (noEffect !== null && value.value !== "false") {
          this.file.warnings.push(`${this.name}.${name} has no effect: ${noEffect}`);
        }
      }
    }
  }

  read(): PoolConfig {
    this.refuseRedis();
    const timeoutMs = this.number("timeout", 1) ?? TIMEOUT_MS;
    const ejects = this.boolean("auto_eject_hosts") ?? false;
    const retryMs = this.number("server_retry_timeout", 1) ?? defaults.serverRetryTimeoutMs;
    const failures = this.number("server_failure_limit", 1) ?? defaults.serverFailureLimit;
    for (const name of ["backlog", "client_connections", "redis_db"]) this.number(name, 0);
    for (const name of ["tcpkeepalive", "reuseport", "preconnect"]) this.boolean(name);
    return {
      name: this.name,
      servers: this.readServers(),
      placement: this.readPlacement(),
      isPlacementGiven: true,
      ejectsDeadServers: ejects,
      connections: this.number("server_connections", 1) ?? defaults.serverConnections,
      serverTimeoutMs: timeoutMs,
      connectTimeoutMs: timeoutMs,
      health: ejects
        ? { timeoutsUntilTko: failures, firstProbeMs: retryMs, lastProbeMs: retryMs, failOpen: null }
        : { timeoutsUntilTko: TIMEOUTS_UNTIL_TKO, ...probes, failOpen: null },
      socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
      keepsRoutingPrefix: false,
      listen: this.readListen(),
      login: null,
      tls: null,
    };
  }

  private refuseRedis(): void {
    const redis = this.given.get("redis");
    if (this.boolean("redis") === true)
      this.problem(redis!.node, "redis", "Platypus speaks memcached's protocols only");
    const auth = this.given.get("redis_auth");
    if (auth !== undefined) this.problem(auth.node, "redis_auth", "is for Redis only");
  }

  private readPlacement(): PlacementConfig {
    const keyHash = this.choice("hash", keyHashNames) ?? defaults.hash;
    const type = this.choice("distribution", distributions) ?? defaults.distribution;
    const tag = this.given.get("hash_tag");
    if (tag !== undefined && Buffer.byteLength(tag.text) !== 2) {
      this.problem(tag.node, "hash_tag", `expected two characters, such as "{}", got ${JSON.stringify(tag.text)}`);
    }
    return type === "random" ? { type } : { type, keyHash, hashTag: tag?.text ?? "" };
  }

  /** `host:port`, any host if it is left out, or the path of a socket, permissions behind it. */
  private readListen(): Address[] {
    const given = this.given.get("listen");
    if (given === undefined) {
      this.problem(this.node, "listen", "is missing; expected host:port or the path of a socket");
      return [];
    }
    const { text, node } = given;
    if (text.startsWith("/")) {
      const [path = "", permissions] = text.split(/ +(?=[^ ]*$)/);
      if (permissions !== undefined) {
        this.file.warnings.push(`${this.name}.listen: the permissions ${permissions} have no effect; the umask has`);
      }
      return [{ type: "unix", path }];
    }
    const [, host, port = ""] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
    if (host === undefined || !isPort(port)) {
      this.problem(node, "listen", `expected host:port or the path of a socket, got ${JSON.stringify(text)}`);
      return [];
    }
    return [{ type: "tcp", isTls: false, host: host === "" ? "0.0.0.0" : host, port: Number(port) }];
  }

  private takeServers(key: Node, value: Node | null): Given[] {
    if (!isSeq(value)) {
      this.problem(key, "servers", "expected a list of servers");
      return [];
    }
    return value.items.flatMap((item, i) => {
      if (isScalar(item)) return [{ text: String(item.value), node: item }];
      this.problem(item as Node, `servers[${i}]`, "expected host:port:weight or /path:weight, and perhaps a name");
      return [];
    });
  }

  private readServers(): PoolServer[] {
    const servers: PoolServer[] = [];
    for (const [i, { text, node }] of this.servers.entries()) {
      const server = readServer(text);
      if (server === null) {
        const form = "host:port:weight or /path:weight, and perhaps a name";
        this.problem(node, `servers[${i}]`, `expected ${form}, got ${JSON.stringify(text)}`);
      } else if (servers.some(({ name }) => name === server.name)) {
        this.problem(node, `servers[${i}]`, `the name ${JSON.stringify(server.name)} is another server's`);
      } else {
        servers.push(server);
      }
    }
    if (this.servers.length === 0) this.problem(this.node, "servers", "expected at least one server");
    return servers;
  }

  private choice<const Choices extends readonly string[]>(name: string, choices: Choices): Choices[number] | undefined {
    const given = this.given.get(name);
    if (given === undefined || choices.includes(given.text)) return given?.text;
    const expected = choices.map((each) => `"${each}"`).join(" or ");
    this.problem(given.node, name, `expected ${expected}, got "${given.text}"${suggestion(given.text, choices)}`);
    return undefined;
  }

  private number(name: string, least: number): number | undefined {
    const given = this.given.get(name);
    if (given === undefined) return undefined;
    const value = /^\d{1,9}$/.test(given.text) ? Number(given.text) : -1;
    if (value >= least) return value;
    this.problem(given.node, name, `expected a whole number from ${least} on, got ${JSON.stringify(given.text)}`);
    return undefined;
  }

  private boolean(name: string): boolean | undefined {
    const given = this.given.get(name);
    if (given === undefined || given.text === "true" || given.text === "false") return given && given.text === "true";
    this.problem(given.node, name, `expected true or false, got ${JSON.stringify(given.text)}`);
    return undefined;
  }

  private problem(node: Node, name: string, message: string): void {
    this.file.add(node, `${this.name}.${name}`, message);
  }
}

function listenOf({ value }: Pair): Node | null {
  const listen = isMap(value) ? value.items.find(({ key }) => isScalar(key) && key.value === "listen") : undefined;
  return (listen?.value as Node | undefined) ?? null;
}

/** The name is what the server is placed by: twemproxy leaves port 11211 out, and ends a socket's path with a colon. */
function readServer(text: string): PoolServer | null {
  const [, where = "", weight = "", name] = /^(\S.*):(\d{1,9})(?: +(\S+))?$/.exec(text) ?? [];
  if (Number(weight) < 1) return null;
  if (where.startsWith("/")) {
    return { address: { type: "unix", path: where }, weight: Number(weight), name: name ?? `${where}:` };
  }
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(where) ?? [];
  if (host === "" || !isPort(port)) return null;
  const label = Number(port) === defaultPort ? host : `${host}:${port}`;
  return {
    address: { type: "tcp", isTls: false, host, port: Number(port) },
    weight: Number(weight),
    name: name ?? label,
  };
}

function isPort(text: string): boolean {
  return Number(text) >= 1 && Number(text) <= 65_535;
}
