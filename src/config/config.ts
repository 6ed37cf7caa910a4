/**
 * The one shape every configuration format becomes. Units stand in the names; everything here is checked and complete,
 * so that no other file has to look at a default or at text again.
 */

import type { LogConfig } from "../telemetry/log-config.ts";
import type { AccessConfig } from "./access-config.ts";
import type { Complete } from "./setting.ts";
import type { ruleSettings, serverSettings, targetSettings, telemetrySettings } from "./settings.ts";
import type { SourceConfig } from "./source-types.ts";

/** Everything one Platypus process runs with. */
export interface Config {
  /** Absolute path of the file it was read from; relative paths in it are taken from that file's folder. Null: no file. */
  readonly file: string | null;
  /** Files besides that it was made of: certificates, secrets. One that changes makes another configuration. */
  readonly files: readonly string[];
  /** What references to the environment and to files were replaced by: shown to nobody. */
  readonly secrets: readonly string[];
  readonly server: ServerConfig;
  readonly telemetry: TelemetryConfig;
  readonly access: AccessConfig;
  /** Named pools in file order. Empty: the embedded store serves. More than one needs a route tree to choose. */
  readonly pools: readonly PoolConfig[];
  /** Null: the only pool, or the embedded store. */
  readonly tree: TreeConfig | null;
  /** Null: the configuration is not mcrouter's. */
  readonly mcrouter: McrouterConfig | null;
  /** What the file says that has no effect, and why; of a mcrouter configuration `mcrouter` has it. */
  readonly warnings: readonly string[];
  /** In file order: the first match wins. */
  readonly rules: readonly RuleConfig[];
  readonly sources: readonly SourceConfig[];
}

/**
 * A node of the routing tree; `type` says which kind. What else it has is known to that kind alone (`src/mcrouter/routes`). A
 * node that is used in several places is one object, and becomes one route: what it counts and limits is counted over all.
 */
export interface RouteConfig {
  readonly type: string;
}

/** A configuration's routing tree. */
export interface TreeConfig {
  /** By routing prefix, "/region/cluster/"; one at least. */
  readonly routes: ReadonlyMap<string, RouteConfig>;
  /** The one of keys without a prefix. */
  readonly defaultPrefix: string;
}

/** An address to listen on or to connect to. `unix:` paths have no port. */
export type Address = TcpAddress | UnixAddress;

interface TcpAddress {
  readonly type: "tcp";
  /** IPv6 hosts without brackets. */
  readonly host: string;
  readonly port: number;
  /** Of an address to listen on: clients speak TLS. */
  readonly isTls: boolean;
}

interface UnixAddress {
  readonly type: "unix";
  readonly path: string;
}

/** Where to listen: an address, or a socket that listens already and was handed over by whoever started this process. */
export type ListenAddress = Address | { readonly type: "fd"; readonly fd: number };

/** Where the admin page and the metrics are. */
export interface AdminConfig {
  readonly address: ListenAddress;
  /** Nobody asked for this address: where it is taken Platypus runs without. */
  readonly isDefault: boolean;
}

/**
 * `[telemetry]` over the environment. `metricsUrl` and `tracesUrl`: where metrics and traces go, by OTLP/HTTP; `null` if they
 * go nowhere. `headers` are never logged or shown.
 */
export interface TelemetryConfig extends NonNullFields<Omit<Complete<typeof telemetrySettings>, "otlpEndpoint">> {
  readonly metricsUrl: string | null;
  readonly tracesUrl: string | null;
}

/** Settings whose default comes from elsewhere. */
type NonNullFields<T> = { readonly [Key in keyof T]: NonNullable<T[Key]> };

/** Of configurations that say nothing of it. */
export const noTelemetry: TelemetryConfig = {
  metricsUrl: null,
  tracesUrl: null,
  headers: [],
  serviceName: "platypus",
  metricsIntervalMs: 60_000,
  sampledShare: 0,
  keys: "none",
  slowMs: 0,
  tracesErrors: false,
};

/** Settings of `[server]` that become others. */
type ReplacedByServer = "listen" | "admin" | "workers" | "tlsCert" | "tlsKey" | "tlsCa" | "logLevel" | "logForm";

/** `[server]`, and what only the options of other programs can say of a process. */
export interface ServerConfig extends Omit<Complete<typeof serverSettings>, ReplacedByServer> {
  readonly listen: readonly ListenAddress[];
  /** Null: no admin server. */
  readonly admin: AdminConfig | null;
  /** Processes that share the addresses. */
  readonly workers: number;
  /** Connections that may wait to be accepted. */
  readonly backlog: number;
  /** For `tls:` addresses; null: there is none. Clients must have a certificate by `ca` where that is given. */
  readonly tls: TlsConfig | null;
  /** At `maxConnections` the client that was silent longest makes room, instead of the new one being refused. */
  readonly evictsIdle: boolean;
  /** Requests of one client under way at which no more of it are read. */
  readonly maxOutstanding: number;
  /** A client that takes nothing of its replies for so long is cut off; 0: only by `clientOutputLimitBytes`. */
  readonly writeTimeoutMs: number;
  /** Failures are answered in mcrouter's words. */
  readonly hasMcrouterWords: boolean;
  readonly log: LogConfig;
}

