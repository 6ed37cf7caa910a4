/**
 * The result of reading any configuration format. Field names contain units. All values are checked and complete: no
 * other file handles defaults or parses text.
 */

import type { LogConfig } from "../telemetry/log-config.ts";
import type { AccessConfig } from "./access-config.ts";
import type { Complete } from "./setting.ts";
import type { routeSettings, ruleSettings, serverSettings, targetSettings, telemetrySettings } from "./settings.ts";
import type { SourceConfig } from "./source-types.ts";

/** The complete configuration of a Platypus process. */
export interface Config {
  /** Absolute path of the configuration file; relative paths start from its folder. `null` if there is no file. */
  readonly file: string | null;
  /**
   * Other files of the configuration: certificates, secrets. A change of one of them is a change of the configuration.
   */
  readonly files: readonly string[];
  /** Values of references to the environment and to files. They are never shown. */
  readonly secrets: readonly string[];
  readonly server: ServerConfig;
  readonly telemetry: TelemetryConfig;
  readonly access: AccessConfig;
  /** Named pools in file order. Empty if the embedded store is used. Several pools require a route tree. */
  readonly pools: readonly PoolConfig[];
  /** `[[route]]` in file order: the first route that takes a key applies. `tree` is compiled from them. */
  readonly routes: readonly KeyRouteConfig[];
  /** `null` uses the only pool, or the embedded store. */
  readonly tree: TreeConfig | null;
  /** `null` if the configuration is not mcrouter's. */
  readonly mcrouter: McrouterConfig | null;
  /** Settings without effect, and the reason. For a mcrouter configuration, `mcrouter` has the warnings. */
  readonly warnings: readonly string[];
  /** In file order: the first matching rule applies. */
  readonly rules: readonly RuleConfig[];
  readonly sources: readonly SourceConfig[];
}

/** `[[route]]`: some keys, and their way to the servers. Exactly one of `pool` and `replicas` is set. */
export interface KeyRouteConfig extends Omit<Complete<typeof routeSettings>, "prefixes" | "replicas" | "failover"> {
  readonly prefixes: readonly string[];
  readonly replicas: readonly string[];
  readonly failover: readonly string[];
  /** Line of the file. `null` if there is no file. */
  readonly line: number | null;
}

/**
 * A node of the routing tree; `type` is its kind. Only that kind knows the other fields (`src/mcrouter/routes`). A node
 * in several places is one object and becomes one route, with one set of counters and limits.
 */
export interface RouteConfig {
  readonly type: string;
}

/** The routing tree of a configuration. */
export interface TreeConfig {
  /** Routes by routing prefix, "/region/cluster/"; at least one. */
  readonly routes: ReadonlyMap<string, RouteConfig>;
  /** The prefix of keys without a prefix. */
  readonly defaultPrefix: string;
}

/** An address to listen on or to connect to. `unix:` paths have no port. */
export type Address = TcpAddress | UnixAddress;

export interface TcpAddress {
  readonly type: "tcp";
  /** IPv6 hosts have no brackets. */
  readonly host: string;
  readonly port: number;
  /** For a listening address: clients use TLS. */
  readonly isTls: boolean;
}

interface UnixAddress {
  readonly type: "unix";
  readonly path: string;
}

/** A listening address, or an open listening socket that this process inherited. */
export type ListenAddress = Address | { readonly type: "fd"; readonly fd: number };

/** Addresses of the admin page and the metrics. */
export interface AdminConfig {
  readonly address: ListenAddress;
  /** True if the address is the default. If a default address is in use, Platypus runs without an admin server. */
  readonly isDefault: boolean;
}

/**
 * `[telemetry]` combined with the environment. `metricsUrl`, `tracesUrl` and `logsUrl`: OTLP/HTTP destinations; `null`
 * if they are off. `headers` are never logged or shown.
 */
export interface TelemetryConfig
  extends NonNullFields<Omit<Complete<typeof telemetrySettings>, "otlpEndpoint" | "sendsLogs">> {
  readonly metricsUrl: string | null;
  readonly tracesUrl: string | null;
  readonly logsUrl: string | null;
}

/** Settings whose default comes from another place. */
type NonNullFields<T> = { readonly [Key in keyof T]: NonNullable<T[Key]> };

/** Telemetry of configurations without telemetry settings. */
export const noTelemetry: TelemetryConfig = {
  metricsUrl: null,
  tracesUrl: null,
  logsUrl: null,
  headers: [],
  serviceName: "platypus",
  metricsIntervalMs: 60_000,
  sampledShare: 0,
  keys: "none",
  slowMs: 0,
  tracesErrors: false,
};

