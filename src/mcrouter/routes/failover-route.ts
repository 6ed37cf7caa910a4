/**
 * Asks the children one after the other until one gives an answer that is no failure; where all fail, the last one's.
 *
 *     request ─► child 0 ── fails over ──► child 1 ── fails over ──► … ── last: whatever it says
 *
 * A child whose server cannot be reached costs nothing: it does not count against the limit of failovers.
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
  /** Two and more. */
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

/** A single child stands for itself. */
function failoverNode(children: readonly RouteConfig[], fields: Fields | null, reader: RouteReader): RouteConfig {
  const options = failoverOptions(fields, children.length, reader);
  const node: FailoverRouteConfig = { type: "failover", children, ...options };
  return children.length < 2 ? (children[0] ?? nothing) : node;
}

/** The children behind the first keep for a short time what they keep. */
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
/** Failures that cost the server nothing: it was not asked. */
const unreachable: ReadonlySet<Result> = new Set<Result>(["tko", "connect_error", "connect_timeout", "shutdown"]);

/** mcrouter's FailoverRoute. */
export class FailoverRoute implements Route, ReplyOwner {
  readonly name: string;
  readonly children: readonly Route[];
  readonly maxTries: number;
  readonly isTagged: boolean;
  readonly counters: RouteCounters;
  private readonly errors: ReadonlyMap<OperationKind, ReadonlySet<Result>>;
  private readonly limiter: FailoverLimiter | null;
  /** By child: failures since its last answer; null: the children are asked in order. */
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
    // Of a get the key is enough to ask again, and that is good until it is answered.
    if (!isRetrieval(request.operation)) request.retain();
    request.push(this);
    this.limiter?.countRequest();
    this.children[0]!.route(request);
  }

  /** The first child's answer. */
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

  /** Whether a failure sends the request to the next child. */
  failsOver(request: Request, reply: Reply): boolean {
    return (this.errors.get(kindOf(request)) ?? defaultFailoverErrors).has(resultOf(request, reply));
  }

  /** False: there were too many failovers lately. Of a server that cannot be reached they are not counted. */
  mayFailOver(request: Request, reply: Reply): boolean {
    if (this.limiter === null || unreachable.has(resultOf(request, reply)) || this.limiter.take()) return true;
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

/** A request on its way through the children, from the second on. */
class Attempt implements ReplyOwner {
  private readonly parent: FailoverRoute;
  private readonly request: Request;
  private order: readonly number[] = [0];
  /** Position in `order` of the child that was asked last. */
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

  /** The child that was asked last has failed with `reply`: asks the next, if there is one and it may be asked. */
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

  /** The request as it goes to a child that is not the first. */
  private next(): Request {
    const { request } = this;
    if (!this.parent.isTagged) return request.again(this);
    const key = request.chunk.subarray(request.keyStart, request.keyEnd);
    const hasHashStop = routingKeyEnd(key, 0, key.length) < key.length;
    if (!hasHashStop || !canHaveKey(request, key.length + FAILOVER_TAG.length)) return request.again(this);
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