/** Certificates as PEM text; null where there is none. */
export interface TlsConfig {
  readonly cert: string | null;
  /** Never logged or shown. */
  readonly key: string | null;
  /** Whom to trust; null: the authorities that Node knows. */
  readonly ca: string | null;
  /** Name a server's certificate must have; null: its host. */
  readonly serverName: string | null;
  /** Where all that was read, absolute paths: a renewed certificate is a new configuration. */
  readonly files: readonly string[];
}

type PoolSettings = Complete<typeof targetSettings>;

export interface PoolConfig extends Pick<PoolSettings, "connections" | "serverTimeoutMs" | "connectTimeoutMs"> {
  readonly name: string;
  readonly servers: readonly PoolServer[];
  readonly placement: PlacementConfig;
  /** The configuration names its placement; else it is the default one. */
  readonly isPlacementGiven: boolean;
  /** Keys of a server that is being left alone go to the others until it answers again. */
  readonly ejectsDeadServers: boolean;
  readonly health: HealthConfig;
  readonly socket: SocketConfig;
  /** Servers get keys with the routing prefix that stood before them. */
  readonly keepsRoutingPrefix: boolean;
  /** Addresses on which this pool alone is served; none: those of the server. */
  readonly listen: readonly ListenAddress[];
  /** Null: the servers ask for none. */
  readonly login: Login | null;
  /** Null: the servers are spoken to without TLS. */
  readonly tls: TlsConfig | null;
}

/** Of the connections to a server. */
export interface SocketConfig {
  /** Times a connection that is not there within the time-out is tried again. */
  readonly connectRetries: number;
  /** Of TCP keep-alive: the pause after which a silent connection is probed; 0: never. */
  readonly keepAliveMs: number;
  /** A connection that nothing was sent on for one to two times this is closed; 0: never. */
  readonly idleMs: number;
}

/** When a server is left alone, and looked at again. */
export interface HealthConfig {
  /** This many time-outs in a row mark a server soft TKO; null: servers are never left alone. */
  readonly timeoutsUntilTko: number | null;
  /** Before the first probe; each further one comes later, up to `lastProbeMs`. */
  readonly firstProbeMs: number;
  readonly lastProbeMs: number;
  /** With `upper` servers of the pool TKO no more are left alone, until there are fewer than `lower`; null: any number. */
  readonly failOpen: { readonly upper: number; readonly lower: number } | null;
}

/** A name and a password, neither of which is ever logged or shown. */
export interface Login {
  /** memcached's text authentication (`-Y`), or SASL over the binary protocol (`-S`, hosted memcached). */
  readonly kind: "text" | "sasl";
  readonly username: string;
  readonly password: string;
}

export interface PoolServer {
  readonly address: Address;
  /** Whole number, 1 and more: its share of the keys. */
  readonly weight: number;
  /** Under which it is placed instead of its address; null: none. */
  readonly name: string | null;
}

/** How keys are placed over the servers of a pool. */
export type PlacementConfig =
  | HashedPlacementConfig
  | RandomPlacementConfig
  | DalliPlacementConfig
  | IndexPlacementConfig;

/** twemproxy's and libmemcached's: a hash of the key, then a server for the hash. */
interface HashedPlacementConfig {
  readonly type: "ketama" | "modula";
  readonly keyHash: KeyHashName;
  /** Two characters between which the part of a key stands that is hashed; "": keys are hashed whole. */
  readonly hashTag: string;
}

interface RandomPlacementConfig {
  readonly type: "random";
}

/** As the Ruby client Dalli places. */
interface DalliPlacementConfig {
  readonly type: "dalli";
}

/** mcrouter's: over the index of a member, or its tag. The part of a key before `|#|` is hashed, with `salt` behind it. */
export type IndexPlacementConfig =
  | { readonly type: "ch3" | "crc32" | "const_shard"; readonly salt: string }
  /** From 0 to 1; members beyond them have 0.5. */
  | { readonly type: "weighted_ch3"; readonly salt: string; readonly weights: readonly number[] }
  /** A bucket of the key, then a member for the number of the bucket. */
  | {
      readonly type: "bucketized";
      readonly salt: string;
      readonly weights: readonly number[];
      readonly buckets: BucketsConfig;
    }
  /** A tag for each member. */
  | { readonly type: "rendezvous"; readonly salt: string; readonly tags: readonly string[] }
  /** A tag and a weight for each. */
  | {
      readonly type: "weighted_rendezvous";
      readonly salt: string;
      readonly tags: readonly string[];
      readonly weights: readonly number[];
    };