/** Settings of `[server]` that `ServerConfig` replaces. */
type ReplacedByServer =
  | "advertise"
  | "listen"
  | "admin"
  | "twemproxyStats"
  | "workers"
  | "tlsCert"
  | "tlsKey"
  | "tlsCa"
  | "logLevel"
  | "logForm";

/** `[server]`, and process settings that only other programs' options can set. */
export interface ServerConfig extends Omit<Complete<typeof serverSettings>, ReplacedByServer> {
  readonly listen: readonly ListenAddress[];
  /** Addresses for clients that discover servers. Empty if Platypus does not answer them. */
  readonly advertise: readonly TcpAddress[];
  /** `null` if there is no admin server. */
  readonly admin: AdminConfig | null;
  /** Address of twemproxy's statistics. `null` if it is off. */
  readonly twemproxyStats: Address | null;
  /** Number of processes that share the addresses. */
  readonly workers: number;
  /** Maximum number of connections that wait for accept. */
  readonly backlog: number;
  /**
   * For `tls:` addresses. `null` if there is no certificate. If `ca` is set, clients must have a certificate signed by
   * it.
   */
  readonly tls: TlsConfig | null;
  /** At `maxConnections`, true closes the client that was silent longest; false refuses the new client. */
  readonly evictsIdle: boolean;
  /** Maximum number of requests in flight per client. At the limit, Platypus stops reading from the client. */
  readonly maxOutstanding: number;
  /**
   * A client that reads no reply bytes for this time is closed. 0 disables the timeout; `clientOutputLimitBytes` still
   * applies.
   */
  readonly writeTimeoutMs: number;
  /** True if failures have mcrouter's texts. */
  readonly hasMcrouterWords: boolean;
  /** True if requests carry the IP address of their client, for routes that select by it. */
  readonly keepsClientAddress: boolean;
  readonly log: LogConfig;
}

/** Certificates as PEM text. `null` if not set. */
export interface TlsConfig {
  readonly cert: string | null;
  /** Never logged or shown. */
  readonly key: string | null;
  /** Trusted authorities. `null` uses the authorities built into Node. */
  readonly ca: string | null;
  /** Required name in a server's certificate. `null` uses the server's host. */
  readonly serverName: string | null;
  /** Absolute paths of the certificate files: a renewed certificate is a new configuration. */
  readonly files: readonly string[];
}

type PoolSettings = Complete<typeof targetSettings>;

type KeptPoolSettings = "connections" | "serverTimeoutMs" | "connectTimeoutMs" | "handoffMs" | "nearMs";

export interface PoolConfig extends Pick<PoolSettings, KeptPoolSettings> {
  readonly name: string;
  /** Empty only if `discovery` is set: no list is known yet. */
  readonly servers: readonly PoolServer[];
  /** `null` if the configuration lists the servers. Otherwise `servers` is used until a list is found. */
  readonly discovery: DiscoveryConfig | null;
  readonly placement: PlacementConfig;
  /** True if the configuration sets the placement; false for the default placement. */
  readonly isPlacementGiven: boolean;
  /** True if the keys of a dead server go to the other servers until it answers again. */
  readonly ejectsDeadServers: boolean;
  readonly health: HealthConfig;
  readonly socket: SocketConfig;
  /** True if servers get keys with their routing prefix. */
  readonly keepsRoutingPrefix: boolean;
  /** By server: the failure domain, 0 if it is unknown. `null` if all are unknown. */
  readonly failureDomains: readonly number[] | null;
  /** Addresses that serve only this pool. Empty if the pool uses the addresses of the server. */
  readonly listen: readonly ListenAddress[];
  /** `null` if the servers need no login. */
  readonly login: Login | null;
  /** `null` if the servers do not use TLS. */
  readonly tls: TlsConfig | null;
}

/** Where a list of servers is found. */
export type DiscoveryPlace =
  /** A configuration endpoint of ElastiCache or Memorystore. */
  | { readonly type: "elasticache"; readonly host: string; readonly port: number }
  /** SRV records. */
  | { readonly type: "srv"; readonly name: string }
  /** All addresses of a name. */
  | { readonly type: "dns"; readonly host: string; readonly port: number }
  /** A file with a server per line. The path is absolute. */
  | { readonly type: "file"; readonly path: string };

/** `discover` of a pool. */
export type DiscoveryConfig = DiscoveryPlace & {
  /** As in the configuration. */
  readonly text: string;
  readonly intervalMs: number;
  /** `IP:port`. `null` uses the DNS servers of the system. */
  readonly dnsServer: string | null;
};

/** Settings of the connections to a server. */
export interface SocketConfig {
  /** Number of retries after a connect timeout. */
  readonly connectRetries: number;
  /** Idle time before TCP keep-alive probes a connection. 0 disables probes. */
  readonly keepAliveMs: number;
  /** Connections without a request for one to two times this time are closed. 0 disables the timeout. */
  readonly idleMs: number;
}

