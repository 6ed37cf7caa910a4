/**
 * One pipelined socket to a backend, shared by all clients. Requests of a turn are appended to one batch and leave in
 * one write; replies are matched to requests by their position in the queue, and verified by key, opaque or marker.
 *
 *     queue   head ─► request ─► request ─► request ─► tail        (order on the wire)
 *             ▲ the next reply is for this one       ▲ waiting: not written before the greeting has ended
 *
 * An error line names no request, and a value may have swallowed later answers. These are held, and all answers behind them,
 * until one that can be no other's (with an opaque, or to a marker behind all of them) shows that they were in their place.
 *
 * When the order can no longer be trusted (malformed reply, wrong key or opaque, a reply that no request is waiting for, a
 * head that stays unanswered past the drop limit) the socket is closed and everything outstanding fails: a reply never
 * reaches another request.
 */
import type { Socket } from "node:net";
import type { Clock } from "../../clock.ts";
import type { Address, Login, TlsConfig } from "../../config/config.ts";
import { failures, isFailure, type Reply, Status } from "../reply.ts";
import { classicStatus, isMeta, isRetrieval, Operation, Request } from "../request.ts";
import { CR, copyBytes, LF } from "../wire/ascii.ts";
import { BackendParser, INCOMPLETE, OUT_OF_STEP } from "../wire/backend-parser.ts";
import { type FrameReader, InputBuffer } from "../wire/input-buffer.ts";
import { asksForKey } from "../wire/meta-proof.ts";
import { OutputBatch } from "../wire/output-batch.ts";
import { isPoisoning } from "../wire/poisoning.ts";
import { Marker, ServerDialect } from "../wire/server-dialect.ts";
import { connectSocket } from "../wire/socket.ts";
import { SocketWriter } from "../wire/socket-writer.ts";
import type { Flushable, Turn } from "../wire/turn.ts";
import { AllCompleted } from "./all-completed.ts";
import { asClassic } from "./classic-pool.ts";
import { Deadline } from "./deadline.ts";
import { Greeting, type GreetingEvents } from "./greeting.ts";
import { ownRequest } from "./own-request.ts";
import { SharedGets } from "./shared-gets.ts";

const MAX_OUTSTANDING = 100_000;
const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
/** A connection is given up when nothing was answered in time for this many time-outs since a request was sent. */
const DROP_AFTER_TIMEOUTS = 4;
const KEY_LOG_BYTES = 16 * 1024;
const CRLF_BYTES = 2;
/** Turns that take longer are made up for: see `restamp`. */
const LONG_TURN_MS = 5;

const EMPTY = Buffer.alloc(0);

/** What the connections of one backend have in common. */
export interface ConnectionOptions {
  readonly address: Address;
  readonly tls: TlsConfig | null;
  readonly prefix: Buffer;
  readonly serverTimeoutMs: number;
  readonly connectTimeoutMs: number;
  /** Times a connection that is not there in time is tried again before that counts as a failure. */
  readonly connectRetries: number;
  /** 0: none. */
  readonly keepAliveMs: number;
  /** For the text authentication of memcached (doc/protocol.txt, "Authentication"); null: none. */
  readonly login: Login | null;
  readonly maxReplyBytes: number;
  readonly clock: Clock;
  readonly turn: Turn;
}

/** What happens on a connection, for the backend it belongs to. */
export interface ConnectionEvents extends GreetingEvents {
  /**
   * A request sent at `sentMs` was answered; told before it is completed. `status` is a classic one (`classicStatus`), 0 for
   * requests that are not counted.
   */
  answered(status: Status | 0, sentMs: number): void;
  /** A request on its way failed with `status`. */
  failed(status: Status): void;
  /** A connection was made. */
  opened(): void;
  /** One that had been made is gone. */
  closed(): void;
  timedOut(): void;
  connectFailed(reason: string): void;
  /** It was closed because it could not be trusted any more. */
  outOfStep(reason: string): void;
}

