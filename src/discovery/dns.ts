/**
 * Servers from DNS: SRV records, or all addresses of a name. Queries use Node's resolver, which needs no threads, so
 * that a DNS server that does not answer delays nothing else.
 *
 * Servers of SRV records are placed by their host name, so that a host keeps its keys when its address changes.
 */
import { Resolver } from "node:dns/promises";
import type { PoolServer } from "../config/config.ts";
import type { Discoverer, FoundServers } from "./discoverer.ts";
import { sortServers } from "./server-list.ts";

/** Timeout of the first query (ms); the resolver doubles it for the second. */
const QUERY_MS = 1_000;
const TRIES = 2;
const MAX_WEIGHT = 65_535;
/** Replies that say that there are no such records. */
const nothing: ReadonlySet<string> = new Set(["ENODATA", "ENOTFOUND"]);

/** One per look: a resolver may remember answers. */
function resolver(dnsServer: string | null): Resolver {
  const own = new Resolver({ timeout: QUERY_MS, tries: TRIES });
  if (dnsServer !== null) own.setServers([dnsServer]);
  return own;
}

/** SRV records of a name. Only those of the lowest priority are used, as RFC 2782 says. */
export class SrvDiscoverer implements Discoverer {
  readonly watch = null;
  private readonly name: string;
  private readonly dnsServer: string | null;

  constructor(name: string, dnsServer: string | null) {
    this.name = name;
    this.dnsServer = dnsServer;
  }

  async look(): Promise<FoundServers> {
    const records = await resolver(this.dnsServer).resolveSrv(this.name);
    // The target "." says that there is no service.
    const given = records.filter(({ name }) => name !== "." && name !== "");
    const first = Math.min(...given.map(({ priority }) => priority));
    const used = given.filter(({ priority }) => priority === first);
    // Equal weights are 1, so that a change of all of them moves no keys.
    const isEqual = used.every(({ weight }) => weight === used[0]!.weight);
    const servers = used.map(({ name, port, weight }): PoolServer => {
      const host = name.toLowerCase().replace(/\.$/, "");
      const own = isEqual ? 1 : Math.min(Math.max(weight, 1), MAX_WEIGHT);
      return { address: { type: "tcp", host, port, isTls: false }, weight: own, name: null };
    });
    return { servers: sortServers(servers), isDoubtful: false };
  }
}

/**
 * All IPv4 addresses of a name; all IPv6 addresses if it has none. A host with both would be two servers otherwise.
 */
export class AddressDiscoverer implements Discoverer {
  readonly watch = null;
  private readonly host: string;
  private readonly port: number;
  private readonly dnsServer: string | null;
  /** True if the last answer had IPv4 addresses. */
  private hadIpv4 = false;

  constructor(host: string, port: number, dnsServer: string | null) {
    this.host = host;
    this.port = port;
    this.dnsServer = dnsServer;
  }

  async look(): Promise<FoundServers> {
    const dns = resolver(this.dnsServer);
    const [four, six] = await Promise.allSettled([dns.resolve4(this.host), dns.resolve6(this.host)]);
    const servers = this.addressesOf(four, six).map((host): PoolServer => {
      return { address: { type: "tcp", host, port: this.port, isTls: false }, weight: 1, name: null };
    });
    return { servers: sortServers(servers), isDoubtful: false };
  }

  private addressesOf(four: Addresses, six: Addresses): readonly string[] {
    if (four.status === "fulfilled" && four.value.length > 0) {
      this.hadIpv4 = true;
      return four.value;
    }
    const isNone = four.status === "fulfilled" || nothing.has((four.reason as NodeJS.ErrnoException).code ?? "");
    // A query that failed says nothing about addresses that were there.
    if (!isNone && (this.hadIpv4 || six.status === "rejected")) throw four.reason;
    if (six.status === "rejected") throw six.reason;
    this.hadIpv4 = false;
    return six.value;
  }
}

type Addresses = PromiseSettledResult<string[]>;
