/**
 * One client: bytes in, requests routed, replies out in the order of the requests (reply-queue.ts).
 *
 * In one turn a client has a share of keys and bytes (rounds.ts); the rest of its input is handled in a later turn.
 * Requests without a reply (noreply) are not queued. If a client does not read its replies, Platypus first stops
 * reading from it, then closes it. Requests of a disconnected client complete without effect.
 */
import type { Socket } from "node:net";
import { inMcrouterWords } from "../mcrouter-words.ts";
import { isFailure, type Reply } from "../reply.ts";
import { type BinaryHeader, type KeyList, Operation, type ReplyOwner, Request, readsKeys } from "../request.ts";
import { beginRequestSpan, traceReply } from "../request-span.ts";
import { REQUEST_MAGIC } from "../wire/binary-protocol.ts";
import { Parsed } from "../wire/classic-parser.ts";
import { END_BYTES, writeBlocks, writeBytes, writeReply } from "../wire/classic-writer.ts";
import { type FrameReader, InputBuffer } from "../wire/input-buffer.ts";
import { OutputBatch } from "../wire/output-batch.ts";
import { adoptSocket, type BytesReader } from "../wire/socket.ts";
import { SocketWriter } from "../wire/socket-writer.ts";
import type { Flushable } from "../wire/turn.ts";
import { ipOf, peerOf } from "./client-address.ts";
import type { ClientContext } from "./client-context.ts";
import { countReply } from "./client-counters.ts";
import type { Gate } from "./gate.ts";
import { ReadAhead } from "./read-ahead.ts";
import { ReplyQueue } from "./reply-queue.ts";
import { MAX_BYTES_PER_ROUND, MAX_KEYS_PER_ROUND } from "./rounds.ts";
import { admitGathered, type StreamClient, StreamedGet } from "./streamed-get.ts";

/** At this number of unsent reply bytes, no further requests are read. */
const MAX_UNSENT_BYTES = 1024 * 1024;
const EMPTY = Buffer.alloc(0);
/** More bytes than this are sent immediately, even if more replies will follow. */
const MAX_WAITING_BYTES = 32 * 1024;

/** A client's connection. Never throws into the event loop: a fault only ends this connection. */
export class ClientConnection implements BytesReader, Flushable, FrameReader, ReplyOwner, StreamClient {
  wantedBytes = 0;
  /** Monotonic time of the turn in which bytes were last read, if that time is needed. */
  lastReadMs = 0;
  /** True after the first byte. */
  hasSpoken = false;
  /** `null` if each client of the address has all rights. */
  gate: Gate | null;
  private readonly context: ClientContext;
  private readonly onClosed: (connection: ClientConnection) => void;
  readonly socket: Socket;
  private readonly writer: SocketWriter;
  private readonly input = new InputBuffer();
  private readonly batch = new OutputBatch();
  private readonly queue = new ReplyQueue();
  private outstanding = 0;
  /** Number of keys that the outstanding gets ask for. */
  private outstandingKeys = 0;
  private swallowBytes = 0;
  /** Time at which the current bytes were read. */
  private readMicros = 0;
  /** The first byte determines it. `null` before the first byte. */
  private isBinary: boolean | null = null;
  private isJoined = false;
  /** True if the batch has waited one turn for more replies. */
  private hasWaited = false;
  private isStopped = false;
  /** True if reading has stopped until a later round. */
  private isWaitingForRound = false;
  /** Its used share, in the round with this number. */
  private round = 0;
  private roundKeys = 0;
  private roundBytes = 0;
  /** True if the next commands must wait until all requests in flight have been answered. */
  private waitsForAll = false;
  /** Expected size of the outstanding replies. */
  readonly readAhead: ReadAhead;
  /** The last command if it is a get with a streamed reply; nothing after it is read. `null` otherwise. */
  private stream: StreamedGet | null = null;
  /** Called when no request is in flight any more. */
  private onQuiet: (() => void)[] = [];
  /** Time since which replies are unsent. `null` if there are none. */
  private stalledSinceMs: number | null = null;
  /** True if no more is read from the socket: the client's end, `quit` or a drain. */
  private isEnding = false;
  /** True if the connection must finish after the next read. */
  private isLeaving = false;
  /** True after `quit`: later bytes are not commands. */
  private hasQuit = false;
  private isClosed = false;

