/**
 * The table of native settings, one row per setting. It is the only place with their types, bounds, defaults and
 * meanings, and the source of reading and checks (section.ts), environment names, error messages and
 * docs/configuration.md.
 */

import { keyHashNames, type PlacementConfig } from "./config.ts";
import {
  boolean,
  choice,
  duration,
  integer,
  list,
  number,
  type Setting,
  type Settings,
  size,
  text,
  texts,
} from "./setting.ts";

/** Types of sources and pools for AWS Secrets Manager; the two names are equivalent. */
export const awsTypes = ["awssm", "aws_secrets_manager"] as const;

const keyEncoding = choice("plain", "rails");

/** `[server]` */
export const serverSettings = {
  listen: {
    type: list,
    default: "127.0.0.1:11211",
    meaning:
      "Addresses that clients connect to: one or several of `host:port`, `[ipv6]:port`, `tls:host:port` and `unix:PATH`.",
  },
  admin: {
    type: text,
    default: "127.0.0.1:11280",
    meaning:
      "Address of the admin page, `/metrics`, `/healthz` and `/readyz`: `host:port`, `unix:PATH` or `off`. It has no login.",
  },
  twemproxy_stats: {
    type: text,
    default: "off",
    meaning:
      "Address of statistics in twemproxy's form, for its exporters: `host:port`, `unix:PATH` or `off`. It has no login.",
  },
  admin_hosts: {
    type: list,
    default: [],
    meaning:
      "Host names that requests to the admin address may have, beside IP addresses, `localhost`, the name of the machine, names without a dot and names of private domains (`.internal`, `.local`, `.lan`, `.home.arpa`).",
  },
  admin_token: {
    type: text,
    default: null,
    example: "${ENV:EXAMPLE_TOKEN}",
    meaning:
      "Token for commands over the admin address (`platypus refresh`, `forget`, `drain`, …), best as `${file:PATH}` or `${ENV:NAME}`. Without it there are no commands.",
  },
  tls_cert: {
    type: text,
    default: null,
    example: "tls/server.pem",
    meaning: "File of the certificate chain (PEM) for `tls:` addresses, from the configuration file's folder.",
  },
  tls_key: {
    type: text,
    default: null,
    example: "tls/server.key",
    meaning: "File of the private key of `tls_cert` (PEM).",
  },
  tls_ca: {
    type: text,
    default: null,
    example: "tls/ca.pem",
    meaning:
      "File of certificate authorities (PEM). With it, clients of `tls:` addresses must have a certificate by one of them.",
  },
  advertise: {
    type: list,
    default: null,
    example: ["cache.example:11211"],
    meaning:
      "Addresses of Platypus (`host:port`) in the answer to `config get cluster`, for clients that discover servers as with ElastiCache. Without it the command is unknown.",
  },
  state_folder: {
    type: text,
    default: null,
    example: "/var/lib/platypus",
    meaning:
      "Folder that keeps the last list of servers that `discover` found, for a start without an answer. Default: the first of `STATE_DIRECTORY`, which systemd sets.",
  },
  mode: {
    type: choice("front", "sidecar"),
    default: "front",
    meaning:
      "`front`: clients connect here. `sidecar`: another proxy sends its misses here; the pool is not read again before a fill.",
  },
  prefix: {
    type: text,
    default: "",
    meaning:
      "Prefix that is added to every key on its way to the pool and removed from replies. Rules see keys without it.",
  },
  key_encoding: {
    type: keyEncoding,
    default: "plain",
    meaning:
      "Default of `key_encoding` for all rules: `plain`, or `rails` for keys that Rails.cache has percent-encoded.",
  },
  max_value: {
    field: "maxValueBytes",
    type: size("1KiB", "1GiB"),
    default: "1MiB",
    meaning: "Maximum size of a value that a client stores.",
  },
  workers: {
    type: { kind: "count", min: 1, max: 128 },
    default: 1,
    meaning:
      'Number of processes that share the addresses; `"auto"` starts one for each core. A change needs a restart.',
  },
  max_memory: {
    field: "maxMemoryBytes",
    type: size("0", "1024GiB"),
    default: "0",
    meaning:
      "Maximum resident memory of a process; each worker has its own limit. Near the limit, memory is shed in steps. At least `128MiB`; `0` disables the limit.",
  },
  max_connections: {
    type: integer(1, 1_000_000),
    default: 10_000,
    meaning: "Maximum number of connected clients, of all workers together. The limit of open files may lower it.",
  },
  first_byte_timeout: {
    field: "firstByteTimeoutMs",
    type: duration("0s", "1h"),
    default: "60s",
    meaning:
      "Maximum time from a client's connect to its first byte, and to its login if it needs one. `0s` disables the limit. Afterwards a client may stay idle.",
  },
  client_output_limit: {
    field: "clientOutputLimitBytes",
    type: size("1KiB", "64GiB"),
    default: "64MiB",
    meaning: "Maximum size of the replies that a client leaves unread. A client beyond it is disconnected.",
  },
  drain_timeout: {
    field: "drainTimeoutMs",
    type: duration("0s", "1h"),
    default: "10s",
    meaning: "Maximum time that a shutdown waits for clients to take their last replies.",
  },
  flush_all: {
    field: "isFlushAllAllowed",
    type: boolean,
    default: false,
    meaning: "Allow `flush_all`, which `Rails.cache.clear` needs.",
  },
  embedded_size: {
    field: "embeddedBytes",
    type: size("64KiB", "1024GiB"),
    default: "64MiB",
    meaning: "Maximum size of the in-process store, which serves if no pool is configured.",
  },
  near_size: {
    field: "nearBytes",
    type: size("1MiB", "64GiB"),
    default: "64MiB",
    meaning: "Maximum size of the values of hot keys that a process keeps in memory (`near` of rules and pools).",
  },
  hold: {
    field: "holdBytes",
    type: size("0", "64GiB"),
    default: "64MiB",
    meaning: "Maximum size of the fetched values that are held in memory because the pool could not store them.",
  },
  max_tracked: {
    field: "maxTrackedKeys",
    type: integer(0, 100_000_000),
    default: 1_000_000,
    meaning: "Maximum number of keys that are kept fresh. Beyond it the least recently needed keys are dropped.",
  },
  pickup_rate: {
    field: "pickUpRate",
    type: integer(0, 1_000_000),
    default: 2_000,
    meaning: "Maximum TTL probes per second for keys that this process does not track. `0` disables the probes.",
  },
  log_level: {
    type: text,
    default: "info",
    meaning:
      "Lowest level that is logged: `error`, `warn`, `info` or `debug`. Levels of single modules may follow: `info,backend=debug`.",
  },
  log_form: { type: choice("text", "json"), default: "text", meaning: "Format of a log line." },
  access_log: {
    type: text,
    default: null,
    example: "access.log",
    meaning:
      "File of the access log: a line per answered request of a client. `[telemetry] keys` says what the lines show of keys.",
  },
  access_log_form: { type: choice("json", "text"), default: "json", meaning: "Format of a line of the access log." },
  access_log_sample: {
    type: number(0, 1),
    default: 1,
    meaning: "Share of the requests in the access log, from 0 to 1.",
  },
  access_log_slow: {
    field: "accessLogSlowMs",
    type: duration("0s", "1h"),
    default: "0s",
    meaning: "Requests slower than this are in the access log even if they are not sampled. `0s` disables this.",
  },
  access_log_errors: {
    type: boolean,
    default: false,
    meaning: "Failed requests are in the access log even if they are not sampled.",
  },
} as const satisfies Settings;

