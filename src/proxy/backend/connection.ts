/**
 * One pipelined socket to a backend, shared by all clients. Requests of a turn are appended to one batch and leave in
 * one write; replies are matched to requests by their position in the queue, and verified by key, opaque or marker.
 *
 *     queue   head ─► request ─► request ─► request ─► tail        (order on the wire)
 *             ▲ the next reply is for this one       ▲ waiting: not written before the greeting has ended
 *
 * request-queue.ts has the queue and its timeouts, key-log.ts the keys that verify replies, held-answers.ts the replies
 * that name no request, until a later reply verifies them, and greeting.ts the first commands on a new socket.
 *
 * When the order can no longer be trusted (malformed reply, wrong key or opaque, a reply without a request, a head that
 * stays unanswered past the drop limit), the socket is closed and all outstanding requests fail: a reply never reaches
 * another request.
 */
import type { Socket } from "node:net";
import { failures, isFailure, type Reply, Status } from "../reply.ts";
import { isMeta, Operation, Request } from "../request.ts";
import { BackendParser, INCOMPLETE, OUT_OF_STEP } from "../wire/backend-parser.ts";
import { type FrameReader, InputBuffer } from "../wire/input-buffer.ts";
import { asksForKey } from "../wire/meta-proof.ts";
import { OutputBatch } from "../wire/output-batch.ts";
import { ServerDialect } from "../wire/server-dialect.ts";
import { connectSocket } from "../wire/socket.ts";
import { SocketWriter } from "../wire/socket-writer.ts";
import type { Flushable } from "../wire/turn.ts";
import { keyAfter } from "../wire/written-frame.ts";
import { AllCompleted } from "./all-completed.ts";
import type { BackendLink, ConnectionEvents, ConnectionOptions } from "./backend-link.ts";
import { asClassic, isSaferClassic } from "./classic-pool.ts";
import { countAnswer, isOwnCommand } from "./count-answer.ts";
import { Deadline } from "./deadline.ts";
import { Greeting } from "./greeting.ts";
import { asksForMany, doubtAfter, HeldAnswers } from "./held-answers.ts";
import { KeyLog } from "./key-log.ts";
import { ownRequest } from "./own-request.ts";
import { RequestQueue } from "./request-queue.ts";
import { SharedGets } from "./shared-gets.ts";

const MAX_UNSENT_BYTES = 64 * 1024 * 1024;
const TOO_LATE = "nothing was answered in time up to the drop limit";

