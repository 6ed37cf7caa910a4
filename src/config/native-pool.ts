/** Addresses in a native configuration: listening addresses, and the servers of a pool. */

import { defaultPort, parseAddress, reachesListener } from "./address.ts";
import {
  addressText,
  type ListenAddress,
  type Login,
  type PoolConfig,
  type PoolServer,
  type TcpAddress,
} from "./config.ts";
import type { FilesRead } from "./files-read.ts";
import { readDiscovery } from "./native-discovery.ts";
import { readPlacement } from "./native-placement.ts";
import { type Place, type Problems, readSection, type Section } from "./section.ts";
import { poolSettings, targetSettings } from "./settings.ts";
import { readPoolTls } from "./tls.ts";

const maxWeight = 1_000_000;

/** Addresses of `[server] listen`. Invalid addresses are reported and left out. */
export function readListen(
  section: Section,
  texts: readonly string[],
  folder: string,
  problems: Problems,
): ListenAddress[] {
  return readAddresses(section, "listen", texts, folder, problems);
}

/** Reads the listening addresses in setting `key`. */
export function readAddresses(
  section: Section,
  key: string,
  texts: readonly string[],
  folder: string,
  problems: Problems,
): ListenAddress[] {
  const found = section.found.get(key);
  const listen: ListenAddress[] = [];
  for (const [index, text] of texts.entries()) {
    const place = entryPlace(section, key, index);
    const fd = /^fd:(\d{1,4})$/.exec(text)?.[1];
    const port = /^:?(\d{1,5})$/.exec(text)?.[1];
    if (port !== undefined) {
      const forms = `"127.0.0.1:${port}" for this machine, "0.0.0.0:${port}" for all addresses`;
      problems.add(place, `${JSON.stringify(text)} has no host; use ${forms}`);
      continue;
    }
    const address = fd === undefined ? parseAddress(text, folder) : ({ type: "fd", fd: Number(fd) } as const);
    if (address === null) {
      problems.add(
        place,
        `expected host:port, [ipv6]:port, tls:host:port, unix:PATH or fd:NUMBER, got ${JSON.stringify(text)}`,
      );
    } else if (!isFreePort(address) && listen.some((other) => identityOf(other) === identityOf(address))) {
      problems.add(place, `${addressText(address)} is listed twice`);
    } else {
      listen.push(address);
    }
  }
  if (texts.length === 0 && (found !== undefined || key === "listen")) {
    problems.add(found?.place ?? section.place, "expected at least one address");
  }
  return listen;
}

/** Addresses of `[server] advertise`: clients connect to them by TCP. */
export function readAdvertised(
  section: Section,
  texts: readonly string[],
  folder: string,
  problems: Problems,
): TcpAddress[] {
  return texts.flatMap((text, index) => {
    const address = parseAddress(text, folder);
    if (address?.type === "tcp" && !address.isTls && address.port > 0) return [address];
    problems.add(entryPlace(section, "advertise", index), `expected host:port, got ${JSON.stringify(text)}`);
    return [];
  });
}

/** Input for a pool from the rest of the configuration. */
export interface PoolContext {
  readonly isTarget: boolean;
  /** This process's listening addresses, which are not allowed as servers. */
  readonly listen: readonly ListenAddress[];
  readonly folder: string;
  readonly reads: FilesRead;
}

/** Reads `[target]` or `[pool.NAME]`. */
export function readPool(name: string, section: Section, context: PoolContext, problems: Problems): PoolConfig {
  const values = readSection(section, context.isTarget ? targetSettings : poolSettings, problems);
  if (values.tls && values.auth === "sasl") {
    problems.add(section.found.get("tls")?.place ?? section.place, 'TLS and auth = "sasl" do not go together');
  }
  const discovery = readDiscovery(section, values, context.folder, problems);
  const servers = readServers(section, values, context, problems);
  return {
    name,
    servers,
    discovery,
    handoffMs: values.handoffMs,
    nearMs: values.nearMs,
    placement: readPlacement(section, values, servers, problems),
    isPlacementGiven: section.found.has("hash"),
    ejectsDeadServers: false,
    connections: values.connections,
    serverTimeoutMs: values.serverTimeoutMs,
    connectTimeoutMs: values.connectTimeoutMs,
    health: { timeoutsUntilTko: values.timeoutsUntilTko, ...nativeProbes, failOpen: null },
    socket: { connectRetries: 0, keepAliveMs: 0, idleMs: 0 },
    keepsRoutingPrefix: false,
    failureDomains: null,
    listen: [],
    login: readLogin(section, values, problems),
    tls: readPoolTls(section, values, context, problems),
  };
}

/** mcrouter waits 10 s before it probes a restarted server. A pool of one application needs shorter times. */
const nativeProbes = { firstProbeMs: 250, lastProbeMs: 5_000 } as const;

interface LoginValues {
  readonly auth: "text" | "sasl";
  readonly username: string | null;
  readonly password: string | null;
}