/** `[telemetry]` */
export const telemetrySettings = {
  otlp_endpoint: {
    type: text,
    default: null,
    example: "http://127.0.0.1:4318",
    meaning:
      "URL of an OTLP/HTTP receiver, such as `http://127.0.0.1:4318`: metrics go to `/v1/metrics` below it, traces to `/v1/traces`, the log to `/v1/logs`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT` and related variables.",
  },
  otlp_headers: {
    field: "headers",
    type: texts,
    default: {},
    meaning:
      "Header fields that are sent to the receiver; secrets best as `${ENV:NAME}`. Those of `OTEL_EXPORTER_OTLP_HEADERS` are sent as well.",
  },
  otlp_logs: {
    field: "sendsLogs",
    type: boolean,
    default: null,
    example: true,
    meaning:
      "The log's lines are sent to the receiver too. Default: true, unless `OTEL_LOGS_EXPORTER` is `none`. The log's own output does not change.",
  },
  service_name: {
    type: text,
    default: null,
    example: "platypus",
    meaning: "Name of this service. Default: `OTEL_SERVICE_NAME`, else `platypus`.",
  },
  metrics_interval: {
    field: "metricsIntervalMs",
    type: duration("1s", "1h"),
    default: null,
    example: "60s",
    meaning: "Time between two exports of metrics. Default: `OTEL_METRIC_EXPORT_INTERVAL`, else 60s.",
  },
  traces_sample: {
    field: "sampledShare",
    type: number(0, 1),
    default: null,
    example: 0.01,
    meaning:
      "Share of clients' requests that are traced, from 0 to 1. Default: `OTEL_TRACES_SAMPLER` and its `_ARG`, else 0.",
  },
  keys: {
    type: choice("none", "rule", "full"),
    default: "none",
    meaning: "What traces and the admin page show of a key: nothing, the name of its rule, or the full key.",
  },
  slow: {
    field: "slowMs",
    type: duration("0s", "1h"),
    default: "250ms",
    meaning: "Requests slower than this are traced even if they are not sampled. `0s` disables this.",
  },
  errors: {
    field: "tracesErrors",
    type: boolean,
    default: true,
    meaning: "Record a span for each failed request, even if it is not sampled.",
  },
} as const satisfies Settings;

