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
 * This file has the order of these steps. flights.ts has the flights of each key, stand-ins.ts what memory has for keys whose
 * pool cannot answer, populator.ts what becomes of a fetched value, current.ts what a reload changes.
 */
import type { Clock } from "../clock.ts";
import { missReply, type Reply } from "../proxy/reply.ts";
import type { KeyList } from "../proxy/request.ts";
import type { FillWaiter, MissFiller } from "../proxy/route/fill-route.ts";
import type { StoredKeys } from "../proxy/route/sidecar-route.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import type { FetchResult } from "../sources/source.ts";
import { Current } from "./current.ts";
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

/** Told of what was asked for and what was filled; implemented by the scheduler. */
export interface FillEvents extends PopulateEvents {
  /** A client asked for a key; called for every get, hit or miss. */
  got(chunk: Buffer, start: number, end: number, isHit: boolean): void;
  /** The same for each key of a get of many. */
  gotAll(keys: KeyList): void;
  isTracked(key: string): boolean;
}

/** Tells of what went wrong; a burst of one failure is one line. */
export interface FillLog {
  sourceFailed(rule: Rule, error: unknown, span?: Span | null): void;
  poolFailed(rule: Rule, error: unknown, span?: Span | null): void;
  observed(rule: Rule, key: string): void;
}

/** Attribute of a client's request: how it came by its value. */
const FILL_ATTRIBUTE = "platypus.fill";

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

  constructor(options: FillerOptions) {
    const { clock, log, events, unsettled = new UnsettledWrites(clock) } = options;
    this.now = new Current(options.rules, options.port);
    this.clock = clock;
    this.events = events;
    this.log = log;
    this.standIns = new StandIns(options.holdBytes);
    this.refusesFill = options.refusesFill ?? (() => false);
    this.starts = options.starts ?? new Starts();
    const { now, flights, standIns } = this;
    this.rights = new FetchRights({ now, clock, standIns, unsettled, log });
    this.populator = new Populator({ now, clock, events, log, flights, rights: this.rights, standIns, unsettled });
  }

  /** Flights under way. */
  get inFlight(): number {
    return this.flights.running;
  }

  /** Takes over a new configuration. What that means for flights under way is in docs/architecture.md, "Reloads". */
  replace(rules: Rules, port: PoolPort, holdBytes: number): void {
    // A newcomer has missed in the new pool. A lease of the old one proves nothing about writes to that.
    if (port !== this.now.port) this.flights.closeAll();
    this.now.replace(rules, port);
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
    return this.populator.isRecent(key) || this.events.isTracked(key);
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
    const match = this.now.rules.match(key);
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
    this.now.port.noteWrite(key);
    // Other processes notice it by their lease, if they can have one.
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
    this.now.port.noteFlush();
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
    this.tell(flight, await this.populator.take(flight, result, this.rights.afterReload(right, flight)));
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
    const match = this.now.rules.match(flight.key);
    if (match?.rule.config.mode === "on") this.start(flight.key, match, again);
    else for (const one of again) flight.tell(one, missReply);
  }
}