  /** Takes ownership of `accepted`. `onClosed` is called once. */
  constructor(
    accepted: Socket,
    context: ClientContext,
    onClosed: (connection: ClientConnection) => void,
    gate: Gate | null = null,
  ) {
    this.gate = gate;
    this.context = context;
    this.readAhead = new ReadAhead(context.sizes);
    this.onClosed = onClosed;
    const socket = adoptSocket(accepted, this);
    this.socket = socket;
    socket.on("end", () => {
      context.ends.closed++;
      this.finish();
    });
    socket.on("error", (error) => {
      // Network errors have a code; other errors are faults in Platypus.
      if (!("code" in error)) context.fault(error);
      context.ends.failed++;
      this.close();
    });
    socket.on("close", () => this.close());
    this.writer = new SocketWriter(socket, () => {
      this.stalledSinceMs = null;
      this.resumeReading();
    });
  }

  /** Answers the requests that were read, then closes. Later bytes are not read as commands. */
  finish(): void {
    this.isEnding = true;
    this.endWhenDone();
  }

  /**
   * Like `finish`, but a connection without any received byte first gets its first commands answered, which are on
   * their way.
   */
  drain(): void {
    if (this.isBinary === null && !this.isEnding) this.isLeaving = true;
    else this.finish();
  }

  /** Address of the client: `tcp:host:port`, or `unix` if it has none. */
  get peer(): string {
    return peerOf(this.socket);
  }

  /**
   * Delays the next commands until the requests in flight have been answered: those go through routes that are being
   * replaced. Returns false if there are none; otherwise `done` is called once, later.
   */
  waitForAll(done: () => void): boolean {
    if (this.isQuiet) return false;
    this.stream?.pause();
    this.waitsForAll = true;
    this.onQuiet.push(done);
    return true;
  }