/** Placements by their names in a configuration. */
const placementNames = [
  "ketama",
  "modula",
  "random",
  "dalli",
  "ch3",
  "weighted_ch3",
  "crc32",
  "const_shard",
  "rendezvous",
  "weighted_rendezvous",
] as const satisfies readonly PlacementConfig["type"][];

/** `[target]`, the short form of a single pool. */
export const targetSettings = {
  servers: {
    type: list,
    default: null,
    example: ["10.0.0.1:11211", "10.0.0.2:11211 2"],
    meaning:
      'Servers as `"host:port"`, `"host:port weight"`, `"unix:PATH weight"` or `"host:port weight name"`; the default port is 11211, the default weight 1. A name takes the address\'s place when keys are placed.',
  },
  discover: {
    type: text,
    default: null,
    example: "srv:_memcache._tcp.cache.example",
    meaning:
      "Where the list of servers comes from, and is followed: `elasticache:HOST:PORT` (the configuration endpoint of ElastiCache or Memorystore), `srv:NAME` (SRV records), `dns:NAME:PORT` (all IPv4 addresses of a name, else all IPv6 addresses), or `file:PATH` (a server per line). `servers` is used until a list is found.",
  },
  discover_interval: {
    field: "discoverIntervalMs",
    type: duration("1s", "1d"),
    default: "10s",
    meaning: "Time between two looks at `discover`. A lost connection to a server causes a look at once.",
  },
  discover_dns: {
    type: text,
    default: null,
    example: "10.0.0.2:53",
    meaning: "Address of the DNS server for `srv:` and `dns:`. Default: the system's.",
  },
  handoff: {
    field: "handoffMs",
    type: duration("0s", "1d"),
    default: "0s",
    meaning:
      "Time after a change of the servers during which a key that has moved is read from its former server and copied, instead of being missed. `0s` disables this.",
  },
  near: {
    field: "nearMs",
    type: duration("0s", "1h"),
    default: "0s",
    meaning:
      "Maximum time that gets of a hot key without a rule are answered from this process's memory. Writes through other processes are seen after at most this time. `0s` disables this.",
  },
  hash: {
    type: choice(...placementNames),
    default: "ketama",
    meaning:
      "How keys are placed on the servers: as by libmemcached and twemproxy (`ketama`, `modula`, `random`), by mcrouter (`ch3` …), or by the Ruby client Dalli. A change moves keys to other servers.",
  },
  hash_key: {
    field: "keyHash",
    type: choice(...keyHashNames),
    default: "md5",
    meaning: "Hash function for keys with `ketama` and `modula`, by twemproxy's names.",
  },
  hash_tag: {
    type: text,
    default: "",
    meaning: 'Two characters, such as `"{}"`. `ketama` and `modula` hash only the part of a key between them.',
  },
  salt: {
    type: text,
    default: "",
    meaning:
      "Text that mcrouter's placements append to the part of the key that is hashed (the part before any `|#|`).",
  },
  host: { type: text, default: null, example: "10.0.0.1", meaning: "Host of a single server, instead of `servers`." },
  port: { type: integer(1, 65_535), default: 11_211, meaning: "Port of `host`." },
  connections: {
    type: integer(1, 64),
    default: 1,
    meaning: "Number of connections to each server. All requests for a key use the same connection.",
  },
  server_timeout: {
    field: "serverTimeoutMs",
    type: duration("1ms", "1h"),
    default: "250ms",
    meaning: "Maximum time to wait for a server's reply.",
  },
  connect_timeout: {
    field: "connectTimeoutMs",
    type: duration("1ms", "1h"),
    default: "100ms",
    meaning: "Maximum time to connect.",
  },
  timeouts_until_tko: {
    type: integer(1, 1_000_000),
    default: 3,
    meaning: "Timeouts in a row after which a server is not used until a probe succeeds (soft TKO).",
  },
  auth: {
    type: choice("text", "sasl"),
    default: "text",
    meaning:
      "How `username` logs in: `text` is memcached's text authentication (`-Y`), `sasl` is SASL (`-S`, hosted memcached).",
  },
  username: { type: text, default: null, example: "platypus", meaning: "User name for servers that need a login." },
  password: {
    type: text,
    default: null,
    example: "secret",
    meaning: "Password of `username`, best given in the environment.",
  },
  tls: { type: boolean, default: false, meaning: "Use TLS for connections to the servers." },
  tls_ca: {
    type: text,
    default: null,
    example: "tls/ca.pem",
    meaning: "File of certificate authorities (PEM) for the servers' certificates. Default: those that Node knows.",
  },
  tls_server_name: {
    type: text,
    default: null,
    example: "cache.example",
    meaning: "Name in the servers' certificates, if it is not the host.",
  },
  tls_cert: {
    type: text,
    default: null,
    example: "tls/client.pem",
    meaning: "File of a client certificate (PEM), for servers that ask for one.",
  },
  tls_key: {
    type: text,
    default: null,
    example: "tls/client.key",
    meaning: "File of the private key of `tls_cert` (PEM).",
  },
} as const satisfies Settings;

