/**
 * The right, held by one process of the fleet, to fetch a key now: a small item beside the value, on the server that owns
 * the value's key, and nothing else that processes would have to know of one another.
 *
 *     taken     add lease ─► cas L          somebody else's: watch for the value
 *     ended     add value, delete lease of cas L     in one write; the lease gone or changed: a client wrote meanwhile
 *     lost      a client's write deletes the lease before it does what it says, on the same connection
 *     absent    the source has nothing: said in the lease itself, for negative_ttl
 *
 * Whichever way these interleave on the server, a value fetched before a client's write does not outlive it, but for the
 * round trip between adding it and deleting it again (test/refresh/lease-model.test.ts steps every order). A client's incr,
 * append or prepend in that very round trip makes an item of its own of it, with a cas of its own: that one stays.
 *
 * After the leases of "Scaling Memcache at Facebook" (NSDI 2013, section 3.2), without a server that knows of them.
 */
import { hash } from "node:crypto";
import type { WriteResult } from "../proxy/reply.ts";
import type { PoolPort } from "./pool-port.ts";

const LEASE_PREFIX = "platypus:lease:";
/** A value that was found unchanged keeps its cas: only this tells a refresh from a client's touch. */
const MARK_PREFIX = "platypus:extended:";
const HASH_BYTES = 16;
/** memcached may drop an item up to a second early. */
const SLACK_SECONDS = 1;
const NOTHING = Buffer.alloc(0);
const ABSENT = Buffer.from("absent", "latin1");

/** What a key's own items are called after: 128 bits of its SHA-256. */
function digestOfKey(key: string): string {
  return hash("sha256", Buffer.from(key, "latin1"), "buffer").subarray(0, HASH_BYTES).toString("base64url");
}

/** What somebody else's lease says. */
export type LeaseState = "held" | "absent" | "gone";

/** The lease of one key in one pool. Calls reject with a BackendError when the pool cannot answer. */
export class Lease {
  private readonly port: PoolPort;
  private readonly key: string;
  private readonly name: string;
  private readonly markName: string;

  constructor(port: PoolPort, key: string) {
    this.port = port;
    this.key = key;
    const digest = digestOfKey(key);
    this.name = LEASE_PREFIX + digest;
    this.markName = MARK_PREFIX + digest;
  }

  /** Takes it for a fetch of at most `timeoutMs`. The cas that proves it; null: somebody else has it. */
  async take(timeoutMs: number): Promise<bigint | null> {
    const exptime = Math.ceil(timeoutMs / 1000) + SLACK_SECONDS;
    const written = await this.port.add(this.key, this.name, NOTHING, exptime);
    return written.result === "stored" ? written.cas : null;
  }

  /** Gives it back. False: it was not ours any more. */
  release(proof: bigint): Promise<boolean> {
    return this.port.deleteIf(this.key, this.name, proof);
  }

  /** Gives it back saying that the source has nothing. False: it was not ours any more. */
  async releaseAbsent(proof: bigint, negativeTtlMs: number): Promise<boolean> {
    if (negativeTtlMs === 0) return this.release(proof);
    const exptime = Math.ceil(negativeTtlMs / 1000);
    const written: WriteResult = await this.port.cas(this.key, this.name, ABSENT, exptime, proof);
    return written.result === "stored";
  }

  /** How it stands with somebody else's. */
  async look(): Promise<LeaseState> {
    const item = await this.port.get(this.key, this.name);
    if (item === null) return "gone";
    return item.value.equals(ABSENT) ? "absent" : "held";
  }

  /** Says that the value was found unchanged at `unixSeconds`, and is good for `ttlMs` from then on. */
  noteExtended(unixSeconds: number, ttlMs: number): void {
    const exptime = Math.ceil(ttlMs / 1000);
    this.port.put(this.key, this.markName, Buffer.from(String(unixSeconds), "latin1"), exptime);
  }

  /** When another process last found the value unchanged, in unix seconds; null: nobody has said so lately. */
  async extendedAt(): Promise<number | null> {
    const item = await this.port.get(this.key, this.markName);
    const seconds = Number(item?.value.toString("latin1"));
    return item === null || !Number.isFinite(seconds) ? null : seconds;
  }

  /** Before a client's write: whoever holds it has lost it. Sent before this returns; nobody waits for the answer. */
  drop(): void {
    this.port.drop(this.key, this.name);
  }
}
