/**
 * The answer to clients that discover servers as with ElastiCache: this Platypus is the only server, under the
 * addresses of `[server] advertise`. Some clients connect to the host, others to the IP address.
 *
 * Source: AWS, "Adding auto discovery to your client library".
 */
import { isIP } from "node:net";
import type { Clock } from "../../clock.ts";
import type { TcpAddress } from "../../config/config.ts";
import { names } from "../../name-cache.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";

/** The key under which engines before 1.4.14 have the list. */
export const CLUSTER_KEY = "AmazonElastiCache:cluster";

/** Looks up the first IP address of a name. Does not call `found` if the name has no address. */
export type LookUpIp = (host: string, found: (ip: string) => void) => void;

const lookUpIp: LookUpIp = (host, found) => {
  names.lookup(host, { family: 4 }, (error, ip) => {
    if (error === null && typeof ip === "string" && ip !== "") found(ip);
  });
};

export class ClusterAnswer {
  private readonly clock: Clock;
  private readonly lookUp: LookUpIp;
  /** By host, of the last lookup. */
  private readonly ips = new Map<string, string>();
  private addresses = "";
  private version = 0;

  constructor(clock: Clock, lookUp: LookUpIp = lookUpIp) {
    this.clock = clock;
    this.lookUp = lookUp;
  }

  /** Looks the IP addresses up, for the next answers. */
  prepare(advertised: readonly TcpAddress[]): void {
    for (const { host } of advertised) {
      if (isIP(host) === 0) this.lookUp(host, (ip) => this.ips.set(host, ip));
      else this.ips.set(host, host);
    }
  }

  /** A version, and `host|ip|port` for each address. Clients keep a list until a higher version comes. */
  textOf(advertised: readonly TcpAddress[]): string {
    const addresses = advertised.map(({ host, port }) => `${host}|${this.ips.get(host) ?? ""}|${port}`).join(" ");
    this.prepare(advertised);
    if (addresses !== this.addresses) {
      this.addresses = addresses;
      this.version = Math.max(this.version + 1, this.clock.unixSeconds());
    }
    return `${this.version}\n${addresses}\n`;
  }

  /** The reply to `config get cluster`. */
  replyOf(advertised: readonly TcpAddress[]): Reply {
    const text = this.textOf(advertised);
    return fixedReply(Status.ok, `CONFIG cluster 0 ${text.length}\r\n${text}\r\nEND`);
  }
}
