/**
 * Placement of Dalli, the Ruby client: points by the SHA-1 of a server's name and a number, keys by their CRC-32; the
 * owner is the last point at or before the key. Dalli's behaviour for a dead server (another point for the key) is not
 * implemented.
 *
 * Source: Dalli::Ring of ruby-dalli 3.0.6, as facts; compared with it in the tests.
 */
import { hash } from "node:crypto";
import type { PoolServer } from "../../config/config.ts";
import { Continuum, pointOf } from "./continuum.ts";
import { crc32 } from "./crc32.ts";
import type { Placement } from "./placement.ts";
import { sharedContinuum } from "./shared-continuum.ts";

const POINTS_PER_SERVER = 160;

/** Key → server index, for at least two servers. */
export class DalliRing implements Placement {
  keyHash = 0;
  private readonly continuum: Continuum;

  constructor(servers: readonly PoolServer[]) {
    const identity = servers.map((server) => `${server.weight} ${dalliName(server)}`).join("\n");
    this.continuum = sharedContinuum(`dalli\n${identity}`, () => continuumOf(servers));
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.keyHash = crc32(chunk, start, end);
    return this.continuum.ownerUpTo(this.keyHash);
  }
}

function continuumOf(servers: readonly PoolServer[]): Continuum {
  const totalWeight = servers.reduce((sum, { weight }) => sum + weight, 0);
  const points = servers.flatMap((server, owner) => {
    const count = Math.floor((servers.length * POINTS_PER_SERVER * server.weight) / totalWeight);
    const name = dalliName(server);
    return Array.from({ length: count }, (_, i) => {
      return pointOf(hash("sha1", `${name}:${i}`, "buffer").readUInt32BE(0), owner);
    });
  });
  return new Continuum(Float64Array.from(points));
}

/** Dalli's name of a server: IPv6 hosts without brackets, always with the port; a socket by its path. */
function dalliName({ address }: PoolServer): string {
  return address.type === "unix" ? address.path : `${address.host}:${address.port}`;
}
