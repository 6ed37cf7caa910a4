/**
 * Fills misses: one fetch per key at a time, however many clients wait for it.
 *
 *     miss ─► known? (held, not there) ─► join the key's flight ─► or open one: source ─► add to the pool ─► answer all
 *
 * A flight takes newcomers until its value is sent to the pool. A client's write through this process closes it: whoever
 * comes later starts a fetch of their own, and those who wait are not given a value that is older than that write; for
 * them it is fetched once more within what is left of their `fill_timeout`. A waiter whose time is over gets the miss,
 * while the fetch goes on.
 */
import type { Clock, Timer } from "../clock.ts";
import { missReply, Reply, Status } from "../proxy/reply.ts";
import type { FillWaiter, MissFiller } from "../proxy/route/fill-route.ts";
import type { Captures } from "../sources/source.ts";
import { ExpiringMap } from "./expiring-map.ts";
import { exptimeOf } from "./policy.ts";
import type { PoolPort } from "./pool-port.ts";
import type { Match, Rule, Rules } from "./rules.ts";

/** A value the pool could not store is answered from memory this long at most. */
const MAX_HOLD_MS = 5_000;
const MAX_HELD_KEYS = 100_000;
const MAX_NOT_THERE_KEYS = 100_000;
const NOT_THERE_BYTES = 1;
/** Counted for a held value beside its bytes. */
const HELD_OVERHEAD_BYTES = 200;

/** Tells of what was filled; implemented by the scheduler. */
export interface FillEvents {
  /** A fetched value was stored under `key`. */
  populated(key: string, rule: Rule): void;
  /** A client asked for a key; called for every get, hit or miss. */
  got(chunk: Buffer, start: number, end: number): void;
}

/** Tells of what went wrong; a burst of one failure is one line. */
export interface FillLog {
  sourceFailed(rule: Rule, error: unknown): void;
  poolFailed(rule: Rule, error: unknown): void;
  observed(rule: Rule, key: string): void;
}

interface Waiting {
  readonly waiter: FillWaiter;
  readonly deadlineMs: number;
  /** It was moved from a flight that a write had overtaken: that happens once. */
  readonly isSecondTry: boolean;
}

interface Flight {
  readonly key: string;
  readonly rule: Rule;
  readonly captures: Captures;
  waiting: Waiting[];
  isOvertaken: boolean;
  /** For the first of those who wait to give up, at `timerMs`. */
  timer: Timer | null;
  timerMs: number;
  /** The flight of the same key whose value was sent to the pool before this one's, and is not acknowledged yet. */
  older: Flight | null;
}

export interface FillerOptions {
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  readonly events: FillEvents;
  readonly log: FillLog;
  readonly holdBytes: number;
}

/** The MissFiller of a process. */
export class Filler implements MissFiller {
  private rules: Rules;
  private port: PoolPort;
  private readonly clock: Clock;
  private readonly events: FillEvents;
  private readonly log: FillLog;
  /** Flights that take newcomers. */
  private readonly open = new Map<string, Flight>();
  /** Flights whose value is on its way to the pool, the newest of a key. */
  private readonly storing = new Map<string, Flight>();
  private readonly notThere = new ExpiringMap<true>(MAX_NOT_THERE_KEYS, MAX_NOT_THERE_KEYS * NOT_THERE_BYTES);
  private readonly held: ExpiringMap<Reply>;
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
  replace(rules: Rules, port: PoolPort): void {
    this.rules = rules;
    this.port = port;
    this.notThere.clear();
    this.held.clear();
  }

  noteGet(chunk: Buffer, start: number, end: number): void {
    this.events.got(chunk, start, end);
  }

  fill(key: string, waiter: FillWaiter): boolean {
    const nowMs = this.clock.nowMs();
    const held = this.held.get(key, nowMs);
    if (held !== undefined) {
      waiter.filled(held);
      return true;
    }
    if (this.notThere.get(key, nowMs)) {
      waiter.filled(missReply);
      return true;
    }
    const flight = this.open.get(key);
    if (flight !== undefined) {
      flight.rule.counters.joined++;
      this.join(flight, { waiter, deadlineMs: nowMs + flight.rule.config.fillTimeoutMs, isSecondTry: false });
      return true;
    }
    const match = this.rules.match(key);
    if (match === null) return false;
    if (match.rule.config.mode === "observe") {
      match.rule.counters.observed++;
      this.log.observed(match.rule, key);
      return false;
    }
    this.start(key, match, [{ waiter, deadlineMs: nowMs + match.rule.config.fillTimeoutMs, isSecondTry: false }]);
    return true;
  }

