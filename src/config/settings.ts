/**
 * The table of native settings: one row for each, and nothing else knows their types, bounds, defaults or meanings.
 * Reading and checking (section.ts), environment names, error messages and docs/configuration.md come from here.
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

/** Types of sources and pools for AWS Secrets Manager; they say the same. */
export const awsTypes = ["awssm", "aws_secrets_manager"] as const;

const keyEncoding = choice("plain", "rails");

/** `[server]` */
export const serverSettings = {
  listen: {
    type: list,
    default: "127.0.0.1:11211",
    meaning: "Where clients connect: `host:port`, `[ipv6]:port`, `tls:host:port` or `unix:PATH`, one or several.",
  },
  admin: {
    type: text,
    default: "127.0.0.1:11280",
    meaning:
      "Where the admin page, `/metrics`, `/healthz` and `/readyz` are: `host:port`, `unix:PATH` or `off`. It has no login.",
  },
  admin_hosts: {
    type: list,
    default: [],
    meaning:
      "Host names under which the admin address may be asked, beside IP addresses, `localhost`, the name of the machine, names without a dot and names of private domains (`.internal`, `.local`, `.lan`, `.home.arpa`).",
  },
  tls_cert: {
    type: text,
    default: null,
    example: "tls/server.pem",
    meaning: "File of the certificate chain (PEM) for `tls:` addresses, from the configuration file's folder.",
  },
  tls_key: { type: text, default: null, example: "tls/server.key", meaning: "File of its private key (PEM)." },
  tls_ca: {
    type: text,
    default: null,
    example: "tls/ca.pem",
    meaning: "File of authorities (PEM): clients of `tls:` addresses must have a certificate by one of them.",
  },
  mode: {
    type: choice("front", "sidecar"),
    default: "front",
    meaning: "`sidecar`: another proxy asks here after a miss; the pool is not read again first.",
  },
  prefix: {
    type: text,
    default: "",
    meaning: "Put before every key on its way to the pool and taken off in replies; rules see keys without it.",
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
    meaning: "Largest value a client may store.",
  },
  workers: {
    type: { kind: "count", min: 1, max: 128 },
    default: 1,
    meaning: 'Processes that share the addresses; "auto": one for each core. A change needs a restart.',
  },
  max_memory: {
    field: "maxMemoryBytes",
    type: size("0", "1024GiB"),
    default: "0",
    meaning:
      "Maximum resident memory of the process; each worker has its own. Near it, memory is shed in steps. At least `128MiB`; `0` disables the limit.",
  },
  max_connections: {
    type: integer(1, 1_000_000),
    default: 10_000,
    meaning:
      "Maximum number of clients that are connected at once, to all workers together. Fewer if the limit of open files is lower.",
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
    meaning: "Replies a client may leave unread before it is cut off.",
  },
  drain_timeout: {
    field: "drainTimeoutMs",
    type: duration("0s", "1h"),
    default: "10s",
    meaning: "How long a shutdown waits for clients to take their last replies.",
  },
  flush_all: {
    field: "isFlushAllAllowed",
    type: boolean,
    default: false,
    meaning: "Allow `flush_all`; `Rails.cache.clear` needs it.",
  },
  embedded_size: {
    field: "embeddedBytes",
    type: size("64KiB", "1024GiB"),
    default: "64MiB",
    meaning: "Bound of the store that serves when no pool is configured.",
  },
  hold: {
    field: "holdBytes",
    type: size("0", "64GiB"),
    default: "64MiB",
    meaning: "Bound of fetched values kept for a moment because the pool could not store them.",
  },
  max_tracked: {
    field: "maxTrackedKeys",
    type: integer(0, 100_000_000),
    default: 1_000_000,
    meaning: "Keys that are kept fresh at most; past it the least recently needed go.",
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
      "Least level that is logged: `error`, `warn`, `info` or `debug`; behind it modules that have their own, as in `info,backend=debug`.",
  },
  log_form: { type: choice("text", "json"), default: "text", meaning: "Form of a log line." },
} as const satisfies Settings;

