/**
 * Asks the children one by one until one gives a successful reply. If all fail, the reply of the last child counts.
 *
 *     request ─► child 0 ── fails over ──► child 1 ── fails over ──► … ── last: any reply
 *
 * A failover from a child whose server cannot be reached does not count against the limit of failovers.
 *
 * Source: mcrouter FailoverRoute.h, FailoverPolicy.h, FailoverRateLimiter.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { Result } from "../../config/results.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import { isFailure, type Reply } from "../../proxy/reply.ts";
import { isRetrieval, type ReplyOwner, type Request } from "../../proxy/request.ts";
import { defaultFailoverErrors, isError, kindOf, type OperationKind, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import type { RouteCounters } from "../../proxy/route/route-counters.ts";
import { type Fields, MAX_INT32 } from "../config/fields.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { childrenOf, nothing, object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { canHaveKey, copyWithKey, renamed } from "./derived-request.ts";
import { type FailoverOptions, failoverOptions } from "./failover-options.ts";
import { withLeastExptime } from "./modify-exptime-route.ts";

interface FailoverRouteConfig extends RouteConfig, FailoverOptions {
  readonly type: "failover";
  /** At least two. */
  readonly children: readonly RouteConfig[];
}

export const failover: RouteKind<FailoverRouteConfig> = {
  type: "failover",
  handles: {
    FailoverRoute: (input) => [failoverNode(childrenOf(input), input.fields, input.reader)],
    FailoverWithExptimeRoute: (input) => [withExptime(input)],
  },
  build: (node, { buildAll, counters }) => new FailoverRoute(buildAll(node.children), node, counters),
};

/** A single child replaces the route. */
function failoverNode(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
  const options = failoverOptions(fields, children.length, reader);
  const node: FailoverRouteConfig = { type: "failover", children, ...options };
  return children.length < 2 ? (children[0] ?? nothing) : node;
}

/** Children after the first store items with a short exptime. */
function withExptime(input: RouteInput): RouteConfig {
  const { fields, child, reader } = object(input);
  const normal = child("normal");
  const found = fields.get("failover");
  const exptime = fields.integer("failover_exptime", 60, 0, MAX_INT32)!;
  const targets = found === null ? [] : reader.list(found);
  const bounded = targets.map((target) => withLeastExptime(target, exptime));
  return failoverNode([normal, ...bounded], fields, reader);
}

const FAILOVER_TAG = Buffer.from(":failover=1", "latin1");
/** Failures without a request to the server. */
const unreachable: ReadonlySet<Result> = new Set<Result>(["tko", "connect_error", "connect_timeout", "shutdown"]);

export class FailoverRoute implements Route, ReplyOwner {
  readonly name: string;
  readonly children: readonly Route[];
  readonly maxTries: number;
  readonly isTagged: boolean;
  readonly counters: RouteCounters;
  private readonly errors: ReadonlyMap<OperationKind, ReadonlySet<Result>>;
  private readonly limiter: FailoverLimiter | null;
  /** By child: failures since the last success. `null` if the children are asked in order. */
  private readonly recentErrors: number[] | null;

  constructor(children: readonly Route[], options: FailoverOptions, counters: RouteCounters) {
    this.name = options.name === "" ? "failover" : `failover:${options.name}:failover_targets=${children.length}`;
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
    // For a retrieval, the key is enough to ask again, and the key is valid until the reply.
    if (!isRetrieval(request.operation)) request.retain();
    request.push(this);
    this.limiter?.countRequest();
    this.children[0]!.route(request);
  }

  /** The reply of the first child. */
  onReply(request: Request, reply: Reply): void {
    if (this.recentErrors !== null) this.note(0, request, reply);
    if (isFailure(reply.status) && this.failsOver(request, reply)) {
      request.retain();
      new Attempt(this, request).failed(reply);
    } else {
      request.complete(reply);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const index of this.order().slice(0, this.maxTries)) see(this.children[index]!, request);
  }

  /** True if a failure sends the request to the next child. */
  failsOver(request: Request, reply: Reply): boolean {
    return (this.errors.get(kindOf(request)) ?? defaultFailoverErrors).has(resultOf(request, reply));
  }

  /** False if the limit of failovers is reached. Failovers from a server that cannot be reached do not count. */
  mayFailOver(request: Request, reply: Reply): boolean {
    if (this.limiter === null || unreachable.has(resultOf(request, reply)) || this.limiter.take()) return true;
    this.counters.failoverRateLimited++;
    return false;
  }

  /** Records the result of child `index`. */
  note(index: number, request: Request, reply: Reply): void {
    if (this.recentErrors === null) return;
    this.recentErrors[index] = isError(resultOf(request, reply)) ? this.recentErrors[index]! + 1 : 0;
  }

  /** Order of the children: the first child, then the others, by recent failures if the policy asks for it. */
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

/** A request on its way through the children, from the second child on. */
class Attempt implements ReplyOwner {
  private readonly parent: FailoverRoute;
  private readonly request: Request;
  private order: readonly number[] = [0];
  /** Position in `order` of the last child that was asked. */
  private at = 0;

  /** `request` is retained. */
  constructor(parent: FailoverRoute, request: Request) {
    this.parent = parent;
    this.request = request;
  }

  onReply(sent: Request, reply: Reply): void {
    const { parent, request } = this;
    parent.note(this.order[this.at]!, request, reply);
    const isTagged = sent.keyEnd - sent.keyStart !== request.keyEnd - request.keyStart;
    const answer = isTagged ? renamed(request, sent, reply) : reply;
    const isLast = this.at + 1 >= parent.maxTries;
    if (isLast && isError(resultOf(request, reply))) parent.counters.failoverAllFailed++;
    if (!isLast && isFailure(reply.status) && parent.failsOver(request, reply)) this.failed(answer);
    else request.complete(answer);
  }

  /** The last child failed with `reply`: asks the next child if there is one and the limit allows it. */
  failed(reply: Reply): void {
    const { parent, request } = this;
    if (this.at + 1 >= parent.maxTries) {
      parent.counters.failoverAllFailed++;
      request.complete(reply);
      return;
    }
    if (!parent.mayFailOver(request, reply)) {
      request.complete(reply);
      return;
    }
    if (this.at === 0) {
      this.order = parent.order();
      parent.counters.failoverAll++;
    }
    this.at++;
    parent.children[this.order[this.at]!]!.route(this.next());
  }

  /** The request for a child other than the first. */
  private next(): Request {
    const { request } = this;
    if (!this.parent.isTagged) return request.again(this);
    const key = request.chunk.subarray(request.keyStart, request.keyEnd);
    const hasHashStop = routingKeyEnd(key, 0, key.length) < key.length;
    if (!hasHashStop || !canHaveKey(request, key.length + FAILOVER_TAG.length)) return request.again(this);
    return copyWithKey(request, Buffer.concat([key, FAILOVER_TAG]), this);
  }
}

/** A token bucket: each request adds `rate` tokens, up to `burst`; a failover takes one. */
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
