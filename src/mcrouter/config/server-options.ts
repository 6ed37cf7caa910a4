/**
 * mcrouter's options → settings of this process and its connections: addresses, TLS, workers, limits, server timeouts.
 */
import { availableParallelism } from "node:os";
import path from "node:path";
import { parseAddress } from "../../config/address.ts";
import type { Config, ListenAddress, TlsConfig } from "../../config/config.ts";
import type { FilesRead } from "../../config/files-read.ts";
import { readFailure } from "../../config/read-failure.ts";
import { serverSettings } from "../../config/settings.ts";
import { checkTls } from "../../config/tls-material.ts";
import { parseSize } from "../../config/units.ts";
import { type McrouterOptions, routePrefixOf } from "./options.ts";
import type { PoolOptions } from "./read-pools.ts";

/** `[server]` settings without a mcrouter option, with their native defaults. */
export type ServerDefaults = Config["server"];

/** The reader of files and the receiver of problems. */
interface FileContext {
  readonly reads: FilesRead;
  readonly warn: (message: string) => void;
}

export function readListen(options: McrouterOptions): ListenAddress[] {
  const hosts = options.list("listen_addresses");
  const listen: ListenAddress[] = [];
  const add = (name: string, isTls: boolean) => {
    for (const text of options.list(name)) {
      const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
      if (port < 1 || port > 65535) {
        options.complain(name, `expected ports from 1 to 65535, got ${JSON.stringify(text)}`);
        continue;
      }
      for (const host of hosts.length === 0 ? ["::"] : hosts) {
        const address = parseAddress(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`, "/");
        if (address === null) options.complain("listen_addresses", `expected an address, got ${JSON.stringify(host)}`);
        else listen.push(address.type === "tcp" ? { ...address, isTls } : address);
      }
    }
  };
  add("ports", false);
  add("ssl_ports", true);
  const socket = options.optionalText("unix_domain_sock");
  if (socket !== null) listen.push({ type: "unix", path: path.resolve(socket) });
  const fd = options.integer("listen_sock_fd", -1);
  if (fd >= 0) listen.push({ type: "fd", fd });
  return listen;
}

/** Maximum of memcached's `-I`. */
const MAX_VALUE_BYTES = serverSettings.max_value.type.max;
const DEFAULT_VALUE_BYTES = parseSize(serverSettings.max_value.default);

export async function serverOf(
  options: McrouterOptions,
  { maxValueBytes }: Pick<ServerDefaults, "maxValueBytes">,
  listen: readonly ListenAddress[],
  files: FileContext,
): Promise<Partial<ServerDefaults>> {
  const names = {
    cert: "server_pem_cert_path",
    key: "server_pem_key_path",
    ca: "server_pem_ca_path",
  };
  const tls = await tlsOf(options, names, files);
  const isPeerChecked = options.toggle("ssl_require_peer_certs");
  const level = (["warn", "info", "debug"] as const)[Math.min(2, options.integer("verbosity"))]!;
  const isQuiet = options.toggle("test_mode") || !options.toggle("enable_failure_logging");
  return {
    ...(listen.length === 0 ? {} : { listen }),
    ...(tls === null ? {} : { tls: { ...tls, ca: isPeerChecked ? tls.ca : null } }),
    ...(options.toggle("enable_flush_cmd") ? { isFlushAllAllowed: true } : {}),
    ...connectionLimits(options),
    ...workersOf(options),
    backlog: options.integer("tcp_listen_backlog", 1),
    maxOutstanding: options.integer("max_client_outstanding_reqs") || Number.MAX_SAFE_INTEGER,
    writeTimeoutMs: options.integer("client_timeout_ms"),
    hasMcrouterWords: true,
    keepsClientAddress: options.toggle("retain_source_ip"),
    // The limit of the servers applies, unless the file of rules sets a limit.
    ...(maxValueBytes === DEFAULT_VALUE_BYTES ? { maxValueBytes: MAX_VALUE_BYTES } : {}),
    ...(isQuiet || options.isGiven("verbosity") ? { log: { level: isQuiet ? "error" : level, form: "text" } } : {}),
    prefix: "",
    mode: "front",
  };
}

export async function poolOptionsOf(options: McrouterOptions, files: FileContext): Promise<PoolOptions> {
  const [, region = ".", cluster = "."] = routePrefixOf(options).split("/");
  return {
    serverTimeoutMs: options.integer("server_timeout_ms", 1),
    maxInflight: options.integer("target_max_inflight_requests"),
    maxPending: options.integer("target_max_pending_requests", 1),
    socket: {
      connectRetries: options.integer("connect_timeout_retries"),
      keepAliveMs: options.integer("keepalive_cnt") === 0 ? 0 : options.integer("keepalive_idle_s") * 1000,
      idleMs: options.integer("reset_inactive_connection_interval"),
    },
    timeoutsUntilTko: options.integer("failures_until_tko", 1),
    isTkoDisabled: options.toggle("disable_tko_tracking"),
    firstProbeMs: options.integer(options.isGiven("retry_timeout") ? "retry_timeout" : "probe_delay_initial_ms", 1),
    lastProbeMs: options.integer("probe_delay_max_ms", 1),
    withinClusterTimeoutMs: options.integer("within_cluster_timeout_ms"),
    crossClusterTimeoutMs: options.integer("cross_cluster_timeout_ms") || options.integer("cluster_pools_timeout_ms"),
    crossRegionTimeoutMs: options.integer("cross_region_timeout_ms") || options.integer("regional_pools_timeout_ms"),
    region,
    cluster,
    tls: await tlsOf(options, { cert: "pem_cert_path", key: "pem_key_path", ca: "pem_ca_path" }, files),
  };
}

async function tlsOf(
  options: McrouterOptions,
  names: { cert: string; key: string; ca: string },
  { reads, warn }: FileContext,
): Promise<TlsConfig | null> {
  const files = [names.cert, names.key, names.ca].map((name) => options.optionalText(name));
  if (files.every((file) => file === null)) return null;
  const [cert, key, ca] = await Promise.all(
    files.map(async (file, index) => {
      if (file === null) return null;
      try {
        return await reads.text(file);
      } catch (error) {
        options.complain([names.cert, names.key, names.ca][index]!, `${file}: ${readFailure(error)}`);
        return null;
      }
    }),
  );
  const material = { cert: cert ?? null, key: key ?? null, ca: ca ?? null };
  const { problems, warnings } = checkTls(material, Date.now());
  // An unreadable file has been reported already.
  for (const { about, message } of problems) if (material[about] !== null) options.complain(names[about], message);
  for (const { about, message } of warnings) warn(`--${names[about].replaceAll("_", "-")}: ${message}`);
  return {
    ...material,
    serverName: options.optionalText("ssl_service_identity"),
    files: files.flatMap((file) => (file === null ? [] : [path.resolve(file)])),
  };
}

/** `--num-proxies`, or `--proxy-threads`, which may be "auto". */
function workersOf(options: McrouterOptions): Partial<ServerDefaults> {
  if (options.text("proxy_threads") === "auto") return { workers: availableParallelism() };
  const name = options.isGiven("proxy_threads") ? "proxy_threads" : "num_proxies";
  return options.isGiven(name) ? { workers: options.integer(name, 1) } : {};
}

/** `--max-conns` or, of older releases, `--connection-limit`: at the limit, a new client replaces the one idle longest. */
function connectionLimits(options: McrouterOptions): Partial<ServerDefaults> {
  const maxConns = options.integer("max_conns");
  // 1 means "as many as the system allows"; the system enforces that limit.
  if (maxConns > 1) return { maxConnections: maxConns, evictsIdle: true };
  const limit = options.integer("connection_limit");
  return limit > 0 ? { maxConnections: limit, evictsIdle: true } : { maxConnections: UNLIMITED_CONNECTIONS };
}

/** Above the limit of any operating system. */
const UNLIMITED_CONNECTIONS = 1_000_000;
