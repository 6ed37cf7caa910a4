/**
 * Starts what is compared, on loopback and free ports: three memcached servers, and in front of the same three servers
 * Platypus, as its users run it, and twemproxy. "direct" is the first memcached with nothing in front of it.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ProxyAddress } from "./options.ts";
import { accepting, BenchError, findProgram, freePorts, type ProcessGroup } from "./process-group.ts";

const host = "127.0.0.1";
const serverCount = 3;
const main = resolve(import.meta.dirname, "../src/main.ts");

/** Something that speaks memcached's text protocol and is measured. */
export interface Competitor {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The processes whose CPU and memory count. */
  readonly pids: readonly number[];
  /** The memcached servers behind it; empty if there are none or they are not known. */
  readonly serverPids: readonly number[];
  /** False for the yardsticks, twemproxy and direct. */
  readonly hasGoals: boolean;
}

export interface Server {
  readonly port: number;
  readonly pid: number;
}

/** Starts the competitors of those names and the servers they need; `proxies` are running already. */
export async function startCompetitors(
  group: ProcessGroup,
  folder: string,
  names: readonly string[],
  proxies: readonly ProxyAddress[],
): Promise<Competitor[]> {
  requireOpenFiles("the benchmark", "self");
  const competitors: Competitor[] = proxies.map((proxy) => ({
    name: proxy.name,
    host: proxy.host,
    port: proxy.port,
    pids: [proxy.pid],
    serverPids: [],
    hasGoals: true,
  }));
  if (names.length > 0) {
    const twemproxy = names.includes("twemproxy") ? program("nutcracker", "nutcracker") : "";
    if (names.includes("platypus") && !existsSync(main)) throw new BenchError(`${main} does not exist`);
    const servers = await startServers(group);
    const started = names.map((name): Promise<Competitor> => {
      if (name === "platypus") return startPlatypus(group, folder, servers);
      if (name === "twemproxy") return startTwemproxy(group, twemproxy, folder, servers);
      return Promise.resolve(direct(servers));
    });
    competitors.unshift(...(await Promise.all(started)));
  }
  await Promise.all(competitors.map((competitor) => accepting(competitor.name, competitor.host, competitor.port)));
  for (const { name, pids } of competitors) for (const pid of pids) requireOpenFiles(name, pid);
  return competitors;
}

export async function startServers(group: ProcessGroup): Promise<Server[]> {
  const memcached = program("memcached", "memcached");
  const user = process.getuid?.() === 0 ? ["-u", "root"] : [];
  const ports = await freePorts(serverCount);
  const servers = ports.map((port, i) => {
    const sizes = ["-t", "1", "-m", "64", "-c", "2048"];
    const args = [...user, ...sizes, "-l", host, "-p", String(port), "-U", "0"];
    return { port, pid: group.start(`memcached ${i + 1}`, memcached, args) };
  });
  await Promise.all(servers.map((server) => accepting("memcached", host, server.port)));
  return servers;
}

/** `server` and `rest` are added to its configuration: lines of [server], and further sections. */
export async function startPlatypus(
  group: ProcessGroup,
  folder: string,
  servers: readonly Server[],
  { name = "platypus", server = "", rest = "" } = {},
): Promise<Competitor> {
  const [port] = await freePorts(1);
  const addresses = servers.map((each) => `"${host}:${each.port}"`).join(", ");
  const config = join(folder, `${name.replaceAll(/\W+/g, "-")}.toml`);
  const own = `[server]\nlisten = "${host}:${port}"\n${server}\n`;
  writeFileSync(config, `${own}\n[target]\nservers = [${addresses}]\n${rest}`);
  const pid = group.start(name, process.execPath, [main, "--config", config]);
  return behind(name, port!, pid, servers, true);
}

async function startTwemproxy(
  group: ProcessGroup,
  command: string,
  folder: string,
  servers: readonly Server[],
): Promise<Competitor> {
  const [port, statsPort] = await freePorts(2);
  const config = join(folder, "twemproxy.yml");
  const lines = [
    "bench:",
    `  listen: ${host}:${port}`,
    "  hash: md5",
    "  distribution: ketama",
    "  auto_eject_hosts: false",
    "  server_connections: 1",
    "  servers:",
    ...servers.map((server) => `    - ${host}:${server.port}:1`),
  ];
  writeFileSync(config, `${lines.join("\n")}\n`);
  const stats = ["-a", host, "-s", String(statsPort)];
  const files = ["-c", config, "-o", join(folder, "twemproxy.log"), "-p", join(folder, "twemproxy.pid")];
  const pid = group.start("twemproxy", command, ["-m", "16384", "-v", "0", ...stats, ...files]);
  return behind("twemproxy", port!, pid, servers, false);
}

function behind(name: string, port: number, pid: number, servers: readonly Server[], hasGoals: boolean): Competitor {
  return { name, host, port, pids: [pid], serverPids: servers.map((server) => server.pid), hasGoals };
}

function direct(servers: readonly Server[]): Competitor {
  const first = servers[0]!;
  return { name: "direct", host, port: first.port, pids: [first.pid], serverPids: [], hasGoals: false };
}

function program(name: string, aptPackage: string): string {
  const path = findProgram(name);
  if (path === null) throw new BenchError(`${name} is not installed: apt-get install ${aptPackage}`);
  return path;
}

/** A thousand clients need more than the 1,024 open files many shells allow. `process` is a pid or "self". */
function requireOpenFiles(name: string, process: number | "self"): void {
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync(`/proc/${process}/limits`, "latin1"))?.[1];
  if (limit !== undefined && Number(limit) < 2048) {
    throw new BenchError(`${name} may open only ${limit} files: run \`ulimit -n 4096\` in its shell first`);
  }
}
