/**
 * Fills misses: one fetch per key at a time, however many clients wait for it.
 *
 *     miss ─► join the key's flight, or open one:
 *             right (fetch-right.ts) ─► source ─► add to the pool, end the lease ─► answer all
 *               ├─ another process has the lease: watch the pool for its value
 *               └─ the lease cannot be asked for: answer from memory, or fetch and do not store
 *
 * A flight takes newcomers until its value is sent to the pool. A client's write closes it: at once if it comes through
 * this process, when the lease is found gone if it comes through another one. Clients that ask later start a fetch of their
 * own. Clients that wait are not given a value that may be older than a write acknowledged before their get: for them the
 * key is fetched once more within what is left of their `fill_timeout`.
 *
 * Values enter the pool only with a right that held until after the `add`. If the answer to the `add` or to the end of the
 * lease is lost, the value is looked for and deleted (unsettled-writes.ts).
 */
import type { Clock } from "../clock.ts";
import { ExpiringMap } from "../expiring-map.ts";
import { missReply, type Reply, valueReply } from "../proxy/reply.ts";
import type { KeyList } from "../proxy/request.ts";
import type { FillWaiter, MissFiller } from "../proxy/route/fill-route.ts";
import type { StoredKeys } from "../proxy/route/sidecar-route.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import type { FetchedValue, FetchResult } from "../sources/source.ts";
import { outcomeOf, undoAdd } from "./adding.ts";
import { errorCode, fetchFor } from "./fetch.ts";
import { FetchRights, isShared, type Right } from "./fetch-right.ts";
import { Flight, newWaiting, type Waiting } from "./flight.ts";
import { Flights } from "./flights.ts";
import { type KeptMarker, Lease } from "./lease.ts";
import { exptimeOf, freshnessOfFetched } from "./policy.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import { isSameOrigin, type Match, type Rule, type Rules } from "./rules.ts";
import { holdMs, StandIns } from "./stand-ins.ts";
import { Starts } from "./starts.ts";
import { UnsettledWrites } from "./unsettled-writes.ts";

/** Maximum age of a miss when it arrives here (ms). */
const RECENT_MS = 2_000;
const MAX_RECENT_KEYS = 100_000;
/** Servers refuse values above their `-I`, 1 MiB by default. Smaller values are assumed to fit until one is refused. */
const LARGE_BYTES = 1_000_000;
const REFUSED_MS = 600_000;
const MAX_REFUSED_KEYS = 10_000;

/** Tells of what was filled; implemented by the scheduler. */
export interface FillEvents {
  /** A fetched value was stored under `key` in `port`. */
  populated(key: string, rule: Rule, stored: Stored, port: PoolPort): void;
  /** The source has announced another value for `key`. */
  changed?(key: string): void;
  /** A request with this traceparent asked for a key: refreshes from now on are for its sake. */
  traced?(key: string, traceparent: string): void;
  /** A client asked for a key; called for every get, hit or miss. */
  got(chunk: Buffer, start: number, end: number, isHit: boolean): void;
  /** The same for each key of a get of many. */
  gotAll(keys: KeyList): void;
  isTracked(key: string): boolean;
}

/** A value as it was stored. */
export interface Stored {
  /** `null` if the server cannot say, or has not answered. */
  readonly cas: bigint | null;
  readonly value: Buffer;
  readonly tag: string | null;
  readonly ttlMs: number;
  readonly staleMs: number;
}

/** Tells of what went wrong; a burst of one failure is one line. */
export interface FillLog {
  sourceFailed(rule: Rule, error: unknown, span?: Span | null): void;
  poolFailed(rule: Rule, error: unknown, span?: Span | null): void;
  observed(rule: Rule, key: string): void;
}

/** Attribute of a client's request: how it came by its value. */
const FILL_ATTRIBUTE = "platypus.fill";

/** Whether the right held until after the `add`; `marker` is the cas of a `kept` marker that took the lease's place. */
interface End {
  readonly right: "held" | "lost" | "unknown";
  readonly marker: bigint | null;
}

export interface FillerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  readonly events: FillEvents;
  readonly log: FillLog;
  readonly holdBytes: number;
  /** True while memory is short: a miss that no fetch is under way for is answered as a miss. */
  readonly refusesFill?: () => boolean;
  readonly unsettled?: UnsettledWrites;
  readonly starts?: Starts;
}