/** `[pool.NAME]` */
export const poolSettings = {
  type: {
    type: choice("memcached", ...awsTypes),
    default: "memcached",
    meaning: "What the pool is. The other types have other settings.",
  },
  ...targetSettings,
} as const satisfies Settings;

/** Connection to AWS: for `[pool.NAME]` with an AWS type, and for sources without a pool. */
export const awsSettings = {
  region: {
    type: text,
    default: null,
    example: "eu-central-1",
    meaning: "AWS region. Default: that of the profile or of `AWS_REGION`, as the AWS SDK finds it.",
  },
  profile: {
    type: text,
    default: null,
    example: "cache",
    meaning:
      "Profile in the shared AWS files (`~/.aws/config`). Default: what the SDK finds in environment, profiles and instance.",
  },
  endpoint: {
    type: text,
    default: null,
    example: "https://secretsmanager.eu-central-1.amazonaws.com",
    meaning: "URL that is used instead of AWS' own, such as a VPC endpoint or a test server.",
  },
  assume_role: {
    type: text,
    default: null,
    example: "arn:aws:iam::123456789012:role/cache",
    meaning: "ARN of a role that is assumed with the credentials. The session is named `platypus`.",
  },
} as const satisfies Settings;

/** `[pool.NAME]` with `type = "aws_secrets_manager"` or `type = "awssm"` */
export const awsPoolSettings = {
  type: {
    type: choice(...awsTypes),
    default: null,
    example: "aws_secrets_manager",
    isRequired: true,
    meaning: "Connection to AWS Secrets Manager (`awssm` is an alias).",
  },
  ...awsSettings,
  max_size: {
    field: "maxCalls",
    type: integer(1, 10_000),
    default: null,
    example: 10,
    meaning:
      "Maximum number of calls to AWS in flight, of all sources of the pool; a batch is one call. Without it there is no limit.",
  },
  min_idle: {
    type: integer(0, 10_000),
    default: null,
    meaning: "Has no effect: a connection is opened when a call needs one.",
    noEffect: "a connection to AWS is opened when a call needs one",
  },
} as const satisfies Settings;

