/**
 * Fills misses: one fetch per key at a time, however many clients wait for it.
 *
 *     miss ─► known? (held, not there) ─► join the key's flight ─► or open one:
 *             lease ─► source ─► add to the pool, end the lease ─► answer all
 *               └─ another process has it: watch the pool for its value
 *
 * A flight takes newcomers until its value is sent to the pool. A client's write closes it: through this process at once,
 * through another one when the lease is found gone. Whoever comes later starts a fetch of their own, and those who wait
 * are not given a value that is older than that write; for them it is fetched once more within what is left of their
 * `fill_timeout`. A waiter whose time is over gets the miss, while the fetch goes on.
 */
import type { Clock, Timer } from "../clock.ts";
import { missReply, type PoolValue, type Reply, valueReply } from "../proxy/reply.ts";
import type { KeyList } from "../proxy/request.ts";
import type { FillWaiter, MissFiller } from "../proxy/route/fill-route.ts";
import type { StoredKeys } from "../proxy/route/sidecar-route.ts";
import type { Captures, FetchedValue, FetchResult } from "../sources/source.ts";
import { type Span, SpanKind } from "../telemetry/tracing.ts";
import { ExpiringMap } from "./expiring-map.ts";
import { errorCode, fetchFor } from "./fetch.ts";
import { Lease } from "./lease.ts";
import { exptimeOf, freshnessOfFetched } from "./policy.ts";
import type { PoolPort } from "./pool-port.ts";
import type { Match, Rule, Rules } from "./rules.ts";

/** A value the pool could not store is answered from memory this long at most. */
const MAX_HOLD_MS = 5_000;
const MAX_HELD_KEYS = 100_000;
const MAX_NOT_THERE_KEYS = 100_000;
const NOT_THERE_BYTES = 1;
/** So long a miss may be older than a fill. */
const RECENT_MS = 2_000;
const MAX_RECENT_KEYS = 100_000;
/** Counted for a held value beside its bytes. */
const HELD_OVERHEAD_BYTES = 200;
/** Another process' value is looked for at these distances: ever further apart. */
const FIRST_LOOK_MS = 5;
const LAST_LOOK_MS = 100;
/** A lease that was found gone without a value is tried for again, so many times in all. */
const MAX_TAKES = 2;

/** Tells of what was filled; implemented by the scheduler. */
export interface FillEvents {
  /** A fetched value was stored under `key`. */
  populated(key: string, rule: Rule, stored: Stored): void;
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
  /** Null: the servers cannot say. */
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

interface Waiting {
  readonly waiter: FillWaiter;
  readonly deadlineMs: number;
  /** It was moved from a flight that a write had overtaken: that happens once. */
  readonly isSecondTry: boolean;
  /** Looks at the pool that its flight had sent before it came: what they see may be older than its own miss. */
  looksBefore: number;
}

interface Flight {
  readonly key: string;
  readonly rule: Rule;
  readonly captures: Captures;
  waiting: Waiting[];
  isOvertaken: boolean;
  /** Looks at the pool for another process' value, so far. */
  looks: number;
  /** For the first of those who wait to give up, at `timerMs`. */
  timer: Timer | null;
  timerMs: number;
  /** The flight of the same key whose value was sent to the pool before this one's, and is not acknowledged yet. */
  older: Flight | null;
  /** Null: nobody of those who opened it is traced. */
  readonly span: Span | null;
  /** Traceparent of who opened it. */
  readonly origin: string | null;
}

/** Of a client's request: how it came by its value. */
const FILL_ATTRIBUTE = "platypus.fill";

/** A lease that was taken, and the cas that proves it; null: it is fetched without one. */
type Right = { readonly lease: Lease; readonly proof: bigint } | null;

export interface FillerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  readonly events: FillEvents;
  readonly log: FillLog;
  readonly holdBytes: number;
}