  beforeWrite(key: string): void {
    this.held.delete(key);
    this.notThere.delete(key);
    for (let flight = this.storing.get(key) ?? null; flight !== null; flight = flight.older) flight.isOvertaken = true;
    const flight = this.open.get(key);
    if (flight === undefined) return;
    flight.isOvertaken = true;
    this.open.delete(key);
  }

  beforeFlush(): void {
    this.held.clear();
    this.notThere.clear();
    for (const key of [...this.open.keys(), ...this.storing.keys()]) this.beforeWrite(key);
  }

  private start(key: string, match: Match, waiting: Waiting[]): void {
    const flight: Flight = { key, ...match, waiting: [], isOvertaken: false, timer: null, timerMs: 0, older: null };
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
      });
  }

  private async fly(flight: Flight): Promise<void> {
    const { key, rule } = flight;
    let result: Awaited<ReturnType<Rule["source"]["fetch"]>>;
    try {
      result = await rule.source.fetch(flight.captures, "fill");
    } catch (error) {
      this.close(flight);
      rule.counters.failed++;
      this.log.sourceFailed(rule, error);
      this.answer(flight, missReply);
      return;
    }
    // Who comes now asks the pool and finds the value there, or starts anew.
    this.close(flight);
    if (flight.isOvertaken) {
      rule.counters.overtaken++;
      this.fetchAgain(flight);
      return;
    }
    if (result.type === "notThere") {
      rule.counters.notThere++;
      this.notThere.set(key, true, this.clock.nowMs() + rule.config.negativeTtlMs, NOT_THERE_BYTES);
      this.answer(flight, missReply);
      return;
    }
    flight.older = this.storing.get(key) ?? null;
    this.storing.set(key, flight);
    await this.populate(flight, result.value);
  }

  private async populate(flight: Flight, value: Buffer): Promise<void> {
    const { key, rule } = flight;
    const reply = valueReply(key, value);
    try {
      const { result } = await this.port.add(key, value, exptimeOf(rule.config.ttlMs, this.clock.unixSeconds()));
      if (result === "stored") {
        rule.counters.filled++;
        this.events.populated(key, rule);
        this.answer(flight, reply);
      } else {
        // A client wrote in between: its word is the newer one.
        rule.counters.overtaken++;
        for (const { waiter } of this.takeWaiting(flight)) waiter.askAgain();
      }
    } catch (error) {
      this.log.poolFailed(rule, error);
      if (!flight.isOvertaken) {
        const holdMs = Math.min(rule.config.ttlMs, MAX_HOLD_MS);
        this.held.set(key, reply, this.clock.nowMs() + holdMs, value.length + key.length + HELD_OVERHEAD_BYTES);
        rule.counters.held++;
      }
      this.answer(flight, flight.isOvertaken ? missReply : reply);
    }
  }

  /** For those who still wait on a flight that a write has overtaken. */
  private fetchAgain(flight: Flight): void {
    const again: Waiting[] = [];
    for (const one of this.takeWaiting(flight)) {
      if (one.isSecondTry) one.waiter.filled(missReply);
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
    else for (const { waiter } of again) waiter.filled(missReply);
  }

  private join(flight: Flight, one: Waiting): void {
    if (one.deadlineMs <= this.clock.nowMs()) {
      this.giveUp(flight, one);
      return;
    }
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
    one.waiter.filled(missReply);
  }

  private answer(flight: Flight, reply: Reply): void {
    for (const { waiter } of this.takeWaiting(flight)) waiter.filled(reply);
  }

  private takeWaiting(flight: Flight): Waiting[] {
    this.clearTimer(flight);
    const waiting = flight.waiting;
    flight.waiting = [];
    return waiting;
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

/** The answer to `get key` with flags 0. */
function valueReply(key: string, value: Buffer): Reply {
  const head = Buffer.from(`VALUE ${key} 0 ${value.length}\r\n`, "latin1");
  const reply = new Reply();
  reply.status = Status.found;
  reply.chunk = Buffer.concat([head, value, TAIL]);
  reply.end = reply.chunk.length;
  reply.isKept = true;
  reply.valueStart = head.length;
  reply.valueEnd = head.length + value.length;
  return reply;
}

const TAIL = Buffer.from("\r\nEND\r\n", "latin1");