/** Rule settings that may stand in a source as defaults; in the order and with the types of `ruleSettings`. */
const fillSettings = {
  ttl: {
    field: "ttlMs",
    type: { ...duration("1s", "365d"), kind: "ttl" },
    default: "60s",
    meaning: 'Time until a fetched value expires. `"source"`: as the source says (`Cache-Control`), else 60s.',
  },
  min_ttl: {
    field: "minTtlMs",
    type: duration("1s", "365d"),
    default: "1s",
    meaning: 'Minimum ttl with `ttl = "source"`.',
  },
  max_ttl: {
    field: "maxTtlMs",
    type: duration("1s", "365d"),
    default: "1d",
    meaning: 'Maximum ttl with `ttl = "source"`.',
  },
  stale: {
    field: "staleMs",
    type: duration("0s", "365d"),
    default: "0s",
    meaning: "Time that a value is served after its ttl, while it is being refreshed or its source fails.",
  },
  expiry: {
    field: "expiryMs",
    type: duration("1s", "365d"),
    default: "10m",
    meaning: "Time after a key's last get during which the key is refreshed.",
  },
  refresh_before: {
    field: "refreshBeforeMs",
    type: duration("1ms", "365d"),
    default: null,
    example: "6s",
    meaning:
      "Time before the end of its ttl at which a key is refreshed. Default: a tenth of the ttl, at least 1s, at most half of the ttl.",
  },
  refresh_after_gets: {
    type: integer(1, 255),
    default: 1,
    meaning: "Number of gets from which a key is refreshed, the get that filled it included.",
  },
  negative_ttl: {
    field: "negativeTtlMs",
    type: duration("0s", "1d"),
    default: "1s",
    meaning: 'Time that the source\'s answer "not found" is remembered.',
  },
  failure_ttl: {
    field: "failureTtlMs",
    type: duration("0s", "1d"),
    default: "1s",
    meaning:
      "Time after a failed fetch of a key during which its misses are answered without a fetch. It doubles with each further failure, up to 8 × `negative_ttl`. `0s` disables this.",
  },
  fill_timeout: {
    field: "fillTimeoutMs",
    type: duration("0s", "1h"),
    default: "400ms",
    meaning:
      "Maximum time that a client waits for a fill before it gets the miss. `0s`: clients get the miss at once, and the key is filled in the background.",
  },
  lease: {
    type: choice("fleet", "process"),
    default: "fleet",
    meaning:
      "`fleet`: all processes that use the pool share one fetch of a key. `process`: each process fetches for itself.",
  },
} as const satisfies Settings;

/** `[get.NAME]` */
export const ruleSettings = {
  match: {
    type: text,
    default: null,
    example: "example/(.*)",
    isRequired: true,
    meaning:
      "Regular expression (RE2 syntax) that must match the whole key. The first rule in file order that matches applies.",
  },
  source: {
    type: text,
    default: null,
    example: "web",
    isRequired: true,
    meaning: "Name of the source of the values.",
  },
  strip_prefix: {
    type: text,
    default: "",
    meaning: "Prefix that is removed from a key before it is matched. The rule does not apply to keys without it.",
  },
  key_encoding: {
    type: keyEncoding,
    default: null,
    example: "rails",
    meaning:
      "`rails`: captures and `{key}` are percent-decoded once, and keys that Rails shortened with a digest (over 250 bytes) are not filled. Default: that of `[server]`.",
  },
  ...fillSettings,
  near: {
    field: "nearMs",
    type: duration("0s", "1h"),
    default: "0s",
    meaning:
      "Maximum time that gets of a hot key are answered from this process's memory. Writes through other processes are seen after at most this time. `0s` disables this.",
  },
  mode: {
    type: choice("on", "observe", "off"),
    default: "on",
    meaning: "`observe` counts and logs what would be fetched. `off` only forwards requests.",
  },
  not_found: {
    type: choice("delete", "keep"),
    default: "delete",
    meaning: "What a refresh does with the item if the source does not have the key any more.",
  },
} as const satisfies Settings;

/** For types of sources whose values have a size limit. */
export const maxBodySetting = {
  field: "maxBodyBytes",
  type: size("1", "1GiB"),
  default: "1MiB",
  meaning: "Maximum size of a value.",
} as const satisfies Setting;

