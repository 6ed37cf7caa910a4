/**
 * twemproxy's YAML (nutcracker.yml) → Config: pools by name, each with a separate address.
 *
 *     alpha:
 *       listen: 127.0.0.1:22121
 *       hash: fnv1a_64
 *       servers:
 *        - 10.0.0.1:11211:1 name
 *
 * As in twemproxy, each value is text: `0x10` is not a number. Source: twemproxy src/nc_conf.c, as facts.
 */

import { resolve } from "node:path";
import { isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument, type Scalar } from "yaml";
import { ConfigError } from "../../errors.ts";
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
import { valueOfText } from "../layers.ts";
import { type Found, type Place, Problems, readSection, type Section } from "../section.ts";
import {
  boolean,
  choice,
  integer,
  list,
  type Setting,
  type Settings,
  type SettingType,
  text,
  type Values,
} from "../setting.ts";

/** Probes of servers whose keys have no other server: frequent. */
const probes = { firstProbeMs: 250, lastProbeMs: 5_000 } as const;
const TIMEOUTS_UNTIL_TKO = 3;

/** Maximum number in a directive. Node's timers support at most 2^31 - 1 ms. */
const MAX_NUMBER = 999_999_999;

const directives = {
  listen: { type: text, default: null, meaning: "Where clients of the pool connect." },
  hash: { field: "keyHash", type: choice(...keyHashNames), default: "fnv1a_64", meaning: "Hash of the key." },
  hash_tag: { type: text, default: "", meaning: "Two characters; only what stands between them in a key is hashed." },
  distribution: { type: choice("ketama", "modula", "random"), default: "ketama", meaning: "How keys are placed." },
  timeout: {
    field: "timeoutMs",
    type: integer(0, MAX_NUMBER),
    // twemproxy's default has no limit. Clients that ask for other keys of the server would wait without a limit too.
    default: 5_000,
    meaning: "Maximum time to connect, and to wait for a reply (ms).",
  },
  backlog: idle(integer(0, MAX_NUMBER), "connections wait in a queue of 4096"),
  client_connections: idle(integer(0, MAX_NUMBER), "twemproxy has none for it either"),
  redis: { type: boolean, default: false, meaning: "Servers speak Redis' protocol, which is refused." },
  redis_auth: { type: text, default: null, meaning: "Password for Redis, which is refused." },
  redis_db: idle(integer(0, MAX_NUMBER), "it is Redis'"),
  tcpkeepalive: idle(boolean, "a server that is gone is found by time-outs"),
  reuseport: idle(boolean, "the address belongs to this process alone"),
  preconnect: idle(boolean, "servers are connected to when they are first needed"),
  auto_eject_hosts: { field: "ejects", type: boolean, default: false, meaning: "Keys of a dead server go to others." },
  server_connections: { type: integer(1, MAX_NUMBER), default: 1, meaning: "Connections to each server." },
  server_retry_timeout: {
    field: "retryMs",
    type: integer(0, MAX_NUMBER),
    default: 30_000,
    meaning: "Time until an ejected server is tried again (ms).",
  },
  server_failure_limit: { type: integer(0, MAX_NUMBER), default: 2, meaning: "Failures in a row that eject a server." },
  servers: { type: list, default: [], meaning: "Servers as host:port:weight or /path:weight, and perhaps a name." },
} as const satisfies Settings;

function idle<T extends SettingType>(type: T, noEffect: string) {
  return { type, default: null, meaning: "Has no effect.", noEffect } as const;
}

export interface TwemproxyInput {
  /** The path as the user wrote it, for messages. */
  readonly file: string;
  readonly text: string;
  /** Settings of the process except its addresses: twemproxy's file has none of them. */
  readonly server: ServerConfig;
}

