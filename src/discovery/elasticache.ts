/**
 * Servers from a configuration endpoint, as AWS ElastiCache and Google Memorystore have them:
 *
 *     config get cluster                    (engines before 1.4.14: get AmazonElastiCache:cluster)
 *     CONFIG cluster 0 LENGTH               (VALUE AmazonElastiCache:cluster 0 LENGTH)
 *     VERSION
 *     host|ip|port host|ip|port …
 *     END
 *
 * Each server of the cluster knows the list. If the endpoint does not answer, servers in use are asked.
 *
 * Source: AWS, "Adding auto discovery to your client library"; Google, "Memorystore auto discovery".
 */
import net from "node:net";
import type { DiscoveryConfig, PoolServer, TlsConfig } from "../config/config.ts";
import { names } from "../name-cache.ts";
import { secureOptions } from "../proxy/wire/socket.ts";
import type { Discoverer, FoundServers } from "./discoverer.ts";
import { sortServers } from "./server-list.ts";

/** Maximum time of one question, including the connect (ms). */
const ASK_MS = 2_000;
const MAX_ANSWER_BYTES = 1024 * 1024;
/** Number of servers in use that are asked if the endpoint does not answer. */
const MAX_OTHERS = 3;

interface Cluster {
  readonly version: number;
  readonly servers: readonly PoolServer[];
}

export class ElastiCacheDiscoverer implements Discoverer {
  readonly watch = null;
  private readonly endpoint: { readonly host: string; readonly port: number };
  private readonly tls: TlsConfig | null;
  private version = 0;

  constructor(endpoint: Extract<DiscoveryConfig, { type: "elasticache" }>, tls: TlsConfig | null) {
    this.endpoint = endpoint;
    this.tls = tls;
  }

  async look(known: readonly PoolServer[]): Promise<FoundServers> {
    const others = known.flatMap(({ address }) => (address.type === "tcp" ? [address] : [])).slice(0, MAX_OTHERS);
    let failure: unknown = null;
    for (const place of [this.endpoint, ...others]) {
      try {
        return this.noted(await askCluster(place, this.tls));
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure;
  }

  /** A server that was away may have an older list. */
  private noted({ version, servers }: Cluster): FoundServers {
    const isDoubtful = version < this.version;
    this.version = version;
    return { servers: sortServers(servers), isDoubtful };
  }
}

/** Asks with the current command, then with that of old engines. */
async function askCluster(
  place: { readonly host: string; readonly port: number },
  secure: TlsConfig | null,
): Promise<Cluster> {
  const answer = await ask(place, secure, "config get cluster\r\n");
  if (!/^(?:ERROR|CLIENT_ERROR)/.test(answer)) return readCluster(answer);
  return readCluster(await ask(place, secure, "get AmazonElastiCache:cluster\r\n"));
}

/** Reads the answer. Throws an Error that says what is wrong with it. */
export function readCluster(answer: string): Cluster {
  const [, lengthText, rest = ""] =
    /^(?:CONFIG cluster|VALUE AmazonElastiCache:cluster) \d+ (\d+)\r\n(.*)$/s.exec(answer) ?? [];
  if (lengthText === undefined) throw new Error(`unexpected answer ${JSON.stringify(answer.slice(0, 60))}`);
  const [versionText = "", list = ""] = rest.slice(0, Number(lengthText)).split("\n");
  const version = /^\d{1,15}\r?$/.test(versionText) ? Number.parseInt(versionText, 10) : null;
  if (version === null) throw new Error(`expected a version, got ${JSON.stringify(versionText.slice(0, 60))}`);
  const servers = list
    .trim()
    .split(/\s+/)
    .flatMap((entry) => (entry === "" ? [] : [serverOf(entry)]));
  return { version, servers };
}

function serverOf(entry: string): PoolServer {
  const [name = "", ip = "", portText = ""] = entry.split("|");
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : 0;
  const host = (name === "" ? ip : name).toLowerCase().replace(/\.$/, "");
  if (!/^[a-z0-9_.:-]{1,253}$/.test(host) || port < 1 || port > 65_535) {
    throw new Error(`expected host|ip|port, got ${JSON.stringify(entry.slice(0, 60))}`);
  }
  return { address: { type: "tcp", host, port, isTls: false }, weight: 1, name: null };
}

/** Sends one command on a new connection. Resolves to the reply up to its last line. */
async function ask(
  { host, port }: { readonly host: string; readonly port: number },
  secure: TlsConfig | null,
  command: string,
): Promise<string> {
  const address = { type: "tcp", host, port, isTls: false } as const;
  const where = { host, port, noDelay: true, lookup: names.lookup };
  const tls = secure === null ? null : await import("node:tls");
  const socket = tls === null ? net.connect(where) : tls.connect({ ...where, ...secureOptions(secure!, address) });
  return new Promise((resolve, reject) => {
    let text = "";
    const end = (result: () => void) => {
      clearTimeout(timer);
      socket.destroy();
      result();
    };
    const fail = (message: string) => end(() => reject(new Error(`${host}:${port}: ${message}`)));
    const timer = setTimeout(() => fail(`no answer within ${ASK_MS} ms`), ASK_MS);
    socket.setEncoding("latin1");
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => fail("the connection was closed without an answer"));
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (/(?:^|\r\n)(?:END|(?:CLIENT_|SERVER_)?ERROR[^\r\n]*)\r\n$/.test(text)) end(() => resolve(text));
      else if (text.length > MAX_ANSWER_BYTES) fail("the answer is too long");
    });
    socket.write(command);
  });
}