/** What a backend needs of a connection, whatever is spoken on it. */
export interface BackendLink {
  /** Requests sent or waiting to be sent, not answered yet. */
  readonly outstanding: number;
  readonly isConnected: boolean;
  /** False: a get of several keys is not answered as memcached does; it is to be asked for one key at a time. */
  readonly mayShare: boolean;
  /** Takes `request`: sends it and completes it once, with the server's reply or a failure. May complete it at once. */
  send(request: Request): void;
  /** Closes the socket if nothing was sent since the last call; the next request opens another one. */
  closeIfIdle(): void;
  /**
   * Closes the connection for good once everything outstanding has been answered or has timed out; then calls `done` once,
   * perhaps before this returns.
   */
  retire(done: () => void): void;
  /** Closes the connection for good; what is outstanding fails. */
  close(): void;
}

/** An answer that no later one has verified yet. */
interface HeldAnswer {
  readonly request: Request;
  readonly reply: Reply;
  /** Why the connection is to be closed once the answer has been told; null: it is not. */
  readonly doubt: string | null;
}

/** A connection that is opened by the first request, and again by the first one after it was lost. */
export class BackendConnection implements BackendLink, Flushable, FrameReader {
  wantedBytes = 0;
  outstanding = 0;
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents;
  private readonly batch = new OutputBatch();
  private readonly input = new InputBuffer(true);
  private readonly parser: BackendParser;
  private socket: Socket | null = null;
  /** Of `socket`. */
  private writer: SocketWriter | null = null;
  isConnected = false;
  private isSaturated = false;
  private isJoined = false;
  private isClosed = false;
  /** Called when the connection, which is retired, has closed; null: it is not retired. */
  private retired: (() => void) | null = null;
  private head: Request | null = null;
  private tail: Request | null = null;
  /** The first of the requests that stand in the batch. */
  private unsent: Request | null = null;
  /** The first of the requests that wait for the end of the greeting. */
  private waiting: Request | null = null;
  private waitingBytes = 0;
  /** The greeting has ended: requests are written as they come. */
  private isReady = false;
  private readonly held: HeldAnswer[] = [];
  /** The marker that is under way to verify what is held; null: none is. */
  private verifier: Request | null = null;
  private readonly dialect = new ServerDialect();
  private readonly gets = new SharedGets();
  /** The head asks in the command of the one before it. */
  private isFollowing = false;
  private readonly greeting: Greeting;
  /** The time-out of this socket's greeting has been counted. */
  private isGreetingLate = false;
  /** When the first of a run of requests that timed out was sent; null: one was answered in time since, or all were. */
  private lateSinceMs: number | null = null;
  private readonly answerDeadline: Deadline;
  private readonly connectDeadline: Deadline;
  private retriesLeft = 0;
  /** Something was sent since `closeIfIdle` last looked. */
  private isUsed = false;
  /** Copies of the keys of outstanding requests: replies are checked against them. */
  private keyLog = EMPTY;
  private keyLogUsed = 0;

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.options = options;
    this.events = events;
    this.answerDeadline = new Deadline(options.clock, () => this.checkDeadlines());
    this.connectDeadline = new Deadline(options.clock, () => {
      if (this.retriesLeft > 0) {
        this.retriesLeft--;
        this.connect();
        return;
      }
      this.fail(failures.connectTimeout);
      this.events.connectFailed(`no connection within ${options.connectTimeoutMs} ms`);
    });
    this.greeting = new Greeting(options.login, events, this.dialect, {
      send: (request) => this.sendFirst(request),
      done: () => this.begin(),
      again: () => this.reopen(),
      giveUp: () => this.fail(failures.connectError),
    });
    this.parser = new BackendParser(options.maxReplyBytes, options.prefix);
  }

  send(request: Request): void {
    if (this.isClosed || this.outstanding >= MAX_OUTSTANDING || this.isSaturated) {
      request.complete(failures.overloaded);
      return;
    }
    if (this.socket === null) this.open();
    if (!this.isReady) {
      this.wait(request);
      return;
    }
    const refusal = this.write(request);
    if (refusal !== null) request.complete(refusal);
  }

  flush(): void {
    this.isJoined = false;
    const { writer } = this;
    if (writer === null) return;
    // Until there is a connection the greeting waits here.
    if (!this.isConnected) return;
    this.isUsed = true;
    this.restamp();
    this.gets.end();
    this.batch.flush(writer);
    if (writer.unsentBytes > MAX_UNSENT_BYTES) this.isSaturated = true;
  }

  get mayShare(): boolean {
    return this.gets.mayShare;
  }

  closeIfIdle(): void {
    const isIdle = !this.isUsed && this.isConnected && this.head === null;
    this.isUsed = false;
    if (isIdle) this.fail(failures.connectionLost);
  }

  retire(done: () => void): void {
    this.retired = done;
    this.closeIfRetired();
  }

  close(): void {
    this.isClosed = true;
    const { retired } = this;
    this.retired = null;
    const completed = new AllCompleted();
    completed.run(() => this.fail(failures.connectionLost));
    retired?.();
    completed.end();
  }

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    const { socket, parser } = this;
    let at = start;
    while (at < end) {
      const request = this.head;
      if (request === null || request === this.unsent || request === this.waiting) {
        this.distrust("bytes that answer no request");
        return end;
      }
      const next = parser.parse(request, chunk, at, end, isKept);
      if (next === INCOMPLETE) {
        this.wantedBytes = parser.wantedBytes;
        return at;
      }
      if (next === OUT_OF_STEP) return this.doubt(request, "a reply that does not answer the request", end);
      const { reply } = parser;
      const isFailed = isFailure(reply.status);
      if (isFailed && (this.isFollowing || request.isFollowed)) {
        // What a server refuses of one is not the answer to the others.
        return this.doubt(request, "an error in answer to gets that share a command; from now on each goes alone", end);
      }
      at = next;
      this.isFollowing = request.isFollowed;
      this.head = request.nextOfBackend;
      if (this.head === null) this.tail = null;
      if (this.head === null || !request.isAbandoned) this.lateSinceMs = null;
      request.nextOfBackend = null;
      this.outstanding--;
      reply.lease = parser.isBorrowing ? null : this.input.lent;
      if (reply.status === Status.found) this.gets.noteValue(reply.valueEnd - reply.valueStart);
      let doubtful: string | null = null;
      let isHeld = false;
      if (!isFailed && !parser.isSuspect && this.held.length === 0) {
        if (!request.isAbandoned) this.answer(request, reply);
      } else {
        doubtful = isFailed ? doubtAfter(request, reply) : null;
        isHeld = this.holdOrAnswer(request, reply, doubtful);
      }
      parser.giveBack();
      if (this.socket !== socket) return end;
      if (parser.wonCas !== null) this.returnWin(request, parser.wonCas);
      if (doubtful !== null && !isHeld) return this.doubt(request, doubtful, end);
    }
    return end;
  }

  /**
   * Holds an answer that is doubted, or that is behind one that is; otherwise answers `request`, and first those that are
   * held if `reply` proves them. Returns true if the answer is held.
   */
  private holdOrAnswer(request: Request, reply: Reply, doubtful: string | null): boolean {
    const { isSuspect } = this.parser;
    const isVerified = !isSuspect && this.verifies(request, reply);
    const isDoubted = isFailure(reply.status) ? isUnverified(request, reply) : isSuspect;
    // Behind an answer that is doubted all others are, up to one that can be no other's.
    const isBehind = this.held.length > 0 && !isVerified && !isOwnMarker(request);
    const isHeld = (isDoubted || isBehind) && this.isReady && this.dialect.marker !== Marker.none;
    if (isHeld) this.hold(request, reply, doubtful);
    else if (this.held.length > 0 && isVerified) this.release(request, reply);
    else if (!request.isAbandoned) this.answer(request, reply);
    return isHeld;
  }

  private answer(request: Request, reply: Reply): void {
    this.events.answered(statusToCount(request, reply), request.sentMs);
    request.complete(reply);
  }

  /** Has the next client that asks win what a touch won: the item is marked as stale again, as long as it has that cas. */
  private returnWin(touched: Request, cas: string): void {
    const key = touched.keyText();
    const request = ownRequest(Operation.metaDelete, `md ${key} I C${cas}\r\n`, "", () => {});
    request.keyStart = "md ".length;
    request.keyEnd = request.keyStart + key.length;
    this.write(request);
  }

  /** Keeps an answer until a later one shows that the connection was in step. */
  private hold(request: Request, reply: Reply, doubt: string | null): void {
    const kept = reply.copy();
    const { keys, indexes } = request;
    if (keys !== null && !request.isAbandoned) keys.moveBlocks(indexes, reply, kept);
    this.held.push({ request, reply: kept, doubt });
    if (this.verifier !== null) return;
    const answered = (answer: Reply) => {
      if (this.verifier !== verifier) return;
      this.verifier = null;
      if (!isFailure(answer.status)) return;
      // An error line in the marker's place is that of another request.
      this.failHeld(answer.status === Status.timeout ? answer : failures.connectionLost);
      // What comes next may be in the wrong place, too.
      this.distrust("no answer to the marker that verifies others");
    };
    const verifier =
      this.dialect.marker === Marker.metaNoop
        ? ownRequest(Operation.metaNoop, "mn\r\n", "", answered)
        : ownRequest(Operation.version, "version\r\n", "", answered);
    this.verifier = verifier;
    this.write(verifier);
  }

  /**
   * True for an answer that can be no other's: it has an opaque, or is that to the marker which stood behind everything else.
   * Neither a key nor the marker of another request proves it: the next request may be for the same key, and all markers are
   * answered alike.
   */
  private verifies(request: Request, reply: Reply): boolean {
    return !isFailure(reply.status) && (request.opaque !== 0 || request === this.verifier);
  }

  /** The connection is in step: what is held were the answers to their requests. `reply` to `request` shows it. */
  private release(request: Request, reply: Reply): void {
    const { socket } = this;
    const completed = new AllCompleted();
    let doubt: string | null = null;
    this.held.push({ request, reply, doubt: null });
    for (const held of this.held.splice(0)) {
      if (!held.request.isAbandoned) completed.run(() => this.answer(held.request, held.reply));
      doubt ??= held.doubt;
    }
    if (doubt !== null && this.socket === socket) this.distrust(doubt);
    completed.end();
  }

  private failHeld(reply: Reply): void {
    const completed = new AllCompleted();
    for (const { request } of this.held.splice(0)) completed.run(() => this.failOne(request, reply));
    completed.end();
  }

  private failOne(request: Request, reply: Reply): void {
    if (request.isAbandoned) return;
    this.events.failed(reply.status);
    request.complete(reply);
  }

  /** Writes `request` to the batch of this turn. Returns the reply that refuses it; null: it is not refused. */
  private write(request: Request): Reply | null {
    let refusal: Reply | null;
    try {
      refusal = this.append(request);
    } catch (error) {
      // Nobody knows how much of it stands in the batch: nothing of that may be sent.
      this.fail(failures.connectionLost);
      throw error;
    }
    if (refusal === null && !this.isJoined) {
      this.isJoined = true;
      this.options.turn.join(this);
    }
    return refusal;
  }

  /** Queues `request` without writing it. */
  private wait(request: Request): void {
    request.retain();
    this.waitingBytes += request.frameEnd - request.frameStart;
    if (this.waitingBytes > MAX_UNSENT_BYTES) this.isSaturated = true;
    this.waiting ??= request;
    this.enqueue(request);
  }

  /** Writes a request of the greeting: nothing else is under way. */
  private sendFirst(request: Request): void {
    const { waiting, tail } = this;
    this.head = null;
    this.tail = null;
    this.write(request);
    if (waiting === null) return;
    request.nextOfBackend = waiting;
    this.tail = tail;
  }

  /** The greeting has ended: writes what has waited for it. */
  private begin(): void {
    this.isReady = true;
    this.isSaturated = false;
    const completed = new AllCompleted();
    const refused: { readonly request: Request; readonly refusal: Reply }[] = [];
    for (let request = this.takeWaiting(); request !== null; ) {
      const next: Request | null = request.nextOfBackend;
      request.nextOfBackend = null;
      // One that has timed out is not sent any more.
      const refusal = request.isAbandoned ? null : this.writeOrFail(request, completed);
      if (refusal !== null) refused.push({ request, refusal });
      request = next;
    }
    // Completing a request may send others. These must not overtake the requests that have waited.
    for (const { request, refusal } of refused) completed.run(() => request.complete(refusal));
    completed.end();
  }

  /** The same as `write`, where an error must not keep the requests behind this one from being written or refused. */
  private writeOrFail(request: Request, completed: AllCompleted): Reply | null {
    let refusal: Reply | null = failures.connectionLost;
    // It has closed the connection if it throws; what is not written yet is refused.
    completed.run(() => {
      if (this.isReady) refusal = this.write(request);
    });
    return refusal;
  }

  /** Takes the requests that wait out of the queue; they stay linked. */
  private takeWaiting(): Request | null {
    const first = this.waiting;
    this.waiting = null;
    this.waitingBytes = 0;
    if (first === null) return null;
    let before: Request | null = null;
    for (let each = this.head; each !== first; each = each!.nextOfBackend) before = each;
    if (before === null) this.head = null;
    else before.nextOfBackend = null;
    this.tail = before;
    for (let each: Request | null = first; each !== null; each = each.nextOfBackend) this.outstanding--;
    return first;
  }

  private append(asked: Request): Reply | null {
    const request = isMeta(asked.operation) && this.isReady && !this.dialect.speaksMeta ? asClassic(asked) : asked;
    if (!(request instanceof Request)) return request;
    if (isMeta(request.operation)) this.parser.returnsKeys ||= asksForKey(request);
    this.gets.write(request, this.tail, this.options.prefix, this.batch, this.dialect);
    if (!request.isKept && request.indexes === null) this.keepKey(request);
    this.unsent ??= request;
    this.enqueue(request);
    return null;
  }

  private enqueue(request: Request): void {
    request.sentMs = this.options.turn.nowMs();
    request.nextOfBackend = null;
    if (this.tail === null) this.head = request;
    else this.tail.nextOfBackend = request;
    this.tail = request;
    this.outstanding++;
    if (!this.answerDeadline.isSet) this.answerDeadline.set(this.options.serverTimeoutMs);
  }

  /** Moves the request's key to the key log; of a meta command its line, in which the key stands. */
  private keepKey(request: Request): void {
    const isLine = isMeta(request.operation);
    const start = isLine ? request.frameStart : request.keyStart;
    const length = (isLine ? request.lineEnd : request.keyEnd) - start;
    if (this.keyLogUsed + length + CRLF_BYTES > this.keyLog.length) {
      this.keyLog = Buffer.allocUnsafeSlow(Math.max(KEY_LOG_BYTES, length + CRLF_BYTES));
      this.keyLogUsed = 0;
    }
    const at = this.keyLogUsed;
    this.keyLogUsed = copyBytes(request.chunk, start, start + length, this.keyLog, at);
    request.chunk = this.keyLog;
    request.keyStart += at - start;
    request.keyEnd += at - start;
    if (isLine) {
      request.frameStart = at;
      request.lineEnd = this.keyLogUsed;
      this.keyLog[this.keyLogUsed++] = CR;
      this.keyLog[this.keyLogUsed++] = LF;
      request.dataStart = this.keyLogUsed;
      request.frameEnd = this.keyLogUsed;
    } else {
      request.forgetFrame();
    }
  }

  private open(): void {
    this.retriesLeft = this.options.connectRetries;
    this.isSaturated = false;
    this.connect();
    this.isGreetingLate = false;
    this.greeting.begin();
  }

  /** Makes a socket, another one than before if there was one. What is to be sent waits until it is connected. */
  private connect(): void {
    const { address, tls, connectTimeoutMs, keepAliveMs } = this.options;
    this.socket?.destroy();
    const read = (chunk: Buffer, length: number) => {
      if (this.socket !== socket) return;
      this.input.feed(chunk, 0, length, this);
      this.recycleKeyLog();
      if (this.retired !== null) this.closeIfRetired();
    };
    const socket = connectSocket(
      address,
      tls,
      { read },
      () => {
        if (this.socket !== socket) return;
        this.isConnected = true;
        this.events.opened();
        this.connectDeadline.clear();
        if (keepAliveMs > 0) socket.setKeepAlive(true, keepAliveMs);
        this.isSaturated = false;
        this.flush();
      },
      () => this.input.room(),
    );
    this.socket = socket;
    this.isConnected = false;
    this.writer = new SocketWriter(socket, () => {
      if (this.socket === socket) this.isSaturated = false;
    });
    socket.once("error", (error) => {
      // What the network does has a code; the rest is a fault of ours.
      if (!("code" in error)) this.tellFault(error);
      this.lost(socket, error.message);
    });
    socket.once("end", () => this.lost(socket, "closed by the server"));
    socket.once("close", () => this.lost(socket, "closed"));
    this.connectDeadline.set(connectTimeoutMs);
  }

  private lost(socket: Socket, reason: string): void {
    if (this.socket !== socket) return;
    if (this.isConnected) {
      if (this.greeting.isWorthAnother()) this.reopen();
      else this.fail(failures.connectionLost);
    } else {
      this.fail(failures.connectError);
      this.events.connectFailed(reason);
    }
  }

  /** Opens another socket for the requests that wait. */
  private reopen(): void {
    let request = this.takeWaiting();
    const { retired } = this;
    this.retired = null;
    const completed = new AllCompleted();
    completed.run(() => this.fail(failures.connectionLost));
    while (request !== null) {
      const sent: Request = request;
      request = sent.nextOfBackend;
      const { sentMs } = sent;
      if (!sent.isAbandoned) completed.run(() => this.send(sent));
      sent.sentMs = sentMs;
    }
    // Retired meanwhile or not: it closes when these have been answered.
    this.retired = retired;
    completed.run(() => this.closeIfRetired());
    completed.end();
  }

  private tellFault(error: Error): void {
    this.events.outOfStep(`a fault in Platypus: ${error.stack}`);
  }

  /** Closes the connection for what came in answer to `request`. Returns `end`: what is left is not read. */
  private doubt(request: Request, reason: string, end: number): number {
    this.gets.mayShare &&= !this.isFollowing && !request.isFollowed && !asksForMany(request);
    this.distrust(reason);
    return end;
  }

  private distrust(reason: string): void {
    this.events.outOfStep(reason);
    this.fail(failures.connectionLost);
  }

  /** Closes the socket and completes everything outstanding with `reply`. The next request opens a new one. */
  private fail(reply: Reply): void {
    const socket = this.socket;
    this.socket = null;
    this.writer = null;
    socket?.destroy();
    this.connectDeadline.clear();
    this.answerDeadline.clear();
    if (this.isConnected) this.events.closed();
    this.isConnected = false;
    this.isSaturated = false;
    this.isReady = false;
    this.greeting.end();
    this.gets.end();
    this.isFollowing = false;
    this.parser.reset();
    const fault = this.batch.clear();
    if (fault !== null) this.tellFault(fault);
    this.input.clear();
    // Requests that come while these are completed belong to a new socket, a new queue and a new key log.
    let request = this.head;
    this.head = null;
    this.tail = null;
    this.unsent = null;
    this.waiting = null;
    this.waitingBytes = 0;
    this.outstanding = 0;
    this.lateSinceMs = null;
    this.keyLog = EMPTY;
    this.keyLogUsed = 0;
    this.verifier = null;
    const completed = new AllCompleted();
    completed.run(() => this.failHeld(reply));
    while (request !== null) {
      const failed: Request = request;
      request = failed.nextOfBackend;
      failed.nextOfBackend = null;
      completed.run(() => this.failOne(failed, reply));
    }
    if (this.retired !== null) completed.run(() => this.closeIfRetired());
    completed.end();
  }

  /** Requests that waited long for the end of a busy turn have their time from now on. */
  private restamp(): void {
    const first = this.unsent;
    this.unsent = null;
    if (first === null) return;
    const nowMs = this.options.turn.nowMs();
    if (nowMs - first.sentMs < LONG_TURN_MS) return;
    for (let request: Request | null = first; request !== null; request = request.nextOfBackend) {
      request.sentMs = nowMs;
    }
  }

  /**
   * The queue is in the order of sending, so its first unanswered request is the first to time out. Answers that come
   * later than that are discarded when they come, and the connection stays in step. But where an answer was lost, each
   * that comes is taken for that of the request before, and none is in time: so a run of these is ended too.
   */
  private checkDeadlines(): void {
    const { clock, serverTimeoutMs } = this.options;
    const nowMs = clock.nowMs();
    if (this.socket !== null && !this.isConnected) {
      // The time for an answer runs from when it was asked for.
      this.answerDeadline.set(serverTimeoutMs);
      return;
    }
    const completed = new AllCompleted();
    this.expire(nowMs, completed);
    completed.run(() => this.checkOrder(nowMs));
    try {
      completed.end();
    } catch (error) {
      // Nobody has called: thrown on, it would end the process.
      this.tellFault(error as Error);
    }
  }

  private checkOrder(nowMs: number): void {
    const { serverTimeoutMs } = this.options;
    if (this.retired !== null) this.closeIfRetired();
    if (this.lateSinceMs !== null && nowMs - this.lateSinceMs >= serverTimeoutMs * DROP_AFTER_TIMEOUTS) {
      this.distrust("nothing was answered in time up to the drop limit");
      return;
    }
    let request = this.head;
    while (request !== null && (request.isAbandoned || request === this.greeting.asked))
      request = request.nextOfBackend;
    if (this.answerDeadline.isSet || this.socket === null) return;
    if (request !== null) {
      this.answerDeadline.set(Math.max(1, request.sentMs + serverTimeoutMs - nowMs));
    } else if (this.head !== null) {
      this.answerDeadline.set(serverTimeoutMs);
    }
  }

  private expire(nowMs: number, completed: AllCompleted): void {
    const { serverTimeoutMs } = this.options;
    for (let each = this.head; each !== null; each = each.nextOfBackend) {
      const request: Request = each;
      if (request.isAbandoned) continue;
      if (nowMs - request.sentMs < serverTimeoutMs) return;
      if (request === this.greeting.asked) {
        this.greetingIsLate(request.sentMs);
        continue;
      }
      request.isAbandoned = true;
      this.lateSinceMs ??= request.sentMs;
      this.events.timedOut();
      completed.run(() => request.complete(failures.timeout));
    }
  }

  /** The greeting is not given up with a time-out: its answer is of use whenever it comes. */
  private greetingIsLate(sentMs: number): void {
    this.lateSinceMs ??= sentMs;
    if (this.isGreetingLate) return;
    this.isGreetingLate = true;
    this.events.timedOut();
  }

  private closeIfRetired(): void {
    if (this.retired === null || this.held.length > 0) return;
    // The greeting is of no use without requests that wait for it.
    for (let each = this.head; each !== null; each = each.nextOfBackend) {
      if (!each.isAbandoned && each !== this.greeting.asked) return;
    }
    this.close();
  }

  private recycleKeyLog(): void {
    if (this.head !== null || this.keyLogUsed === 0) return;
    if (isPoisoning) this.keyLog.fill(0xff, 0, this.keyLogUsed);
    this.keyLogUsed = 0;
  }
}

