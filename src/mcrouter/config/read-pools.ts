/**
 * `pools` of a mcrouter configuration, inline pools, and pools in separate files. As in mcrouter, a pool is read when a
 * route first names it; a pool that no route names may be invalid.
 *
 * Source: mcrouter PoolFactory.cpp, McRouteHandleProvider-inl.h, lib/network/AccessPoint.cpp, as facts.
 */
import path from "node:path";
import { parseAddress } from "../../config/address.ts";
import {
  type Address,
  addressText,
  type PoolConfig,
  type PoolServer,
  type RouteConfig,
  type SocketConfig,
  type TlsConfig,
} from "../../config/config.ts";
import { suggestion } from "../../config/nearest-name.ts";
import type { Problems } from "../../config/section.ts";
import { spooky32 } from "../../proxy/hash/spooky.ts";
import type { OutstandingLimitRouteConfig } from "../routes/outstanding-limit-route.ts";
import type { DestinationConfig } from "../routes/pool-handle.ts";
import { Fields, numberOf, type Spot } from "./fields.ts";
import { describeJson, type Json, type JsonObject } from "./json-value.ts";
import { nothing } from "./route-input.ts";

/** mcrouter options that apply to pools. */
export interface PoolOptions {
  readonly serverTimeoutMs: number;
  readonly socket: SocketConfig;
  /** Maximum number of requests in flight to one server. 0 means no limit. */
  readonly maxInflight: number;
  /** Maximum number of requests that wait for that limit. */
  readonly maxPending: number;
  readonly timeoutsUntilTko: number;
  readonly isTkoDisabled: boolean;
  readonly firstProbeMs: number;
  readonly lastProbeMs: number;
  /** Timeouts for pools in this region and cluster, in this region only, and elsewhere. 0 keeps the pool's timeout. */
  readonly withinClusterTimeoutMs: number;
  readonly crossClusterTimeoutMs: number;
  readonly crossRegionTimeoutMs: number;
  /** Region of the default route. */
  readonly region: string;
  readonly cluster: string;
  /** For servers with TLS. `null` if no certificates are given. */
  readonly tls: TlsConfig | null;
}

/** A pool, and the routes to its servers. */
export interface ReadPool {
  readonly name: string;
  readonly fields: Fields;
  readonly config: PoolConfig;
  /** One for each entry of `servers`: a server of `config`, or the route that replaces it. */
  readonly destinations: readonly RouteConfig[];
  readonly isErrorOnEmpty: boolean;
  /** True if the destinations are exactly the pool's servers, without routes in front of them. */
  readonly isPlain: boolean;
}

/** Reads a route in the place of a server. */
export type ReadRoute = (spot: Spot) => RouteConfig;

/** Keys of a pool that are valid and have no effect in Platypus. */
const idleKeys = [
  "type",
  "enable_compression",
  "qos",
  "hostnames",
  "disable_request_deadline_check",
  "additional_fanout",
  "services",
  "service_id_override",
  "pool_locality",
  "security_mech_within_dc",
  "port_override_within_dc",
  "security_mech_cross_dc",
  "port_override_cross_dc",
  "name",
] as const;

const MAX_TIMEOUT_MS = 1_000_000;

/** The pools of one configuration. */
export class PoolReader {
  /** Pools in the order in which routes name them. */
  readonly configs: PoolConfig[] = [];
  private readonly declared: ReadonlyMap<string, Json>;
  private readonly files: ReadonlyMap<string, JsonObject>;
  private readonly options: PoolOptions;
  private readonly problems: Problems;
  private readonly warn: (spot: Spot, message: string) => void;
  private readonly read = new Map<string, ReadPool>();

  /** `declared` is the document's `pools`; `files` holds the pools of `file:` names, by name. */
  constructor(
    declared: ReadonlyMap<string, Json>,
    files: ReadonlyMap<string, JsonObject>,
    options: PoolOptions,
    problems: Problems,
    warn: (spot: Spot, message: string) => void,
  ) {
    this.declared = declared;
    this.files = files;
    this.options = options;
    this.problems = problems;
    this.warn = warn;
  }

