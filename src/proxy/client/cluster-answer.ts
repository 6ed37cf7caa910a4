/**
 * The answer to clients that discover servers as with ElastiCache: this Platypus is the only server, under the
 * addresses of `[server] advertise`.
 *
 * Source: AWS, "Adding auto discovery to your client library".
 */
import { isIP } from "node:net";
import type { Clock } from "../../clock.ts";
import type { TcpAddress } from "../../config/config.ts";
import { fixedReply, type Reply, Status } from "../reply.ts";

/** The key under which engines before 1.4.14 have the list. */
export const CLUSTER_KEY = "AmazonElastiCache:cluster";

export class ClusterAnswer {
  private readonly clock: Clock;
  private addresses = "";
  private version = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** A version, and `host|ip|port` for each address. Clients keep a list until a higher version comes. */
  textOf(advertised: readonly TcpAddress[]): string {
    const addresses = advertised.map(entryOf).join(" ");
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

function entryOf({ host, port }: TcpAddress): string {
  return `${host}|${isIP(host) === 0 ? "" : host}|${port}`;
}
