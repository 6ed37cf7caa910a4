/**
 * Ketama placement, equal to libmemcached's KETAMA_WEIGHTED and, with the same hash of the key, to twemproxy's `ketama`.
 *
 * The continuum is hashring's; the number of points of each server is computed here, because the C libraries do it in
 * float32 and hashring in float64, which moves keys at 7, 14, 25 … servers. Look-ups are ours too: hashring's own take
 * microseconds and hash strings.
 *
 * Source: libmemcached (hosts.cc) and twemproxy (nc_ketama.c), as facts; observed placements in test/vectors.
 */
import { createHash } from "node:crypto";
import HashRing from "hashring";
import { defaultPort } from "../../config/address.ts";
import { addressText, type PoolServer } from "../../config/config.ts";
import { Continuum } from "./continuum.ts";
import type { KeyHash } from "./key-hash.ts";
import type { Placement } from "./placement.ts";

const POINTS_PER_SERVER = 160;
const POINTS_PER_DIGEST = 4;
/** hashring takes a server's own vnode count only where it differs from this one. */
const NO_SERVER_HAS_THIS_MANY = 1_000_000;

/**
 * Name under which a server stands on the continuum: its own where it has one, `host` on the default port, else
 * `host:port`, or the socket path.
 */
export function ketamaLabel(server: PoolServer): string {
  if (server.name !== null) return server.name;
  if (server.address.type === "unix") return server.address.path;
  return server.address.port === defaultPort ? server.address.host : addressText(server.address);
}

/** A server's name on the continuum and its weight. */
export interface RingMember {
  readonly label: string;
  readonly weight: number;
}

/** Every server owns many points of a circle; a key belongs to the first point at or behind its hash. */
export class KetamaRing implements Placement {
  keyHash = 0;
  private readonly continuum: Continuum;
  private readonly hash: KeyHash;

  constructor(members: readonly RingMember[], hash: KeyHash) {
    this.hash = hash;
    // hashring reads servers as host:port, which unix paths and names are not: it gets stand-ins.
    const standIns: Record<string, { vnodes: number }> = {};
    members.forEach((member, index) => {
      const vnodes = digestCount(member, members);
      if (vnodes > 0) standIns[`${index}:1`] = { vnodes };
    });
    const digest = (text: string): Buffer => {
      const [index, rest] = text.split(":1-");
      return createHash("md5")
        .update(`${members[Number(index)]!.label}-${rest}`)
        .digest();
    };
    const ring = new HashRing(standIns, digest as never, { "vnode count": NO_SERVER_HAS_THIS_MANY });
    const { ring: points } = ring as unknown as { ring: { value: number; server: string }[] };
    this.continuum = new Continuum(points.map(({ value, server }) => ({ value, owner: Number(server.split(":")[0]) })));
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.keyHash = this.hash(chunk, start, end);
    return this.continuum.ownerFrom(this.keyHash);
  }
}

/** Digests of a server, each of four points; every step is rounded to float32 as in C. */
function digestCount(member: RingMember, members: readonly RingMember[]): number {
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const share = Math.fround(Math.fround(member.weight) / Math.fround(total));
  const perDigest = Math.fround(Math.fround(share * POINTS_PER_SERVER) / POINTS_PER_DIGEST);
  return Math.floor(Math.fround(Math.fround(perDigest * Math.fround(members.length)) + 1e-10));
}