  /** Closes immediately; requests in flight complete without effect. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.socket.destroy();
    const fault = this.batch.clear();
    if (fault !== null) this.context.fault(fault);
    this.input.clear();
    this.queue.clear();
    this.stream?.abandon();
    this.onClosed(this);
  }

  readFrames(chunk: Buffer, start: number, end: number, isKept: boolean): number {
    let at = start;
    while (at < end && !this.hasQuit && !this.isClosed) {
      if (this.swallowBytes > 0) {
        const swallowed = Math.min(this.swallowBytes, end - at);
        this.swallowBytes -= swallowed;
        at += swallowed;
        continue;
      }
      const { outstanding, batch } = this;
      if (outstanding === 0) this.waitsForAll = false;
      if (
        this.waitsForAll ||
        this.stream !== null ||
        outstanding >= this.context.limits.maxOutstanding ||
        this.queue.heldBytes >= MAX_UNSENT_BYTES ||
        batch.byteLength >= MAX_UNSENT_BYTES ||
        this.outstandingKeys >= this.readAhead.mostKeys
      ) {
        this.stopReading();
        this.wantedBytes = 0;
        return at;
      }
      if (this.roundKeys >= MAX_KEYS_PER_ROUND) {
        this.waitForRound();
        this.wantedBytes = 0;
        return at;
      }
      this.isBinary ??= chunk[at] === REQUEST_MAGIC;
      const parser = this.isBinary ? this.context.binaryParser : this.context.parser;
      const { gate } = this;
      const parsed =
        gate === null ? parser.parse(this, chunk, at, end, isKept) : gate.parse(parser, this, chunk, at, end, isKept);
      if (parsed === Parsed.incomplete) {
        this.wantedBytes = parser.wantedBytes;
        return at;
      }
      if (parsed === Parsed.close) {
        this.hasQuit = true;
        this.finish();
        return end;
      }
      const isStats = parsed === Parsed.local && parser.words[0] === "stats";
      if (isStats && outstanding > 0) {
        // These commands count the requests before them, and none after them.
        this.waitsForAll = true;
        continue;
      }
      at = parser.next;
      this.roundKeys++;
      // A refused value is skipped, with or without a reply.
      this.swallowBytes = parser.swallowBytes;
      parser.swallowBytes = 0;
      if (parsed === Parsed.request) this.accept(parser.request!);
      else if (parsed === Parsed.local) this.carryOut(parser.words, parser.header);
      else if (parser.answer !== null) this.answer(parser.answer, null);
      if (isStats) this.waitsForAll = true;
      if (parser.isLast) {
        this.hasQuit = true;
        this.finish();
        return end;
      }
    }
    return end;
  }

  onReply(request: Request, given: Reply): void {
    const { counters, turn, tracer, accessLog, limits } = this.context;
    const reply = isFailure(given.status) && limits.hasMcrouterWords ? inMcrouterWords(given) : given;
    this.outstanding--;
    const isRead = readsKeys(request.operation);
    if (isRead) this.endKeys(request.keys);
    if (this.stream !== null && this.stream.request === request) this.stream = null;
    if (this.onQuiet.length > 0) this.idle();
    const tookMicros = (turn.nowMicros() - request.readMicros) | 0;
    countReply(counters, request, reply, tookMicros);
    if (tracer !== null) {
      const span = traceReply(tracer, request, reply, tookMicros);
      if (span !== null) counters.requests.mark(request, tookMicros, span);
    }
    if (accessLog !== null) accessLog.answered(request, reply, tookMicros, this);
    if (this.isClosed) return;
    if (!request.isNoreply) {
      if (request === this.queue.head) {
        if (isRead && request.keys === null) this.readAhead.note(reply.end - reply.start, 1);
        const bytesBefore = this.batch.byteLength;
        writeReply(request, reply, this.batch);
        if (request.keys !== null) this.readAhead.note(this.batch.byteLength - bytesBefore, request.keys.count);
        this.queue.shift(request, this.batch);
        this.join();
        if (this.stream !== null && this.stream.request === this.queue.head) this.stream.begin();
      } else {
        const length = this.queue.hold(request, reply);
        if (isRead) this.readAhead.note(length, request.keys === null ? 1 : request.keys.count);
      }
    }
    if (this.isStopped || this.isEnding) this.afterReply();
  }

  flush(): void {
    if (this.isClosed) {
      this.isJoined = false;
      return;
    }
    // A pipelining client gets its replies from several backends within a turn or two: waiting one turn for the others
    // makes one write of two or three (bench: pipelined gets).
    if (this.outstanding > 0 && !this.hasWaited && this.batch.byteLength < MAX_WAITING_BYTES) {
      this.hasWaited = true;
      this.context.turn.join(this);
      return;
    }
    this.hasWaited = false;
    this.isJoined = false;
    this.context.counters.bytesWritten += this.batch.byteLength;
    this.batch.flush(this.writer);
    const unsent = this.writer.unsentBytes;
    if (unsent > this.context.limits.clientOutputLimitBytes || this.isStalled(unsent)) {
      this.cutOff();
    } else if (unsent > MAX_UNSENT_BYTES) {
      this.stopReading();
    } else if (this.isStopped) {
      this.resumeReading();
    }
    this.endWhenDone();
  }

  read(chunk: Buffer, length: number): void {
    this.hasSpoken = true;
    if (this.isClosed || this.isEnding) return;
    if (this.context.limits.evictsIdle) this.lastReadMs = this.context.turn.nowMs();
    this.context.counters.bytesRead += length;
    this.readMicros = this.context.turn.nowMicros();
    this.enterRound();
    this.roundBytes += length;
    this.readAhead.followOthers();
    this.input.feed(chunk, 0, length, this);
    if (this.roundBytes >= MAX_BYTES_PER_ROUND && !this.isStopped && !this.isClosed) this.waitForRound();
    // Not within a command: its rest is on its way.
    if (this.isLeaving && this.input.byteLength === 0) this.finish();
  }

  /** Continues with the bytes that were read before it stopped. It may stop again. */
  continueReading(): number {
    this.isWaitingForRound = false;
    if (this.isClosed) return 0;
    this.enterRound();
    if (this.stream !== null) {
      this.roundKeys += this.stream.sendKeys();
      return this.roundKeys;
    }
    this.isStopped = false;
    try {
      this.input.resume(this);
    } catch (error) {
      this.socket.destroy(error as Error);
      return this.roundKeys;
    }
    if (!this.isStopped && !this.isClosed) {
      this.socket.resume();
      this.endWhenDone();
    }
    return this.roundKeys;
  }

  private enterRound(): void {
    const round = this.context.rounds.current();
    if (round === this.round) return;
    this.round = round;
    this.roundKeys = 0;
    this.roundBytes = 0;
  }

  private accept(request: Request): void {
    this.outstanding++;
    if (readsKeys(request.operation)) this.outstandingKeys += request.keys === null ? 1 : request.keys.count;
    request.readMicros = this.readMicros;
    request.client = this.readAhead;
    const { tracer } = this.context;
    if (tracer !== null) beginRequestSpan(tracer, request, this.context.turn);
    if (!request.isNoreply) this.queue.append(request);
    if (this.context.limits.keepsClientAddress) request.clientAddress = ipOf(this.socket);
    if (request.hasData) this.context.sizes.note(request.frameEnd - request.dataStart);
    this.context.counters.operations[request.operation]!++;
    if (request.operation === Operation.flushAll) this.context.root.broadcast(request);
    else if (request.keys !== null) this.routeMany(request, request.keys);
    else this.context.root.route(request);
  }

