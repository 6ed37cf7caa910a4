/**
 * The right of a flight to use the value that it fetches, and how it gets that right.
 *
 *     take lease, read value     in one write
 *        │ the value is there                                       ─► the waiting clients get it
 *        │ this process gets the lease                              ─► "lease": the value may be stored
 *        │ another process has it                                   ─► read the lease immediately; watch value and lease
 *        │    ├ absent: the source does not have the key            ─► miss
 *        │    ├ kept: the pool cannot store the value               ─► the held value, or "kept": fetch it and hold it
 *        │    └ the lease ends without a value                      ─► take it, once more
 *        └ the pool does not answer                                 ─► the held value, or "none": fetch and do not store
 */
import type { Clock } from "../clock.ts";
import { BackendError } from "../errors.ts";
import { missReply } from "../proxy/reply.ts";
import type { Span } from "../proxy/tracing.ts";
import type { Current } from "./current.ts";
import type { Flight } from "./flight.ts";
import { isKeptMarker, type KeptMarker, Lease, leaseMs } from "./lease.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Rule } from "./rules.ts";
import type { StandIns } from "./stand-ins.ts";
import type { UnsettledWrites } from "./unsettled-writes.ts";

/** First pause between two looks for another process's value (ms). The pauses double up to the last one. */
const FIRST_LOOK_MS = 5;
const LAST_LOOK_MS = 100;
/** Maximum number of times that a flight asks for the lease. */
const MAX_TAKES = 2;

export type Right =
  /** The lease, and the cas that proves it. */
  | { readonly type: "lease"; readonly lease: Lease; readonly proof: bigint }
  /** Processes do not share fetches of this key: only writes through this process are noticed. */
  | { readonly type: "own" }
  /** The pool cannot store the value. A marker in the lease vouches for copies in memory. */
  | { readonly type: "kept"; readonly lease: Lease; readonly marker: KeptMarker }
  /** The lease request failed: a write through another process goes unnoticed. */
  | { readonly type: "none" };

/** True if processes share fetches of `key` under `rule`. */
export function isShared(key: string, rule: Rule, port: PoolPort): boolean {
  return rule.config.lease === "fleet" && port.isShared(key);
}

interface FetchRightsOptions {
  readonly now: Current;
  readonly clock: Clock;
  readonly standIns: StandIns;
  readonly unsettled: UnsettledWrites;
  readonly log: { poolFailed(rule: Rule, error: unknown, span?: Span | null): void };
}

export class FetchRights {
  private readonly now: Current;
  private readonly clock: Clock;
  private readonly standIns: StandIns;
  private readonly unsettled: UnsettledWrites;
  private readonly log: FetchRightsOptions["log"];

  constructor({ now, clock, standIns, unsettled, log }: FetchRightsOptions) {
    this.now = now;
    this.clock = clock;
    this.standIns = standIns;
    this.unsettled = unsettled;
    this.log = log;
  }

  /**
   * Gets the right to fetch the key of `flight`, which processes share. "elsewhere" if no fetch is needed, because the
   * waiting clients have been answered.
   */
  async take(flight: Flight): Promise<Right | "elsewhere"> {
    const { key, port, rule } = flight;
    const lease = new Lease(port, key);
    // The lease confirms what this process remembers, unless a write has ended the lease since: one read shows that.
    if (flight.isAwaited && this.standIns.has(key, this.clock.nowMs())) {
      const outcome = await this.watchIfAnswered(flight, lease, false);
      if (outcome !== "gone") return outcome;
    }
    for (let takes = 1; takes <= MAX_TAKES; takes++) {
      const look = ++flight.looks;
      // A later fetch is newer than the writes so far, which were sent before this request.
      flight.isOvertaken = false;
      // A lease that ended after the miss has left its value.
      const [taken, found] = await Promise.allSettled([lease.take(rule.source.timeoutMs), port.get(key, key)]);
      if (found.status === "fulfilled" && found.value !== null) flight.answerFound(look, found.value);
      if (taken.status === "rejected") {
        this.retract(lease, flight);
        return this.withoutRight(flight, taken.reason);
      }
      if (taken.value !== null) {
        const right: Right = { type: "lease", lease, proof: taken.value };
        const isFound = found.status === "fulfilled" && found.value !== null;
        if (!isFound || flight.isAwaited) {
          rule.counters.leasesTaken++;
          return right;
        }
        this.giveBack(right, flight);
        return "elsewhere";
      }
      if (found.status === "rejected") return this.withoutRight(flight, found.reason);
      const outcome = await this.watchIfAnswered(flight, lease, takes === 1);
      if (outcome !== "gone") return outcome;
    }
    flight.answer(missReply);
    return "elsewhere";
  }