/** When a server is marked dead, and when it is probed. */
export interface HealthConfig {
  /** Number of consecutive timeouts that mark a server soft TKO. `null` disables TKO. */
  readonly timeoutsUntilTko: number | null;
  /** True if a probe of a server that is up does not count as such a timeout. Absent: false. */
  readonly ignoresProbes?: boolean;
  /** Time until the first probe. The time grows with each probe, up to `lastProbeMs`. */
  readonly firstProbeMs: number;
  readonly lastProbeMs: number;
  /**
   * Once `upper` servers of the pool are TKO, no further servers are marked, until fewer than `lower` are TKO. `null`
   * if there is no limit.
   */
  readonly failOpen: { readonly upper: number; readonly lower: number } | null;
}

/** A name and a password. Neither is ever logged or shown. */
export interface Login {
  /** memcached's text authentication (`-Y`), or SASL over the binary protocol (`-S`, hosted memcached). */
  readonly kind: "text" | "sasl";
  readonly username: string;
  readonly password: string;
}

export interface PoolServer {
  readonly address: Address;
  /** Integer, at least 1: the server's share of the keys. */
  readonly weight: number;
  /** The name that placement uses instead of the address. `null` uses the address. */
  readonly name: string | null;
}

/** Placement of keys over the servers of a pool. */
export type PlacementConfig =
  | HashedPlacementConfig
  | RandomPlacementConfig
  | DalliPlacementConfig
  | IndexPlacementConfig;

/** Placement of twemproxy and libmemcached: a hash of the key, then a server for the hash. */
interface HashedPlacementConfig {
  readonly type: "ketama" | "modula";
  readonly keyHash: KeyHashName;
  /** Two characters that enclose the hashed part of a key. "" hashes whole keys. */
  readonly hashTag: string;
}

interface RandomPlacementConfig {
  readonly type: "random";
}

/** Placement of the Ruby client Dalli. */
interface DalliPlacementConfig {
  readonly type: "dalli";
}

/**
 * mcrouter's placements, by the index or the tag of a member. They hash the part of a key before `|#|`, followed by
 * `salt`.
 */
export type IndexPlacementConfig =
  | { readonly type: "ch3" | "crc32" | "const_shard"; readonly salt: string }
  /** Weights from 0 to 1. Members without a weight have 0.5. */
  | { readonly type: "weighted_ch3"; readonly salt: string; readonly weights: readonly number[] }
  /** The key's bucket, then a member by the number of the bucket. */
  | {
      readonly type: "bucketized";
      readonly salt: string;
      readonly weights: readonly number[];
      readonly buckets: BucketsConfig;
    }
  /** One tag per member. */
  | { readonly type: "rendezvous"; readonly salt: string; readonly tags: readonly string[] }
  /** One tag and one weight per member. */
  | {
      readonly type: "weighted_rendezvous";
      readonly salt: string;
      readonly tags: readonly string[];
      readonly weights: readonly number[];
    };

/** mcrouter's key buckets. */
export interface BucketsConfig {
  readonly total: number;
  /** Number of buckets for keys with each prefix. */
  readonly byPrefix: readonly (readonly [prefix: string, buckets: number])[];
}

/** twemproxy's names of key hashes. */
export const keyHashNames = [
  "one_at_a_time",
  "md5",
  "crc16",
  "crc32",
  "crc32a",
  "fnv1_64",
  "fnv1a_64",
  "fnv1_32",
  "fnv1a_32",
  "hsieh",
  "murmur",
  "jenkins",
] as const;
export type KeyHashName = (typeof keyHashNames)[number];

/** The part of a mcrouter configuration and its flags beside pools and tree. */
export interface McrouterConfig {
  readonly root: RootConfig;
  /** Options by mcrouter's internal names, in mcrouter's order, as `get __mcrouter__.options` shows them. */
  readonly options: ReadonlyMap<string, string>;
  readonly sources: McrouterSources;
  /** The configuration with expanded macros, as a JSON value. */
  readonly document: unknown;
  /** Global parameters of the macros, by name. */
  readonly globalParams: ReadonlyMap<string, string>;
  /** Service name in log lines, file names and stats. */
  readonly serviceName: string;
  /** Router name in file names: the first given port. */
  readonly routerName: string;
  /** Fields of async log lines of version 2. `null` for version 1. */
  readonly asyncLogVersion2: { readonly flavorName: string; readonly region: string } | null;
  /** Folder of the async log. `null` if failed deletes are not logged. */
  readonly asyncLogRoot: string | null;
  /** `null` if stats files are off. */
  readonly statsRoot: string | null;
  readonly statsIntervalMs: number;
  /** Folder of the last good configuration. `null` if it is not kept. */
  readonly dumpRoot: string | null;
  /** True if the configuration was read from `dumpRoot`, because its own files are invalid. */
  readonly isFromDump: boolean;
  /** Name prefixes of the pools with separate counters in the stats files. */
  readonly statsPools: readonly string[];
}

