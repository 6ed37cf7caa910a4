/** What a scenario runs on, as data, and the configuration of Platypus that it needs. */
import { fileURLToPath } from "node:url";

export interface Setup {
  /** Memcached servers; 0 uses the store in the process. */
  readonly servers: number;
  /** Lines for `[server]`. */
  readonly server?: string;
  /** Lines for `[target]`, in place of `TARGET`. */
  readonly target?: string;
  /** Shell commands before the start, such as limits. */
  readonly shell?: string;
  /** A relay that can lie stands before each server. */
  readonly isLying?: boolean;
  /** Clients that connect anew for each request are among the others. */
  readonly hasNewcomers?: boolean;
  /** A mcrouter configuration with its files in a small file system of their own; its log is there, too. */
  readonly hasSmallDisk?: boolean;
}

/** What most scenarios run on. */
export const STANDARD: Setup = { servers: 3, hasNewcomers: true };

const TARGET = 'server_timeout = "2s"\nconnect_timeout = "500ms"';
const TLS_FOLDER = fileURLToPath(new URL("../support/tls", import.meta.url));

export interface Endpoints {
  readonly serverPorts: readonly number[];
  readonly originUrl: string;
}

/** The native configuration of `setup`. `target` replaces the lines of `[target]`. */
export function configText(
  setup: Setup,
  { serverPorts, originUrl }: Endpoints,
  target = setup.target ?? TARGET,
): string {
  const servers = serverPorts.map((port) => `"127.0.0.1:${port}"`).join(", ");
  return `
[server]
listen = ["127.0.0.1:0", "tls:127.0.0.1:0"]
tls_cert = "${TLS_FOLDER}/server.pem"
tls_key = "${TLS_FOLDER}/server.key"
${setup.server ?? ""}
${serverPorts.length === 0 ? "" : `[target]\nservers = [${servers}]\n${target}`}
[get.page]
match = "(page/.*)"
source = "origin"
ttl = "5s"
expiry = "10s"
fill_timeout = "2s"
[source.origin]
type = "http"
url = "${originUrl}/{1}"
timeout = "2s"
`;
}
