/**
 * One connection of the load generator: a closed loop with a number of requests in flight. It compares each received
 * byte with the tape. Requests on the tape:
 *
 *     … done … | #answered → in flight | #unsent → …        both advance and wrap at the tape's end
 *
 * All connections read into one buffer, because a chunk is consumed before the next read.
 */

import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Job } from "./job.ts";
import type { LatencyHistogram } from "./latency.ts";
import { BINARY_CAS, type Tape } from "./tape.ts";

const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

/** State that the connections of one run share. */
export interface LoadRun {
  /** Number of requests that may still be sent. 0 when the time is up. */
  unsent: number;
  inFlight: number;
  completed: number;
  readonly latency: LatencyHistogram;
  /** Called when no request is in flight and no more may be sent. */
  readonly onDrained: () => void;
}

export class LoadConnection {
  readonly #job: Job;
  readonly #tape: Tape;
  readonly #onFailure: (error: Error) => void;
  readonly #socket: Socket;
  #run: LoadRun | null = null;
  #inFlight = 0;
  /** Tape index of the next request to send, and of the oldest unanswered request. */
  #unsent: number;
  #answered: number;
  /** Offset of the next expected byte on the reply tape. */
  #replyOffset: number;
  /** In a run with a rate: due times of the requests in flight, oldest first. */
  readonly #dueMs: number[] = [];
  /** Number of replies until the reply of the sampled request. 0 if no request is sampled. */
  #sampleIn = 0;
  #sampledAtMs = 0;

  /** `first` is the tape index of the first request. `onFailure` may be called several times. */
  constructor(job: Job, tape: Tape, first: number, onReady: () => void, onFailure: (error: Error) => void) {
    this.#job = job;
    this.#tape = tape;
    this.#onFailure = onFailure;
    this.#unsent = first;
    this.#answered = first;
    this.#replyOffset = startOf(tape.replyEnds, first);
    this.#socket = job.isTls ? this.#connectTls() : this.#connectPlain();
    this.#socket.once(job.isTls ? "secureConnect" : "connect", onReady);
    this.#socket.on("error", onFailure);
    this.#socket.on("close", () => onFailure(new Error(`the connection was closed with ${this.#pending()}`)));
  }

  #connectPlain(): Socket {
    const onread = { buffer: readBuffer, callback: (bytes: number) => this.#onRead(bytes) };
    const { host, port } = this.#job;
    return port === 0 ? connect({ path: host, onread }) : connect({ host, port, noDelay: true, onread });
  }