/** Behaviour of the root of mcrouter's tree. */
export interface RootConfig {
  /** `--send-invalid-route-to-default`. */
  readonly sendsInvalidToDefault: boolean;
  /** `--allow-only-gets`: other commands are answered with a miss or its equivalent. */
  readonly allowsOnlyGets: boolean;
  /** `--group-remote-errors`: clients see all server errors as one error. */
  readonly groupsRemoteErrors: boolean;
  /** `--disable-miss-on-get-errors`. */
  readonly showsGetErrors: boolean;
  /** `--disable-miss-on-arith-errors`. */
  readonly showsArithmeticErrors: boolean;
  /** Maximum number of requests in flight. Further requests wait. 0 means no limit. */
  readonly maxInflight: number;
  /** Maximum number of waiting requests. Further requests get a busy error. 0 means no limit. */
  readonly maxThrottled: number;
  /** Waiting requests get a busy error after this time. 0 disables the timeout. */
  readonly waitTimeoutMs: number;
}

/** Sources of a mcrouter configuration. Digests are MD5 of the original text in hexadecimal. */
interface McrouterSources {
  /** `null` if the configuration is on the command line. */
  readonly file: string | null;
  readonly digest: string;
  /** Digests of `@import` files, by path. */
  readonly imports: ReadonlyMap<string, string>;
  /** Digests of pools with `file:` names, by path. */
  readonly pools: ReadonlyMap<string, string>;
  /** Text of each file, by path. */
  readonly texts: ReadonlyMap<string, string>;
}

/** `[get.NAME]`: the keys that Platypus fills, their source and their times. `source` names an existing source. */
export interface RuleConfig extends Omit<Complete<typeof ruleSettings>, "keyEncoding" | "ttlMs"> {
  readonly name: string;
  readonly keyEncoding: ServerConfig["keyEncoding"];
  /** With `isSourceTtl`, the TTL if the source gives none. */
  readonly ttlMs: number;
  /** True if the source gives the TTL, between `minTtlMs` and `maxTtlMs`. */
  readonly isSourceTtl: boolean;
}

/** Reason why `near` has no effect in a configuration. `null` if it has an effect. */
export function nearObstacle({ server, pools, routes, mcrouter }: Config): string | null {
  if (server.mode === "sidecar") return 'clients of a sidecar (mode = "sidecar") write past it';
  if (pools.length === 0) return "the store of this process is in memory already";
  if (mcrouter !== null) return "keys of a mcrouter configuration may have routing prefixes";
  if (routes.some(({ stripPrefix }) => stripPrefix !== ""))
    return "with strip_prefix of a [[route]], an item has several keys";
  return pools.some(({ listen }) => listen.length > 0) ? "clients of a pool's own address write past it" : null;
}

/** Warnings about a valid configuration. */
export function warningsOf(config: Config): string[] {
  const { server, pools, rules, warnings: noEffect } = config;
  const warnings: string[] = [...noEffect];
  const obstacle = [...pools, ...rules].some(({ nearMs }) => nearMs > 0) ? nearObstacle(config) : null;
  if (obstacle !== null) warnings.push(`near has no effect: ${obstacle}`);
  for (const { name, servers, placement, isPlacementGiven, handoffMs, login } of pools) {
    const count = servers.length;
    if (count < 2) continue;
    if (server.mode === "sidecar" && !isPlacementGiven) {
      warnings.push(
        `a sidecar over ${count} servers places keys by ${placement.type}: that must be the caller's placement too (hash = "…" says which), or it fills servers that the caller does not ask`,
      );
    }
    if (handoffMs > 0 && (placement.type === "random" || login?.kind === "sasl")) {
      const reason = login?.kind === "sasl" ? 'auth = "sasl" has no leases' : 'hash = "random" has no server for a key';
      warnings.push(`pool ${name}: handoff has no effect: ${reason}`);
    }
    if (placement.type === "random") {
      warnings.push(`pool ${name}: hash = "random" finds what it stored only where all servers reach the same items`);
    }
  }
  return warnings;
}

/** An address as text: `host:port`, `[v6]:port`, `tls:host:port`, `unix:/path` or `fd:number`. */
export function addressText(address: ListenAddress): string {
  if (address.type === "fd") return `fd:${address.fd}`;
  if (address.type === "unix") return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.isTls ? "tls:" : ""}${host}:${address.port}`;
}