/** The MissFiller of a process. */
export class Filler implements MissFiller, StoredKeys {
  private rules: Rules;
  private port: PoolPort;
  private readonly clock: Clock;
  private readonly events: FillEvents;
  private readonly log: FillLog;
  private readonly flights = new Flights();
  /** Keys filled a moment ago, tracked or not. */
  private readonly recent = new ExpiringMap<true>(MAX_RECENT_KEYS, MAX_RECENT_KEYS);
  /** Keys whose value a server has refused. */
  private readonly refused = new ExpiringMap<true>(MAX_REFUSED_KEYS, MAX_REFUSED_KEYS);
  private readonly standIns: StandIns;
  private readonly refusesFill: () => boolean;
  private readonly unsettled: UnsettledWrites;
  private readonly rights: FetchRights;
  private readonly starts: Starts;

  constructor(options: FillerOptions) {
    this.rules = options.rules;
    this.port = options.port;
    this.clock = options.clock;
    this.events = options.events;
    this.log = options.log;
    this.standIns = new StandIns(options.holdBytes);
    this.refusesFill = options.refusesFill ?? (() => false);
    this.unsettled = options.unsettled ?? new UnsettledWrites(options.clock);
    this.starts = options.starts ?? new Starts();
    this.rights = new FetchRights(this.clock, this.standIns, this.unsettled, this.log, () => this.port);
  }

  /** Flights under way. */
  get inFlight(): number {
    return this.flights.running;
  }

  /** Takes over a new configuration. What that means for flights under way is in docs/architecture.md, "Reloads". */
  replace(rules: Rules, port: PoolPort, holdBytes: number): void {
    this.rules = rules;
    // A newcomer has missed in the new pool. A lease of the old one proves nothing about writes to that.
    if (port !== this.port) this.flights.closeAll();
    this.port = port;
    this.standIns.reset(holdBytes);
  }

  /** Forgets the values that are held for the pool. Returns their bytes. */
  shedHeld(): number {
    return this.standIns.shed();
  }

  noteTraced(key: string, span: Span): void {
    this.events.traced?.(key, span.traceparent);
  }

  noteGet(chunk: Buffer, start: number, end: number, isHit: boolean): void {
    this.events.got(chunk, start, end, isHit);
  }

  noteGets(keys: KeyList): void {
    this.events.gotAll(keys);
  }

  isStored(key: string): boolean {
    return this.recent.get(key, this.clock.nowMs()) === true || this.events.isTracked(key);
  }

  /** The source has announced another value for `key`: a value on its way to the pool may be the one before. */
  changed(key: string): void {
    for (const flight of this.flights.of(key)) flight.hasChanged = true;
  }

  fill(key: string, waiter: FillWaiter, hasPoolFailed = false): boolean {
    const nowMs = this.clock.nowMs();
    if (this.isAnsweredFromMemory(key, waiter, hasPoolFailed, nowMs)) return true;
    const flight = this.flights.openOf(key);
    if (flight !== undefined) {
      flight.rule.counters.joined++;
      waiter.span?.set(FILL_ATTRIBUTE, "joined");
      flight.join(newWaiting(waiter, nowMs + flight.rule.config.fillTimeoutMs, hasPoolFailed));
      return true;
    }
    const match = this.rules.match(key);
    if (match === null || this.refusesFill()) return false;
    if (match.rule.config.mode === "observe") {
      match.rule.counters.observed++;
      this.log.observed(match.rule, key);
      return false;
    }
    this.start(key, match, [newWaiting(waiter, nowMs + match.rule.config.fillTimeoutMs, hasPoolFailed)]);
    return true;
  }

  beforeWrite(key: string): void {
    this.overtake(key);
    this.port.noteWrite(key);
    // Other processes notice it by their lease, if they can have one.
    if (this.rules.hasLeases && this.port.isShared(key) && this.rules.match(key)?.rule.config.lease === "fleet") {
      new Lease(this.port, key).drop();
    }
  }

  beforeFlush(): void {
    this.standIns.forgetAll();
    this.port.noteFlush();
    // Leases are flushed with all other items.
    for (const key of this.flights.keys()) this.overtake(key);
  }