/** The first request opens the connection; after a loss, the next request opens it again. */
export class BackendConnection implements BackendLink, Flushable, FrameReader {
  wantedBytes = 0;
  private readonly options: ConnectionOptions;
  private readonly events: ConnectionEvents;
  private readonly batch = new OutputBatch();
  private readonly input = new InputBuffer(true);
  private readonly parser: BackendParser;
  private socket: Socket | null = null;
  private writer: SocketWriter | null = null;
  isConnected = false;
  private isSaturated = false;
  private isJoined = false;
  private isClosed = false;
  /** Called when the retired connection has closed. `null` if it is not retired. */
  private retired: (() => void) | null = null;
  private readonly queue: RequestQueue<Request>;
  /** The first request in the batch. */
  private unsent: Request | null = null;
  /** The first request that waits for the end of the greeting. */
  private waiting: Request | null = null;
  private waitingBytes = 0;
  /** True after the greeting: requests are written as they arrive. */
  private isReady = false;
  private readonly dialect = new ServerDialect();
  private readonly held: HeldAnswers;
  private readonly gets = new SharedGets();
  /** True if the head shares the command of the request before it. */
  private isFollowing = false;
  private readonly greeting: Greeting;
  private readonly connectDeadline: Deadline;
  private retriesLeft = 0;
  /** True if a request was sent since `closeIfIdle` last looked. */
  private isUsed = false;
  private readonly keyLog = new KeyLog();

  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.options = options;
    this.events = events;
    this.queue = new RequestQueue(options.clock, options.serverTimeoutMs, () => this.checkDeadlines());
    this.connectDeadline = new Deadline(options.clock, () => {
      if (this.retriesLeft > 0) {
        this.retriesLeft--;
        this.connect();
        return;
      }
      this.contain(() => this.fail(failures.connectTimeout));
      this.events.connectFailed(`no connection within ${options.connectTimeoutMs} ms`);
    });
    this.greeting = new Greeting(options.login, events, this.dialect, {
      send: (request) => this.sendFirst(request),
      done: () => this.begin(),
      again: () => this.reopen(),
      giveUp: (reply) => this.fail(reply),
    });
    this.held = new HeldAnswers(this.dialect, {
      send: (marker) => this.write(marker),
      answer: (request, reply) => this.answer(request, reply),
      fail: (request, reply) => this.failOne(request, reply),
      distrust: (reason) => this.distrust(reason),
    });
    this.parser = new BackendParser(options.maxReplyBytes, options.prefix);
  }

  get outstanding(): number {
    return this.queue.length;
  }

  get inFlight(): number {
    return this.queue.countAwaited(this.greeting.asked, isOwnCommand);
  }

  send(request: Request): void {
    if (this.isClosed || this.queue.isFull || this.isSaturated) {
      request.complete(failures.overloaded);
      return;
    }
    if (this.queue.isLost(this.options.turn, this.greeting.asked)) this.contain(() => this.distrust(TOO_LATE));
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
    // Before the connection is established, the greeting waits here.
    if (!this.isConnected) return;
    this.isUsed = true;
    if (this.unsent !== null) this.queue.restamp(this.unsent, this.options.turn.nowMs());
    this.unsent = null;
    this.gets.end();
    this.events.written(this.batch.byteLength);
    this.batch.flush(writer);
    if (writer.unsentBytes > MAX_UNSENT_BYTES) this.isSaturated = true;
  }

  get mayShare(): boolean {
    return this.gets.mayShare;
  }

  closeIfIdle(): void {
    const isIdle = !this.isUsed && this.isConnected && this.queue.head === null;
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
    const { socket, parser, queue } = this;
    let at = start;
    while (at < end) {
      const request = queue.head;
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
        // An error about one get is not the reply to the others.
        return this.doubt(request, "an error in answer to gets that share a command; from now on each goes alone", end);
      }
      at = next;
      this.isFollowing = request.isFollowed;
      queue.shift(request);
      reply.lease = parser.isBorrowing ? null : this.input.lent;
      if (reply.status === Status.found) this.gets.noteValue(reply.valueEnd - reply.valueStart);
      let doubtful: string | null = null;
      let isHeld = false;
      if (!isFailed && !parser.isSuspect && this.held.isEmpty) {
        if (!request.isAbandoned) this.answer(request, reply);
      } else {
        doubtful = isFailed ? doubtAfter(request, reply) : null;
        isHeld = this.held.take(request, reply, parser.isSuspect, doubtful, this.isReady);
      }
      parser.giveBack();
      if (this.socket !== socket) return end;
      if (parser.wonCas !== null) this.returnWin(request, parser.wonCas);
      if (doubtful !== null && !isHeld) return this.doubt(request, doubtful, end);
    }
    return end;
  }

  private answer(request: Request, reply: Reply): void {
    countAnswer(this.events, request, reply);
    request.complete(reply);
  }

  /** Lets the next client win what a touch won: marks the item as stale again, if it still has that cas. */
  private returnWin(touched: Request, cas: string): void {
    const key = touched.keyText();
    const line = `md ${key} I C${cas}`;
    this.write(ownRequest(Operation.metaDelete, line, null, () => {}, keyAfter("md", key.length)));
  }

  private failOne(request: Request, reply: Reply, isGreeting = false): void {
    if (request.isAbandoned) return;
    const source = isGreeting ? "greeting" : request.operation === Operation.version ? "probe" : "client";
    for (let i = 0; i < request.weight; i++) this.events.failed(request, reply.status, source);
    request.complete(reply);
  }

  /** Writes `request` to the batch of this turn. Returns the reply that refuses it. `null` if it is written. */
  private write(request: Request): Reply | null {
    let refusal: Reply | null;
    try {
      refusal = this.append(request);
    } catch (error) {
      // An unknown part of the request is in the batch: none of the batch may be sent.
      this.fail(failures.connectionLost);
      throw error;
    }
    if (refusal === null && !this.isJoined) {
      this.isJoined = true;
      this.options.turn.join(this);
    }
    return refusal;
  }

  private wait(request: Request): void {
    request.retain();
    this.waitingBytes += request.frameEnd - request.frameStart;
    if (this.waitingBytes > MAX_UNSENT_BYTES) this.isSaturated = true;
    this.waiting ??= request;
    this.queue.append(request, this.options.turn.nowMs());
  }

  /** Writes a request of the greeting: no other request is in flight. */
  private sendFirst(request: Request): void {
    const { waiting, queue } = this;
    const { tail } = queue;
    queue.head = null;
    queue.tail = null;
    this.write(request);
    if (waiting === null) return;
    request.nextOfBackend = waiting;
    queue.tail = tail;
  }

  /** The greeting has ended: writes the requests that waited for it. */
  private begin(): void {
    this.isReady = true;
    this.isSaturated = false;
    const completed = new AllCompleted();
    const refused: { readonly request: Request; readonly refusal: Reply }[] = [];
    for (let request = this.takeWaiting(); request !== null; ) {
      const next: Request | null = request.nextOfBackend;
      request.nextOfBackend = null;
      // A timed-out request is not sent.
      const refusal = request.isAbandoned ? null : this.writeOrFail(request, completed);
      if (refusal !== null) refused.push({ request, refusal });
      request = next;
    }
    // Completing a request may send others. These must not overtake the requests that waited.
    for (const { request, refusal } of refused) completed.run(() => request.complete(refusal));
    completed.end();
  }

  /** Like `write`, but after an error the later requests are still written or refused. */
  private writeOrFail(request: Request, completed: AllCompleted): Reply | null {
    let refusal: Reply | null = failures.connectionLost;
    // If it throws, it has closed the connection; the remaining requests are refused.
    completed.run(() => {
      if (this.isReady) refusal = this.write(request);
    });
    return refusal;
  }

  /** Removes the waiting requests from the queue; they stay linked. */
  private takeWaiting(): Request | null {
    const first = this.waiting;
    this.waiting = null;
    this.waitingBytes = 0;
    if (first !== null) this.queue.takeFrom(first);
    return first;
  }

  private append(asked: Request): Reply | null {
    const isClassic = isMeta(asked.operation) && this.isReady && (!this.dialect.speaksMeta || isSaferClassic(asked));
    const request = isClassic ? asClassic(asked) : asked;
    if (!(request instanceof Request)) return request;
    if (isMeta(request.operation)) this.parser.returnsKeys ||= asksForKey(request);
    this.gets.write(request, this.queue.tail, this.options.prefix, this.batch, this.dialect);
    if (!request.isKept && request.indexes === null) this.keyLog.keep(request);
    this.unsent ??= request;
    this.queue.append(request, this.options.turn.nowMs());
    return null;
  }

  private open(): void {
    this.retriesLeft = this.options.connectRetries;
    this.isSaturated = false;
    this.connect();
    this.greeting.begin();
  }

  /** Creates a new socket. Requests wait until it is connected. */
  private connect(): void {
    const { address, tls, connectTimeoutMs, keepAliveMs } = this.options;
    this.socket?.destroy();
    const read = (chunk: Buffer, length: number) => {
      if (this.socket !== socket) return;
      this.events.read(length);
      this.input.feed(chunk, 0, length, this);
      if (this.queue.head === null) this.keyLog.recycle();
      if (this.retired !== null) this.closeIfRetired();
    };
    const socket = connectSocket(
      address,
      connectTimeoutMs,
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
      // Network errors have a code; other errors are faults in Platypus.
      if (!("code" in error)) this.tellFault(error);
      this.lost(socket, error.message, true);
    });
    socket.once("end", () => this.lost(socket, "closed by the server"));
    socket.once("close", () => this.lost(socket, "closed"));
    this.connectDeadline.set(connectTimeoutMs);
  }

  private lost(socket: Socket, reason: string, isError = false): void {
    if (this.socket !== socket) return;
    if (this.isConnected) {
      this.events.lost(isError);
      this.contain(() => {
        if (this.greeting.isWorthAnother()) this.reopen();
        else this.fail(failures.connectionLost);
      });
    } else {
      this.contain(() => this.fail(failures.connectError));
      this.events.connectFailed(reason);
    }
  }

  /** Opens a new socket for the requests that wait. */
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
    // If retired, before or by a refused request, it closes when these have been answered.
    this.retired ??= retired;
    completed.run(() => this.closeIfRetired());
    completed.end();
  }

  /** Runs a step of a timer or of the socket. An error is reported: if it were thrown, it would end the process. */
  private contain(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.tellFault(error as Error);
    }
  }

  private tellFault(error: Error): void {
    this.events.outOfStep(`a fault in Platypus: ${error.stack}`);
  }

  /** Closes the connection because of the reply to `request`. Returns `end`: the rest is not read. */
  private doubt(request: Request, reason: string, end: number): number {
    this.gets.mayShare &&= !this.isFollowing && !request.isFollowed && !asksForMany(request);
    this.distrust(reason);
    return end;
  }

  private distrust(reason: string): void {
    this.events.outOfStep(reason);
    this.fail(failures.connectionLost);
  }

  /** Closes the socket and completes all outstanding requests with `reply`. The next request opens a new socket. */
  private fail(reply: Reply): void {
    const socket = this.socket;
    this.socket = null;
    this.writer = null;
    socket?.destroy();
    this.connectDeadline.clear();
    this.queue.deadline.clear();
    if (this.isConnected) this.events.closed();
    this.isConnected = false;
    this.isSaturated = false;
    this.isReady = false;
    const { asked } = this.greeting;
    this.greeting.end();
    this.gets.end();
    this.isFollowing = false;
    this.parser.reset();
    const fault = this.batch.clear();
    if (fault !== null) this.tellFault(fault);
    this.input.clear();
    // Requests that arrive while these are completed belong to a new socket, a new queue and a new key log.
    let request = this.queue.takeAll();
    this.unsent = null;
    this.waiting = null;
    this.waitingBytes = 0;
    this.keyLog.leave();
    this.held.forgetMarker();
    const completed = new AllCompleted();
    completed.run(() => this.held.fail(reply));
    while (request !== null) {
      const failed: Request = request;
      request = failed.nextOfBackend;
      failed.nextOfBackend = null;
      completed.run(() => this.failOne(failed, reply, failed === asked));
    }
    if (this.retired !== null) completed.run(() => this.closeIfRetired());
    completed.end();
  }

  /**
   * The queue is in the order of sending, so its first unanswered request is the first to time out. Later replies to
   * timed-out requests are discarded, and the connection stays in step. But if a reply was lost, each reply is taken
   * for that of the previous request, and none is in time: so a run of late replies ends the connection.
   */
  private checkDeadlines(): void {
    const nowMs = this.options.clock.nowMs();
    if (this.socket !== null && !this.isConnected) {
      // The timeout starts when the reply was asked for.
      this.queue.postpone();
      return;
    }
    const completed = new AllCompleted();
    const { asked } = this.greeting;
    this.queue.expire(nowMs, asked, (request) => {
      // A timeout does not end the greeting. Only requests count: no client has asked for the greeting.
      if (request !== asked) this.timeOut(request, completed);
    });
    completed.run(() => this.checkOrder(nowMs, completed));
    this.contain(() => completed.end());
  }

  private timeOut(request: Request, completed: AllCompleted): void {
    for (let i = 0; i < request.weight; i++) this.events.timedOut(request);
    completed.run(() => request.complete(failures.timeout));
  }

  private checkOrder(nowMs: number, completed: AllCompleted): void {
    if (this.retired !== null) this.closeIfRetired();
    const { asked } = this.greeting;
    if (this.queue.isPastDropLimit(nowMs)) {
      // The server does not answer: each request that still waits has timed out. Complete them after the queue has been
      // emptied, because a completed request may send others.
      const waiting = this.queue.abandonAll(asked);
      completed.run(() => this.distrust(TOO_LATE));
      for (const request of waiting) this.timeOut(request, completed);
      return;
    }
    if (this.socket !== null) this.queue.setDeadline(nowMs, asked);
  }

  private closeIfRetired(): void {
    if (this.retired === null || !this.held.isEmpty) return;
    // Without waiting requests, the greeting is useless.
    if (this.queue.firstAwaited(this.greeting.asked) === null) this.close();
  }
}
