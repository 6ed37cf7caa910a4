/**
 * Ketama placement, equal to libmemcached's KETAMA_WEIGHTED with md5 and to twemproxy's `ketama` + `md5`.
 *
 * The continuum is hashring's; the number of points of each server is computed here, because the C libraries do it in
 * float32 and hashring in float64, which moves keys at 7, 14, 25 … servers. A look-up hashes the key bytes in place and
 * searches a typed array: hashring's own takes microseconds and hashes strings.
 *
 * Source: libmemcached (hosts.cc) and twemproxy (nc_ketama.c), as facts; observed placements in test/vectors.
 */
import { createHash } from "node:crypto";
import HashRing from "hashring";
import { defaultPort } from "../../config/address.ts";
import { addressText, type PoolServer } from "../../config/config.ts";
import { md5Word } from "./md5.ts";

const POINTS_PER_SERVER = 160;
const POINTS_PER_DIGEST = 4;
/** hashring takes a server's own vnode count only where it differs from this one. */
const NO_SERVER_HAS_THIS_MANY = 1_000_000;

const FIRSTS_BITS = 12;
const FIRSTS_SHIFT = 32 - FIRSTS_BITS;

/** Name under which a server stands on the continuum: `host` on the default port, else `host:port`, or the socket path. */
export function ketamaLabel(server: PoolServer): string {
  if (server.address.type === "unix") return server.address.path;
  return server.address.port === defaultPort ? server.address.host : addressText(server.address);
}

/** A server's name on the continuum and its weight. */
export interface RingMember {
  readonly label: string;
  readonly weight: number;
}

/** From key to server index. */
export class KetamaRing {
  private readonly points: Uint32Array;
  private readonly owners: Uint16Array;
  /** For the top bits of a hash, the first point that may own it: the search begins there and ends a step or two on. */
  private readonly firsts: Uint32Array;

  constructor(members: readonly RingMember[]) {
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
    const continuum = (ring as unknown as { ring: { value: number; server: string }[] }).ring;
    this.points = Uint32Array.from(continuum, (point) => point.value);
    this.owners = Uint16Array.from(continuum, (point) => Number(point.server.split(":")[0]));
    this.firsts = new Uint32Array(1 << FIRSTS_BITS);
    let point = 0;
    for (let i = 0; i < this.firsts.length; i++) {
      while (point < this.points.length && this.points[point]! < i * 2 ** FIRSTS_SHIFT) point++;
      this.firsts[i] = point;
    }
  }

  /** Hash of the key bytes `chunk[start, end)`: an unsigned 32-bit number. */
  hash(chunk: Buffer, start: number, end: number): number {
    return md5Word(chunk, start, end);
  }

  /** Index of the server that owns keys of this hash: the one of the first point at or behind it, around the end. */
  locate(hash: number): number {
    const points = this.points;
    let at = this.firsts[hash >>> FIRSTS_SHIFT]!;
    while (at < points.length && points[at]! < hash) at++;
    return this.owners[at === points.length ? 0 : at]!;
  }
}

/** Digests of a server, each of four points; every step is rounded to float32 as in C. */
function digestCount(member: RingMember, members: readonly RingMember[]): number {
  const total = members.reduce((sum, { weight }) => sum + weight, 0);
  const share = Math.fround(Math.fround(member.weight) / Math.fround(total));
  const perDigest = Math.fround(Math.fround(share * POINTS_PER_SERVER) / POINTS_PER_DIGEST);
  return Math.floor(Math.fround(Math.fround(perDigest * Math.fround(members.length)) + 1e-10));
}