/** What a request came to, as it is counted; 0: it was one of the connection's own. */
function statusToCount({ operation }: Request, reply: Reply): Status | 0 {
  const isOwn = operation === Operation.version || operation === Operation.metaNoop || operation === Operation.stats;
  return isOwn ? 0 : classicStatus(operation, reply);
}

/**
 * True for an error that could be another request's: it has neither opaque nor marker, and its client is told of it. A get
 * that fails is answered as a miss.
 */
function isUnverified(request: Request, reply: Reply): boolean {
  const { operation, marker, opaque } = request;
  if (marker !== Marker.none) return false;
  return opaque !== 0 || (isRetrieval(operation) && reply.status === Status.clientError);
}

/** True for `mn` and `version`, which only Platypus itself asks. */
function isOwnMarker({ operation }: Request): boolean {
  return operation === Operation.metaNoop || operation === Operation.version;
}

/** Why nobody knows, after this failure, where the next answer begins; null: it is known. */
function doubtAfter(request: Request, reply: Reply): string | null {
  // The server may have read the data as commands. A marker behind the request shows that it has not.
  if (request.hasData && reply.status === Status.clientError && request.marker === Marker.none) {
    return "a data block was refused";
  }
  // memcached's own proxy has an error in the place of a value and goes on with the next.
  const isDoubtful = asksForMany(request) && reply.status === Status.serverError;
  return isDoubtful ? "an error in answer to a get of several keys; from now on each goes alone" : null;
}

function asksForMany({ indexes }: Request): boolean {
  return indexes !== null && indexes.length > 1;
}