  /** Ends an unused lease. Sent before this returns, and repeated until the pool answers. */
  giveBack(right: Right, flight: Flight): void {
    if (right.type !== "lease") return;
    right.lease.giveBack(right.proof, this.unsettled, flight.rule.source.timeoutMs, this.now.port);
  }

  /** The right that remains after a reload. */
  afterReload(right: Right, flight: Flight): Right {
    const { rules, port } = this.now;
    if (right.type === "own") {
      const now = flight.rules === rules ? flight.rule : (rules.match(flight.key)?.rule ?? flight.rule);
      // The reload has enabled leases: processes with leases did not notice this fetch.
      return isShared(flight.key, now, port) ? { type: "none" } : right;
    }
    if (right.type === "none" || flight.port === port) return right;
    // Writes no longer go to the pool of the lease.
    this.giveBack(right, flight);
    return { type: "none" };
  }

  /** The reply to `take` was lost: a lease that it took would keep other processes from fetching. */
  private retract(lease: Lease, flight: Flight): void {
    void this.unsettled.settle(() => lease.retract(), { forMs: leaseMs(flight.rule.source.timeoutMs) });
  }

  /**
   * The fallback if the pool does not answer: a value that this process remembers, or a fetch that is not stored. A
   * pool that is down has not reported the miss either. If the pool has reported it and only the reply about the lease
   * is lost, only a fetch is new enough.
   */
  private withoutRight(flight: Flight, error: unknown): Right | "elsewhere" {
    this.log.poolFailed(flight.rule, error, flight.span);
    const nowMs = this.clock.nowMs();
    const held = this.standIns.heldValue(flight.key, nowMs);
    if (held === undefined && !this.standIns.isNotThere(flight.key, nowMs)) return { type: "none" };
    const isDown = error instanceof BackendError && error.isRefused;
    flight.answer(held?.reply ?? missReply, ({ hasPoolFailed }) => isDown || hasPoolFailed);
    return flight.isAwaited ? { type: "none" } : "elsewhere";
  }

  /** `watch`, or the fallback without a right if the pool does not answer. */
  private async watchIfAnswered(flight: Flight, lease: Lease, isFirst: boolean): Promise<Right | "elsewhere" | "gone"> {
    try {
      return await this.watch(flight, lease, isFirst);
    } catch (error) {
      return this.withoutRight(flight, error);
    }
  }

  /**
   * Looks for another process's value while clients wait. "gone" if the lease has ended without a value and clients
   * still wait. Rejects if the pool does not answer.
   */
  private async watch(flight: Flight, lease: Lease, isFirst: boolean): Promise<Right | "elsewhere" | "gone"> {
    const { key, port, rule } = flight;
    for (let delayMs = 0; flight.isAwaited; delayMs = Math.min(delayMs * 2 || FIRST_LOOK_MS, LAST_LOOK_MS)) {
      if (delayMs > 0) await new Promise<void>((resolve) => this.clock.setTimer(delayMs, resolve));
      if (!flight.isAwaited) break;
      const look = ++flight.looks;
      // The value was read a moment ago.
      const finding = delayMs === 0 ? null : port.get(key, key);
      const [found, state] = await Promise.all([finding, lease.look()]);
      if (found !== null) {
        flight.answerFound(look, found);
      } else if (state === "absent") {
        rule.counters.notThere++;
        flight.answerSeen(look, missReply);
      } else if (isKeptMarker(state)) {
        const held = this.standIns.heldValue(key, this.clock.nowMs());
        if (held?.marker !== state) return { type: "kept", lease, marker: state };
        flight.answerSeen(look, held.reply);
      } else if (state === "gone") {
        if (flight.isAwaited) return "gone";
      } else if (isFirst && delayMs === 0) {
        rule.counters.leasesAwaited++;
      }
    }
    return "elsewhere";
  }
}
