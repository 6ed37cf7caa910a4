/**
 * Stores the result of a flight in the pool, and decides the reply to its waiting clients.
 *
 *     value, with a lease or for this process only ─► add, and end of the lease, in one write ─► stored
 *        │                                                 ├─ refused: held in memory for a short time
 *        │                                                 └─ a reply is lost: read and deleted (unsettled-writes.ts)
 *        ├─ with a marker of the pool's refusal             ─► held, if the marker is still there
 *        └─ without a right                                ─► held; a write through another process may have overtaken it
 *     no value, the source does not have the key           ─► a marker in the lease, a negative result in memory
 *
 * Values enter the pool only with a right that held until after the `add`.
 */
import type { Clock } from "../clock.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { missReply, type Reply, valueReply } from "../proxy/reply.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import type { FetchedValue, FetchResult } from "../sources/source.ts";
import { outcomeOf, undoAdd } from "./adding.ts";
import type { Current } from "./current.ts";
import { backendMessage, errorCode } from "./fetch.ts";
import type { FetchRights, Right } from "./fetch-right.ts";
import type { Flight } from "./flight.ts";
import type { Flights } from "./flights.ts";
import type { KeptMarker } from "./lease.ts";
import { exptimeOf, freshnessOfFetched } from "./policy.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Rule } from "./rules.ts";
import { holdMs, type StandIns } from "./stand-ins.ts";
import type { UnsettledWrites } from "./unsettled-writes.ts";

/** Time for which a filled key counts as recently filled (ms): a miss may arrive this long after it was read. */
const RECENT_MS = 2_000;
const MAX_RECENT_KEYS = 100_000;
/**
 * Servers refuse values above their `-I`, 1 MiB by default. Smaller values are expected to fit until one is refused.
 */
const LARGE_BYTES = 1_000_000;
const REFUSED_MS = 600_000;
const MAX_REFUSED_KEYS = 10_000;

/** A stored value. */
export interface Stored {
  /** `null` if the server cannot report the cas, or has not answered. */
  readonly cas: bigint | null;
  readonly value: Buffer;
  readonly tag: string | null;
  readonly ttlMs: number;
  readonly staleMs: number;
}

/** Events of fills. */
export interface PopulateEvents {
  /** A fetched value was stored under `key` in `port`. */
  populated(key: string, rule: Rule, stored: Stored, port: PoolPort): void;
  /** The source has announced another value for `key`. */
  changed?(key: string): void;
  /** A request with this traceparent asked for the key: later refreshes link to it. */
  traced?(key: string, traceparent: string): void;
}

/** The reply that the waiting clients of a flight may get. */
export type Verdict =
  /** `reply` is not older than any write that was acknowledged before a waiting client's get. */
  | { readonly type: "proven"; readonly reply: Reply }
  /**
   * Like "proven" for clients that joined before the fetch. Others may have asked after a write that `reply` does not
   * include.
   */
  | { readonly type: "unproven"; readonly reply: Reply }
  /** A write has overtaken the fetch. */
  | { readonly type: "overtaken" }
  /** A client wrote meanwhile: the pool's value is newer than the fetched one. */
  | { readonly type: "newerInPool" };

const overtaken: Verdict = { type: "overtaken" };

/** Whether the right held until after the `add`. `marker` is the cas of a `kept` marker that replaced the lease. */
interface End {
  readonly right: "held" | "lost" | "unknown";
  readonly marker: bigint | null;
}

export interface PopulatorOptions {
  readonly now: Current;
  readonly clock: Clock;
  readonly events: PopulateEvents;
  readonly log: { poolFailed(rule: Rule, error: unknown, span?: Span | null): void };
  readonly flights: Flights;
  readonly rights: FetchRights;
  readonly standIns: StandIns;
  readonly unsettled: UnsettledWrites;
  /** The value of `key` in the pool may have changed. */
  readonly written: (key: string) => void;
}

export class Populator {
  private readonly now: Current;
  private readonly clock: Clock;
  private readonly events: PopulateEvents;
  private readonly log: PopulatorOptions["log"];
  private readonly flights: Flights;
  private readonly rights: FetchRights;
  private readonly standIns: StandIns;
  private readonly unsettled: UnsettledWrites;
  private readonly written: (key: string) => void;
  /** Recently filled keys, tracked or not. */
  private readonly recent = new ExpiringMap<true>(MAX_RECENT_KEYS, MAX_RECENT_KEYS);
  /** Keys whose value a server has refused. */
  private readonly refused = new ExpiringMap<true>(MAX_REFUSED_KEYS, MAX_REFUSED_KEYS);

