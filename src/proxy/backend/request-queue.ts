/**
 * The requests on their way to a server, in order of sending, and the time that each has for its answer.
 *
 *     head ─► request ─► request ─► request ─► tail
 *       └ the next to be answered, the next to time out
 *
 * A request that times out is abandoned: its owner has been told, and its place in the queue is kept, so that its late answer
 * goes to no other request. A run of late answers has an end: past the drop limit the connection is not to be trusted.
 *
 * The queue never completes a request. The links are fields of the requests themselves, so that queueing allocates nothing.
 */
import type { Clock } from "../../clock.ts";
import { Deadline } from "./deadline.ts";

const MAX_OUTSTANDING = 100_000;
/** A connection is given up when nothing was answered in time for this many time-outs since a request was sent. */
const DROP_AFTER_TIMEOUTS = 4;
/** Turns that take longer are made up for: see `restamp`. */
const LONG_TURN_MS = 5;

/** What a queue needs of a request. */
export interface Queued<T> {
  /** Monotonic ms at which it was queued; the time-out runs from here. */
  sentMs: number;
  /** Its owner was already told of a time-out; what still comes for it is discarded. */
  isAbandoned: boolean;
  nextOfBackend: T | null;
}

export class RequestQueue<T extends Queued<T>> {
  head: T | null = null;
  tail: T | null = null;
  length = 0;
  /** Calls the owner's check when the first request may have timed out; set while a request is queued. */
  readonly deadline: Deadline;
  private readonly timeoutMs: number;
  /** When the first of a run of requests that timed out was sent; `null` if one was answered in time since, or all were. */
  private lateSinceMs: number | null = null;

  /** `check`: called when the deadline has passed. It is to expire, and to set the deadline again (`setDeadline`). */
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

  /** `first` and the requests behind it are written now: those that waited long for the end of a busy turn have their time from now on. */
  restamp(first: T, nowMs: number): void {
    if (nowMs - first.sentMs < LONG_TURN_MS) return;
    for (let request: T | null = first; request !== null; request = request.nextOfBackend) request.sentMs = nowMs;
  }

  /**
   * Takes out `request`, which is the head: it has its answer, by its place. An answer to an abandoned request does not end a
   * run of late ones: where an answer was lost, each that comes is taken for that of the request before, and none is in time.
   */
  shift(request: T): void {
    this.head = request.nextOfBackend;
    if (this.head === null) this.tail = null;
    if (this.head === null || !request.isAbandoned) this.lateSinceMs = null;
    request.nextOfBackend = null;
    this.length--;
  }

  /** Takes out `request`, wherever it stands: its answer names it. What is late is then late by the first that is left. */
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

  /** Takes out `first`, which is queued, and all behind it; they stay linked. */
  takeFrom(first: T): void {
    let before: T | null = null;
    for (let each = this.head; each !== first; each = each!.nextOfBackend) before = each;
    if (before === null) this.head = null;
    else before.nextOfBackend = null;
    this.tail = before;
    for (let each: T | null = first; each !== null; each = each.nextOfBackend) this.length--;
  }

  /** Takes out all requests. Returns the first; they stay linked. */
  takeAll(): T | null {
    const first = this.head;
    this.head = null;
    this.tail = null;
    this.length = 0;
    this.lateSinceMs = null;
    return first;
  }

  /**
   * Abandons the requests whose time is over, and calls `late` with each in order of sending; the queue may be emptied by
   * that. `patient` is not abandoned, but `late` is called with it: its answer is of use whenever it comes.
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

  /** Nothing was answered in time for so long that the order cannot be trusted. */
  isPastDropLimit(nowMs: number): boolean {
    return this.lateSinceMs !== null && nowMs - this.lateSinceMs >= this.timeoutMs * DROP_AFTER_TIMEOUTS;
  }

  /** The first request that has not been answered or abandoned, and is not `patient`; `null` if absent. */
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

  /** Checks again after one more time-out. */
  postpone(): void {
    this.deadline.set(this.timeoutMs);
  }
}