  private routeMany(request: Request, keys: KeyList): void {
    if (admitGathered(keys, this.readAhead, this.context.sizes)) {
      this.roundKeys += keys.count - 1;
      this.context.root.route(request);
      return;
    }
    const stream = new StreamedGet(request, keys, this);
    this.stream = stream;
    this.stopReading();
    if (request === this.queue.head) stream.begin();
    this.roundKeys += stream.sendKeys();
  }

  routeKeys(request: Request): void {
    this.context.root.route(request);
  }

  /** Memory of its unread replies and its incomplete command. */
  get bufferedBytes(): number {
    return this.unsentBytes + this.queue.heldBytes + (this.stream?.heldBytes ?? 0) + this.input.roomBytes;
  }

  /** Closes the client because it does not read, or does not complete its command. */
  cutOff(): void {
    this.context.counters.cutOff++;
    this.close();
  }

  get unsentBytes(): number {
    return this.batch.byteLength + this.writer.unsentBytes;
  }

  writeValue(reply: Reply): void {
    writeBytes(reply, reply.start, reply.end - END_BYTES, this.batch);
    this.join();
  }

  writeGathered(keys: KeyList): void {
    writeBlocks(keys, this.batch);
    this.join();
  }

  writeHeld(values: Buffer): void {
    this.batch.reference(values, 0, values.length);
    this.join();
  }

  wake(): void {
    this.waitForRound();
  }

  idle(): void {
    if (this.onQuiet.length === 0 || !this.isQuiet) return;
    for (const done of this.onQuiet.splice(0)) done();
    this.stream?.goOn();
  }

  /** True if no request is in the routes. A streamed get mostly waits for its client. */
  private get isQuiet(): boolean {
    const isIdle = this.stream?.isIdle ?? false;
    return this.outstanding === (isIdle ? 1 : 0);
  }

  /** Answers with a known reply, in order. */
  private answer(reply: Reply, binary: BinaryHeader | null): void {
    this.takeLocal(binary).complete(reply);
  }

  private carryOut(words: readonly string[], binary: BinaryHeader | null): void {
    this.context.local.carryOut(words, this.takeLocal(binary));
  }

  /** A request that is answered in order without routing. */
  private takeLocal(binary: BinaryHeader | null): Request {
    const request = new Request(Operation.local, this, EMPTY);
    request.binary = binary;
    request.readMicros = this.readMicros;
    this.outstanding++;
    this.queue.append(request);
    return request;
  }

  private join(): void {
    if (this.isJoined) return;
    this.isJoined = true;
    this.context.turn.join(this);
  }

  /** `keys` is `null` for a get of one key. */
  private endKeys(keys: KeyList | null): void {
    const count = keys === null ? 1 : keys.count;
    this.outstandingKeys -= count;
    // A streamed get has counted each of its keys as answered.
    if (keys === null || this.stream?.request.keys !== keys) this.readAhead.answered(count);
    if (keys?.isUnknown) this.context.sizes.endUnknown(count);
  }

  /** True if no unsent byte was accepted for too long. Checked before each send. */
  private isStalled(unsentBytes: number): boolean {
    const { writeTimeoutMs } = this.context.limits;
    if (unsentBytes === 0 || writeTimeoutMs === 0) return false;
    const nowMs = this.context.turn.nowMs();
    this.stalledSinceMs ??= nowMs;
    return nowMs - this.stalledSinceMs >= writeTimeoutMs;
  }

  private stopReading(): void {
    if (this.isStopped) return;
    this.isStopped = true;
    this.socket.pause();
  }

  /** Lets other clients proceed, and continues in a later round. */
  private waitForRound(): void {
    this.stopReading();
    if (this.isWaitingForRound) return;
    this.isWaitingForRound = true;
    this.context.rounds.join(this);
  }

  private resumeReading(): void {
    if (!this.isStopped || this.isWaitingForRound || this.isClosed) return;
    if (this.stream !== null) {
      if (this.stream.wantsTurn) this.waitForRound();
      return;
    }
    if (
      this.outstanding > (this.waitsForAll ? 0 : this.context.limits.maxOutstanding / 2) ||
      this.queue.heldBytes > 0 ||
      2 * this.outstandingKeys > this.readAhead.mostKeys ||
      this.writer.unsentBytes > MAX_UNSENT_BYTES
    )
      return;
    // Not synchronously: the caller may be processing a server's replies, a flush, or the socket.
    this.waitForRound();
  }

  private afterReply(): void {
    if (this.isStopped) this.resumeReading();
    this.endWhenDone();
  }

  private endWhenDone(): void {
    if (!this.isEnding || this.isClosed || this.isStopped || this.outstanding > 0 || this.isJoined) return;
    this.socket.end();
  }
}