  /** Records the current state. The result is a function that restores it. */
  mark(): () => void {
    const [configs, read] = [[...this.configs], new Map(this.read)];
    return () => {
      this.configs.splice(0, this.configs.length, ...configs);
      this.read.clear();
      for (const [name, pool] of read) this.read.set(name, pool);
    };
  }

  /** The pool that `spot` names or is. `null` if a problem was reported. */
  pool(spot: Spot, readRoute: ReadRoute): ReadPool | null {
    const { json } = spot;
    if (json.type === "string") {
      const known = this.read.get(json.value);
      if (known !== undefined) return known;
      const found = this.named(json.value, spot);
      return found === null ? null : this.readPool(json.value, found, readRoute);
    }
    if (json.type !== "object") {
      this.complain(spot, `expected a pool's name or a pool, got ${describeJson(json)}`);
      return null;
    }
    const name = json.members.get("name");
    if (name?.type !== "string") {
      this.complain(spot, 'a pool that stands where it is used needs a "name"');
      return null;
    }
    // The first definition of a name counts.
    const known = this.read.get(name.value);
    if (known !== undefined) return known;
    const declared = this.declared.get(name.value);
    const object =
      declared?.type === "object" ? { json: declared, path: `pools.${name.value}` } : { json, path: spot.path };
    return this.readPool(name.value, object, readRoute);
  }

  private named(name: string, spot: Spot): { json: JsonObject; path: string } | null {
    const json = this.files.get(name) ?? this.declared.get(name);
    if (json === undefined) {
      this.complain(spot, `no pool ${JSON.stringify(name)}${suggestion(name, this.declared.keys())}`);
      return null;
    }
    const at = { json, path: `pools.${name}` };
    if (json.type === "object") return { json, path: at.path };
    this.complain(at, `expected an object, got ${describeJson(json)}`);
    return null;
  }

  private readPool(
    name: string,
    { json, path: at }: { json: JsonObject; path: string },
    readRoute: ReadRoute,
  ): ReadPool {
    const fields = new Fields(this.inherited(json, at, new Set([name])), at, this.problems);
    const entries = fields.need("servers") === null ? [] : (fields.array("servers")?.items ?? []);
    const shared = this.sharedServerSettings(fields);
    const servers: PoolServer[] = [];
    const domains: number[] = [];
    const domainOf = this.failureDomains(fields, entries.length);
    let isTls: boolean | null = null;
    const destinations = entries.map((entry, index): RouteConfig => {
      const spot = { json: entry, path: `${at}.servers[${index}]` };
      if (entry.type === "object") return readRoute(spot);
      const server = this.readServer(spot, shared);
      if (server === null) return nothing;
      if (isTls !== null && isTls !== server.isTls) {
        this.complain(spot, "expected the same security as the servers before it; make two pools of them");
      }
      isTls = server.isTls;
      servers.push({ address: server.address, weight: 1, name: null });
      domains.push(domainOf?.(index) ?? 0);
      const destination: DestinationConfig = { type: "destination", pool: name, index: servers.length - 1 };
      return this.limited(destination, server.address);
    });
    const config = this.poolConfig(name, fields, servers, domainOf === null ? null : domains, isTls ?? false);
    const isErrorOnEmpty = fields.boolean("error_on_empty", true);
    const isPlain = destinations.every(({ type }) => type === "destination");
    const pool = { name, fields, config, destinations, isErrorOnEmpty, isPlain };
    // Mark as read: a route's hash starts from these.
    for (const key of ["weights", "tags"]) fields.has(key);
    for (const key of idleKeys) {
      const spot = fields.get(key);
      if (spot !== null && key !== "name" && key !== "type") this.warn(spot, "has no effect in Platypus");
    }
    for (const spot of fields.unread()) this.warn(spot, "is not known and has no effect");
    if (servers.length > 0) this.configs.push(config);
    this.read.set(name, pool);
    return pool;
  }

