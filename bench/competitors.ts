/**
 * Starts the competitors on free loopback ports: three memcached servers, and in front of them Platypus in several
 * configurations, as users run it, and other proxies. "direct" is the first memcached without a proxy. A competitor
 * starts when a workload first needs it, and again after `stopProxies`.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { accepting, BenchError, findProgram, freePorts, type ProcessGroup } from "./process-group.ts";

const host = "127.0.0.1";
const SERVER_COUNT = 3;
/** Number of addresses per server, so that pools of up to 102 servers need three processes. */
const ADDRESSES_PER_SERVER = 34;
const WORKERS = 2;
const platypus = resolve(import.meta.dirname, "../src/main.ts");
const tlsFolder = resolve(import.meta.dirname, "../test/support/tls");

/** A measured program that speaks memcached's protocol. */
export interface Competitor {
  readonly name: string;
  readonly host: string;
  /** 0 if `host` is the path of a Unix socket. */
  readonly port: number;
  readonly isTls: boolean;
  /** The process whose CPU and memory count, including its child processes. */
  readonly pid: number;
  /** The memcached servers behind it. Empty if there are none or if they are unknown. */
  readonly serverPids: readonly number[];
  /** Address of its `/metrics`. `null` if it has none. */
  readonly admin: string | null;
}

/** A running proxy named with `--proxy`. */
export interface ProxyAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
}

interface Server {
  readonly port: number;
  readonly pid: number;
}

/** The configuration of a Platypus: lines of its `[server]`, and the sections after it. */
interface Shape {
  readonly server?: string;
  readonly rest?: string;
  /** Number of addresses in the pool. Default: one per server. */
  readonly poolSize?: number;
  readonly isTls?: boolean;
  /** True if it listens on a Unix socket. */
  readonly isUnix?: boolean;
  /** Share of the traced requests. The spans go to a receiver that discards them. */
  readonly tracedShare?: number;
}

const FILL = `[get.fill]\nmatch = "(fill:.*)"\nsource = "echo"\nttl = "1h"\nexpiry = "1h"\n
[source.echo]\ntype = "echo"\ntemplate = "{1}"\nqueue = 100000\nconcurrency = 1000\n`;

const RULE = 'source = "echo"\nttl = "1h"\nexpiry = "1h"\n';
const OTHER_RULES = Array.from({ length: 19 }, (_, n) => `[get.other${n}]\nmatch = "other${n}:(.*)"\n${RULE}`);
const RULES = [...OTHER_RULES, `[get.bench]\nmatch = "bench:(.*)"\n${RULE}`, '[source.echo]\ntype = "echo"\n'];

const ROUTES = `${["session:", "cart:", "page/"].map((prefix) => `[[route]]\nprefix = "${prefix}"\npool = "target"\n`).join("")}
[[route]]\npool = "target"\n`;

/** By name in workloads. */
const shapes: Readonly<Record<string, Shape>> = {
  platypus: {},
  "platypus, 1 server": { poolSize: 1 },
  "platypus, 10 servers": { poolSize: 10 },
  "platypus, 30 servers": { poolSize: 30 },
  "platypus, 100 servers": { poolSize: 100 },
  "platypus, TLS": { isTls: true },
  "platypus, Unix socket": { isUnix: true },
  [`platypus, ${WORKERS} workers`]: { server: `workers = ${WORKERS}` },
  "platypus, filling": { rest: FILL },
  "platypus, near 1s": { rest: 'near = "1s"\n' },
  "platypus, 20 rules": { server: "pickup_rate = 1000000", rest: RULES.join("") },
  "platypus, 4 routes": { rest: ROUTES },
  "platypus, no telemetry": { server: 'admin = "off"', rest: '[telemetry]\nerrors = false\nslow = "0s"\n' },
  "platypus, traced 1 %": { tracedShare: 0.01 },
  "platypus, all traced": { tracedShare: 1 },
};

const SPARE_POOL = "PoolRoute|spare";
const MAIN_POOL = "PoolRoute|main";

