/**
 * Limits the requests in flight. Further requests wait in order, up to a maximum time and number.
 *
 * Source: mcrouter OutstandingLimitRoute.h, ProxyBase (throttling), as facts. mcrouter takes turns between client
 * connections; Platypus keeps the order of the requests.
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
  /** Maximum number of waiting requests. */
  readonly maxWaiting: number;
  /** Text after SERVER_ERROR for further requests. */
  readonly message: string;
}

/** A limit of requests in flight for servers. No handle makes this node alone. */
export const outstandingLimit: RouteKind<OutstandingLimitRouteConfig> = {
  type: "outstanding-limit",
  handles: {},
  build(node, { build, clock }) {
    const limits = { ...node, waitTimeoutMs: 0, refusal: errorReply("local_error", node.message) };
    return new OutstandingLimitRoute(asTarget(build(node.target)), limits, clock);
  },
};

/** Passes requests on to a route; `forEachTarget` sees the route itself. */
function asTarget(route: Route): Pick<Route, "route" | "forEachTarget"> {
  return { route: (request) => route.route(request), forEachTarget: (request, see) => see(route, request) };
}

/** Limits of requests in flight and of waiting requests. */
export interface OutstandingLimits {
  readonly maxOutstanding: number;
  /** Maximum number of waiting requests. */
  readonly maxWaiting: number;
  /** Reply to further requests, and to requests that waited too long. */
  readonly refusal: Reply;
  /** Maximum waiting time (ms). 0 disables the timeout. */
  readonly waitTimeoutMs: number;
}

interface Waiting {
  readonly request: Request;
  readonly sinceMs: number;
}

export class OutstandingLimitRoute implements Route, ReplyOwner {
  readonly name: string;
  private readonly target: Pick<Route, "route" | "forEachTarget">;
  private readonly limits: OutstandingLimits;
  private readonly clock: Clock;
  private readonly deadline: Deadline;
  private readonly waiting: Waiting[] = [];
  /** The requests before this index in `waiting` have been passed on. */
  private first = 0;
  private outstanding = 0;
  /** True while waiting requests are being passed on: a synchronous reply leaves the rest to that loop. */
  private isSending = false;

  constructor(target: Pick<Route, "route" | "forEachTarget">, limits: OutstandingLimits, clock: Clock) {
    this.name = `outstanding-limit|limit=${limits.maxOutstanding}`;
    this.target = target;
    this.limits = limits;
    this.clock = clock;
    this.deadline = new Deadline(clock, () => this.expire());
  }

  route(request: Request): void {
    // A new request never overtakes a waiting one, even if a slot is free.
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
    // From time to time, the slots of the requests that have left are removed.
    if (this.first * 2 > this.waiting.length) {
      this.waiting.splice(0, this.first);
      this.first = 0;
    }
    return next;
  }

  /** The request that waited longest is the first to expire. */
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
