/**
 * Ketama placement, equal to libmemcached's KETAMA_WEIGHTED and, with an equal hash of the key, to twemproxy's
 * `ketama`.
 *
 * hashring computes the points of a server. Their number is computed here, because the C libraries use float32 and
 * hashring float64, which moves keys at 7, 14, 25 … servers. Lookups are implemented here too: hashring's lookups take
 * microseconds and hash strings.
 *
 * Source: libmemcached (hosts.cc) and twemproxy (nc_ketama.c), as facts; observed placements in test/vectors.
 */
import { hash } from "node:crypto";
import HashRing from "hashring";
import { defaultPort } from "../../config/address.ts";
import { addressText, type PoolServer } from "../../config/config.ts";
import { Continuum, pointOf } from "./continuum.ts";
import type { KeyHash } from "./key-hash.ts";
import { md5Word, md5Words } from "./md5.ts";
import type { Placement } from "./placement.ts";
import { sharedContinuum } from "./shared-continuum.ts";

const POINTS_PER_SERVER = 160;
const POINTS_PER_DIGEST = 4;
/** hashring only uses a server's vnode count if it differs from this one. */
const NO_SERVER_HAS_THIS_MANY = 1_000_000;
/** hashring reads servers as host:port, but unix paths and names have another form: it gets a placeholder. */
const STAND_IN = "0:1";

/**
 * Name of a server on the continuum: its configured name, else `host` on the default port, else `host:port`, or the
 * socket path.
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

/** Each server owns many points of a circle. A key belongs to the first point at or after its hash. */
export class KetamaRing implements Placement {
  keyHash = 0;
  private readonly continuum: Continuum;
  private readonly hash: KeyHash;

  constructor(members: readonly RingMember[], keyHash: KeyHash) {
    this.hash = keyHash;
    const identity = members.map(({ label, weight }) => `${weight} ${label}`).join("\n");
    this.continuum = sharedContinuum(`ketama\n${identity}`, () => continuumOf(members));
  }

  locate(chunk: Buffer, start: number, end: number): number {
    this.keyHash = this.hash(chunk, start, end);
    return this.continuum.ownerFrom(this.keyHash);
  }

  locateAll(chunk: Buffer, starts: readonly number[], ends: readonly number[], owners: Uint32Array): void {
    const { hash, continuum } = this;
    const count = starts.length;
    if (hash === md5Word) md5Words(chunk, starts, ends, owners);
    else for (let i = 0; i < count; i++) owners[i] = hash(chunk, starts[i]!, ends[i]!);
    for (let i = 0; i < count; i++) owners[i] = continuum.ownerFrom(owners[i]!);
  }
}

function continuumOf(members: readonly RingMember[]): Continuum {
  const totalWeight = members.reduce((sum, { weight }) => sum + weight, 0);
  const counts = members.map(({ weight }) => digestCount(weight, totalWeight, members.length));
  const points = members.flatMap(({ label }, owner) =>
    counts[owner] === 0 ? [] : placesOf(label, counts[owner]!).map((place) => pointOf(place, owner)),
  );
  return new Continuum(Float64Array.from(points));
}

/** Points of one server. hashring sorts objects: with thousands of servers at once, it would take seconds. */
function placesOf(label: string, digests: number): number[] {
  const digest = (text: string) => hash("md5", label + text.slice(STAND_IN.length), "buffer");
  const ring = new HashRing({ [STAND_IN]: { vnodes: digests } }, digest as never, {
    "vnode count": NO_SERVER_HAS_THIS_MANY,
  });
  return (ring as unknown as { ring: { value: number }[] }).ring.map(({ value }) => value);
}

/** Number of digests of a server, with four points each. As in C, each step is rounded to float32. */
function digestCount(weight: number, totalWeight: number, servers: number): number {
  const share = Math.fround(Math.fround(weight) / Math.fround(totalWeight));
  const perDigest = Math.fround(Math.fround(share * POINTS_PER_SERVER) / POINTS_PER_DIGEST);
  return Math.floor(Math.fround(Math.fround(perDigest * Math.fround(servers)) + 1e-10));
}