/** Limits of each `[source.NAME]`, for all types. */
export const limitSettings = {
  timeout: {
    field: "timeoutMs",
    type: duration("1ms", "1h"),
    default: "5s",
    meaning: "Maximum time of one fetch. The wait for its turn, at most half of it, is included.",
  },
  concurrency: {
    type: { kind: "count", min: 1, max: 10_000 },
    default: 64,
    meaning:
      'Maximum number of fetches in flight; a batch is one fetch. `"auto"` finds the number that the source can take from its latency (4 to 512).',
  },
  queue: {
    type: integer(0, 1_000_000),
    default: 1024,
    meaning: "Maximum number of fetches that wait. Beyond it a fill is a miss.",
  },
  rate: {
    field: "ratePerSecond",
    type: integer(0, 1_000_000),
    default: 0,
    meaning: "Maximum fetches per second; refreshes get at most half of them. `0` disables the limit.",
  },
  breaker_failures: {
    type: integer(0, 1_000_000),
    default: 10,
    meaning:
      "Keys that fail in a row, while no key succeeds for `breaker_time`, until the circuit breaker of the source opens. A key that keeps failing counts once. `0` disables the breaker.",
  },
  breaker_time: {
    field: "breakerMs",
    type: duration("100ms", "1h"),
    default: "1s",
    meaning: "Time that the circuit breaker stays open at first. It doubles after each failed probe, up to a minute.",
  },
  retries: {
    type: integer(0, 10),
    default: 1,
    meaning:
      "Maximum number of retries of a fetch, within `timeout`, if the source was not reached or answered with 502, 503 or 504.",
  },
} as const satisfies Settings;

/** Rule settings that may stand in `[source.NAME]` as defaults. */
export const ruleDefaultSettings = {
  ttl: { ...fillSettings.ttl, default: null, meaning: "Default of `ttl` for its rules." },
  min_ttl: { ...fillSettings.min_ttl, default: null, meaning: "Default of `min_ttl` for its rules." },
  max_ttl: { ...fillSettings.max_ttl, default: null, meaning: "Default of `max_ttl` for its rules." },
  stale: { ...fillSettings.stale, default: null, meaning: "Default of `stale` for its rules." },
  expiry: { ...fillSettings.expiry, default: null, meaning: "Default of `expiry` for its rules." },
  refresh_before: { ...fillSettings.refresh_before, meaning: "Default of `refresh_before` for its rules." },
  refresh_after_gets: {
    ...fillSettings.refresh_after_gets,
    default: null,
    meaning: "Default of `refresh_after_gets` for its rules.",
  },
  negative_ttl: { ...fillSettings.negative_ttl, default: null, meaning: "Default of `negative_ttl` for its rules." },
  failure_ttl: { ...fillSettings.failure_ttl, default: null, meaning: "Default of `failure_ttl` for its rules." },
  fill_timeout: { ...fillSettings.fill_timeout, default: null, meaning: "Default of `fill_timeout` for its rules." },
  lease: { ...fillSettings.lease, default: null, meaning: "Default of `lease` for its rules." },
} as const satisfies Settings;

/** `[[route]]` */
export const routeSettings = {
  prefix: {
    field: "prefixes",
    type: list,
    default: null,
    example: ["session:"],
    meaning:
      "Prefixes of the keys that take this route: a string or a list. Without `prefix` and `match`, all keys do.",
  },
  match: {
    type: text,
    default: null,
    example: "user/[0-9]+/cart",
    meaning: "Regular expression (RE2 syntax) that must match the whole key, instead of `prefix`.",
  },
  pool: { type: text, default: null, example: "main", meaning: "Name of the pool that stores the keys." },
  replicas: {
    type: list,
    default: null,
    example: ["main", "main_eu"],
    meaning:
      "Names of several pools that each store all keys of the route, instead of `pool`. Writes go to all of them.",
  },
  read: {
    type: choice("first", "fastest"),
    default: "first",
    meaning:
      "How `replicas` are read. `first`: in their order, the next one if a server fails. `fastest`: all at once, the first reply counts.",
  },
  failover: {
    type: list,
    default: null,
    example: ["gutter"],
    meaning: "Names of pools that are used, in this order, while a key's server fails.",
  },
  failover_ttl: {
    field: "failoverTtlMs",
    type: duration("0s", "30d"),
    default: "60s",
    meaning: "Maximum time until an item that was written to a `failover` pool expires. `0s` disables the limit.",
  },
  warm_from: {
    type: text,
    default: null,
    example: "old",
    meaning:
      "Name of the pool that the keys move away from. A miss is read from it and copied with its remaining TTL. Writes delete the key there first.",
  },
  strip_prefix: {
    type: text,
    default: "",
    meaning: "Prefix that is removed from keys on their way to the servers. Clients see keys with it.",
  },
} as const satisfies Settings;

