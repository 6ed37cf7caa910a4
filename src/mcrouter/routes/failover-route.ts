/**
 * Asks the children one by one until one gives a successful reply, in an order that a policy chooses (failover-order.ts).
 * If all fail, the reply of the last child counts.
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
import type { KeyWatcher } from "../../proxy/route/multi-get.ts";
import { defaultFailoverErrors, isError, kindOf, type OperationKind, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import type { RouteCounters } from "../../proxy/route/route-counters.ts";
import { type Fields, MAX_INT32 } from "../config/fields.ts";
import type { RouteReader } from "../config/read-routes.ts";
import { childrenOf, nothing, object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";
import { canHaveKey, copyWithKey, renamed } from "./derived-request.ts";
import { type FailoverOptions, type FailoverPolicy, failoverOptions } from "./failover-options.ts";
import { type FailoverOrder, type FailoverWalk, failoverOrder, failureDomainOf } from "./failover-order.ts";
import { withLeastExptime } from "./modify-exptime-route.ts";
import { poolNode, serversOf } from "./pool-handle.ts";

export interface FailoverRouteConfig extends RouteConfig, FailoverOptions {
  readonly type: "failover";
  /** At least two. */
  readonly children: readonly RouteConfig[];
}

export const failover: RouteKind<FailoverRouteConfig> = {
  type: "failover",
  handles: {
    FailoverRoute: (input) => [failoverNode(childrenOf(input), input.fields, input.reader)],
    FailoverWithExptimeRoute: (input) => [withExptime(input)],
    SaltedFailoverRoute: (input) => [salted(input)],
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

/** A PoolRoute, with failover to the servers of the same pool. */
function salted(input: RouteInput): RouteConfig {
  const { fields, reader } = object(input);
  return failoverNode([poolNode(input), ...serversOf(input)], fields, reader);
}

const FAILOVER_TAG = Buffer.from(":failover=1", "latin1");
/** Failures without a request to the server. */
const unreachable: ReadonlySet<Result> = new Set<Result>(["tko", "connect_error", "connect_timeout", "shutdown"]);

export class FailoverRoute implements Route, KeyWatcher {
  readonly name: string;
  readonly passesAlike = true;
  readonly children: readonly Route[];
  readonly maxErrorTries: number;
  readonly order: FailoverOrder;
  readonly isTagged: boolean;
  readonly counters: RouteCounters;
  /** Names of the policy's counters. */
  readonly policyCounters: (typeof policyCounters)[FailoverPolicy["type"]];
  private readonly errors: ReadonlyMap<OperationKind, ReadonlySet<Result>>;
  private readonly maxTries: number;
  private readonly uncountedErrors: ReadonlySet<Result>;
  private readonly limiter: FailoverLimiter | null;

  constructor(children: readonly Route[], options: FailoverOptions, counters: RouteCounters) {
    this.name = options.name === "" ? "failover" : `failover:${options.name}:failover_targets=${children.length}`;
    this.children = children;
    this.maxTries = options.maxTries;
    this.maxErrorTries = options.maxErrorTries;
    this.order = failoverOrder(options.policy, children);
    this.isTagged = options.isTagged;
    this.counters = counters;
    this.policyCounters = policyCounters[options.policy.type];
    const { gets, updates, deletes } = options.errors;
    this.errors = new Map<OperationKind, ReadonlySet<Result>>([
      ["get", errorSet(gets)],
      ["update", errorSet(updates)],
      ["delete", errorSet(deletes)],
    ]);
    this.limiter = options.limit === null ? null : new FailoverLimiter(options.limit.rate, options.limit.burst);
    this.uncountedErrors = new Set(options.uncountedErrors);
  }

  route(request: Request): void {
    // For a retrieval, the key is enough to ask again, and the key is valid until the reply.
    if (!isRetrieval(request.operation)) request.retain();
    request.push(this);
    this.limiter?.countRequests(1);
    this.children[0]!.route(request);
  }

  passKey(_request: Request, watchers: KeyWatcher[], count: number): Route {
    watchers.push(this);
    this.limiter?.countRequests(count);
    return this.children[0]!;
  }

  passesBack(request: Request, reply: Reply, count: number): boolean {
    if (isFailure(reply.status) && this.failsOver(request, reply)) return false;
    for (let i = 0; i < count; i++) this.order.note(0, request, reply);
    return true;
  }

  /** The reply of the first child. */
  onReply(request: Request, reply: Reply): void {
    this.order.note(0, request, reply);
    if (isFailure(reply.status) && this.failsOver(request, reply)) {
      request.retain();
      new Attempt(this, request).failed(reply);
    } else {
      request.complete(reply);
    }
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.children[0]!, request);
    const walk = this.order.walk(request);
    for (let tries = 1; tries < this.triesOf(walk); tries++) see(this.children[walk.next()]!, request);
  }

  /** Maximum number of children that a request is sent to. */
  triesOf(walk: FailoverWalk): number {
    return Math.min(this.maxTries, 1 + walk.count);
  }

  /** True if a failure sends the request to the next child. */
  failsOver(request: Request, reply: Reply): boolean {
    return (this.errors.get(kindOf(request)) ?? defaultFailoverErrors).has(resultOf(request, reply));
  }

  /**
   * Counts a failure. False if the limit of failovers is reached. Failovers from a server that cannot be reached do not
   * count against the limit.
   */
  mayFailOver(result: Result): boolean {
    if (unreachable.has(result)) this.counters.failoverTkoErrors++;
    else this.counters.failoverResultErrors++;
    if (this.limiter === null || unreachable.has(result) || this.limiter.take()) return true;
    this.counters.failoverRateLimited++;
    return false;
  }

  /** True if a failure counts against `maxErrorTries`. */
  isCounted(result: Result): boolean {
    return !unreachable.has(result) && !this.uncountedErrors.has(result);
  }
}

const policyCounters = {
  "in-order": { failovers: "inOrderFailovers", failed: "inOrderFailed" },
  "least-failures": { failovers: "leastFailuresFailovers", failed: "leastFailuresFailed" },
  "deterministic-order": { failovers: "deterministicFailovers", failed: "deterministicFailed" },
  rendezvous: { failovers: "rendezvousFailovers", failed: "rendezvousFailed" },
} as const satisfies Record<FailoverPolicy["type"], { failovers: keyof RouteCounters; failed: keyof RouteCounters }>;

function errorSet(errors: readonly Result[] | null): ReadonlySet<Result> {
  return errors === null ? defaultFailoverErrors : new Set(errors);
}

/** A request on its way through the children, from the second child on. */
class Attempt implements ReplyOwner {
  private readonly parent: FailoverRoute;
  private readonly request: Request;
  private readonly walk: FailoverWalk;
  private readonly maxTries: number;
  /** The last child that was asked. */
  private child = 0;
  private tries = 1;
  /** Number of failures that count against `maxErrorTries`. */
  private errors = 0;

  /** `request` is retained. */
  constructor(parent: FailoverRoute, request: Request) {
    this.parent = parent;
    this.request = request;
    this.walk = parent.order.walk(request);
    this.maxTries = parent.triesOf(this.walk);
  }

  onReply(sent: Request, reply: Reply): void {
    const { parent, request } = this;
    parent.order.note(this.child, request, reply);
    if (this.isInFirstDomain()) parent.counters.failoverSameDomain++;
    const isTagged = sent.keyEnd - sent.keyStart !== request.keyEnd - request.keyStart;
    const answer = isTagged ? renamed(request, sent, reply) : reply;
    const isLast = this.tries >= this.maxTries;
    if (isLast) {
      if (isError(resultOf(request, reply))) this.countAllFailed();
      this.countCollisions();
    }
    if (!isLast && isFailure(reply.status) && parent.failsOver(request, reply)) this.failed(answer);
    else request.complete(answer);
  }

  /** The last child failed with `reply`: asks the next child if there is one and the limit allows it. */
  failed(reply: Reply): void {
    const { parent, request } = this;
    if (this.tries >= this.maxTries) {
      this.countAllFailed();
      request.complete(reply);
      return;
    }
    const result = resultOf(request, reply);
    if (unreachable.has(result)) {
      this.walk.domainFailed(failureDomainOf(parent.children[this.child]!, request) ?? 0);
    }
    if (!parent.mayFailOver(result)) {
      request.complete(reply);
      return;
    }
    if (this.tries === 1) {
      parent.counters.failoverAll++;
      parent.counters[parent.policyCounters.failovers]++;
    }
    if (parent.isCounted(result)) this.errors++;
    // As in mcrouter, the next child is selected even if the request does not reach it: its collisions count.
    this.child = this.walk.next();
    this.tries++;
    if (this.errors >= parent.maxErrorTries) {
      this.countCollisions();
      request.complete(reply);
    } else {
      parent.children[this.child]!.route(this.next());
    }
  }

  /** True if the last child's server is in the failure domain of the first child's server, or if both are unknown. */
  private isInFirstDomain(): boolean {
    const { request, parent } = this;
    const first = failureDomainOf(parent.children[0]!, request);
    return first !== null && failureDomainOf(parent.children[this.child]!, request) === first;
  }

  private countAllFailed(): void {
    const { counters, policyCounters } = this.parent;
    counters.failoverAllFailed++;
    counters[policyCounters.failed]++;
  }

  private countCollisions(): void {
    const { counters } = this.parent;
    counters.failoverCollisions += this.walk.collisions;
    counters.failoverDomainCollisions += this.walk.domainCollisions;
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

  countRequests(count: number): void {
    this.tokens = Math.min(this.burst, this.tokens + this.rate * count);
  }

  take(): boolean {
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}