/** `[telemetry]` */
export const telemetrySettings = {
  otlp_endpoint: {
    type: text,
    default: null,
    example: "http://127.0.0.1:4318",
    meaning:
      "URL of an OTLP/HTTP receiver, such as `http://127.0.0.1:4318`: metrics go to `/v1/metrics` below it, traces to `/v1/traces`. Else `OTEL_EXPORTER_OTLP_ENDPOINT` and those like it.",
  },
  otlp_headers: {
    field: "headers",
    type: texts,
    default: {},
    meaning: "Header fields for it; best as `${ENV:NAME}`. Those of `OTEL_EXPORTER_OTLP_HEADERS` are sent too.",
  },
  service_name: {
    type: text,
    default: null,
    example: "platypus",
    meaning: "Name of this service; else `OTEL_SERVICE_NAME`, else platypus.",
  },
  metrics_interval: {
    field: "metricsIntervalMs",
    type: duration("1s", "1h"),
    default: null,
    example: "60s",
    meaning: "How often metrics are sent; else `OTEL_METRIC_EXPORT_INTERVAL`, else 60s.",
  },
  traces_sample: {
    field: "sampledShare",
    type: number(0, 1),
    default: null,
    example: 0.01,
    meaning:
      "Share of clients' requests that are traced, from 0 to 1; else `OTEL_TRACES_SAMPLER` and its `_ARG`, else 0.",
  },
  keys: {
    type: choice("none", "rule", "full"),
    default: "none",
    meaning: "What of a key stands in traces and on the admin page: nothing, the name of its rule, or all of it.",
  },
  slow: {
    field: "slowMs",
    type: duration("0s", "1h"),
    default: "250ms",
    meaning: "Requests slower than this are traced even if they are not sampled. `0s` disables the limit.",
  },
  errors: {
    field: "tracesErrors",
    type: boolean,
    default: true,
    meaning: "Record a span for each failed request, even if it is not sampled.",
  },
} as const satisfies Settings;

/** Placements by the names they have in a configuration. */
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

/** `[target]`, the short form of the only pool */
export const targetSettings = {
  servers: {
    type: list,
    default: null,
    example: ["10.0.0.1:11211", "10.0.0.2:11211 2"],
    meaning:
      'Servers as `"host:port"`, `"host:port weight"`, `"unix:PATH weight"` or `"host:port weight name"`; port 11211 and weight 1 if left out, a name to be placed by in place of the address.',
  },
  hash: {
    type: choice(...placementNames),
    default: "ketama",
    meaning:
      "How keys are placed over the servers: as libmemcached and twemproxy do (`ketama`, `modula`, `random`), as mcrouter does (`ch3` …), or as the Ruby client Dalli. Another placement moves keys.",
  },
  hash_key: {
    field: "keyHash",
    type: choice(...keyHashNames),
    default: "md5",
    meaning: "Hash of the key for `ketama` and `modula`, by twemproxy's names.",
  },
  hash_tag: {
    type: text,
    default: "",
    meaning:
      'Two characters, such as `"{}"`: for `ketama` and `modula` only what stands between them in a key is hashed.',
  },
  salt: {
    type: text,
    default: "",
    meaning: "Put behind the part of the key that is hashed (before any `|#|`), for mcrouter's placements.",
  },
  host: { type: text, default: null, example: "10.0.0.1", meaning: "Host of the only server, in place of `servers`." },
  port: { type: integer(1, 65_535), default: 11_211, meaning: "Port of `host`." },
  connections: {
    type: integer(1, 64),
    default: 1,
    meaning: "Connections to each server; all requests for one key use the same one.",
  },
  server_timeout: {
    field: "serverTimeoutMs",
    type: duration("1ms", "1h"),
    default: "250ms",
    meaning: "How long a server may take to answer.",
  },
  connect_timeout: {
    field: "connectTimeoutMs",
    type: duration("1ms", "1h"),
    default: "100ms",
    meaning: "How long connecting may take.",
  },
  timeouts_until_tko: {
    type: integer(1, 1_000_000),
    default: 3,
    meaning: "Time-outs in a row that take a server out until a probe succeeds (soft TKO).",
  },
  auth: {
    type: choice("text", "sasl"),
    default: "text",
    meaning: "How `username` logs in: memcached's text authentication (`-Y`), or SASL (`-S`, hosted memcached).",
  },
  username: { type: text, default: null, example: "platypus", meaning: "Name for servers that want a login." },
  password: {
    type: text,
    default: null,
    example: "secret",
    meaning: "Password of `username`; better given in the environment.",
  },
  tls: { type: boolean, default: false, meaning: "Speak TLS to the servers." },
  tls_ca: {
    type: text,
    default: null,
    example: "tls/ca.pem",
    meaning: "File of the authorities (PEM) that may have signed the servers' certificates; else those Node knows.",
  },
  tls_server_name: {
    type: text,
    default: null,
    example: "cache.example",
    meaning: "Name in the servers' certificates, where it is not the host.",
  },
  tls_cert: {
    type: text,
    default: null,
    example: "tls/client.pem",
    meaning: "File of our own certificate (PEM), for servers that ask for one.",
  },
  tls_key: { type: text, default: null, example: "tls/client.key", meaning: "File of its private key (PEM)." },
} as const satisfies Settings;