  constructor(options: PopulatorOptions) {
    this.now = options.now;
    this.clock = options.clock;
    this.events = options.events;
    this.log = options.log;
    this.flights = options.flights;
    this.rights = options.rights;
    this.standIns = options.standIns;
    this.unsettled = options.unsettled;
    this.written = options.written;
  }

  /** True if `key` was filled less than two seconds ago. */
  isRecent(key: string): boolean {
    return this.recent.get(key, this.clock.nowMs()) === true;
  }

  /**
   * Handles `result` as `right` allows, and ends the right. `flight` accepts no more clients. All writes are sent
   * before this returns.
   */
  take(flight: Flight, result: FetchResult, right: Right): Verdict | Promise<Verdict> {
    if (result.type !== "value") return this.rememberNotThere(flight, right);
    if (right.type === "kept") return this.holdUnderMarker(flight, result, right);
    if (right.type === "none" || !this.unsettled.hasRoom) return this.doNotStore(flight, result, right);
    return this.populate(flight, result, right);
  }

  private async rememberNotThere(flight: Flight, right: Right): Promise<Verdict> {
    const { rule } = flight;
    const { negativeTtlMs } = rule.config;
    let isProven = right.type === "own";
    if (right.type === "lease") {
      const { lease, proof } = right;
      try {
        isProven = await lease.releaseAbsent(proof, this.now.isOrigin(flight) ? negativeTtlMs : 0);
      } catch (error) {
        this.log.poolFailed(rule, error, flight.span);
        this.rights.giveBack(right, flight);
        return { type: "unproven", reply: missReply };
      }
      if (!isProven) flight.isOvertaken = true;
    }
    if (flight.isOvertaken) return overtaken;
    rule.counters.notThere++;
    if (this.now.isOrigin(flight)) this.standIns.noteNotThere(flight.key, this.clock.nowMs() + negativeTtlMs);
    return { type: isProven ? "proven" : "unproven", reply: missReply };
  }

  /** The fetch had no right, or has lost it: writes through other processes may have overtaken it unnoticed. */
  private doNotStore(flight: Flight, fetched: FetchedValue, right: Right): Verdict {
    this.rights.giveBack(right, flight);
    const reply = valueReply(flight.key, fetched.value, 0);
    this.hold(flight, reply, fetched, null);
    return { type: "unproven", reply };
  }

  /**
   * Holds a value that the pool cannot store, fetched while the lease had a marker. The value is valid if the marker is
   * still there.
   */
  private async holdUnderMarker(
    flight: Flight,
    fetched: FetchedValue,
    right: Extract<Right, { type: "kept" }>,
  ): Promise<Verdict> {
    const reply = valueReply(flight.key, fetched.value, 0);
    let isProven: boolean;
    try {
      isProven = (await right.lease.look()) === right.marker;
    } catch (error) {
      this.log.poolFailed(flight.rule, error, flight.span);
      return this.doNotStore(flight, fetched, { type: "none" });
    }
    if (!isProven || flight.isOvertaken) return overtaken;
    this.hold(flight, reply, fetched, right.marker);
    return { type: "proven", reply };
  }

