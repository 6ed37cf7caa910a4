/**
 * Limits the rate of requests. Requests over the limit go to a fallback, or are answered with a miss or its equivalent.
 * Gets, sets and deletes have separate limits; other commands are not limited.
 *
 * Source: mcrouter RateLimitRoute.h, RateLimiter.h, as facts.
 */
import type { Clock } from "../../clock.ts";
import type { RouteConfig } from "../../config/config.ts";
import type { Request } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import { kindOf, type OperationKind } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import type { Fields } from "../config/fields.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

/** Maximum number of requests per second, and at once. `null` if there is no limit. */
interface Rate {
  readonly rate: number;
  readonly burst: number;
}

interface RateLimitRouteConfig extends RouteConfig {
  readonly type: "rate-limit";
  readonly target: RouteConfig;
  /** Receives requests over the limit. `null` if they are answered with a miss or its equivalent. */
  readonly fallback: RouteConfig | null;
  readonly gets: Rate | null;
  readonly sets: Rate | null;
  readonly deletes: Rate | null;
}

export const rateLimit: RouteKind<RateLimitRouteConfig> = {
  type: "rate-limit",
  handles: { RateLimitRoute: (input) => [read(input)] },
  build(node, { build, clock }) {
    const { target, fallback } = node;
    return new RateLimitRoute(build(target), fallback === null ? null : build(fallback), node, clock);
  },
};

function read(input: RouteInput): RouteConfig {
  const { fields, child, optional } = object(input);
  const target = child("target");
  const rates = fields.need("rates") === null ? null : fields.nested("rates");
  const fallback = optional("fallback");
  return rates === null ? target : rateLimitNode(target, fallback, rates);
}

/**
 * Limits requests to `target` by `rates`. Requests over the limit go to `fallback`, or get a miss or its equivalent.
 */
export function rateLimitNode(target: RouteConfig, fallback: RouteConfig | null, rates: Fields): RateLimitRouteConfig {
  const rateOf = (name: string): Rate | null => {
    const rate = rates.number(`${name}_rate`, null, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    const burst = rates.number(`${name}_burst`, rate, Number.MIN_VALUE, Number.POSITIVE_INFINITY);
    return rate === null ? null : { rate, burst: burst! };
  };
  return {
    type: "rate-limit",
    target,
    fallback,
    gets: rateOf("gets"),
    sets: rateOf("sets"),
    deletes: rateOf("deletes"),
  };
}

export class RateLimitRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly fallback: Route | null;
  private readonly buckets: ReadonlyMap<OperationKind, Bucket>;
  private readonly clock: Clock;

  constructor(
    target: Route,
    fallback: Route | null,
    rates: { gets: Rate | null; sets: Rate | null; deletes: Rate | null },
    clock: Clock,
  ) {
    this.target = target;
    this.fallback = fallback;
    this.clock = clock;
    const named = [
      ["get", "gets", rates.gets],
      ["update", "sets", rates.sets],
      ["delete", "deletes", rates.deletes],
    ] as const;
    this.buckets = new Map(
      named.flatMap(([kind, , rate]) => (rate === null ? [] : [[kind, new Bucket(rate, clock.nowMs())] as const])),
    );
    const texts = named.flatMap(([, name, rate]) =>
      rate === null ? [] : [`${name}_rate=${rate.rate}`, `${name}_burst=${rate.burst}`],
    );
    this.name = ["rate-limit", ...texts].join("|");
  }

  route(request: Request): void {
    const next = this.isAdmitted(request) ? this.target : this.fallback;
    if (next === null) request.complete(defaultReply(request));
    else next.route(request);
  }

  passKey(request: Request): Route {
    return this.isAdmitted(request) ? this.target : (this.fallback ?? refusal);
  }

  private isAdmitted(request: Request): boolean {
    const bucket = this.buckets.get(kindOf(request));
    return bucket === undefined || bucket.take(this.clock.nowMs());
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }
}

/** Answers requests over the limit. */
const refusal: Route = {
  name: "rate-limit-refusal",
  route: (request) => request.complete(defaultReply(request)),
  forEachTarget: () => {},
};

/** A token bucket. As in mcrouter (folly's TokenBucket starts at its creation time), it is empty at first. */
class Bucket {
  private readonly rate: Rate;
  private tokens = 0;
  private filledMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.rate = rate;
    this.filledMs = nowMs;
  }

  take(nowMs: number): boolean {
    this.tokens = Math.min(this.rate.burst, this.tokens + ((nowMs - this.filledMs) / 1000) * this.rate.rate);
    this.filledMs = nowMs;
    if (this.tokens < 1) return false;
    this.tokens--;
    return true;
  }
}