/** `[pool.NAME]` */
export const poolSettings = {
  type: {
    type: choice("memcached", ...awsTypes),
    default: "memcached",
    meaning: "What is behind it; other types have settings of their own.",
  },
  ...targetSettings,
} as const satisfies Settings;

/** How AWS is reached: of `[pool.NAME]` with an AWS type, and of sources that name no pool */
export const awsSettings = {
  region: {
    type: text,
    default: null,
    example: "eu-central-1",
    meaning: "AWS region; else that of the profile or of `AWS_REGION`, as the AWS SDK finds it.",
  },
  profile: {
    type: text,
    default: null,
    example: "cache",
    meaning:
      "Profile of the shared AWS files (`~/.aws/config`); else what the SDK finds: environment, profile, instance.",
  },
  endpoint: {
    type: text,
    default: null,
    example: "https://secretsmanager.eu-central-1.amazonaws.com",
    meaning: "URL to ask in place of AWS' own: a VPC endpoint, a test server.",
  },
  assume_role: {
    type: text,
    default: null,
    example: "arn:aws:iam::123456789012:role/cache",
    meaning: "ARN of a role to take on with those credentials; its session is called `platypus`.",
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
      "Maximum calls to AWS at once, of all sources of the pool; a batch is one call. Without it there is no limit.",
  },
  min_idle: {
    type: integer(0, 10_000),
    default: null,
    meaning: "Has no effect: a connection is opened when a call needs one.",
    noEffect: "a connection to AWS is opened when a call needs one",
  },
} as const satisfies Settings;

/** Settings of a rule that may stand in its source as defaults; in the order and with the types of `ruleSettings`. */
const fillSettings = {
  ttl: {
    field: "ttlMs",
    type: { ...duration("1s", "365d"), kind: "ttl" },
    default: "60s",
    meaning: 'How long a fetched value is good; "source": as long as the source says (`Cache-Control`), else 60s.',
  },
  min_ttl: {
    field: "minTtlMs",
    type: duration("1s", "365d"),
    default: "1s",
    meaning: 'Least ttl with `ttl = "source"`.',
  },
  max_ttl: {
    field: "maxTtlMs",
    type: duration("1s", "365d"),
    default: "1d",
    meaning: 'Greatest ttl with `ttl = "source"`.',
  },
  stale: {
    field: "staleMs",
    type: duration("0s", "365d"),
    default: "0s",
    meaning: "How long a value is served after its ttl, while it is being refreshed or its source fails.",
  },
  expiry: {
    field: "expiryMs",
    type: duration("1s", "365d"),
    default: "10m",
    meaning: "How long after a key's last get it is still refreshed.",
  },
  refresh_before: {
    field: "refreshBeforeMs",
    type: duration("1ms", "365d"),
    default: null,
    example: "6s",
    meaning:
      "How long before the end of its ttl a key is refreshed; else a tenth of the ttl, at least 1s, at most half.",
  },
  refresh_after_gets: {
    type: integer(1, 255),
    default: 1,
    meaning: "Gets from which on a key is refreshed; the one that filled it is the first.",
  },
  negative_ttl: {
    field: "negativeTtlMs",
    type: duration("0s", "1d"),
    default: "1s",
    meaning: 'How long "not there" from the source is remembered.',
  },
  fill_timeout: {
    field: "fillTimeoutMs",
    type: duration("0s", "1h"),
    default: "400ms",
    meaning: "How long a client waits for a fill before it gets the miss; 0s answers at once and fills behind.",
  },
  lease: {
    type: choice("fleet", "process"),
    default: "fleet",
    meaning: "Who shares one fetch of a key: all processes over the pool, or each process for itself.",
  },
} as const satisfies Settings;

