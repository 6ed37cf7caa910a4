/**
 * Asks the children one after the other until one gives an answer that is no failure; where all fail, the last one's.
 *
 *     request ─► child 0 ── fails over ──► child 1 ── fails over ──► … ── last: whatever it says
 *
 * A child that was not asked because its server is TKO costs nothing: it does not count as a try, nor against the limit.
 *
 * Source: mcrouter FailoverRoute.h, FailoverPolicy.h, FailoverRateLimiter.h, as facts.
 */
import type { FailoverRouteConfig } from "../../config/route-config.ts";
import { routingKeyEnd } from "../key.ts";
import { isFailure, type Reply, Status } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { copyWithKey, renamed } from "./derived-request.ts";
import { defaultFailoverErrors, isError, kindOf, type OperationKind, type Result, resultOf } from "./result.ts";
import type { Route, SeeTarget } from "./route.ts";

/** What failover routes count. */
export interface FailoverCounters {
  /** Requests that were passed on to a second child. */
  failoverAll: number;
  /** Of those, the ones that no child answered. */
  failoverAllFailed: number;
  failoverRateLimited: number;
}

const FAILOVER_TAG = Buffer.from(":failover=1", "latin1");
const MAX_KEY_BYTES = 250;

/** mcrouter's FailoverRoute. */
export class FailoverRoute implements Route {
  readonly name: string;
  readonly children: readonly Route[];
  readonly maxTries: number;
  readonly isTagged: boolean;
  readonly counters: FailoverCounters;
  private readonly errors: ReadonlyMap<OperationKind, ReadonlySet<Result>>;
  private readonly limiter: FailoverLimiter | null;
  /** By child: failures since its last answer; null: the children are asked in order. */
  private readonly recentErrors: number[] | null;

  constructor(
    children: readonly Route[],
    options: Omit<FailoverRouteConfig, "type" | "children">,
    counters: FailoverCounters,
  ) {
    this.name = options.name === "" ? "failover" : `failover:${options.name}`;
    this.children = children;
    this.maxTries = Math.min(options.maxTries, children.length);
    this.isTagged = options.isTagged;
    this.counters = counters;
    const { gets, updates, deletes } = options.errors;
    this.errors = new Map<OperationKind, ReadonlySet<Result>>([
      ["get", errorSet(gets)],
      ["update", errorSet(updates)],
      ["delete", errorSet(deletes)],
    ]);
    this.limiter = options.limit === null ? null : new FailoverLimiter(options.limit.rate, options.limit.burst);
    this.recentErrors = options.policy === "least-failures" ? children.map(() => 0) : null;
  }

  route(request: Request): void {
    request.retain();
    request.push(new Attempt(this, request));
    this.limiter?.countRequest();
    this.children[0]!.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const index of this.order().slice(0, this.maxTries)) see(this.children[index]!, request);
  }

  /** Whether `reply` sends the request to the next child. */
  failsOver(request: Request, reply: Reply): boolean {
    if (!isFailure(reply.status)) return false;
    return (this.errors.get(kindOf(request)) ?? defaultFailoverErrors).has(resultOf(request, reply));
  }

  /** False: there were too many failovers lately. Not asked of a server that is TKO. */
  mayFailOver(): boolean {
    if (this.limiter === null || this.limiter.take()) return true;
    this.counters.failoverRateLimited++;
    return false;
  }

  /** Remembers how child `index` did. */
  note(index: number, request: Request, reply: Reply): void {
    if (this.recentErrors === null) return;
    this.recentErrors[index] = isError(resultOf(request, reply)) ? this.recentErrors[index]! + 1 : 0;
  }

  /** The children as they are to be asked: the first one first, the rest by their recent failures where that is wanted. */
  order(): readonly number[] {
    const order = this.children.map((_, index) => index);
    const { recentErrors } = this;
    if (recentErrors === null) return order;
    return order.sort((a, b) => (a === 0 ? -1 : b === 0 ? 1 : recentErrors[a]! - recentErrors[b]!));
  }
}

function errorSet(errors: readonly Result[] | null): ReadonlySet<Result> {
  return errors === null ? defaultFailoverErrors : new Set(errors);
}

/** A request on its way through the children. */
class Attempt implements ReplyOwner {
  private readonly parent: FailoverRoute;
  private readonly request: Request;
  private order: readonly number[] | null = null;
  /** Position in `order` of the child that was asked last. */
  private at = 0;

  constructor(parent: FailoverRoute, request: Request) {
    this.parent = parent;
    this.request = request;
  }

  onReply(sent: Request, reply: Reply): void {
    const { parent, request } = this;
    parent.note(this.order === null ? 0 : this.order[this.at]!, request, reply);
    const answer = sent === request ? reply : renamed(request, sent, reply);
    if (!parent.failsOver(request, reply)) {
      request.complete(answer);
      return;
    }
    const isLast = this.at + 1 >= parent.maxTries;
    if (isLast || (reply.status !== Status.tko && !parent.mayFailOver())) {
      if (isLast) parent.counters.failoverAllFailed++;
      request.complete(answer);
      return;
    }
    this.order ??= parent.order();
    if (this.at === 0) parent.counters.failoverAll++;
    this.at++;
    parent.children[this.order[this.at]!]!.route(this.next());
  }

  /** The request as it goes to a child that is not the first. */
  private next(): Request {
    const { request } = this;
    if (!this.parent.isTagged) return request.again(this);
    const key = request.chunk.subarray(request.keyStart, request.keyEnd);
    const hasHashStop = routingKeyEnd(key, 0, key.length) < key.length;
    if (!hasHashStop || key.length + FAILOVER_TAG.length > MAX_KEY_BYTES) return request.again(this);
    return copyWithKey(request, Buffer.concat([key, FAILOVER_TAG]), this);
  }
}

/** Tokens that requests bring in, `rate` each, up to `burst`, and failovers take out. */
class FailoverLimiter {
  private readonly rate: number;
  private readonly burst: number;
  private tokens: number;

  constructor(rate: number, burst: number) {
    this.rate = rate;
    this.burst = burst;
    this.tokens = burst;
  }

  countRequest(): void {
    this.tokens = Math.min(this.burst, this.tokens + this.rate);
  }

  take(): boolean {
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}
