/**
 * A lease lets one process of the fleet fetch a key. It is a small item on the server that owns the value's key; processes
 * need no other coordination.
 *
 *     take      add the lease ─► cas L      another process has it: watch for the value
 *     end       add the value, delete the lease with cas L   in one write; lease gone or changed: a client wrote meanwhile
 *     lose      a client's write deletes the lease before it takes effect, on the same connection
 *     absent    the source does not have the key: the lease says so for `negative_ttl`
 *     kept      the pool cannot store the value: the lease confirms the copies that processes hold in memory
 *
 * In every order in which these reach the server, a value fetched before a client's write does not outlive that write,
 * except for the round trip between adding the value and deleting it again (test/refresh/lease-model.test.ts steps every
 * order). A client's incr, append or prepend in that round trip creates an item with its own cas; that item stays.
 *
 * Each lease has a unique token. By its token, a process recognizes a lease whose `add` was not answered, and a marker
 * that has not been replaced since the process saw it.
 *
 * Based on the leases of "Scaling Memcache at Facebook" (NSDI 2013, section 3.2), without server support.
 */
import { hash, randomBytes } from "node:crypto";
import type { PoolPort } from "./pool/pool-port.ts";
import type { UnsettledWrites } from "./unsettled-writes.ts";

const LEASE_PREFIX = "platypus:lease:";
/** A refresh that finds the value unchanged keeps the item's cas. This marker tells such a refresh from a client's touch. */
const MARK_PREFIX = "platypus:extended:";
const HASH_BYTES = 16;
/** memcached may drop an item up to a second early. */
const SLACK_SECONDS = 1;
const ABSENT = "absent";

/** Unique to this process. With a counter it makes tokens that no other process makes. */
const processToken = randomBytes(12).toString("base64url");
let tokens = 0;

/** Part of the names of a key's lease and marker: 128 bits of its SHA-256. */
function digestOfKey(key: string): string {
  return hash("sha256", Buffer.from(key, "latin1"), "buffer").subarray(0, HASH_BYTES).toString("base64url");
}

/** Says that the pool cannot store the value. Copies fetched under this marker are valid while the item has it. */
export type KeptMarker = `kept:${string}`;

/** Content of the lease item of a key. */
export type LeaseState = "held" | "absent" | "gone" | KeptMarker;

/** The lease of one key in one pool. Calls reject with a BackendError when the pool cannot answer. */
export class Lease {
  private readonly port: PoolPort;
  private readonly key: string;
  private readonly name: string;
  private readonly markName: string;
  /** Token of the lease that `take` requests. "" before. */
  private token = "";

  constructor(port: PoolPort, key: string) {
    this.port = port;
    this.key = key;
    const digest = digestOfKey(key);
    this.name = LEASE_PREFIX + digest;
    this.markName = MARK_PREFIX + digest;
  }

  /**
   * Takes the lease for a fetch of at most `timeoutMs`. Returns its cas as proof. `null` if another process has the
   * lease.
   */
  async take(timeoutMs: number): Promise<bigint | null> {
    const exptime = leaseMs(timeoutMs) / 1000;
    this.token = `${processToken}:${++tokens}`;
    const written = await this.port.add(this.key, this.name, Buffer.from(this.token, "latin1"), exptime);
    return written.result === "stored" ? written.cas : null;
  }

  /** Returns the lease. False if this process no longer had it. */
  release(proof: bigint): Promise<boolean> {
    return this.port.deleteIf(this.key, this.name, proof);
  }

  /**
   * Returns a lease for a fetch of at most `timeoutMs`. Sent before this returns, and repeated until the pool answers.
   * The connections of an older port may be closed, and the lease may be on a server that `portNow` has as well.
   */
  giveBack(proof: bigint, unsettled: UnsettledWrites, timeoutMs: number, portNow: PoolPort): void {
    if (portNow !== this.port && portNow.isShared(this.key)) {
      new Lease(portNow, this.key).giveBack(proof, unsettled, timeoutMs, portNow);
    }
    const check = async () => {
      await this.release(proof);
      return true;
    };
    void unsettled.settle(check, { forMs: leaseMs(timeoutMs) });
  }

  /**
   * Returns the lease and tells all processes that the source does not have the key. False if this process no longer
   * had it.
   */
  async releaseAbsent(proof: bigint, negativeTtlMs: number): Promise<boolean> {
    if (negativeTtlMs === 0) return this.release(proof);
    return (await this.replace(ABSENT, negativeTtlMs, proof)) !== null;
  }

  /**
   * Replaces the lease by a marker that confirms a held value for `forMs`. Returns the marker's cas. `null` if this
   * process no longer had the lease.
   */
  keep(proof: bigint, forMs: number): Promise<bigint | null> {
    return this.replace(this.keptMarker, forMs, proof);
  }

  /** The marker that `keep` writes. */
  get keptMarker(): KeptMarker {
    return `kept:${this.token}`;
  }

  /** Reads the current content of the lease item, from any process. */
  async look(): Promise<LeaseState> {
    const text = await this.read();
    if (text === null) return "gone";
    if (text === ABSENT) return "absent";
    return isKeptMarker(text) ? text : "held";
  }

  /** After a `take` without a reply: deletes the lease if this process has it. Returns true if it had. */
  async retract(): Promise<boolean> {
    if ((await this.read()) !== this.token) return false;
    // A lease that another process takes at this moment is lost, which costs that process a second fetch.
    this.drop();
    return true;
  }

  /** Records that the value was found unchanged at `unixSeconds` and is fresh for `ttlMs` from then on. */
  noteExtended(unixSeconds: number, ttlMs: number): void {
    const exptime = Math.ceil(ttlMs / 1000);
    this.port.put(this.key, this.markName, Buffer.from(String(unixSeconds), "latin1"), exptime);
  }

  /**
   * Time when another process last found the value unchanged, in Unix seconds. `null` if no process has recorded that.
   */
  async extendedAt(): Promise<number | null> {
    const item = await this.port.get(this.key, this.markName);
    const seconds = Number(item?.value.toString("latin1"));
    return item === null || !Number.isFinite(seconds) ? null : seconds;
  }

  /** Ends the lease of any process before a client's write. Sent before this returns; the reply is not awaited. */
  drop(): void {
    this.port.drop(this.key, this.name);
  }

  private async read(): Promise<string | null> {
    return (await this.port.get(this.key, this.name))?.value.toString("latin1") ?? null;
  }

  private async replace(text: string, forMs: number, proof: bigint): Promise<bigint | null> {
    const exptime = Math.ceil(forMs / 1000);
    const written = await this.port.cas(this.key, this.name, Buffer.from(text, "latin1"), exptime, proof);
    return written.result === "stored" ? written.cas : null;
  }
}

export function isKeptMarker(text: string): text is KeptMarker {
  return text.startsWith("kept:");
}

/** Lifetime of a lease for a fetch of `timeoutMs` (ms). */
export function leaseMs(timeoutMs: number): number {
  return (Math.ceil(timeoutMs / 1000) + SLACK_SECONDS) * 1000;
}