/** `[get.NAME]` */
export const ruleSettings = {
  match: {
    type: text,
    default: null,
    example: "example/(.*)",
    isRequired: true,
    meaning: "Regular expression (RE2 syntax) that must match the whole key; first match in file order wins.",
  },
  source: {
    type: text,
    default: null,
    example: "web",
    isRequired: true,
    meaning: "Name of the source that has the values.",
  },
  strip_prefix: {
    type: text,
    default: "",
    meaning: "Taken off the key before matching and captures; keys without it are not covered.",
  },
  key_encoding: {
    type: keyEncoding,
    default: null,
    example: "rails",
    meaning:
      "`rails`: captures and `{key}` are percent-decoded once, keys that end in a digest, as Rails shortens keys of over 250 bytes, are not filled; else that of `[server]`.",
  },
  ...fillSettings,
  mode: {
    type: choice("on", "observe", "off"),
    default: "on",
    meaning: "`observe` counts and logs what would be fetched, `off` only forwards.",
  },
  not_found: {
    type: choice("delete", "keep"),
    default: "delete",
    meaning: "What a refresh that finds nothing at the source does to the item.",
  },
} as const satisfies Settings;

/** Of types whose values may be too large */
export const maxBodySetting = {
  field: "maxBodyBytes",
  type: size("1", "1GiB"),
  default: "1MiB",
  meaning: "Largest value it may give.",
} as const satisfies Setting;

/** Limits of every `[source.NAME]`, whatever its type */
export const limitSettings = {
  timeout: {
    field: "timeoutMs",
    type: duration("1ms", "1h"),
    default: "5s",
    meaning: "How long one fetch may take; its wait for a place, which may take half of it, included.",
  },
  concurrency: { type: integer(1, 10_000), default: 64, meaning: "Fetches under way at once." },
  queue: { type: integer(0, 1_000_000), default: 1024, meaning: "Fetches that may wait; past them a fill is a miss." },
  rate: {
    field: "ratePerSecond",
    type: integer(0, 1_000_000),
    default: 0,
    meaning: "Fetches a second, refreshes half of them; 0 is no bound.",
  },
  breaker_failures: {
    type: integer(0, 1_000_000),
    default: 10,
    meaning:
      "Keys that fail in a row, while no key succeeds for `breaker_time`, until the circuit breaker of the source opens; 0 is never. A key that keeps failing counts once.",
  },
  breaker_time: {
    field: "breakerMs",
    type: duration("100ms", "1h"),
    default: "1s",
    meaning: "How long it is left alone at first; twice as long after each probe that fails, up to a minute.",
  },
  retries: {
    type: integer(0, 10),
    default: 1,
    meaning:
      "Times a fetch is tried again, within `timeout`, where the source was not reached or had no time (502, 503, 504).",
  },
} as const satisfies Settings;

/** Settings of a rule that may stand in its `[source.NAME]` as defaults */
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
  fill_timeout: { ...fillSettings.fill_timeout, default: null, meaning: "Default of `fill_timeout` for its rules." },
  lease: { ...fillSettings.lease, default: null, meaning: "Default of `lease` for its rules." },
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
    meaning: "Password that is accepted as well, while clients change to a new one.",
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
    meaning: "Where clients connect, as in `listen` of `[server]`: one address or several. A change needs a restart.",
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
    meaning: "File of authorities (PEM) for `client_certificates`, in place of `tls_ca` of `[server]`.",
  },
  readonly: {
    field: "isReadonly",
    type: boolean,
    default: false,
    meaning: "Clients of this address may not change anything.",
  },
} as const satisfies Settings;

/** First word of a section's header. */
export type SectionKind = "server" | "telemetry" | "target" | "pool" | "get" | "source" | "user" | "listen";

/** All settings that a section of a kind may have. `source`: those of `[source.NAME]`, of all types together. */
export function settingsWith(source: Settings): SettingsByKind {
  return {
    server: serverSettings,
    telemetry: telemetrySettings,
    target: targetSettings,
    pool: { ...poolSettings, ...awsPoolSettings },
    get: ruleSettings,
    user: userSettings,
    listen: listenSettings,
    source,
  };
}

export type SettingsByKind = Readonly<Record<SectionKind, Settings>>;

/** Environment variable of a setting: PLATYPUS_SERVER_LISTEN, PLATYPUS_GET_QUICKSTART_TTL. `name` is null where there is one section. */
export function environmentName(kind: SectionKind, name: string | null, key: string): string {
  const words = name === null ? ["platypus", kind, key] : ["platypus", kind, name, key];
  return words.join("_").toUpperCase().replaceAll("-", "_");
}
