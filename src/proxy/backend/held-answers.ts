/**
 * Replies that no later reply has verified yet. An error line names no request, and a value may have swallowed later
 * replies (wire/swallowed.ts). Such a reply is held together with all replies after it, until a reply that fits only
 * one request shows that they were in order.
 *
 *     doubted reply ─► held, and a marker is sent after all requests
 *                         ├─ a reply with an opaque, or the marker's reply: the held replies are delivered in order
 *                         └─ an error in place of the marker's reply: the requests fail, and the connection is closed
 */
import { failures, isFailure, type Reply, Status } from "../reply.ts";
import { isRetrieval, Operation, type Request } from "../request.ts";
import { Marker, type ServerDialect } from "../wire/server-dialect.ts";
import { AllCompleted } from "./all-completed.ts";
import { ownRequest } from "./own-request.ts";

interface HeldAnswer {
  readonly request: Request;
  readonly reply: Reply;
  /** The reason to close the connection after this reply is delivered. `null` if absent. */
  readonly doubt: string | null;
}

/** Actions of held replies on their connection. */
export interface HeldAnswerSteps {
  /** Writes `marker` after all requests. */
  send(marker: Request): void;
  /** Completes `request` with the server's reply. */
  answer(request: Request, reply: Reply): void;
  /** Completes `request` with a failure, unless it is abandoned. */
  fail(request: Request, reply: Reply): void;
  /** Closes the connection: it is out of step. */
  distrust(reason: string): void;
}

export class HeldAnswers {
  private readonly dialect: ServerDialect;
  private readonly steps: HeldAnswerSteps;
  private readonly answers: HeldAnswer[] = [];
  /** The marker in flight that verifies the held replies. `null` if absent. */
  private verifier: Request | null = null;
  /** Number of times that the connection was abandoned. */
  private failed = 0;

  constructor(dialect: ServerDialect, steps: HeldAnswerSteps) {
    this.dialect = dialect;
    this.steps = steps;
  }

  get isEmpty(): boolean {
    return this.answers.length === 0;
  }

  /**
   * Holds a reply that is doubted, or that follows a doubted one. Otherwise delivers the held replies if `reply`
   * verifies them, then answers `request`. Returns true if the reply is held. `isSuspect`: the value may have swallowed
   * later replies. `mayHold` is false during the greeting.
   */
  take(request: Request, reply: Reply, isSuspect: boolean, doubt: string | null, mayHold: boolean): boolean {
    const isVerified = !isSuspect && this.verifies(request, reply);
    const isDoubted = isFailure(reply.status) ? isUnverified(request, reply) : isSuspect;
    // After a doubted reply all others are doubted too, until a reply that fits only one request.
    const isBehind = !this.isEmpty && !isVerified && !isOwnMarker(request);
    const isHeld = (isDoubted || isBehind) && mayHold && this.dialect.marker !== Marker.none;
    if (isHeld) this.hold(request, reply, doubt);
    else if (!this.isEmpty && isVerified) this.release(request, reply);
    else if (!request.isAbandoned) this.steps.answer(request, reply);
    return isHeld;
  }

  /** The marker in flight is lost: its connection is abandoned. */
  forgetMarker(): void {
    this.verifier = null;
    this.failed++;
  }

  /** Completes all requests with held replies with the failure `reply`. */
  fail(reply: Reply): void {
    const completed = new AllCompleted();
    for (const { request } of this.answers.splice(0)) completed.run(() => this.steps.fail(request, reply));
    completed.end();
  }

  /** Keeps a reply until a later reply shows that the connection was in step. */
  private hold(request: Request, reply: Reply, doubt: string | null): void {
    const kept = reply.copy();
    const { keys, indexes } = request;
    if (keys !== null && !request.isAbandoned) keys.moveBlocks(indexes, reply, kept.chunk, kept.start);
    this.answers.push({ request, reply: kept, doubt });
    if (this.verifier !== null) return;
    const answered = (answer: Reply) => {
      if (this.verifier !== verifier) return;
      this.verifier = null;
      if (!isFailure(answer.status)) return;
      // An error line in place of the marker's reply belongs to another request.
      this.fail(answer.status === Status.timeout ? answer : failures.connectionLost);
      // The next reply may be out of step too.
      this.steps.distrust("no answer to the marker that verifies others");
    };
    const verifier =
      this.dialect.marker === Marker.metaNoop
        ? ownRequest(Operation.metaNoop, "mn", null, answered)
        : ownRequest(Operation.version, "version", null, answered);
    this.verifier = verifier;
    this.steps.send(verifier);
  }

  /**
   * True for a reply that fits only one request: it has an opaque, or it is the reply to the marker after all other
   * requests. Neither a key nor the marker of another request is proof: the next request may be for that key too, and
   * all markers have equal replies.
   */
  private verifies(request: Request, reply: Reply): boolean {
    return !isFailure(reply.status) && (request.opaque !== 0 || request === this.verifier);
  }

  /** The connection is in step, as `reply` to `request` shows: the held replies belong to their requests. */
  private release(request: Request, reply: Reply): void {
    const { failed } = this;
    const completed = new AllCompleted();
    let doubt: string | null = null;
    this.answers.push({ request, reply, doubt: null });
    for (const held of this.answers.splice(0)) {
      if (!held.request.isAbandoned) completed.run(() => this.steps.answer(held.request, held.reply));
      doubt ??= held.doubt;
    }
    if (doubt !== null && this.failed === failed) this.steps.distrust(doubt);
    completed.end();
  }
}

/**
 * True for an error that might belong to another request: it has neither opaque nor marker, and its client would see
 * it. A failed get is answered as a miss.
 */
function isUnverified(request: Request, reply: Reply): boolean {
  const { operation, marker, opaque } = request;
  if (marker !== Marker.none) return false;
  return opaque !== 0 || (isRetrieval(operation) && reply.status === Status.clientError);
}

/** True for `mn` and `version`, which only Platypus sends. */
function isOwnMarker({ operation }: Request): boolean {
  return operation === Operation.metaNoop || operation === Operation.version;
}

/** The reason why the start of the next reply is unknown after the failure `reply`. `null` if it is known. */
export function doubtAfter(request: Request, reply: Reply): string | null {
  // The server may have read the data as commands. A marker after the request would show that it has not.
  if (request.hasData && reply.status === Status.clientError && request.marker === Marker.none) {
    return "a data block was refused";
  }
  // memcached's proxy sends an error in place of a value and continues with the next value.
  const isDoubtful = asksForMany(request) && reply.status === Status.serverError;
  return isDoubtful ? "an error in answer to a get of several keys; from now on each goes alone" : null;
}

export function asksForMany({ indexes }: Request): boolean {
  return indexes !== null && indexes.length > 1;
}