  /**
   * Answers from memory where that is as good as a new fetch: the pool cannot answer the client's get, or only writes through
   * this process count.
   */
  private isAnsweredFromMemory(key: string, waiter: FillWaiter, hasPoolFailed: boolean, nowMs: number): boolean {
    const held = this.standIns.heldValue(key, nowMs);
    if (held === undefined && !this.standIns.isNotThere(key, nowMs)) return false;
    if (!hasPoolFailed) {
      const match = this.rules.match(key);
      if (match !== null && isShared(key, match.rule, this.port)) return false;
    }
    if (held === undefined) {
      waiter.filled(missReply, 0);
    } else {
      held.rule.counters.answered++;
      waiter.span?.set(FILL_ATTRIBUTE, "held");
      waiter.filled(held.reply, held.rule.config.fillTimeoutMs);
    }
    return true;
  }

  private overtake(key: string): void {
    this.standIns.forget(key);
    this.flights.overtake(key);
  }

  /** Opens a flight. Where the source takes no more fills, the clients are answered with a miss at once, without a flight. */
  private start(key: string, match: Match, waiting: Waiting[]): void {
    const { counters, source } = match.rule;
    counters.fills++;
    const refusal = source.admitFill(key);
    if (refusal !== null) {
      counters.failed++;
      this.log.sourceFailed(match.rule, refusal, waiting[0]?.waiter.span);
      for (const { waiter } of waiting) waiter.filled(missReply, 0);
      return;
    }
    const opener = waiting.find(({ waiter }) => waiter.span)?.waiter.span ?? null;
    const flight = new Flight({
      key,
      match,
      rules: this.rules,
      port: this.port,
      clock: this.clock,
      span: opener?.begin("fill", SpanKind.internal) ?? null,
      origin: opener?.traceparent ?? null,
    });
    flight.span?.about(key, match.rule.config.name);
    flight.admittedBy = source;
    this.flights.add(flight);
    for (const one of waiting) flight.join(one);
    this.starts.add(() => this.begin(flight));
  }

  private begin(flight: Flight): void {
    // What it sees from here on is newer than the writes so far.
    flight.isOvertaken = false;
    // Nothing in it throws on purpose. If something does, the clients must not wait for ever.
    this.fly(flight)
      .catch((error: unknown) => this.log.sourceFailed(flight.rule, error))
      .finally(() => {
        flight.endAdmission();
        this.flights.end(flight);
        flight.answer(missReply);
        flight.span?.end();
      });
  }

  private async fly(flight: Flight): Promise<void> {
    let right: Right = { type: "own" };
    if (isShared(flight.key, flight.rule, flight.port)) {
      const span = flight.span?.begin("lease", SpanKind.internal) ?? null;
      const taken = await this.rights.take(flight);
      span?.set("platypus.lease", taken === "elsewhere" ? "elsewhere" : taken.type === "lease" ? "taken" : taken.type);
      span?.end();
      if (taken === "elsewhere") return;
      right = taken;
    }
    if (!this.renewRule(flight)) {
      this.flights.close(flight);
      this.rights.giveBack(right, flight);
      flight.answer(missReply);
      return;
    }
    const { rule } = flight;
    let result: FetchResult;
    flight.isFetching = true;
    flight.hasChanged = false;
    flight.endAdmission();
    try {
      result = await fetchFor(flight.key, flight, "fill", null, this.clock, flight.span);
    } catch (error) {
      this.flights.close(flight);
      this.rights.giveBack(right, flight);
      rule.counters.failed++;
      flight.span?.fail(errorCode(error));
      this.log.sourceFailed(rule, error, flight.span);
      flight.answer(missReply);
      return;
    }
    // A client that comes now asks the pool and finds the value there, or starts a new flight.
    this.flights.close(flight);
    if (flight.isOvertaken) {
      this.rights.giveBack(right, flight);
      this.overtaken(flight);
      return;
    }
    right = this.rightNow(flight, right);
    if (result.type !== "value") await this.rememberNotThere(flight, right);
    else if (right.type === "kept") await this.holdUnderMarker(flight, result, right);
    else if (right.type === "none" || !this.unsettled.hasRoom) this.doNotStore(flight, result, right);
    else await this.populate(flight, result, right);
  }

  /**
   * A reload may have come while the flight waited for its turn or its lease: nothing has been fetched under the old rule,
   * whose source may be closed by now. Returns false if no rule fills the key any more.
   */
  private renewRule(flight: Flight): boolean {
    if (flight.rules === this.rules) return true;
    const match = this.rules.match(flight.key);
    if (match === null || match.rule.config.mode !== "on") return false;
    flight.rules = this.rules;
    flight.rule = match.rule;
    flight.captures = match.captures;
    return true;
  }