/** Reads and checks the file. Throws a `ConfigError` with all problems, or only with the syntax errors. */
export function parseTwemproxy({ file, text: given, server }: TwemproxyInput): Config {
  const lines = new LineCounter();
  // With the failsafe schema, all scalars stay text.
  const document = parseDocument(given, { schema: "failsafe", lineCounter: lines, prettyErrors: false });
  if (document.errors.length > 0) {
    const problems = document.errors.map(({ pos, message }) => ({ file, line: lines.linePos(pos[0]).line, message }));
    throw new ConfigError(problems);
  }
  const problems = new Problems();
  const pools = new FileReader(file, lines, problems).readPools(document.contents);
  problems.end();
  return {
    file: resolve(file),
    files: [],
    secrets: [],
    server: { ...server, listen: [] },
    telemetry: noTelemetry,
    access: openAccess,
    pools,
    routes: [],
    tree: null,
    mcrouter: null,
    warnings: problems.warnings,
    rules: [],
    sources: [],
  };
}

class FileReader {
  private readonly file: string;
  private readonly lines: LineCounter;
  private readonly problems: Problems;

  constructor(file: string, lines: LineCounter, problems: Problems) {
    this.file = file;
    this.lines = lines;
    this.problems = problems;
  }

  readPools(contents: Node | null): PoolConfig[] {
    if (!isMap(contents) || contents.items.length === 0) {
      this.problems.add(this.placeOf(contents, ""), "expected pools by name");
      return [];
    }
    const sections = contents.items.map((pair) => this.sectionOf(pair));
    const pools = sections.map((section) => readPool(section, this.problems));
    const listens = pools.map(({ listen }) => listen[0]);
    for (const [i, { found }] of sections.entries()) {
      const listen = listens[i];
      if (listen === undefined) continue;
      const { place } = found.get("listen")!;
      const other = listens.findIndex((each) => each !== undefined && addressText(each) === addressText(listen));
      if (other < i) this.problems.add(place, `${addressText(listen)} is pool ${pools[other]!.name}'s`);
      const own = pools[i]!.servers.find(({ address }) => reachesListener(address, listen));
      if (own !== undefined)
        this.problems.add(place, `${addressText(own.address)} is a server of this pool; a pool cannot listen there`);
    }
    return pools;
  }

  /** The directives of a pool. Values in the wrong form are reported and left out. */
  private sectionOf({ key, value }: Pair): Section {
    const found = new Map<string, Found>();
    // With correct syntax, a key of a map is a node.
    const place = this.placeOf(key as Node, isScalar(key) ? String(key.value) : "");
    if (!isMap(value)) this.problems.add(place, "expected a pool: listen, servers and what else it has");
    for (const pair of isMap(value) ? value.items : []) {
      const name = isScalar(pair.key) ? String(pair.key.value) : "";
      const given = this.foundOf(name, pair, `${place.path}.${name}`);
      if (given !== null) found.set(name, given);
    }
    return { place, found };
  }

  private foundOf(name: string, { key, value }: Pair, path: string): Found | null {
    const keyPlace = this.placeOf(key as Node, path);
    const row = rowOf(name);
    // The reader of directives reports unknown names.
    if (row === undefined) return { value: null, place: keyPlace, entry: () => keyPlace };
    if (name === "servers") return this.listOf(value as Node | null, keyPlace);
    if (!isScalar(value)) {
      const hint = name === "hash_tag" ? '; braces stand in quotes: "{}"' : "";
      this.problems.add(keyPlace, `expected a single value${hint}`);
      return null;
    }
    const written = String(value.value);
    const place = this.placeOf(value, path);
    return { value: valueOfText(row.type, written), place, got: JSON.stringify(written), entry: () => place };
  }

  private listOf(value: Node | null, place: Place): Found | null {
    if (!isSeq(value)) {
      this.problems.add(place, "expected a list of servers");
      return null;
    }
    const placeOf = (index: number) => this.placeOf(value.items[index] as Node, `${place.path}[${index}]`);
    const indexes = value.items.flatMap((item, i) => {
      if (isScalar(item)) return [i];
      this.problems.add(placeOf(i), `expected ${serverForm}`);
      return [];
    });
    const texts = indexes.map((i) => String((value.items[i] as Scalar).value));
    return { value: texts, place, entry: (index) => placeOf(indexes[Number(index)]!) };
  }

  private placeOf(node: Node | null, path: string): Place {
    const line = node?.range == null ? 1 : this.lines.linePos(node.range[0]).line;
    return { file: this.file, line, path };
  }
}