  /** The certificate is a test certificate: accept any. */
  #connectTls(): Socket {
    const socket = connectTls({ host: this.#job.host, port: this.#job.port, rejectUnauthorized: false });
    socket.on("data", (chunk: Buffer) => {
      for (let from = 0; from < chunk.length; from += readBuffer.length) {
        if (!this.#onRead(chunk.copy(readBuffer, 0, from))) return;
      }
    });
    return socket.setNoDelay();
  }

  /** Sends the first requests of a run; the rest follow as replies arrive. */
  begin(run: LoadRun): void {
    this.#run = run;
    this.#send(run, this.#job.depth);
  }

  /** In a run with a rate: sends one request with due time `dueMs`, however many are in flight. */
  sendDue(run: LoadRun, dueMs: number): void {
    this.#run = run;
    this.#dueMs.push(dueMs);
    this.#write(1);
    this.#inFlight += 1;
    run.inFlight += 1;
  }

  #send(run: LoadRun, wanted: number): void {
    const count = Math.min(wanted, run.unsent);
    if (count === 0) return;
    run.unsent -= count;
    run.inFlight += count;
    this.#inFlight += count;
    if (this.#sampleIn === 0) {
      this.#sampleIn = this.#inFlight;
      this.#sampledAtMs = performance.now();
    }
    this.#write(count);
  }

  #write(count: number): void {
    const { requests, requestEnds } = this.#tape;
    let left = count;
    while (left > 0) {
      const last = Math.min(this.#unsent + left, requestEnds.length) - 1;
      this.#socket.write(requests.subarray(startOf(requestEnds, this.#unsent), requestEnds[last]));
      left -= last + 1 - this.#unsent;
      this.#unsent = last + 1 === requestEnds.length ? 0 : last + 1;
    }
  }

  #onRead(bytes: number): boolean {
    const run = this.#run;
    const completed = this.#check(bytes);
    if (completed < 0 || run === null) return false;
    if (completed === 0) return true;
    this.#inFlight -= completed;
    run.inFlight -= completed;
    run.completed += completed;
    if (this.#job.rate !== null) {
      const nowMs = performance.now();
      for (let i = 0; i < completed; i++) run.latency.record(nowMs - this.#dueMs.shift()!);
      if (run.inFlight === 0 && run.unsent === 0) run.onDrained();
      return true;
    }
    if (this.#sampleIn > 0) {
      this.#sampleIn = Math.max(0, this.#sampleIn - completed);
      if (this.#sampleIn === 0) run.latency.record(performance.now() - this.#sampledAtMs);
    }
    if (this.#job.refill === "forEachAnswer") this.#send(run, completed);
    else if (this.#inFlight === 0) this.#send(run, this.#job.depth);
    if (run.inFlight === 0 && run.unsent === 0) run.onDrained();
    return true;
  }

  /**
   * Compares a chunk with the reply tape. Returns the number of completed replies, or −1 after reporting a wrong reply.
   */
  #check(bytes: number): number {
    const { replies, replyEnds } = this.#tape;
    let completed = 0;
    let offset = 0;
    while (offset < bytes) {
      const span = Math.min(bytes - offset, replies.length - this.#replyOffset);
      const end = this.#replyOffset + span;
      if (this.#job.operation === "binary") this.#ignoreCas(offset, span);
      if (readBuffer.compare(replies, this.#replyOffset, end, offset, offset + span) !== 0) {
        return this.#reject(`a wrong reply with ${this.#pending()}`, offset, bytes);
      }
      while (this.#answered < replyEnds.length && replyEnds[this.#answered]! <= end) {
        this.#answered += 1;
        completed += 1;
      }
      if (this.#answered === replyEnds.length) this.#answered = 0;
      this.#replyOffset = end === replies.length ? 0 : end;
      offset += span;
    }
    const isInsideReply = this.#replyOffset !== startOf(replyEnds, this.#answered);
    if (completed + (isInsideReply ? 1 : 0) > this.#inFlight)
      return this.#reject("bytes without a request", bytes, bytes);
    return completed;
  }

  /** A binary reply has a cas that the tape does not know. All replies have equal length. */
  #ignoreCas(offset: number, span: number): void {
    const { replies, replyEnds } = this.#tape;
    const length = replyEnds[0]!;
    for (let i = 0; i < span; i++) {
      const within = (this.#replyOffset + i) % length;
      if (within >= BINARY_CAS.start && within < BINARY_CAS.end)
        readBuffer[offset + i] = replies[this.#replyOffset + i]!;
    }
  }

  /** Reports a chunk that differs from the tape at `offset`, with the text around the difference. */
  #reject(problem: string, offset: number, bytes: number): -1 {
    const { replies } = this.#tape;
    let same = 0;
    while (offset + same < bytes && readBuffer[offset + same] === replies[this.#replyOffset + same]) same += 1;
    const from = Math.max(0, same - 40);
    const expectedFrom = this.#replyOffset + from;
    const expected = replies.toString("latin1", expectedFrom, expectedFrom + 100);
    const received = readBuffer.toString("latin1", offset + from, Math.min(bytes, offset + from + 100));
    this.#onFailure(
      new Error(`${problem}\n  expected ${JSON.stringify(expected)}\n  received ${JSON.stringify(received)}`),
    );
    return -1;
  }

  #pending(): string {
    const { requests, requestEnds } = this.#tape;
    const start = startOf(requestEnds, this.#answered);
    const request = requests.toString("latin1", start, Math.min(requestEnds[this.#answered]!, start + 60));
    return `${this.#inFlight} in flight, the oldest ${JSON.stringify(request)}`;
  }
}

function startOf(ends: Uint32Array, index: number): number {
  return index === 0 ? 0 : ends[index - 1]!;
}
