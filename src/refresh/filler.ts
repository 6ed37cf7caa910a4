/**
 * Fills misses: one fetch per key at a time, for any number of waiting clients.
 *
 *     miss ─► join the key's flight, or open one:
 *             right (fetch-right.ts) ─► source ─► add to the pool, end the lease ─► answer all clients
 *               ├─ another process has the lease: watch the pool for its value
 *               └─ the lease request fails: answer from memory, or fetch and do not store
 *
 * Clients can join a flight until its value is sent to the pool. A client's write closes the flight: immediately if the
 * write comes through this process, or when the lease is found gone if it comes through another process. Clients that
 * ask later start a new fetch. A waiting client never gets a value that may be older than a write acknowledged before
 * its get: for such clients the key is fetched once more within the rest of their `fill_timeout`.
 *
 * This file has the order of these steps. flights.ts has the flights of each key, stand-ins.ts the remembered results
 * for keys whose pool cannot answer, populator.ts the storing of fetched values, current.ts the effects of a reload.
 */
import type { Clock } from "../clock.ts";
import { missReply, type Reply } from "../proxy/reply.ts";
import type { KeyList } from "../proxy/request.ts";
import type { FillWaiter, MissFiller } from "../proxy/route/fill-route.ts";
import type { StoredKeys } from "../proxy/route/sidecar-route.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import type { FetchResult } from "../sources/source.ts";
import { Current } from "./current.ts";
import { FailedKeys } from "./failed-keys.ts";
import { errorCode, fetchFor } from "./fetch.ts";
import { FetchRights, isShared, type Right } from "./fetch-right.ts";
import { Flight, newWaiting, type Waiting } from "./flight.ts";
import { Flights } from "./flights.ts";
import { Lease } from "./lease.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import { type PopulateEvents, Populator, type Verdict } from "./populator.ts";
import type { Match, Rule, Rules } from "./rules.ts";
import { StandIns } from "./stand-ins.ts";
import { Starts } from "./starts.ts";
import { UnsettledWrites } from "./unsettled-writes.ts";

/** Events of gets and fills; the scheduler implements them. */
export interface FillEvents extends PopulateEvents {
  /** A client asked for a key. Called for each get, hit or miss. */
  got(chunk: Buffer, start: number, end: number, isHit: boolean): void;
  /** Like `got`, for each key of a get of many. */
  gotAll(keys: KeyList): void;
  isTracked(key: string): boolean;
}

/** Logs failures. A burst of equal failures is logged as one line. */
export interface FillLog {
  sourceFailed(rule: Rule, error: unknown, span?: Span | null): void;
  poolFailed(rule: Rule, error: unknown, span?: Span | null): void;
  observed(rule: Rule, key: string): void;
}

/** Attribute of a client's request: the way in which it got its value. */
const FILL_ATTRIBUTE = "platypus.fill";

export interface FillerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  readonly events: FillEvents;
  readonly log: FillLog;
  readonly holdBytes: number;
  /** True while memory is short: a miss without a fetch in flight is answered as a miss. */
  readonly refusesFill?: () => boolean;
  readonly unsettled?: UnsettledWrites;
  readonly failedKeys?: FailedKeys;
  readonly starts?: Starts;
  /** A fill may have changed the value of `key` in the pool. */
  readonly written?: (key: string) => void;
}

/** The MissFiller of a process. */
export class Filler implements MissFiller, StoredKeys {
  private readonly now: Current;
  private readonly clock: Clock;
  private readonly events: FillEvents;
  private readonly log: FillLog;
  private readonly flights = new Flights();
  private readonly standIns: StandIns;
  private readonly refusesFill: () => boolean;
  private readonly rights: FetchRights;
  private readonly populator: Populator;
  private readonly starts: Starts;
  private readonly failedKeys: FailedKeys;

  constructor(options: FillerOptions) {
    const { clock, log, events, unsettled = new UnsettledWrites(clock) } = options;
    this.now = new Current(options.rules, options.port);
    this.clock = clock;
    this.events = events;
    this.log = log;
    this.standIns = new StandIns(options.holdBytes);
    this.refusesFill = options.refusesFill ?? (() => false);
    this.starts = options.starts ?? new Starts();
    this.failedKeys = options.failedKeys ?? new FailedKeys(() => 0);
    const { now, flights, standIns } = this;
    const { written = () => {} } = options;
    this.rights = new FetchRights({ now, clock, standIns, unsettled, log });
    const { rights } = this;
    this.populator = new Populator({ now, clock, events, log, flights, rights, standIns, unsettled, written });
  }

  /** Number of flights in progress. */
  get inFlight(): number {
    return this.flights.running;
  }

  /** Applies a new configuration. docs/architecture.md, "Reloads", describes the effect on flights in progress. */
  replace(rules: Rules, port: PoolPort, holdBytes: number): void {
    // A new client has missed in the new pool. A lease of the old pool proves nothing about writes to the new one.
    if (port !== this.now.port) this.flights.closeAll();
    this.now.replace(rules, port);
    this.standIns.reset(holdBytes);
    // The new configuration may have mended the failure.
    this.failedKeys.clear();
  }