/** By name: routes in mcrouter's JSON, over the pools "main" and "spare". */
const trees: Readonly<Record<string, unknown>> = {
  "mcrouter's file, one pool": MAIN_POOL,
  "mcrouter's file, three levels": {
    type: "OperationSelectorRoute",
    default_policy: { type: "FailoverRoute", children: [MAIN_POOL, SPARE_POOL] },
    operation_policies: { delete: { type: "AllSyncRoute", children: [MAIN_POOL, SPARE_POOL] } },
  },
  "mcrouter's file, all-sync": { type: "AllSyncRoute", children: [MAIN_POOL, SPARE_POOL] },
};

/** Takes part where there is a C compiler. */
const FLOOR = "floor";

/** Programs other than Platypus and twemproxy, by the environment variable with their path. */
export const givenPrograms: Readonly<Record<string, string>> = {
  mcrouter: "MCROUTER",
  "memcached's proxy": "MEMCACHED_PROXY",
};

export class Competitors {
  private readonly started = new Map<string, Promise<Competitor>>();
  private servers: Promise<Server[]> | null = null;
  /** Port of the receiver of spans. */
  private receiver: Promise<number> | null = null;

  private readonly group: ProcessGroup;
  private readonly folder: string;
  private readonly proxies: readonly ProxyAddress[];

  constructor(group: ProcessGroup, folder: string, proxies: readonly ProxyAddress[]) {
    this.group = group;
    this.folder = folder;
    this.proxies = proxies;
    requireOpenFiles("the benchmark", "self");
  }

  /** Available proxies for comparisons with peers: given by a variable, or running. */
  given(): string[] {
    const programs = Object.entries(givenPrograms).flatMap(([name, variable]) => (process.env[variable] ? [name] : []));
    const floor = findProgram("cc") === null ? [] : [FLOOR];
    return [...floor, ...programs, ...this.proxies.map(({ name }) => name)];
  }

  /** Starts the competitor unless it is running. Rejects with a BenchError that names missing programs. */
  get(name: string): Promise<Competitor> {
    let competitor = this.started.get(name);
    if (competitor === undefined) {
      competitor = this.start(name);
      this.started.set(name, competitor);
    }
    return competitor;
  }

  /** Stops the proxies that were started here; the servers keep their data. */
  async stopProxies(): Promise<void> {
    const running = await Promise.all(this.started.values());
    this.started.clear();
    const servers = new Set((await this.pool()).map(({ pid }) => pid));
    await Promise.all(running.filter(({ pid }) => !servers.has(pid)).map(({ pid }) => this.group.stopPid(pid)));
  }

  /** The memcached servers that all competitors share. */
  async pool(): Promise<readonly Server[]> {
    this.servers ??= startServers(this.group);
    return this.servers;
  }

  /** A Platypus with a given configuration. */
  async platypus(name: string, shape: Shape): Promise<Competitor> {
    const competitor = await this.startPlatypus(name, shape);
    await accepting(name, competitor.host, competitor.port);
    return competitor;
  }

  private async start(name: string): Promise<Competitor> {
    const competitor = await this.launch(name);
    await accepting(name, competitor.host, competitor.port);
    requireOpenFiles(name, competitor.pid);
    return competitor;
  }

  private async launch(name: string): Promise<Competitor> {
    const proxy = this.proxies.find((each) => each.name === name);
    if (proxy !== undefined) return { ...proxy, isTls: false, serverPids: [], admin: null };
    const shape = shapes[name];
    if (shape !== undefined) return this.startPlatypus(name, shape);
    if (trees[name] !== undefined) return this.startMcrouter(name, [process.execPath, platypus], trees[name]);
    switch (name) {
      case "twemproxy":
        return this.startTwemproxy(name, SERVER_COUNT);
      case "twemproxy, 100 servers":
        return this.startTwemproxy(name, 100);
      case "twemproxy, Unix socket":
        return this.startTwemproxy(name, SERVER_COUNT, join(this.folder, "twemproxy.sock"));
      case FLOOR:
        return this.startFloor();
      case "direct": {
        const [first] = await this.pool();
        return { name, host, port: first!.port, isTls: false, pid: first!.pid, serverPids: [], admin: null };
      }
      case "mcrouter":
        return this.startMcrouter(name, [given("MCROUTER")], MAIN_POOL);
      case "memcached's proxy":
        return this.startMemcachedProxy(given("MEMCACHED_PROXY"));
      default:
        throw new BenchError(`there is no competitor "${name}"`);
    }
  }

