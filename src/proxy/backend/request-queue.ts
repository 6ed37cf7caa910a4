/**
 * The requests in flight to a server, in order of sending, and their timeouts.
 *
 *     head ─► request ─► request ─► request ─► tail
 *       └ the next to be answered, the next to time out
 *
 * A request that times out is abandoned: its owner gets the timeout, and its place in the queue is kept, so that its
 * late reply reaches no other request. A run of late replies is limited: past the drop limit, the connection is not
 * trusted.
 *
 * The queue never completes a request. The links are fields of the requests, so that queueing allocates nothing.
 */
import type { Clock } from "../../clock.ts";
import { Deadline } from "./deadline.ts";

const MAX_OUTSTANDING = 100_000;
/** A connection is closed if no request was answered in time for this many timeouts after a request was sent. */
const DROP_AFTER_TIMEOUTS = 4;
/** Requests that wait longer than this for the end of a turn get a new start time: see `restamp`. */
const LONG_TURN_MS = 5;

/** The fields of a request that a queue needs. */
export interface Queued<T> {
  /** Monotonic time at which it was queued (ms); the timeout starts here. */
  sentMs: number;
  /** True if its owner got a timeout; a late reply is discarded. */
  isAbandoned: boolean;
  nextOfBackend: T | null;
}

export class RequestQueue<T extends Queued<T>> {
  head: T | null = null;
  tail: T | null = null;
  length = 0;
  /** Calls the owner's check when the first request may have timed out. Set while a request is queued. */
  readonly deadline: Deadline;
  private readonly timeoutMs: number;
  /**
   * Send time of the first of a run of timed-out requests. `null` if a request was answered in time since, or if all
   * were.
   */
  private lateSinceMs: number | null = null;

  /**
   * `check` is called when the deadline has passed. It must expire requests and set the deadline again (`setDeadline`).
   */
  constructor(clock: Clock, timeoutMs: number, check: () => void) {
    this.timeoutMs = timeoutMs;
    this.deadline = new Deadline(clock, check);
  }

  get isFull(): boolean {
    return this.length >= MAX_OUTSTANDING;
  }

  append(request: T, nowMs: number): void {
    request.sentMs = nowMs;
    request.nextOfBackend = null;
    if (this.tail === null) this.head = request;
    else this.tail.nextOfBackend = request;
    this.tail = request;
    this.length++;
    if (!this.deadline.isSet) this.deadline.set(this.timeoutMs);
  }

  /**
   * `first` and the requests after it are written now: if they waited long for the end of a busy turn, their timeout
   * starts now.
   */
  restamp(first: T, nowMs: number): void {
    if (nowMs - first.sentMs < LONG_TURN_MS) return;
    for (let request: T | null = first; request !== null; request = request.nextOfBackend) request.sentMs = nowMs;
  }

  /**
   * Removes `request`, the head, which was answered by its position. A reply to an abandoned request does not end a run
   * of late ones: after a lost reply, each later reply seems to answer the request before its own, and none is in time.
   */
  shift(request: T): void {
    this.head = request.nextOfBackend;
    if (this.head === null) this.tail = null;
    if (this.head === null || !request.isAbandoned) this.lateSinceMs = null;
    request.nextOfBackend = null;
    this.length--;
  }

  /**
   * Removes `request` at any position: its reply names it. The first remaining request then begins the run of late
   * ones.
   */
  remove(request: T): void {
    let before: T | null = null;
    for (let each = this.head; each !== request; each = each!.nextOfBackend) before = each;
    if (before === null) this.head = request.nextOfBackend;
    else before.nextOfBackend = request.nextOfBackend;
    if (this.tail === request) this.tail = before;
    this.lateSinceMs = this.head?.isAbandoned ? this.head.sentMs : null;
    request.nextOfBackend = null;
    this.length--;
  }

  /** Removes `first`, which is queued, and all requests after it. They stay linked. */
  takeFrom(first: T): void {
    let before: T | null = null;
    for (let each = this.head; each !== first; each = each!.nextOfBackend) before = each;
    if (before === null) this.head = null;
    else before.nextOfBackend = null;
    this.tail = before;
    for (let each: T | null = first; each !== null; each = each.nextOfBackend) this.length--;
  }

  /** Removes all requests and returns the first. They stay linked. */
  takeAll(): T | null {
    const first = this.head;
    this.head = null;
    this.tail = null;
    this.length = 0;
    this.lateSinceMs = null;
    return first;
  }

  /**
   * Abandons the timed-out requests, and calls `late` with each in order of sending; `late` may empty the queue.
   * `patient` is not abandoned, but `late` is called with it: its reply is useful at any time.
   */
  expire(nowMs: number, patient: T | null, late: (request: T) => void): void {
    for (let each = this.head; each !== null; each = each.nextOfBackend) {
      const request: T = each;
      if (request.isAbandoned) continue;
      if (nowMs - request.sentMs < this.timeoutMs) return;
      if (request !== patient) request.isAbandoned = true;
      this.lateSinceMs ??= request.sentMs;
      late(request);
    }
  }

  /** True if no request was answered in time for so long that the order cannot be trusted. */
  isPastDropLimit(nowMs: number): boolean {
    return this.lateSinceMs !== null && nowMs - this.lateSinceMs >= this.timeoutMs * DROP_AFTER_TIMEOUTS;
  }

  /** True past the drop limit if no request but `patient` waits: the next check of the deadlines closes the connection. */
  isLost(clock: { nowMs(): number }, patient: T | null): boolean {
    // The time is only read within a run of late requests.
    if (this.lateSinceMs === null) return false;
    return this.isPastDropLimit(clock.nowMs()) && this.firstAwaited(patient) === null;
  }

  /** Abandons all requests except `patient`. Returns those that were waiting. */
  abandonAll(patient: T | null): T[] {
    const waiting: T[] = [];
    this.expire(Number.POSITIVE_INFINITY, patient, (request) => {
      if (request !== patient) waiting.push(request);
    });
    return waiting;
  }

  /** Number of requests of clients that wait for a reply: without `patient`, the first command of a new connection. */
  countAwaited(patient: T | null, isOwn: (request: T) => boolean): number {
    let count = 0;
    for (let each = this.head; each !== null; each = each.nextOfBackend) {
      if (each !== patient && !each.isAbandoned && !isOwn(each)) count++;
    }
    return count;
  }

  /** The first request other than `patient` that is neither answered nor abandoned. `null` if absent. */
  firstAwaited(patient: T | null): T | null {
    let request = this.head;
    while (request !== null && (request.isAbandoned || request === patient)) request = request.nextOfBackend;
    return request;
  }

  /** Sets the deadline, unless it is set or the queue is empty. */
  setDeadline(nowMs: number, patient: T | null): void {
    if (this.deadline.isSet || this.head === null) return;
    const first = this.firstAwaited(patient);
    this.deadline.set(first === null ? this.timeoutMs : Math.max(1, first.sentMs + this.timeoutMs - nowMs));
  }

  /** Sets the next check after one more timeout. */
  postpone(): void {
    this.deadline.set(this.timeoutMs);
  }
}