  /** What is left of a right after a reload. */
  private rightNow(flight: Flight, right: Right): Right {
    if (right.type === "own") {
      const now = flight.rules === this.rules ? flight.rule : (this.rules.match(flight.key)?.rule ?? flight.rule);
      // Leases have come into use since: processes that have them did not notice this fetch.
      return isShared(flight.key, now, this.port) ? { type: "none" } : right;
    }
    if (right.type === "none" || flight.port === this.port) return right;
    // The lease lies in a pool that writes do not go to any more.
    this.rights.giveBack(right, flight);
    return { type: "none" };
  }

  /** False: a reload has changed what the key's values come from or go to, so that nothing is to be remembered of this one. */
  private isCurrent(flight: Flight): boolean {
    if (flight.port !== this.port) return false;
    if (flight.rules === this.rules) return true;
    const now = this.rules.match(flight.key)?.rule;
    return now !== undefined && isSameOrigin(flight.rule, now);
  }

  private async rememberNotThere(flight: Flight, right: Right): Promise<void> {
    const { rule } = flight;
    const { negativeTtlMs } = rule.config;
    let isProven = right.type === "own";
    if (right.type === "lease") {
      const { lease, proof } = right;
      try {
        isProven = await lease.releaseAbsent(proof, this.isCurrent(flight) ? negativeTtlMs : 0);
      } catch (error) {
        this.log.poolFailed(rule, error, flight.span);
        this.rights.giveBack(right, flight);
        this.answerUnproven(flight, missReply);
        return;
      }
      if (!isProven) flight.isOvertaken = true;
    }
    if (flight.isOvertaken) {
      this.overtaken(flight);
      return;
    }
    rule.counters.notThere++;
    if (this.isCurrent(flight)) this.standIns.noteNotThere(flight.key, this.clock.nowMs() + negativeTtlMs);
    if (isProven) flight.answer(missReply);
    else this.answerUnproven(flight, missReply);
  }

  /** Fetched without a right, or with one that is lost: writes through other processes may have overtaken it unnoticed. */
  private doNotStore(flight: Flight, fetched: FetchedValue, right: Right): void {
    this.rights.giveBack(right, flight);
    const reply = valueReply(flight.key, fetched.value, 0);
    this.hold(flight, reply, fetched, null);
    this.answerUnproven(flight, reply);
  }

  /** A value that the pool cannot store, fetched while a marker in the lease said so: it is valid if the marker still does. */
  private async holdUnderMarker(
    flight: Flight,
    fetched: FetchedValue,
    right: Extract<Right, { type: "kept" }>,
  ): Promise<void> {
    const reply = valueReply(flight.key, fetched.value, 0);
    let isProven: boolean;
    try {
      isProven = (await right.lease.look()) === right.marker;
    } catch (error) {
      this.log.poolFailed(flight.rule, error, flight.span);
      this.doNotStore(flight, fetched, { type: "none" });
      return;
    }
    if (!isProven || flight.isOvertaken) {
      this.overtaken(flight);
      return;
    }
    this.hold(flight, reply, fetched, right.marker);
    flight.answer(reply);
  }

  private async populate(
    flight: Flight,
    fetched: FetchedValue,
    right: Extract<Right, { type: "lease" | "own" }>,
  ): Promise<void> {
    const { key, rule } = flight;
    const { value, tag } = fetched;
    const port = right.type === "own" ? this.port : flight.port;
    const reply = valueReply(key, value, 0);
    const good = freshnessOfFetched(fetched.freshness, rule.config);
    const exptime = exptimeOf(good.ttlMs, rule.config, this.clock.unixSeconds());
    // In one write: a process that dies between the two would leave a value that no process has checked.
    const adding = outcomeOf(port.add(key, key, value, exptime));
    const ending = this.end(flight, right, value, good.ttlMs);
    const span = flight.span?.begin("populate", SpanKind.internal) ?? null;
    const [added, end] = await Promise.all([adding, ending]);
    if ("error" in added) span?.fail(errorCode(added.error));
    else span?.set("platypus.result", added.type);
    span?.end();
    if (added.type === "unknown") this.settleAdd(flight, value, port, right.type === "own" ? null : end);
    if ("error" in added) this.log.poolFailed(rule, added.error, flight.span);
    // A server that ended the lease and refused the value is well: it does not take such values.
    if (added.type === "refused" && end.right === "held") {
      this.refused.set(key, true, this.clock.nowMs() + REFUSED_MS, 1);
    }
    const { marker } = end;
    if (marker !== null && added.type !== "refused") this.rights.giveBack({ ...leaseOf(right), proof: marker }, flight);

    if (added.type === "notStored") {
      // A client wrote in between: its value is the newer one.
      rule.counters.overtaken++;
      flight.askAgain();
      return;
    }
    if (added.type === "stored" && end.right !== "held") {
      // The cas is known: a server that cannot say it has no leases.
      const cas = added.cas!;
      void this.unsettled.settle(async () => {
        await port.deleteIf(key, key, cas);
        return true;
      });
    }
    if (end.right === "lost") {
      this.overtaken(flight);
    } else if (end.right === "unknown") {
      this.hold(flight, reply, fetched, null);
      this.answerUnproven(flight, reply);
    } else if (added.type === "stored") {
      rule.counters.filled++;
      this.recent.set(key, true, this.clock.nowMs() + RECENT_MS, 1);
      this.tellPopulated(flight, { ...good, cas: added.cas, value, tag }, port);
      flight.answer(reply);
    } else {
      if (added.type === "unknown" && !flight.isOvertaken && right.type === "lease") {
        this.tellPopulated(flight, { ...good, cas: null, value, tag }, port);
      }
      this.hold(flight, reply, fetched, marker === null ? null : leaseOf(right).lease.keptMarker);
      flight.answer(flight.isOvertaken ? missReply : reply);
    }
  }