  private async startPlatypus(name: string, shape: Shape): Promise<Competitor> {
    if (!existsSync(platypus)) throw new BenchError(`${platypus} does not exist`);
    const servers = await this.pool();
    const { server = "", rest = "", poolSize = SERVER_COUNT, isTls = false, isUnix = false, tracedShare } = shape;
    const [port, adminPort] = await freePorts(2);
    const path = join(this.folder, "platypus.sock");
    const isSilent = server.includes("admin");
    const own = [
      "[server]",
      `listen = "${isUnix ? `unix:${path}` : `${isTls ? "tls:" : ""}${host}:${port}`}"`,
      ...(isSilent ? [] : [`admin = "${host}:${adminPort}"`]),
      ...(isTls ? [`tls_cert = "${tlsFolder}/server.pem"`, `tls_key = "${tlsFolder}/server.key"`] : []),
      server,
      "[target]",
      `servers = ${JSON.stringify(addressesOf(servers, poolSize))}`,
      rest,
      ...(tracedShare === undefined ? [] : await this.traced(tracedShare)),
    ];
    const config = this.write(`${name.replaceAll(/\W+/g, "-")}.toml`, own);
    const pid = this.group.start(name, process.execPath, [platypus, "--config", config]);
    const started = behind(name, port!, pid, servers, { isTls, admin: isSilent ? null : `${host}:${adminPort}` });
    return isUnix ? { ...started, host: path, port: 0 } : started;
  }

  private async traced(share: number): Promise<string[]> {
    this.receiver ??= new Promise((resolve) => {
      const server = createServer((request, response) => {
        request.resume().on("end", () => response.end());
      });
      server.unref().listen(0, host, () => resolve((server.address() as AddressInfo).port));
    });
    return ["[telemetry]", `otlp_endpoint = "http://${host}:${await this.receiver}"`, `traces_sample = ${share}`];
  }

  private async startMcrouter(name: string, command: readonly string[], route: unknown): Promise<Competitor> {
    const servers = await this.pool();
    const [port] = await freePorts(1);
    const pool = (address: string) => ({ servers: servers.map((server) => `${address}:${server.port}`) });
    const config = this.write(`${name.replaceAll(/\W+/g, "-")}.json`, [
      JSON.stringify({ pools: { main: pool("127.0.0.1"), spare: pool("127.0.0.2") }, route }),
    ]);
    const [program, ...args] = command;
    const options = ["--config", `file:${config}`, "-p", String(port), "--async-dir", this.folder];
    const stats = ["--stats-root", this.folder, "--num-proxies", "1"];
    const pid = this.group.start(name, program!, [...args, ...options, ...stats]);
    return behind(name, port!, pid, servers);
  }

  /** `path` of a Unix socket to listen on. "" listens on a port. */
  private async startTwemproxy(name: string, poolSize: number, path = ""): Promise<Competitor> {
    const nutcracker = program("nutcracker", "nutcracker");
    const servers = await this.pool();
    const [port, statsPort] = await freePorts(2);
    const file = name.replaceAll(/\W+/g, "-");
    const config = this.write(`${file}.yml`, [
      "bench:",
      `  listen: ${path === "" ? `${host}:${port}` : path}`,
      "  hash: md5",
      "  distribution: ketama",
      "  auto_eject_hosts: false",
      "  server_connections: 1",
      "  servers:",
      ...addressesOf(servers, poolSize).map((address) => `    - ${address}:1`),
    ]);
    const stats = `-a ${host} -s ${statsPort}`;
    const files = `-c ${config} -o ${join(this.folder, `${file}.log`)} -p ${join(this.folder, `${file}.pid`)}`;
    // Node raises its limit of open files itself, and so does memcached.
    const command = `ulimit -n $(ulimit -Hn); exec ${nutcracker} -m 16384 -v 0 ${stats} ${files}`;
    const pid = this.group.start(name, "/bin/sh", ["-c", command]);
    const started = behind(name, port!, pid, servers);
    return path === "" ? started : { ...started, host: path, port: 0 };
  }

