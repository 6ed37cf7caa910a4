/**
 * One refresh of one key, from reading the pool to writing the source's value.
 *
 *     read TTL and cas ── gone                                         ─► gone
 *          │ more left than this process gave it: another refreshed it ─► fresh
 *          ▼
 *     lease ── another process has it, or a reload has changed the rule ─► busy
 *          ▼
 *     fetch ── failed                                                  ─► failed
 *          │ equal bytes, a 304, or the known version of a known item  ─► stored (only its TTL is extended)
 *          │ not there                                                 ─► deleted with the cas, gone
 *          ▼
 *     write with the cas that was read ── a client wrote meanwhile     ─► kept
 *
 * A fetch may take longer than the item lives. Then its value is added as a fill adds one: with a lease that held until
 * after the add.
 *
 * The known data of an item (bytes, tag) belongs to the cas under which it was stored. Over another cas it is invalid,
 * so that a value that a client wrote is replaced even if the source has not changed.
 */
import { hash } from "node:crypto";
import type { Clock } from "../clock.ts";
import type { RuleConfig } from "../config/config.ts";
import type { PoolItem, WriteResult } from "../proxy/reply.ts";
import type { Span } from "../proxy/tracing.ts";
import type { FetchResult, Freshness } from "../sources/source.ts";
import { outcomeOf, undoAdd } from "./adding.ts";
import { fetchFor } from "./fetch.ts";
import { Lease, leaseMs } from "./lease.ts";
import { exptimeOf, freshnessOf, freshnessOfFetched, isFresher, isRefreshedElsewhere } from "./policy.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Match } from "./rules.ts";
import type { KnownItem } from "./tracker.ts";
import type { UnsettledWrites } from "./unsettled-writes.ts";

/** Outcome of a refresh. */
export type RefreshOutcome =
  | { readonly type: "gone" | "busy" }
  /** Another process has refreshed the item; it is fresh for this time. */
  | { readonly type: "fresh"; readonly freshMs: number; readonly cas: bigint }
  /** The item has the source's current value. */
  | ({ readonly type: "stored"; readonly isUnchanged: boolean; readonly known: KnownItem | null } & GoodFor)
  /** A client or another process wrote in between; that value stays. */
  | ({ readonly type: "kept" } & GoodFor)
  /** The source gave no answer. */
  | { readonly type: "failed"; readonly error: unknown }
  /** The source does not have the key, and the rule keeps the item. */
  | { readonly type: "notThere" };

/** False if the source's current value was not fetched. */
export function isFetched({ type }: RefreshOutcome): boolean {
  return type !== "busy" && type !== "fresh" && type !== "failed";
}

interface GoodFor {
  readonly ttlMs: number;
  readonly staleMs: number;
}

/** Known data of the key before the refresh. */
export interface Before {
  readonly known: KnownItem | null;
  /** Expected remaining freshness of the item (ms). Negative if it is stale. */
  readonly expectedMs: number;
  /** False if the source forbids serving a stale item. */
  readonly isServable: boolean;
  /** True if the source must be asked even if another process has refreshed the item. */
  readonly isForced?: boolean;
  /** Returns false if a reload has changed the rule or the pool, or if the key is not tracked any more. */
  isWanted?(): boolean;
}

/** 64 bits of the SHA-256 of a value's bytes, never 0. */
export function digestOf(value: Buffer): bigint {
  return hash("sha256", value, "buffer").readBigUInt64BE() || 1n;
}

/** Dependencies of a refresh. */
export interface RefreshMeans {
  readonly port: PoolPort;
  /** The current port: a reload may have replaced `port` meanwhile. */
  portNow(): PoolPort;
  readonly clock: Clock;
  readonly unsettled: UnsettledWrites;
  /** `null` if the refresh is not traced. */
  readonly span?: Span | null;
}

/**
 * Refreshes `key`. Rejects with a BackendError if the pool cannot answer. Each write of the value has the cas that was
 * read, so that it has no effect after a client's write, however late the server executes it.
 */