/** mcrouter's buckets of keys. */
export interface BucketsConfig {
  readonly total: number;
  /** Keys with such a prefix lie in so many of the buckets. */
  readonly byPrefix: readonly (readonly [prefix: string, buckets: number])[];
}

/** twemproxy's names for hashes of keys. */
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

/** What a mcrouter configuration and its flags decide beside pools and tree. */
export interface McrouterConfig {
  readonly root: RootConfig;
  /** Options by mcrouter's internal names, in their order, as `get __mcrouter__.options` shows them. */
  readonly options: ReadonlyMap<string, string>;
  readonly sources: McrouterSources;
  /** The configuration with its macros expanded: a JSON value. */
  readonly document: unknown;
  /** What macros were given, by name. */
  readonly globalParams: ReadonlyMap<string, string>;
  /** Of log lines, file names and stats. */
  readonly serviceName: string;
  /** Of file names: the port that was given first. */
  readonly routerName: string;
  /** What lines of the second version of the async log have; `null` if they are of the first. */
  readonly asyncLogVersion2: { readonly flavorName: string; readonly region: string } | null;
  /** Where failed deletes are kept; null: they are not. */
  readonly asyncLogRoot: string | null;
  /** Null: no stats files are written. */
  readonly statsRoot: string | null;
  readonly statsIntervalMs: number;
  /** Where the last good configuration is kept; null: nowhere. */
  readonly dumpRoot: string | null;
  /** It was read from there, because its own files cannot be used. */
  readonly isFromDump: boolean;
  /** Pools with counters of their own in the stats files, by the beginning of their names. */
  readonly statsPools: readonly string[];
}

/** How the root of mcrouter's tree behaves. */
export interface RootConfig {
  /** `--send-invalid-route-to-default`. */
  readonly sendsInvalidToDefault: boolean;
  /** `--allow-only-gets`: everything else is answered as if there were nothing. */
  readonly allowsOnlyGets: boolean;
  /** `--group-remote-errors`: clients see every error of a server as one. */
  readonly groupsRemoteErrors: boolean;
  /** `--disable-miss-on-get-errors`. */
  readonly showsGetErrors: boolean;
  /** `--disable-miss-on-arith-errors`. */
  readonly showsArithmeticErrors: boolean;
  /** Requests under way at once; further ones wait. 0: any number. */
  readonly maxInflight: number;
  /** Requests that wait at most; the others are told that it is busy. 0: any number. */
  readonly maxThrottled: number;
  /** A request that waited so long is told that it is busy; 0: it waits on. */
  readonly waitTimeoutMs: number;
}

/** What a mcrouter configuration was read from; digests are MD5 of the text as it was, in hexadecimal. */
interface McrouterSources {
  /** Null: it was given on the command line. */
  readonly file: string | null;
  readonly digest: string;
  /** By path: what `@import` read. */
  readonly imports: ReadonlyMap<string, string>;
  /** By path: pools of `file:` names. */
  readonly pools: ReadonlyMap<string, string>;
  /** By path: the text of every file. */
  readonly texts: ReadonlyMap<string, string>;
}

/** `[get.NAME]`: which keys Platypus fills, from where, and for how long. `source` is the name of a source that exists. */
export interface RuleConfig extends Omit<Complete<typeof ruleSettings>, "keyEncoding" | "ttlMs"> {
  readonly name: string;
  readonly keyEncoding: ServerConfig["keyEncoding"];
  /** With `isSourceTtl` what holds where the source says nothing of it. */
  readonly ttlMs: number;
  /** The source's own word on freshness counts, between `minTtlMs` and `maxTtlMs`. */
  readonly isSourceTtl: boolean;
}

/** What a user should know of a configuration that is right as such. */
export function warningsOf({ server, pools, warnings: noEffect }: Config): string[] {
  const warnings: string[] = [...noEffect];
  for (const { name, servers, placement, isPlacementGiven } of pools) {
    const count = servers.length;
    if (count < 2) continue;
    if (server.mode === "sidecar" && !isPlacementGiven) {
      warnings.push(
        `a sidecar over ${count} servers places keys by ${placement.type}: that must be the caller's placement too (hash = "…" says which), or it fills where nobody looks`,
      );
    }
    if (placement.type === "random") {
      warnings.push(`pool ${name}: hash = "random" finds what it stored only where all servers reach the same items`);
    }
  }
  return warnings;
}

/** An address as people write it: `host:port`, `[v6]:port`, `tls:host:port`, `unix:/path` or `fd:number`. */
export function addressText(address: ListenAddress): string {
  if (address.type === "fd") return `fd:${address.fd}`;
  if (address.type === "unix") return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.isTls ? "tls:" : ""}${host}:${address.port}`;
}