/** The MissFiller of a process. */
export class Filler implements MissFiller, StoredKeys {
  private rules: Rules;
  private port: PoolPort;
  private readonly clock: Clock;
  private readonly events: FillEvents;
  private readonly log: FillLog;
  /** Flights that take newcomers. */
  private readonly open = new Map<string, Flight>();
  /** Flights whose value is on its way to the pool, the newest of a key. */
  private readonly storing = new Map<string, Flight>();
  /** Keys filled a moment ago, tracked or not. */
  private readonly recent = new ExpiringMap<true>(MAX_RECENT_KEYS, MAX_RECENT_KEYS);
  private readonly notThere = new ExpiringMap<true>(MAX_NOT_THERE_KEYS, MAX_NOT_THERE_KEYS * NOT_THERE_BYTES);
  private held: ExpiringMap<{ readonly reply: Reply; readonly rule: Rule }>;
  private running = 0;

  constructor(options: FillerOptions) {
    this.rules = options.rules;
    this.port = options.port;
    this.clock = options.clock;
    this.events = options.events;
    this.log = options.log;
    this.held = new ExpiringMap(MAX_HELD_KEYS, options.holdBytes);
  }

  /** Flights under way. */
  get inFlight(): number {
    return this.running;
  }

  /** Rules and pool of a new configuration; flights end under the rules they began with. */
  replace(rules: Rules, port: PoolPort, holdBytes: number): void {
    this.rules = rules;
    this.port = port;
    this.notThere.clear();
    this.held = new ExpiringMap(MAX_HELD_KEYS, holdBytes);
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

  fill(key: string, waiter: FillWaiter): boolean {
    const nowMs = this.clock.nowMs();
    const held = this.held.get(key, nowMs);
    if (held !== undefined) {
      held.rule.counters.answered++;
      waiter.span?.set(FILL_ATTRIBUTE, "held");
      waiter.filled(held.reply, held.rule.config.fillTimeoutMs);
      return true;
    }
    if (this.notThere.get(key, nowMs)) {
      waiter.filled(missReply, 0);
      return true;
    }
    const flight = this.open.get(key);
    if (flight !== undefined) {
      flight.rule.counters.joined++;
      waiter.span?.set(FILL_ATTRIBUTE, "joined");
      this.join(flight, newWaiting(waiter, nowMs + flight.rule.config.fillTimeoutMs));
      return true;
    }
    const match = this.rules.match(key);
    if (match === null) return false;
    if (match.rule.config.mode === "observe") {
      match.rule.counters.observed++;
      this.log.observed(match.rule, key);
      return false;
    }
    this.start(key, match, [newWaiting(waiter, nowMs + match.rule.config.fillTimeoutMs)]);
    return true;
  }

  beforeWrite(key: string): void {
    this.overtake(key);
    this.port.noteWrite(key);
    // Other processes hear of it by their lease, if they may have one.
    if (this.rules.hasLeases && this.port.isShared(key) && this.rules.match(key)?.rule.config.lease === "fleet") {
      new Lease(this.port, key).drop();
    }
  }

  beforeFlush(): void {
    this.held.clear();
    this.notThere.clear();
    this.port.noteFlush();
    // Leases are flushed with everything else.
    for (const key of [...this.open.keys(), ...this.storing.keys()]) this.overtake(key);
  }

  private overtake(key: string): void {
    this.held.delete(key);
    this.notThere.delete(key);
    for (let flight = this.storing.get(key) ?? null; flight !== null; flight = flight.older) flight.isOvertaken = true;
    const flight = this.open.get(key);
    if (flight === undefined) return;
    flight.isOvertaken = true;
    this.open.delete(key);
  }

  private start(key: string, match: Match, waiting: Waiting[]): void {
    const opener = waiting.find(({ waiter }) => waiter.span)?.waiter.span ?? null;
    const flight: Flight = {
      key,
      ...match,
      waiting: [],
      isOvertaken: false,
      looks: 0,
      timer: null,
      timerMs: 0,
      older: null,
      span: opener?.begin("fill", SpanKind.internal) ?? null,
      origin: opener?.traceparent ?? null,
    };
    flight.span?.about(key, match.rule.config.name);
    this.open.set(key, flight);
    this.running++;
    match.rule.counters.fills++;
    for (const one of waiting) this.join(flight, one);
    // Nothing in it throws on purpose; should something, the waiters must not wait for ever.
    this.fly(flight)
      .catch((error: unknown) => this.log.sourceFailed(flight.rule, error))
      .finally(() => {
        this.running--;
        this.close(flight);
        this.forget(flight);
        this.answer(flight, missReply);
        flight.span?.end();
      });
  }

  private async fly(flight: Flight): Promise<void> {
    const { key, rule } = flight;
    // What the pool says is good for this pool only, whatever a new configuration brings meanwhile.
    const { port } = this;
    let right: Right = null;
    if (rule.config.lease === "fleet" && port.isShared(key)) {
      const span = flight.span?.begin("lease", SpanKind.internal) ?? null;
      const taken = await this.takeLease(flight, new Lease(port, key), port);
      span?.set("platypus.lease", taken === "elsewhere" ? "elsewhere" : taken === null ? "none" : "taken");
      span?.end();
      if (taken === "elsewhere") return;
      right = taken;
    }
    let result: FetchResult;
    try {
      result = await fetchFor(key, flight, "fill", null, this.clock, flight.span);
    } catch (error) {
      this.close(flight);
      right?.lease.release(right.proof).catch(() => {});
      rule.counters.failed++;
      flight.span?.fail(errorCode(error));
      this.log.sourceFailed(rule, error, flight.span);
      this.answer(flight, missReply);
      return;
    }
    // Who comes now asks the pool and finds the value there, or starts anew.
    this.close(flight);
    if (flight.isOvertaken) {
      right?.lease.release(right.proof).catch(() => {});
      this.fetchAgain(flight);
    } else if (result.type !== "value") {
      await this.rememberNotThere(flight, right);
    } else {
      flight.older = this.storing.get(key) ?? null;
      this.storing.set(key, flight);
      await this.populate(flight, result, right, port);
    }
  }

  /**
   * The right to fetch; null: the pool is in trouble, and it is fetched without. "elsewhere": another process has
   * fetched it, or those who wait have been answered otherwise.
   */
  private async takeLease(flight: Flight, lease: Lease, port: PoolPort): Promise<Right | "elsewhere"> {
    const { counters, source } = flight.rule;
    try {
      for (let takes = 1; takes <= MAX_TAKES; takes++) {
        const look = ++flight.looks;
        // What is fetched from here on is younger than the writes so far, which were sent before this.
        flight.isOvertaken = false;
        // A lease that ended since our miss has left its value.
        const [proof, found] = await Promise.all([lease.take(source.timeoutMs), port.get(flight.key, flight.key)]);
        if (found !== null) this.answerSeen(flight, look, found);
        if (proof !== null && (found === null || flight.waiting.length > 0)) {
          counters.leasesTaken++;
          return { lease, proof };
        }
        if (proof !== null) {
          lease.release(proof).catch(() => {});
          return "elsewhere";
        }
        if (takes === 1) counters.leasesAwaited++;
        if (!(await this.watch(flight, lease, port))) return "elsewhere";
      }
    } catch (error) {
      this.log.poolFailed(flight.rule, error);
      return null;
    }
    this.close(flight);
    this.answer(flight, missReply);
    return "elsewhere";
  }

  /**
   * Looks for another process' value for as long as somebody waits here. True: the lease has ended without one, and
   * somebody still waits. Rejects with a BackendError.
   */
  private async watch(flight: Flight, lease: Lease, port: PoolPort): Promise<boolean> {
    for (let delayMs = FIRST_LOOK_MS; flight.waiting.length > 0; delayMs = Math.min(delayMs * 2, LAST_LOOK_MS)) {
      await new Promise<void>((resolve) => this.clock.setTimer(delayMs, resolve));
      if (flight.waiting.length === 0) break;
      const look = ++flight.looks;
      const [found, state] = await Promise.all([port.get(flight.key, flight.key), lease.look()]);
      if (found !== null) {
        this.answerSeen(flight, look, found);
      } else if (state === "absent") {
        flight.rule.counters.notThere++;
        this.close(flight);
        this.answer(flight, missReply);
      } else if (state === "gone" && flight.waiting.length > 0) {
        return true;
      }
    }
    return false;
  }

  /** What a look at the pool saw, for those who waited before it was sent: who came later may have seen a newer miss. */
  private answerSeen(flight: Flight, look: number, { value, flags }: PoolValue): void {
    const seen = this.takeWaiting(flight, ({ looksBefore }) => looksBefore < look);
    if (seen.length === 0) return;
    const reply = valueReply(flight.key, value, flags);
    for (const one of seen) this.tell(flight, one, reply);
  }

  private async rememberNotThere(flight: Flight, right: Right): Promise<void> {
    const { rule, key } = flight;
    const { negativeTtlMs } = rule.config;
    let isOurs: boolean;
    try {
      isOurs = right === null || (await right.lease.releaseAbsent(right.proof, negativeTtlMs));
    } catch (error) {
      this.log.poolFailed(rule, error);
      this.answer(flight, missReply);
      return;
    }
    if (!isOurs || flight.isOvertaken) {
      this.fetchAgain(flight);
      return;
    }
    rule.counters.notThere++;
    this.notThere.set(key, true, this.clock.nowMs() + negativeTtlMs, NOT_THERE_BYTES);
    this.answer(flight, missReply);
  }

  private async populate(flight: Flight, fetched: FetchedValue, right: Right, port: PoolPort): Promise<void> {
    const { key, rule } = flight;
    const reply = valueReply(key, fetched.value, 0);
    const good = freshnessOfFetched(fetched.freshness, rule.config);
    const exptime = exptimeOf(good.ttlMs, rule.config, this.clock.unixSeconds());
    // Both in one write: a process that dies between the two would leave a value that nobody has checked.
    const adding = port.add(key, key, fetched.value, exptime);
    const ending = right?.lease.release(right.proof) ?? Promise.resolve(true);
    const span = flight.span?.begin("populate", SpanKind.internal) ?? null;
    const [added, ended] = await Promise.allSettled([adding, ending]);
    if (added.status === "rejected") span?.fail(errorCode(added.reason));
    else span?.set("platypus.result", added.value.result);
    span?.end();
    // Where nobody can say whether the lease was still ours it was not.
    const isOurs = ended.status === "fulfilled" && ended.value;
    if (added.status === "rejected") {
      this.log.poolFailed(rule, added.reason, flight.span);
      const isOvertaken = flight.isOvertaken || (ended.status === "fulfilled" && !ended.value);
      if (!isOvertaken) this.hold(flight, reply, good.ttlMs);
      this.answer(flight, isOvertaken ? missReply : reply);
    } else if (added.value.result !== "stored") {
      // A client wrote in between: its word is the newer one.
      rule.counters.overtaken++;
      for (const one of this.takeWaiting(flight)) one.waiter.askAgain(this.leftMs(one));
    } else if (isOurs) {
      rule.counters.filled++;
      this.recent.set(key, true, this.clock.nowMs() + RECENT_MS, 1);
      this.events.populated(key, rule, { ...good, cas: added.value.cas, value: fetched.value, tag: fetched.tag });
      if (flight.origin !== null) this.events.traced?.(key, flight.origin);
      this.answer(flight, reply);
    } else {
      // A client deleted it in between. The cas is known: what has no cas has no lease.
      port.deleteIf(key, key, added.value.cas!).catch((error: unknown) => this.log.poolFailed(rule, error));
      this.fetchAgain(flight);
    }
  }

  /** The pool could not store the value: it is kept here for a moment. */
  private hold({ key, rule }: Flight, reply: Reply, ttlMs: number): void {
    const bytes = reply.chunk.length + key.length + HELD_OVERHEAD_BYTES;
    this.held.set(key, { reply, rule }, this.clock.nowMs() + Math.min(ttlMs, MAX_HOLD_MS), bytes);
    rule.counters.held++;
  }

  /** For those who still wait on a flight that a write has overtaken. */
  private fetchAgain(flight: Flight): void {
    flight.rule.counters.overtaken++;
    const again: Waiting[] = [];
    for (const one of this.takeWaiting(flight)) {
      if (one.isSecondTry) this.tell(flight, one, missReply);
      else again.push({ ...one, isSecondTry: true });
    }
    if (again.length === 0) return;
    const newer = this.open.get(flight.key);
    if (newer !== undefined) {
      for (const one of again) this.join(newer, one);
      return;
    }
    // Under the rules of now: a new configuration closes a source that it has no use for when its fetches have ended.
    const match = this.rules.match(flight.key);
    if (match?.rule.config.mode === "on") this.start(flight.key, match, again);
    else for (const one of again) this.tell(flight, one, missReply);
  }

  private join(flight: Flight, one: Waiting): void {
    if (one.deadlineMs <= this.clock.nowMs()) {
      this.giveUp(flight, one);
      return;
    }
    one.looksBefore = flight.looks;
    flight.waiting.push(one);
    // Somebody who was moved from another flight may have less time than those who wait here already.
    if (flight.timer === null || one.deadlineMs < flight.timerMs) this.setTimer(flight, one.deadlineMs);
  }

  private setTimer(flight: Flight, deadlineMs: number): void {
    this.clearTimer(flight);
    flight.timerMs = deadlineMs;
    flight.timer = this.clock.setTimer(deadlineMs - this.clock.nowMs(), () => {
      flight.timer = null;
      this.expire(flight);
    });
  }

  private clearTimer(flight: Flight): void {
    if (flight.timer !== null) this.clock.clearTimer(flight.timer);
    flight.timer = null;
  }

  /** Answers those whose time is over. Timers may be early by a fraction: then it is set again. */
  private expire(flight: Flight): void {
    const nowMs = this.clock.nowMs();
    const late = flight.waiting.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    flight.waiting = flight.waiting.filter(({ deadlineMs }) => deadlineMs > nowMs);
    const next = Math.min(...flight.waiting.map(({ deadlineMs }) => deadlineMs));
    if (flight.waiting.length > 0) this.setTimer(flight, next);
    for (const one of late) this.giveUp(flight, one);
  }

  private giveUp(flight: Flight, one: Waiting): void {
    flight.rule.counters.timedOut++;
    this.tell(flight, one, missReply);
  }

  private tell(flight: Flight, one: Waiting, reply: Reply): void {
    if (reply !== missReply) flight.rule.counters.answered++;
    one.waiter.filled(reply, this.leftMs(one));
  }

  private leftMs({ deadlineMs }: Waiting): number {
    return Math.max(0, deadlineMs - this.clock.nowMs());
  }

  private answer(flight: Flight, reply: Reply): void {
    for (const one of this.takeWaiting(flight)) this.tell(flight, one, reply);
  }

  /** Takes those out of the flight who are to be answered: all, or the ones that `isMeant`. */
  private takeWaiting(flight: Flight, isMeant: (one: Waiting) => boolean = () => true): Waiting[] {
    const taken = flight.waiting.filter(isMeant);
    flight.waiting = flight.waiting.filter((one) => !isMeant(one));
    if (flight.waiting.length === 0) this.clearTimer(flight);
    return taken;
  }

  /** Takes a flight out of those whose value is on its way. */
  private forget(flight: Flight): void {
    const newest = this.storing.get(flight.key);
    if (newest === flight) {
      if (flight.older === null) this.storing.delete(flight.key);
      else this.storing.set(flight.key, flight.older);
      return;
    }
    for (let newer = newest; newer !== undefined && newer !== null; newer = newer.older ?? undefined) {
      if (newer.older === flight) newer.older = flight.older;
    }
  }

  private close(flight: Flight): void {
    if (this.open.get(flight.key) === flight) this.open.delete(flight.key);
  }
}

function newWaiting(waiter: FillWaiter, deadlineMs: number): Waiting {
  return { waiter, deadlineMs, isSecondTry: false, looksBefore: 0 };
}