function rowOf(name: string): Setting | undefined {
  return Object.hasOwn(directives, name) ? directives[name as keyof typeof directives] : undefined;
}

function readPool(section: Section, problems: Problems): PoolConfig {
  const values = readSection(section, directives, problems);
  const { ejects } = values;
  // In twemproxy, 0 means: no timeout; an ejected server is retried immediately; the first failure ejects.
  const timeoutMs = values.timeoutMs === 0 ? directives.timeout.default : values.timeoutMs;
  const retryMs = Math.max(1, values.retryMs);
  const serverFailureLimit = Math.max(1, values.serverFailureLimit);
  if (values.redis) problems.add(section.found.get("redis")!.place, "Platypus speaks memcached's protocols only");
  if (values.redisAuth !== null) problems.add(section.found.get("redis_auth")!.place, "is for Redis only");
  return {
    name: section.place.path,
    servers: readServers(section, values.servers, problems),
    placement: readPlacement(section, values, problems),
    isPlacementGiven: true,
    ejectsDeadServers: ejects,
    connections: values.serverConnections,
    serverTimeoutMs: timeoutMs,
    connectTimeoutMs: timeoutMs,
    health: ejects
      ? { timeoutsUntilTko: serverFailureLimit, firstProbeMs: retryMs, lastProbeMs: retryMs, failOpen: null }
      : { timeoutsUntilTko: TIMEOUTS_UNTIL_TKO, ...probes, failOpen: null },
    socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
    keepsRoutingPrefix: false,
    failureDomains: null,
    listen: readListen(section, values.listen, problems),
    login: null,
    tls: null,
    discovery: null,
    handoffMs: 0,
    nearMs: 0,
  };
}

function readPlacement(
  section: Section,
  { keyHash, distribution: type, hashTag }: Values<typeof directives>,
  problems: Problems,
): PlacementConfig {
  const found = section.found.get("hash_tag");
  if (found !== undefined && Buffer.byteLength(hashTag) !== 2) {
    problems.add(found.place, `expected two characters, such as "{}", got ${JSON.stringify(hashTag)}`);
  }
  return type === "random" ? { type } : { type, keyHash, hashTag };
}

/** `host:port` (without a host: all interfaces), or the path of a socket, optionally followed by its permissions. */
function readListen(section: Section, given: string | null, problems: Problems): Address[] {
  if (given === null) {
    const place = { ...section.place, path: `${section.place.path}.listen` };
    problems.add(place, "is missing; expected host:port or the path of a socket");
    return [];
  }
  const { place } = section.found.get("listen")!;
  if (given.startsWith("/")) {
    const [path = "", permissions] = given.split(/ +(?=[^ ]*$)/);
    if (permissions !== undefined) {
      problems.warn(place, `has permissions, ${permissions}, that have no effect: the umask counts`);
    }
    return [{ type: "unix", path }];
  }
  const [, host, port = ""] = /^(.*):(\d{1,5})$/.exec(given) ?? [];
  if (host === undefined || !isPort(port)) {
    problems.add(place, `expected host:port or the path of a socket, got ${JSON.stringify(given)}`);
    return [];
  }
  return [{ type: "tcp", isTls: false, host: host === "" ? "0.0.0.0" : host, port: Number(port) }];
}

const serverForm = "host:port:weight or /path:weight, and perhaps a name";

function readServers(section: Section, texts: readonly string[], problems: Problems): PoolServer[] {
  const servers: PoolServer[] = [];
  for (const [i, given] of texts.entries()) {
    const place = section.found.get("servers")!.entry(i);
    const server = readServer(given);
    if (server === null) {
      problems.add(place, `expected ${serverForm}, got ${JSON.stringify(given)}`);
    } else if (servers.some(({ name }) => name === server.name)) {
      problems.add(place, `the name ${JSON.stringify(server.name)} is another server's`);
    } else {
      servers.push(server);
    }
  }
  if (texts.length === 0) {
    problems.add({ ...section.place, path: `${section.place.path}.servers` }, "expected at least one server");
  }
  return servers;
}

/**
 * Placement uses the name. As in twemproxy, the default name omits port 11211, and a socket's path ends with a colon.
 */
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