  /** Compiles and starts floor.c, which shows how little a proxy can cost. */
  private async startFloor(): Promise<Competitor> {
    const servers = await this.pool();
    const [port] = await freePorts(1);
    const binary = join(this.folder, "floor");
    execFileSync("cc", ["-O2", "-o", binary, join(import.meta.dirname, "floor.c")]);
    const pid = this.group.start(FLOOR, binary, [port, ...servers.map((server) => server.port)].map(String));
    return behind(FLOOR, port!, pid, servers);
  }

  /** Requires a memcached built with `--enable-proxy`; memcached/doc, "proxy". */
  private async startMemcachedProxy(path: string): Promise<Competitor> {
    const servers = await this.pool();
    const [port] = await freePorts(1);
    const backends = servers.map((server, i) => `mcp.backend("b${i}", "${host}", ${server.port})`);
    const config = this.write("memcached-proxy.lua", [
      "function mcp_config_pools()",
      `  return mcp.pool({ ${backends.join(", ")} })`,
      "end",
      "function mcp_config_routes(pool)",
      // Up to 1.6.22, the route calls a pool; later versions use a function generator.
      "  if not mcp.funcgen_new then",
      "    return mcp.attach(mcp.CMD_ANY_STORAGE, function(r) return pool(r) end)",
      "  end",
      "  local generator = mcp.funcgen_new()",
      "  local handle = generator:new_handle(pool)",
      "  generator:ready({ n = 'bench', f = function(context)",
      "    return function(r) return context:enqueue_and_wait(r, handle) end",
      "  end })",
      "  mcp.attach(mcp.CMD_ANY_STORAGE, generator)",
      "end",
    ]);
    const options = ["-t", "1", "-m", "64", "-c", "8192", "-l", host, "-p", String(port), "-U", "0"];
    const pid = this.group.start("memcached's proxy", path, [...asRoot(), ...options, "-o", `proxy_config=${config}`]);
    return behind("memcached's proxy", port!, pid, servers);
  }

  private write(name: string, lines: readonly string[]): string {
    const path = join(this.folder, name);
    writeFileSync(path, `${lines.join("\n")}\n`);
    return path;
  }
}

async function startServers(group: ProcessGroup): Promise<Server[]> {
  const memcached = program("memcached", "memcached");
  const ports = await freePorts(SERVER_COUNT);
  const addresses = Array.from({ length: ADDRESSES_PER_SERVER }, (_, i) => `127.0.0.${1 + i}`).join(",");
  const servers = ports.map((port, i) => {
    const sizes = ["-t", "1", "-m", "512", "-c", "8192"];
    const args = [...asRoot(), ...sizes, "-l", addresses, "-p", String(port), "-U", "0"];
    return { port, pid: group.start(`memcached ${i + 1}`, memcached, args) };
  });
  await Promise.all(servers.map((server) => accepting("memcached", host, server.port)));
  return servers;
}

/** `count` different addresses, of the servers in turn. */
function addressesOf(servers: readonly Server[], count: number): string[] {
  return Array.from({ length: count }, (_, i) => {
    return `127.0.0.${1 + Math.floor(i / SERVER_COUNT)}:${servers[i % SERVER_COUNT]!.port}`;
  });
}

function behind(
  name: string,
  port: number,
  pid: number,
  servers: readonly Server[],
  { isTls = false, admin = null as string | null } = {},
): Competitor {
  return { name, host, port, isTls, pid, serverPids: servers.map((server) => server.pid), admin };
}

function asRoot(): string[] {
  return process.getuid?.() === 0 ? ["-u", "root"] : [];
}

function given(variable: string): string {
  const path = process.env[variable];
  if (path === undefined || !existsSync(path)) throw new BenchError(`${variable}: there is no file "${path ?? ""}"`);
  return path;
}

function program(name: string, aptPackage: string): string {
  const path = findProgram(name);
  if (path === null) throw new BenchError(`${name} is not installed: apt-get install ${aptPackage}`);
  return path;
}

/** Thousands of clients need more than the 1,024 open files that many shells allow. `process` is a pid or "self". */
function requireOpenFiles(name: string, process: number | "self"): void {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${process}/limits`, "latin1"))?.[1];
  if (limit !== undefined && Number(limit) < 8_192) {
    throw new BenchError(`${name} may open only ${limit} files: raise the hard limit first, for example to 16384`);
  }
}