  /** A server with its limit of requests in flight. */
  private limited(target: RouteConfig, address: Address): RouteConfig {
    const { maxInflight, maxPending } = this.options;
    if (maxInflight === 0) return target;
    const message = `Max pending requests (${maxPending}) reached for destination "${addressText(address)}".`;
    const limit = { maxOutstanding: maxInflight, maxWaiting: maxPending, message };
    const node: OutstandingLimitRouteConfig = { type: "outstanding-limit", target, ...limit };
    return node;
  }

  /** Index of an entry of `servers` → its failure domain. `null` if the pool has none. */
  private failureDomains(fields: Fields, count: number): ((index: number) => number) | null {
    const list = fields.array("failure_domains");
    if (list === null) return null;
    if (list.items.length !== count) {
      fields.complain(`failure_domains has ${list.items.length} entries for ${count} servers`);
    }
    return (index) => domainNumber(list.items[index]);
  }

  private poolConfig(
    name: string,
    fields: Fields,
    servers: readonly PoolServer[],
    failureDomains: readonly number[] | null,
    isTls: boolean,
  ): PoolConfig {
    const { options } = this;
    const own = fields.integer("server_timeout", null, 1, MAX_TIMEOUT_MS);
    const serverTimeoutMs = own ?? options.serverTimeoutMs;
    const connectTimeoutMs = fields.integer("connect_timeout", serverTimeoutMs, 1, MAX_TIMEOUT_MS)!;
    if (isTls && options.tls === null) {
      fields.complain("speaks TLS; give --pem-cert-path, --pem-key-path or --pem-ca-path");
    }
    return {
      name,
      servers,
      placement: { type: "ch3", salt: "" },
      isPlacementGiven: true,
      connections: 1,
      serverTimeoutMs: this.localTimeout(fields) ?? serverTimeoutMs,
      connectTimeoutMs,
      health: {
        timeoutsUntilTko: options.isTkoDisabled ? null : options.timeoutsUntilTko,
        ignoresProbes: true,
        firstProbeMs: options.firstProbeMs,
        lastProbeMs: options.lastProbeMs,
        failOpen: this.failOpen(fields, servers.length),
      },
      socket: options.socket,
      ejectsDeadServers: false,
      keepsRoutingPrefix: fields.boolean("keep_routing_prefix", false),
      failureDomains,
      listen: [],
      login: null,
      discovery: null,
      handoffMs: 0,
      nearMs: 0,
      tls: isTls ? options.tls : null,
    };
  }

  /** The timeout for the pool's distance. `null` if none is set. */
  private localTimeout(fields: Fields): number | null {
    const region = fields.string("region");
    const cluster = fields.string("cluster");
    if (region === null || cluster === null) return null;
    const { options } = this;
    const timeoutMs =
      region !== options.region
        ? options.crossRegionTimeoutMs
        : cluster !== options.cluster
          ? options.crossClusterTimeoutMs
          : options.withinClusterTimeoutMs;
    return timeoutMs === 0 ? null : timeoutMs;
  }

  private failOpen(fields: Fields, count: number): PoolConfig["health"]["failOpen"] {
    const tracker = fields.nested("tko_tracker");
    if (tracker === null) return null;
    const threshold = (end: "upper" | "lower") => {
      const number = tracker.integer(`num_tko_threshold_${end}`, null, 0, 1_000_000);
      const percent = tracker.integer(`percent_tko_threshold_${end}`, null, 0, 100);
      return number ?? Math.floor(((percent ?? 0) * count) / 100);
    };
    const upper = threshold("upper");
    const lower = threshold("lower");
    if (upper > 0 && lower > 0 && lower <= upper) return { upper, lower };
    tracker.complain(`expected thresholds over 0, the upper not below the lower; got ${upper} and ${lower}`);
    return null;
  }