/** `[user.NAME]` */
export const userSettings = {
  password: {
    type: text,
    default: null,
    example: "${ENV:EXAMPLE_PASSWORD}",
    meaning:
      "Password of the user, best as `${file:PATH}` or `${ENV:NAME}`. Without it the user can only log in with a client certificate.",
  },
  previous_password: {
    type: text,
    default: null,
    example: "${ENV:EXAMPLE_PASSWORD}",
    meaning: "Former password that is accepted as well, while clients change to the new one.",
  },
  prefix: {
    field: "prefixes",
    type: list,
    default: [],
    meaning: "Prefixes of the keys that the user may read and write. None: all keys.",
  },
  readonly: {
    field: "isReadonly",
    type: boolean,
    default: false,
    meaning: "The user may read, and not change anything.",
  },
} as const satisfies Settings;

/** `[listen.NAME]` */
export const listenSettings = {
  address: {
    field: "addresses",
    type: list,
    default: null,
    example: "tls:127.0.0.1:11212",
    isRequired: true,
    meaning:
      "Addresses that clients connect to, as in `listen` of `[server]`: one or several. A change needs a restart.",
  },
  users: {
    type: list,
    default: null,
    example: ["example"],
    meaning: "Names of the users that may log in here. Without it all users may.",
  },
  login: {
    field: "needsLogin",
    type: boolean,
    default: true,
    meaning:
      "Clients must log in if there are users. `false`: clients without a login may do everything that `readonly` allows; SASL logins are still checked.",
  },
  client_certificates: {
    field: "hasCertificates",
    type: boolean,
    default: false,
    meaning:
      "Clients of `tls:` addresses must have a certificate by `tls_ca`; its common name (CN) is the name of their user. A change needs a restart.",
  },
  tls_ca: {
    type: text,
    default: null,
    example: "tls/ca.pem",
    meaning: "File of certificate authorities (PEM) for `client_certificates`, instead of `tls_ca` of `[server]`.",
  },
  readonly: {
    field: "isReadonly",
    type: boolean,
    default: false,
    meaning: "Clients of this address may not change anything.",
  },
} as const satisfies Settings;

/** First word of a section's header. */
export type SectionKind = "server" | "telemetry" | "target" | "pool" | "route" | "get" | "source" | "user" | "listen";

/** All settings of each kind of section. `source` holds the settings of `[source.NAME]`, of all types together. */
export function settingsWith(source: Settings): SettingsByKind {
  return {
    server: serverSettings,
    telemetry: telemetrySettings,
    target: targetSettings,
    pool: { ...poolSettings, ...awsPoolSettings },
    route: routeSettings,
    get: ruleSettings,
    user: userSettings,
    listen: listenSettings,
    source,
  };
}

export type SettingsByKind = Readonly<Record<SectionKind, Settings>>;

const headers: Readonly<Record<SectionKind, string>> = {
  server: "[server]",
  telemetry: "[telemetry]",
  target: "[target]",
  pool: "[pool.NAME]",
  route: "[[route]]",
  get: "[get.NAME]",
  user: "[user.NAME]",
  listen: "[listen.NAME]",
  source: "[source.NAME]",
};

/** Headers of the sections that have a setting with this name. Settings of all pools are listed under `[target]`. */
export function sectionsWith(settings: SettingsByKind, key: string): string[] {
  const kinds = (Object.keys(headers) as SectionKind[]).filter((kind) => Object.hasOwn(settings[kind], key));
  return kinds.filter((kind) => kind !== "pool" || !kinds.includes("target")).map((kind) => headers[kind]);
}

/**
 * Environment variable of a setting: PLATYPUS_SERVER_LISTEN, PLATYPUS_GET_QUICKSTART_TTL, PLATYPUS_ROUTE_0_POOL. `name`
 * is `null` for a section without a name.
 */
export function environmentName(kind: SectionKind, name: string | null, key: string): string {
  const words = name === null ? ["platypus", kind, key] : ["platypus", kind, name, key];
  return words.join("_").toUpperCase().replaceAll(/[-.]/g, "_");
}
