/**
 * Passes on no more than so many requests at once; further ones wait in their order, for a while, and up to a number.
 *
 * Source: mcrouter OutstandingLimitRoute.h, ProxyBase (throttling), as facts; there each client connection has its turn, here
 * each request.
 */
import type { Clock } from "../../clock.ts";
import type { RouteConfig } from "../../config/config.ts";
import { Deadline } from "../../proxy/backend/deadline.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { errorReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import type { RouteKind } from "../route-kind.ts";

export interface OutstandingLimitRouteConfig extends RouteConfig {
  readonly type: "outstanding-limit";
  readonly target: RouteConfig;
  readonly maxOutstanding: number;
  /** Requests that wait at most. */
  readonly maxWaiting: number;
  /** What those beyond are told, behind SERVER_ERROR. */
  readonly message: string;
}

/** Servers with a limit of requests in flight: no handle has this alone. */
export const outstandingLimit: RouteKind<OutstandingLimitRouteConfig> = {
  type: "outstanding-limit",
  handles: {},
  build(node, { build, clock }) {
    const limits = { ...node, waitTimeoutMs: 0, refusal: errorReply("local_error", node.message) };
    return new OutstandingLimitRoute(asTarget(build(node.target)), limits, clock);
  },
};

/** A route as what stands above it passes requests on to it: it is seen itself. */
function asTarget(route: Route): Pick<Route, "route" | "forEachTarget"> {
  return { route: (request) => route.route(request), forEachTarget: (request, see) => see(route, request) };
}

/** What may be under way and wait. */
export interface OutstandingLimits {
  readonly maxOutstanding: number;
  /** Requests that wait at most. */
  readonly maxWaiting: number;
  /** The answer to those beyond, and to those that have waited too long. */
  readonly refusal: Reply;
  /** In ms; 0: they wait on. */
  readonly waitTimeoutMs: number;
}

interface Waiting {
  readonly request: Request;
  readonly sinceMs: number;
}

/** mcrouter's OutstandingLimitRoute. */
export class OutstandingLimitRoute implements Route, ReplyOwner {
  readonly name: string;
  private readonly target: Pick<Route, "route" | "forEachTarget">;
  private readonly limits: OutstandingLimits;
  private readonly clock: Clock;
  private readonly deadline: Deadline;
  private readonly waiting: Waiting[] = [];
  /** Those before this one in `waiting` have been passed on. */
  private first = 0;
  private outstanding = 0;
  /** Waiting ones are being passed on: answers that come at once leave the rest to that loop. */
  private isSending = false;

  constructor(target: Pick<Route, "route" | "forEachTarget">, limits: OutstandingLimits, clock: Clock) {
    this.name = `outstanding-limit|limit=${limits.maxOutstanding}`;
    this.target = target;
    this.limits = limits;
    this.clock = clock;
    this.deadline = new Deadline(clock, () => this.expire());
  }

  route(request: Request): void {
    // Nobody overtakes those who wait, not even while a place is free for one of them.
    if (this.outstanding < this.limits.maxOutstanding && this.first === this.waiting.length) {
      this.send(request);
    } else if (this.waiting.length - this.first >= this.limits.maxWaiting) {
      request.complete(this.limits.refusal);
    } else {
      request.retain();
      this.waiting.push({ request, sinceMs: this.clock.nowMs() });
      const { waitTimeoutMs } = this.limits;
      if (waitTimeoutMs > 0 && !this.deadline.isSet) this.deadline.set(waitTimeoutMs);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    this.target.forEachTarget(request, see);
  }

  onReply(request: Request, reply: Reply): void {
    this.outstanding--;
    request.complete(reply);
    if (this.isSending) return;
    this.isSending = true;
    while (this.outstanding < this.limits.maxOutstanding) {
      const next = this.takeWaiting();
      if (next === null) break;
      this.send(next.request);
    }
    this.isSending = false;
  }

  private send(request: Request): void {
    this.outstanding++;
    request.push(this);
    this.target.route(request);
  }

  private takeWaiting(): Waiting | null {
    const next = this.waiting[this.first];
    if (next === undefined) return null;
    this.first++;
    // The places of those that are gone are given up now and then.
    if (this.first * 2 > this.waiting.length) {
      this.waiting.splice(0, this.first);
      this.first = 0;
    }
    return next;
  }

  /** The first to wait is the first whose time is over. */
  private expire(): void {
    const nowMs = this.clock.nowMs();
    const { waitTimeoutMs, refusal } = this.limits;
    for (;;) {
      const next = this.waiting[this.first];
      if (next === undefined) return;
      const leftMs = next.sinceMs + waitTimeoutMs - nowMs;
      if (leftMs > 0) {
        if (!this.deadline.isSet) this.deadline.set(leftMs);
        return;
      }
      this.takeWaiting()!.request.complete(refusal);
    }
  }
}