  /** The pool's keys, followed by the keys of the pools that it inherits from. */
  private inherited(object: JsonObject, at: string, seen: ReadonlySet<string>): JsonObject {
    const parent = object.members.get("inherit");
    if (parent === undefined) return object;
    const spot = { json: parent, path: `${at}.inherit` };
    const without = (json: JsonObject): JsonObject => {
      const members = new Map(json.members);
      members.delete("inherit");
      return { ...json, members };
    };
    if (parent.type !== "string") {
      this.complain(spot, `expected a pool's name, got ${describeJson(parent)}`);
      return without(object);
    }
    if (seen.has(parent.value)) {
      this.complain(spot, `pools inherit from each other in a circle: ${[...seen, parent.value].join(" → ")}`);
      return without(object);
    }
    const found = this.named(parent.value, spot);
    if (found === null) return without(object);
    const base = this.inherited(found.json, found.path, new Set([...seen, parent.value]));
    return { ...object, members: new Map([...base.members, ...without(object).members]) };
  }

  private sharedServerSettings(fields: Fields): ServerSettings {
    const mechanism = fields.string("security_mech");
    const isSslUsed = fields.boolean("use_ssl", false);
    this.checkProtocol(fields.get("protocol"));
    return {
      portOverride: fields.integer("port_override", null, 1, 65535),
      isTls: mechanism === null ? isSslUsed : this.isTls(mechanism, fields.get("security_mech")!),
    };
  }

  private checkProtocol(spot: Spot | null): void {
    if (spot === null) return;
    if (spot.json.type === "string" && spot.json.value.toLowerCase() === "ascii") return;
    this.complain(
      spot,
      `expected "ascii": Platypus speaks memcached's text protocol to servers, got ${describeJson(spot.json)}`,
    );
  }

  private isTls(mechanism: string, spot: Spot): boolean {
    if (mechanism === "plain") return false;
    if (mechanism === "ssl") return true;
    this.complain(spot, `expected security "plain" or "ssl", got ${JSON.stringify(mechanism)}`);
    return false;
  }

  /** `host:port[:protocol[:security[:compressed|notcompressed]]]`, `[v6]:port…` or `unix:/path`. */
  private readServer(spot: Spot, shared: ServerSettings): { address: Address; isTls: boolean } | null {
    const { json } = spot;
    const form = 'expected "host:port", "[v6]:port" or "unix:/path"';
    if (json.type !== "string") {
      this.complain(spot, `${form}, got ${describeJson(json)}`);
      return null;
    }
    const text = json.value;
    const unix = /^unix:([^:]+)(?::(.*))?$/.exec(text);
    const tcp = /^(\[[^\]]*\]|[^:[\]]+)(?::(\d+)(?::(.*))?)?$/.exec(text);
    const rest = (unix === null ? tcp?.[3] : unix[2]) ?? "";
    const [protocol = "", security = ""] = rest.split(":");
    if (protocol !== "" && protocol.toLowerCase() !== "ascii") {
      this.complain(spot, `expected the protocol "ascii", got ${JSON.stringify(protocol)}`);
    }
    const isTls = security === "" ? shared.isTls : this.isTls(security, spot);
    if (unix !== null) return { address: { type: "unix", path: path.resolve(unix[1]!) }, isTls };
    const [, host = "", portText = ""] = tcp ?? [];
    const port = shared.portOverride ?? Number(portText);
    // A name may be in brackets. Port 0 is valid, but no server answers there.
    const bare = /^\[(.*)\]$/.exec(host)?.[1] ?? host;
    const isAddress = bare !== "" && (portText !== "" || shared.portOverride !== null) && port <= 65535;
    const address = isAddress ? parseAddress(`${bare.includes(":") ? `[${bare}]` : bare}:${port}`, "/") : null;
    if (address === null) {
      this.complain(spot, `${form}, got ${JSON.stringify(text)}`);
      return null;
    }
    return { address, isTls };
  }

  private complain(spot: Spot, message: string): void {
    this.problems.add({ ...spot.json.place, path: spot.path }, message);
  }
}

/** A failure domain given by its number or its name. 0 if it is neither. */
function domainNumber(json: Json | undefined): number {
  if (json?.type === "string") {
    const name = Buffer.from(json.value);
    return spooky32(name, 0, name.length, 0);
  }
  const number = json === undefined ? null : numberOf(json);
  return number !== null && Number.isInteger(number) ? number >>> 0 : 0;
}

interface ServerSettings {
  readonly portOverride: number | null;
  readonly isTls: boolean;
}
