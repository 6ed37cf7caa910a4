/**
 * One fetch of a key after a miss, and the clients that wait for it.
 *
 *     join ─► waiting ─► answered with a value or a miss, sent to the pool again, or moved to another flight
 *                └ `fill_timeout` ends: answered with a miss, while the fetch goes on
 *
 * A flight keeps the rules and the pool of its start. A reload during the flight does not change them; the filler
 * decides if the result is valid under the new ones.
 */
import type { Clock, Timer } from "../clock.ts";
import { missReply, type PoolValue, type Reply, valueReply } from "../proxy/reply.ts";
import type { FillWaiter } from "../proxy/route/fill-route.ts";
import type { Span } from "../proxy/tracing.ts";
import type { Captures } from "../sources/source.ts";
import type { PoolPort } from "./pool/pool-port.ts";
import type { Match, Rule, Rules } from "./rules.ts";

/** A waiting client. */
export interface Waiting {
  readonly waiter: FillWaiter;
  readonly deadlineMs: number;
  /** True if the client was moved here from another flight. That happens at most once. */
  readonly isSecondTry: boolean;
  /** True if the pool could not answer the client's own get: values in memory may answer it instead. */
  readonly hasPoolFailed: boolean;
  /**
   * Number of looks at the pool that its flight had sent when the client joined. Their results may be older than the
   * client's miss.
   */
  looksBefore: number;
  /**
   * True if the client joined before the fetch began: the fetched value is newer than each write acknowledged before
   * its get.
   */
  isBeforeFetch: boolean;
}

export function newWaiting(waiter: FillWaiter, deadlineMs: number, hasPoolFailed: boolean): Waiting {
  return { waiter, deadlineMs, hasPoolFailed, isSecondTry: false, looksBefore: 0, isBeforeFetch: true };
}

/** Options of a new flight. */
export interface FlightOptions {
  readonly key: string;
  readonly match: Match;
  readonly rules: Rules;
  readonly port: PoolPort;
  readonly clock: Clock;
  /** `null` if no client that opened the flight is traced. */
  readonly span: Span | null;
  /** Traceparent of the client that opened the flight. */
  readonly origin: string | null;
}

export class Flight {
  readonly key: string;
  readonly port: PoolPort;
  readonly span: Span | null;
  readonly origin: string | null;
  rules: Rules;
  rule: Rule;
  captures: Captures;
  /** True if a client has written the key through this process since the flight last looked at the pool. */
  isOvertaken = false;
  isFetching = false;
  /** True while it is unknown whether the value is in the pool. */
  isUnsettled = false;
  /** True if the source has announced another value since the fetch began. */
  hasChanged = false;
  /** The source that reserves a place for the fetch. `null` if there is no reservation. */
  admittedBy: Rule["source"] | null = null;
  /** Number of looks at the pool so far. */
  looks = 0;
  private waiting: Waiting[] = [];
  private readonly clock: Clock;
  /** Timer for the first client whose time ends, at `timerMs`. */
  private timer: Timer | null = null;
  private timerMs = 0;

  constructor({ key, match, rules, port, clock, span, origin }: FlightOptions) {
    this.key = key;
    this.rule = match.rule;
    this.captures = match.captures;
    this.rules = rules;
    this.port = port;
    this.clock = clock;
    this.span = span;
    this.origin = origin;
  }

  /** Releases the reservation at the source, if there is one. */
  endAdmission(): void {
    this.admittedBy?.endAdmission();
    this.admittedBy = null;
  }

  /** True while clients wait. */
  get isAwaited(): boolean {
    return this.waiting.length > 0;
  }

  join(one: Waiting): void {
    if (one.deadlineMs <= this.clock.nowMs()) {
      this.giveUp(one);
      return;
    }
    one.looksBefore = this.looks;
    one.isBeforeFetch = !this.isFetching;
    this.waiting.push(one);
    // A moved client may have less time than the clients that wait already.
    if (this.timer === null || one.deadlineMs < this.timerMs) this.setTimer(one.deadlineMs);
  }

  /** Removes and returns the clients to answer: all, or those for which `isMeant` is true. */
  take(isMeant: (one: Waiting) => boolean = () => true): Waiting[] {
    const taken = this.waiting.filter(isMeant);
    this.waiting = this.waiting.filter((one) => !isMeant(one));
    if (this.waiting.length === 0) this.clearTimer();
    return taken;
  }

  /** Answers all waiting clients, or those for which `isMeant` is true. */
  answer(reply: Reply, isMeant?: (one: Waiting) => boolean): void {
    for (const one of this.take(isMeant)) this.tell(one, reply);
  }

  /** Answers the clients that joined before look number `look` was sent. */
  answerSeen(look: number, reply: Reply): void {
    this.answer(reply, ({ looksBefore }) => looksBefore < look);
  }

  /** Like `answerSeen`, with a value of the pool. */
  answerFound(look: number, { value, flags }: PoolValue): void {
    this.answerSeen(look, valueReply(this.key, value, flags));
  }

  /** True if look number `look` was sent after all waiting clients joined. */
  isSeenByAll(look: number): boolean {
    return this.waiting.every(({ looksBefore }) => looksBefore < look);
  }

  askAgain(): void {
    for (const one of this.take()) one.waiter.askAgain(this.leftMs(one));
  }

  tell(one: Waiting, reply: Reply): void {
    if (reply !== missReply) this.rule.counters.answered++;
    one.waiter.filled(reply, this.leftMs(one));
  }

  private leftMs({ deadlineMs }: Waiting): number {
    return Math.max(0, deadlineMs - this.clock.nowMs());
  }

  private setTimer(deadlineMs: number): void {
    this.clearTimer();
    this.timerMs = deadlineMs;
    this.timer = this.clock.setTimer(deadlineMs - this.clock.nowMs(), () => {
      this.timer = null;
      this.expire();
    });
  }

  private clearTimer(): void {
    if (this.timer !== null) this.clock.clearTimer(this.timer);
    this.timer = null;
  }

  /** Answers the clients whose time has ended. A timer may fire a fraction too early; then it is set again. */
  private expire(): void {
    const nowMs = this.clock.nowMs();
    const late = this.waiting.filter(({ deadlineMs }) => deadlineMs <= nowMs);
    this.waiting = this.waiting.filter(({ deadlineMs }) => deadlineMs > nowMs);
    const next = Math.min(...this.waiting.map(({ deadlineMs }) => deadlineMs));
    if (this.waiting.length > 0) this.setTimer(next);
    for (const one of late) this.giveUp(one);
  }

  private giveUp(one: Waiting): void {
    this.rule.counters.timedOut++;
    this.tell(one, missReply);
  }
}