  /** Forgets the values that are held for the pool. Returns their size in bytes. */
  shedHeld(): number {
    return this.standIns.shed();
  }

  /** True if a fetch for a miss of `key` is in flight. */
  isFetching(key: string): boolean {
    return this.flights.openOf(key) !== undefined;
  }

  /** Time for which misses of `key` are not fetched, because its last fetch failed (ms). `null` if they are. */
  pausedMs(key: string): number | null {
    const pausedMs = this.failedKeys.pausedMs(key, this.clock.nowMs());
    return pausedMs > 0 ? pausedMs : null;
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
    return this.populator.isRecent(key) || this.events.isTracked(key);
  }

  /** The source has announced another value for `key`: a value on its way to the pool may be the old one. */
  changed(key: string): void {
    for (const flight of this.flights.of(key)) flight.hasChanged = true;
    this.failedKeys.delete(key);
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
    const match = this.now.rules.match(key);
    if (match === null || this.refusesFill()) return false;
    if (match.rule.config.mode === "observe") {
      match.rule.counters.observed++;
      this.log.observed(match.rule, key);
      return false;
    }
    if (this.failedKeys.isPaused(key, nowMs)) {
      match.rule.counters.leftAlone++;
      // The client gets a miss, as from a fetch that fails, and not the pool's failure.
      if (hasPoolFailed) waiter.filled(missReply, 0);
      return hasPoolFailed;
    }
    this.start(key, match, [newWaiting(waiter, nowMs + match.rule.config.fillTimeoutMs, hasPoolFailed)]);
    return true;
  }

  beforeWrite(key: string): void {
    this.overtake(key);
    this.now.port.noteWrite(key);
    // Other processes notice the write by their lease, if leases are available.
    if (
      this.now.rules.hasLeases &&
      this.now.port.isShared(key) &&
      this.now.rules.match(key)?.rule.config.lease === "fleet"
    ) {
      new Lease(this.now.port, key).drop();
    }
  }

  beforeFlush(): void {
    this.standIns.forgetAll();
    this.failedKeys.clear();
    this.now.port.noteFlush();
    // A flush removes leases together with all other items.
    for (const key of this.flights.keys()) this.overtake(key);
  }

  /**
   * Answers from memory if this is as good as a new fetch: the pool cannot answer the client's get, or only writes
   * through this process count.
   */
  private isAnsweredFromMemory(key: string, waiter: FillWaiter, hasPoolFailed: boolean, nowMs: number): boolean {
    const held = this.standIns.heldValue(key, nowMs);
    if (held === undefined && !this.standIns.isNotThere(key, nowMs)) return false;
    if (!hasPoolFailed) {
      const match = this.now.rules.match(key);
      if (match !== null && isShared(key, match.rule, this.now.port)) return false;
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
    this.failedKeys.delete(key);
    this.flights.overtake(key);
  }

  /** Opens a flight. If the source accepts no more fills, the clients get a miss immediately, without a flight. */
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
      rules: this.now.rules,
      port: this.now.port,
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
    // Later results are newer than the writes so far.
    flight.isOvertaken = false;
    // The flight throws nothing on purpose. After an unexpected error, the clients must still get a reply.
    this.fly(flight)
      .catch((error: unknown) => this.log.sourceFailed(flight.rule, error, flight.span))
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
    if (!this.now.renewRule(flight)) {
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
      this.failedKeys.add(flight.key, error, rule.config, this.clock.nowMs());
      flight.span?.fail(errorCode(error));
      this.log.sourceFailed(rule, error, flight.span);
      flight.answer(missReply);
      return;
    }
    this.failedKeys.delete(flight.key);
    // Without a lease, a client whose get missed just before the value was stored joins until then: its own flight would
    // fetch again. With a lease, its flight finds the value in the pool.
    if (right.type !== "own" || flight.isOvertaken) this.flights.close(flight);
    if (flight.isOvertaken) {
      this.rights.giveBack(right, flight);
      this.overtaken(flight);
      return;
    }
    const verdict = await this.populator.take(flight, result, this.rights.afterReload(right, flight));
    this.flights.close(flight);
    this.tell(flight, verdict);
  }

  private tell(flight: Flight, verdict: Verdict): void {
    switch (verdict.type) {
      case "proven":
        flight.answer(verdict.reply);
        break;
      case "unproven":
        this.answerUnproven(flight, verdict.reply);
        break;
      case "overtaken":
        this.overtaken(flight);
        break;
      case "newerInPool":
        flight.rule.counters.overtaken++;
        flight.askAgain();
        break;
    }
  }

  /**
   * Answers with a value that writes through other processes may have overtaken unnoticed. It goes to clients that had
   * asked before the fetch began, and to those whose own get the pool could not answer. For the others, the key is
   * fetched once more.
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

  /** Fetches once more for the clients that still wait. */
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
    // With the current rules: a reload closes a removed source when its fetches have ended.
    const match = this.now.rules.match(flight.key);
    if (match?.rule.config.mode === "on") this.start(flight.key, match, again);
    else for (const one of again) flight.tell(one, missReply);
  }
}