/** Reads `username` and `password`; each requires the other. No message contains them. */
function readLogin(section: Section, values: LoginValues, problems: Problems): Login | null {
  const { auth, username, password } = values;
  if (username === null && password === null) {
    const found = section.found.get("auth");
    if (found !== undefined) problems.add(found.place, "has no use without username and password");
    return null;
  }
  if (username === null || password === null) {
    const [given, missing] = username === null ? ["password", "username"] : ["username", "password"];
    problems.add(section.found.get(given)?.place ?? section.place, `stands without ${missing}`);
    return null;
  }
  for (const [key, word] of [
    ["username", username],
    ["password", password],
  ] as const) {
    const [isGood, expected] =
      auth === "text"
        ? [/^[!-~]+$/.test(word), "expected characters without spaces, from ASCII"]
        : [word !== "" && !word.includes("\0"), "expected text without NUL"];
    if (!isGood) problems.add(section.found.get(key)?.place ?? section.place, expected);
  }
  return { kind: auth, username, password };
}

interface ServerValues {
  readonly servers: readonly string[] | null;
  readonly discover: string | null;
  readonly host: string | null;
  readonly port: number;
}

function readServers(section: Section, values: ServerValues, context: PoolContext, problems: Problems): PoolServer[] {
  const listed = listedServers(section, values, problems);
  const servers: PoolServer[] = [];
  const addresses = new Set<string>();
  const names = new Set<string>();
  for (const { text, place } of listed) {
    const server = readServer(text, context.folder, place, problems);
    if (server === null) continue;
    const { address } = server;
    if (context.listen.some((listen) => reachesListener(address, listen))) {
      problems.add(place, `${addressText(address)} is one of Platypus' own [server] listen addresses`);
    }
    const identity = identityOf(address);
    if (addresses.has(identity)) {
      problems.add(place, `${addressText(address)} is listed twice; give it a weight instead`);
    }
    if (server.name !== null && names.has(server.name)) {
      problems.add(place, `the name ${JSON.stringify(server.name)} is another server's`);
    }
    servers.push(server);
    addresses.add(identity);
    if (server.name !== null) names.add(server.name);
  }
  return servers;
}

/** The servers of `servers`, or the one server of `host` and `port`. */
function listedServers(section: Section, values: ServerValues, problems: Problems): { text: string; place: Place }[] {
  const { servers, host, port } = values;
  const portFound = section.found.get("port");
  if (servers !== null) {
    for (const key of ["host", "port"]) {
      const found = section.found.get(key);
      if (found !== undefined) problems.add(found.place, "says the same as servers; keep one of them");
    }
    if (servers.length === 0) problems.add(section.found.get("servers")!.place, "expected at least one server");
    return servers.map((text, index) => ({ text, place: entryPlace(section, "servers", index) }));
  }
  if (host !== null) {
    const text = host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
    return [{ text, place: section.found.get("host")?.place ?? section.place }];
  }
  const isReported = section.found.has("servers") || section.found.has("host") || section.found.has("discover");
  if (portFound !== undefined) problems.add(portFound.place, "stands without host");
  else if (!isReported)
    problems.add(section.place, `no servers; expected servers = ["host:${defaultPort}"] or host and port`);
  return [];
}

function readServer(text: string, folder: string, place: Place, problems: Problems): PoolServer | null {
  const server = parseServer(text, folder);
  if (typeof server !== "string") return server;
  problems.add(place, server);
  return null;
}

/** Reads `host:port weight name`. Returns what is wrong if the text is not a server. */
export function parseServer(text: string, folder: string): PoolServer | string {
  const [, where = "", weightText = "1", name = null] = /^(\S+)(?:\s+(\S+)(?:\s+(\S+))?)?$/.exec(text) ?? [];
  const address = parseAddress(where, folder);
  if (address === null || (address.type === "tcp" && (address.port === 0 || address.isTls))) {
    const forms = '"host:port", "host:port weight", "host:port weight name" or "unix:PATH weight"';
    return `expected ${forms}, got ${JSON.stringify(text)}`;
  }
  const weight = /^\d{1,7}$/.test(weightText) ? Number(weightText) : 0;
  if (weight < 1 || weight > maxWeight) {
    return `expected a weight from 1 to ${maxWeight}, got ${JSON.stringify(weightText)}`;
  }
  return { address, weight, name };
}

/** Position of an entry: its line in a list, or the line of the key for a single string. */
function entryPlace(section: Section, key: string, index: number): Place {
  const found = section.found.get(key);
  if (found === undefined) return section.place;
  return Array.isArray(found.value) ? found.entry(index) : found.place;
}

/** A text that is equal for equal addresses. */
export function identityOf(address: ListenAddress): string {
  return addressText(address).toLowerCase();
}

/** True for port 0. Each port 0 takes a different free port, so two such addresses differ. */
export function isFreePort(address: ListenAddress): boolean {
  return address.type === "tcp" && address.port === 0;
}