  /** Ends the right, sent before this returns. A value that the pool may refuse leaves a marker that vouches for a held one. */
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
   * The answer to an `add` was lost. Unless its right was seen to hold until after it, the value is looked for and deleted.
   * The cas of the item is unknown: an item with the same bytes counts as this one. `end` is `null` where only writes
   * through this process count.
   */
  private settleAdd(flight: Flight, value: Buffer, port: PoolPort, end: End | null): void {
    if (end?.right === "held") return;
    const { key } = flight;
    const undo = undoAdd(port, key, value);
    const check = async () => (end === null && !flight.isOvertaken ? false : undo());
    flight.isUnsettled = true;
    void this.unsettled.settle(check).then(() => this.flights.leave(flight));
  }

  private tellPopulated(flight: Flight, stored: Stored, port: PoolPort): void {
    this.events.populated(flight.key, flight.rule, stored, port);
    if (flight.origin !== null) this.events.traced?.(flight.key, flight.origin);
    if (flight.hasChanged) this.events.changed?.(flight.key);
  }

  /** The pool could not store the value: it stays in memory for a moment, for gets that the pool cannot answer. */
  private hold(flight: Flight, reply: Reply, { freshness }: FetchedValue, marker: KeptMarker | null): void {
    const { key, rule } = flight;
    if (flight.isOvertaken || !this.isCurrent(flight)) return;
    const { ttlMs } = freshnessOfFetched(freshness, rule.config);
    this.standIns.hold(key, { reply, rule, marker }, this.clock.nowMs() + holdMs(ttlMs));
    rule.counters.held++;
  }

  /**
   * Answers with what was fetched while writes through other processes may have gone unnoticed: the clients that had asked
   * before the fetch began, and those whose own get the pool could not answer. For the others it is fetched once more.
   */
  private answerUnproven(flight: Flight, reply: Reply): void {
    if (flight.isOvertaken) {
      this.overtaken(flight);
      return;
    }
    flight.answer(reply, ({ isBeforeFetch, hasPoolFailed }) => isBeforeFetch || hasPoolFailed);
    this.fetchAgain(flight);
  }

  /** A client's write has overtaken the fetch. */
  private overtaken(flight: Flight): void {
    flight.rule.counters.overtaken++;
    this.fetchAgain(flight);
  }

  /** For the clients that still wait: one more fetch. */
  private fetchAgain(flight: Flight): void {
    const again: Waiting[] = [];
    for (const one of flight.take()) {
      if (one.isSecondTry) flight.tell(one, missReply);
      else again.push({ ...one, isSecondTry: true });
    }
    if (again.length === 0) return;
    const newer = this.flights.openOf(flight.key);
    if (newer !== undefined) {
      for (const one of again) newer.join(one);
      return;
    }
    // Under the current rules: a reload closes a source that is no longer configured when its fetches have ended.
    const match = this.rules.match(flight.key);
    if (match?.rule.config.mode === "on") this.start(flight.key, match, again);
    else for (const one of again) flight.tell(one, missReply);
  }
}

function leaseOf(right: Right): Extract<Right, { type: "lease" }> {
  if (right.type !== "lease") throw new Error("only a lease leaves a marker");
  return right;
}
