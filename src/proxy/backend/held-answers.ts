/**
 * Answers that no later one has verified yet. An error line names no request, and a value may have swallowed later answers
 * (wire/swallowed.ts): such an answer is held, and all answers behind it, until one that can be no other's shows that they
 * were in their place.
 *
 *     doubted answer ─► held, and a marker is sent behind everything
 *                         ├─ an answer with an opaque, or that to the marker: the held answers are given, in their order
 *                         └─ an error in the marker's place: the requests fail, and the connection is closed
 */
import { failures, isFailure, type Reply, Status } from "../reply.ts";
import { isRetrieval, Operation, type Request } from "../request.ts";
import { Marker, type ServerDialect } from "../wire/server-dialect.ts";
import { AllCompleted } from "./all-completed.ts";
import { ownRequest } from "./own-request.ts";

interface HeldAnswer {
  readonly request: Request;
  readonly reply: Reply;
  /** Why the connection is to be closed once the answer has been told; `null` if it is not. */
  readonly doubt: string | null;
}

/** What held answers need of their connection. */
export interface HeldAnswerSteps {
  /** Writes `marker` behind all requests. */
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
  /** The marker that is under way to verify what is held; `null` if none is. */
  private verifier: Request | null = null;
  /** How often the connection was given up. */
  private failed = 0;

  constructor(dialect: ServerDialect, steps: HeldAnswerSteps) {
    this.dialect = dialect;
    this.steps = steps;
  }

  get isEmpty(): boolean {
    return this.answers.length === 0;
  }

  /**
   * Holds an answer that is doubted, or that is behind one that is; otherwise answers `request`, and first those that are
   * held if `reply` proves them. Returns true if the answer is held. `isSuspect`: the value may have swallowed later answers.
   * `mayHold`: false during the greeting.
   */
  take(request: Request, reply: Reply, isSuspect: boolean, doubt: string | null, mayHold: boolean): boolean {
    const isVerified = !isSuspect && this.verifies(request, reply);
    const isDoubted = isFailure(reply.status) ? isUnverified(request, reply) : isSuspect;
    // Behind an answer that is doubted all others are, up to one that can be no other's.
    const isBehind = !this.isEmpty && !isVerified && !isOwnMarker(request);
    const isHeld = (isDoubted || isBehind) && mayHold && this.dialect.marker !== Marker.none;
    if (isHeld) this.hold(request, reply, doubt);
    else if (!this.isEmpty && isVerified) this.release(request, reply);
    else if (!request.isAbandoned) this.steps.answer(request, reply);
    return isHeld;
  }

  /** The marker under way verifies nothing any more: its connection is given up. */
  forgetMarker(): void {
    this.verifier = null;
    this.failed++;
  }

  /** Completes all requests whose answers are held with the failure `reply`. */
  fail(reply: Reply): void {
    const completed = new AllCompleted();
    for (const { request } of this.answers.splice(0)) completed.run(() => this.steps.fail(request, reply));
    completed.end();
  }

  /** Keeps an answer until a later one shows that the connection was in step. */
  private hold(request: Request, reply: Reply, doubt: string | null): void {
    const kept = reply.copy();
    const { keys, indexes } = request;
    if (keys !== null && !request.isAbandoned) keys.moveBlocks(indexes, reply, kept);
    this.answers.push({ request, reply: kept, doubt });
    if (this.verifier !== null) return;
    const answered = (answer: Reply) => {
      if (this.verifier !== verifier) return;
      this.verifier = null;
      if (!isFailure(answer.status)) return;
      // An error line in the marker's place is that of another request.
      this.fail(answer.status === Status.timeout ? answer : failures.connectionLost);
      // What comes next may be in the wrong place, too.
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
   * True for an answer that can be no other's: it has an opaque, or is that to the marker which stood behind everything else.
   * Neither a key nor the marker of another request proves it: the next request may be for the same key, and all markers are
   * answered alike.
   */
  private verifies(request: Request, reply: Reply): boolean {
    return !isFailure(reply.status) && (request.opaque !== 0 || request === this.verifier);
  }

  /** The connection is in step: what is held were the answers to their requests. `reply` to `request` shows it. */
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

/** Why it is unknown, after the failure `reply`, where the next answer begins; `null` if it is known. */
export function doubtAfter(request: Request, reply: Reply): string | null {
  // The server may have read the data as commands. A marker behind the request shows that it has not.
  if (request.hasData && reply.status === Status.clientError && request.marker === Marker.none) {
    return "a data block was refused";
  }
  // memcached's own proxy has an error in the place of a value and goes on with the next.
  const isDoubtful = asksForMany(request) && reply.status === Status.serverError;
  return isDoubtful ? "an error in answer to a get of several keys; from now on each goes alone" : null;
}

export function asksForMany({ indexes }: Request): boolean {
  return indexes !== null && indexes.length > 1;
}