export async function refreshKey(
  key: string,
  match: Match,
  before: Before,
  { port, portNow, clock, unsettled, span = null }: RefreshMeans,
): Promise<RefreshOutcome> {
  const { config, source } = match.rule;
  const first = await port.read(key);
  if (first === null) return { type: "gone" };
  const lease = config.lease === "fleet" && port.isShared(key) ? new Lease(port, key) : null;
  if (before.isForced !== true && isRefreshedElsewhere(first.ttlSeconds, before.expectedMs, config)) {
    const freshMs = await trueFreshness(first, before, lease, config, clock);
    if (isFresher(freshMs, before.expectedMs)) return { type: "fresh", freshMs, cas: first.cas };
  }
  // Read again with the lease: the previous owner of the lease may have written.
  const [taken, read] =
    lease === null
      ? [null, fulfilled(first)]
      : await Promise.allSettled([lease.take(source.timeoutMs), port.read(key)]);
  if (taken?.status === "rejected") {
    // A lease that the lost request took would keep other processes from fetching.
    void unsettled.settle(() => lease!.retract(), { forMs: leaseMs(source.timeoutMs) });
    throw taken.reason;
  }
  const proof = taken?.value ?? null;
  if (lease !== null && proof === null) return { type: "busy" };
  const release = () => {
    if (lease !== null && proof !== null) lease.giveBack(proof, unsettled, source.timeoutMs, portNow());
  };
  if (read.status === "rejected") {
    release();
    throw read.reason;
  }
  const readMs = clock.nowMs();
  const item = read.value;
  if (item === null) {
    release();
    return { type: "gone" };
  }
  if (item.cas !== first.cas || (item.ttlSeconds ?? 0) > (first.ttlSeconds ?? 0)) {
    release();
    return { type: "fresh", freshMs: freshnessOf(item.ttlSeconds, config), cas: item.cas };
  }
  if (before.isWanted?.() === false) {
    release();
    return { type: "busy" };
  }
  const known = before.known?.cas === item.cas ? before.known : null;
  let result: FetchResult;
  try {
    result = await fetchFor(key, match, "refresh", known?.tag ?? null, clock, span);
  } catch (error) {
    release();
    if (before.isServable) return { type: "failed", error };
    return (await port.deleteIf(key, key, item.cas)) ? { type: "gone" } : { type: "failed", error };
  }
  // A copy of an older item could replace the value. No copy is in progress while the lease is held.
  if (port.removeFormer != null) await port.removeFormer(key);
  if (result.type === "notThere") {
    const isKept = config.notFound === "keep";
    const deleting = isKept ? null : port.deleteIf(key, key, item.cas);
    release();
    if (deleting === null) return { type: "notThere" };
    return (await deleting) ? { type: "gone" } : { type: "kept", ...goodFor(null) };
  }
  const good = goodFor(result.freshness);
  const exptime = exptimeOf(good.ttlMs, config, clock.unixSeconds());
  const digest = result.type === "value" ? digestOf(result.value) : null;
  const isLate = lease !== null && proof !== null && mayHaveExpired(item, clock.nowMs() - readMs);
  if (result.type === "unchanged" || (digest === known?.digest && !isLate)) {
    const touching = port.touch(key, exptime);
    lease?.noteExtended(clock.unixSeconds(), good.ttlMs);
    release();
    if (!(await touching)) return { type: "gone" };
    // If another client wrote between the read and this write, the next refresh reads a cas other than the known one.
    return { type: "stored", isUnchanged: true, known: tagged(known, result), ...good };
  }
  const writing = port.cas(key, key, result.value, exptime, item.cas);
  let written: WriteResult;
  if (isLate) {
    written = await writing.catch((error: unknown) => {
      release();
      throw error;
    });
    if (written.result === "notFound") {
      // After a reload that changed the rule, clients' writes may no longer end the lease.
      if (before.isWanted?.() !== false) return addExpired(result.value, lease, proof!, result.tag);
      release();
      return { type: "busy" };
    }
    release();
  } else {
    release();
    written = await writing;
  }
  if (written.result === "notFound") return { type: "gone" };
  if (written.result !== "stored") return { type: "kept", ...good };
  const { cas } = written;
  const now = cas === null ? null : { cas, digest: digest!, tag: result.tag };
  return { type: "stored", isUnchanged: false, known: now, ...good };

  /** The item has expired meanwhile: the value is stored only if no client has written since the lease was taken. */
  async function addExpired(value: Buffer, held: Lease, ours: bigint, tag: string | null): Promise<RefreshOutcome> {
    // In one write: if the process died between two writes, an unchecked value would remain.
    const adding = outcomeOf(port.add(key, key, value, exptime));
    const ending = held.release(ours).catch(() => null);
    const [added, isHeld] = await Promise.all([adding, ending]);
    if (isHeld === null) release();
    if (added.type === "notStored") return { type: "kept", ...good };
    if (isHeld !== true && added.type === "unknown") void unsettled.settle(undoAdd(port, key, value));
    if (added.type !== "stored") throw added.error;
    const { cas } = added;
    if (isHeld !== true) {
      // The cas is known: there are no leases on servers that cannot report it.
      void unsettled.settle(async () => {
        await port.deleteIf(key, key, cas!);
        return true;
      });
      return { type: "gone" };
    }
    const known = cas === null ? null : { cas, digest: digest!, tag };
    return { type: "stored", isUnchanged: false, known, ...good };
  }

  function goodFor(freshness: Freshness | null): GoodFor {
    return freshnessOfFetched(freshness, config);
  }
}

/** True if the item may have expired by now. memcached may drop an item up to a second early. */
function mayHaveExpired({ ttlSeconds }: PoolItem, elapsedMs: number): boolean {
  return ttlSeconds !== null && ttlSeconds >= 0 && elapsedMs > (ttlSeconds - 1) * 1000;
}

function fulfilled<T>(value: T): PromiseSettledResult<T> {
  return { status: "fulfilled", value };
}

/**
 * Freshness (ms) of an item with more time left than this process gave it. With another cas, the item was written anew.
 * With the known cas, either another process found it unchanged and left a marker, or a client touched it, which does
 * not make it fresher.
 */
async function trueFreshness(
  item: PoolItem,
  { known, expectedMs }: Before,
  lease: Lease | null,
  config: RuleConfig,
  clock: Clock,
): Promise<number> {
  const leftMs = freshnessOf(item.ttlSeconds, config);
  if (known?.cas !== item.cas) return leftMs;
  const extendedAt = (await lease?.extendedAt()) ?? null;
  if (extendedAt === null) return expectedMs;
  const longestMs = config.isSourceTtl ? config.maxTtlMs : config.ttlMs;
  return Math.min(leftMs, (extendedAt - clock.unixSeconds()) * 1000 + longestMs);
}

/** The source may give equal bytes a new tag. */
function tagged(known: KnownItem | null, { tag }: { readonly tag?: string | null }) {
  return known === null || tag === undefined ? known : { ...known, tag };
}