  private async populate(
    flight: Flight,
    fetched: FetchedValue,
    right: Extract<Right, { type: "lease" | "own" }>,
  ): Promise<Verdict> {
    const { key, rule } = flight;
    const { value, tag } = fetched;
    const port = right.type === "own" ? this.now.port : flight.port;
    const reply = valueReply(key, value, 0);
    const good = freshnessOfFetched(fetched.freshness, rule.config);
    const exptime = exptimeOf(good.ttlMs, rule.config, this.clock.unixSeconds());
    // In one write: if the process died between two writes, an unchecked value would remain.
    const adding = outcomeOf(port.add(key, key, value, exptime));
    const ending = this.end(flight, right, value, good.ttlMs);
    const span = flight.span?.begin("populate", SpanKind.internal) ?? null;
    const [added, end] = await Promise.all([adding, ending]);
    this.written(key);
    span?.set("platypus.result", added.type);
    if ("error" in added) span?.fail(errorCode(added.error), backendMessage(added.error));
    span?.end();
    if (added.type === "unknown") this.settleAdd(flight, value, port, right.type === "own" ? null : end);
    if ("error" in added) this.log.poolFailed(rule, added.error, flight.span);
    // A server that ended the lease and refused the value works: it does not accept such values.
    if (added.type === "refused" && end.right === "held") {
      this.refused.set(key, true, this.clock.nowMs() + REFUSED_MS, 1);
    }
    const { marker } = end;
    if (marker !== null && added.type !== "refused") this.rights.giveBack({ ...leaseOf(right), proof: marker }, flight);

    if (added.type === "notStored") {
      // A client wrote in between: its value is newer.
      return { type: "newerInPool" };
    }
    if (added.type === "stored" && end.right !== "held") {
      // The cas is known: there are no leases on servers that cannot report it.
      const cas = added.cas!;
      void this.unsettled.settle(async () => {
        await port.deleteIf(key, key, cas);
        this.written(key);
        return true;
      });
    }
    if (end.right === "lost") return overtaken;
    if (end.right === "unknown") {
      this.hold(flight, reply, fetched, null);
      return { type: "unproven", reply };
    }
    if (added.type === "stored") {
      rule.counters.filled++;
      this.recent.set(key, true, this.clock.nowMs() + RECENT_MS, 1);
      this.tellPopulated(flight, { ...good, cas: added.cas, value, tag }, port);
      return { type: "proven", reply };
    }
    if (added.type === "unknown" && !flight.isOvertaken && right.type === "lease") {
      this.tellPopulated(flight, { ...good, cas: null, value, tag }, port);
    }
    this.hold(flight, reply, fetched, marker === null ? null : leaseOf(right).lease.keptMarker);
    return { type: "proven", reply: flight.isOvertaken ? missReply : reply };
  }

  /**
   * Ends the right; sent before this returns. For a value that the pool may refuse, writes a marker that confirms a
   * held copy.
   */
  private async end(flight: Flight, right: Right, value: Buffer, ttlMs: number): Promise<End> {
    if (right.type !== "lease") return { right: "held", marker: null };
    const { lease, proof } = right;
    try {
      if (value.length <= LARGE_BYTES && !this.refused.get(flight.key, this.clock.nowMs())) {
        return { right: (await lease.release(proof)) ? "held" : "lost", marker: null };
      }
      const marker = await lease.keep(proof, holdMs(ttlMs));
      return { right: marker === null ? "lost" : "held", marker };
    } catch {
      this.rights.giveBack(right, flight);
      return { right: "unknown", marker: null };
    }
  }

  /**
   * The reply to an `add` was lost. Unless its right is known to have held until after it, the value is read and
   * deleted. The cas of the item is unknown: an item with equal bytes counts as the added one. `end` is `null` if only
   * writes through this process count.
   */
  private settleAdd(flight: Flight, value: Buffer, port: PoolPort, end: End | null): void {
    if (end?.right === "held") return;
    const { key } = flight;
    const undo = undoAdd(port, key, value);
    const check = async () => (end === null && !flight.isOvertaken ? false : undo());
    flight.isUnsettled = true;
    void this.unsettled.settle(check).then(() => {
      this.written(key);
      this.flights.leave(flight);
    });
  }

  private tellPopulated(flight: Flight, stored: Stored, port: PoolPort): void {
    this.events.populated(flight.key, flight.rule, stored, port);
    if (flight.origin !== null) this.events.traced?.(flight.key, flight.origin);
    if (flight.hasChanged) this.events.changed?.(flight.key);
  }

  /** Holds a value that the pool could not store for a short time, for gets that the pool cannot answer. */
  private hold(flight: Flight, reply: Reply, { freshness }: FetchedValue, marker: KeptMarker | null): void {
    const { key, rule } = flight;
    if (flight.isOvertaken || !this.now.isOrigin(flight)) return;
    const { ttlMs } = freshnessOfFetched(freshness, rule.config);
    this.standIns.hold(key, { reply, rule, marker }, this.clock.nowMs() + holdMs(ttlMs));
    rule.counters.held++;
  }
}

function leaseOf(right: Right): Extract<Right, { type: "lease" }> {
  if (right.type !== "lease") throw new Error("only a lease leaves a marker");
  return right;
}
