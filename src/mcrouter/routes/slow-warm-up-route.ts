/**
 * Protects a server with an empty cache: while its hit rate is low, a part of its gets goes to another route. The part
 * shrinks as the hit rate grows.
 *
 * Source: mcrouter SlowWarmUpRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { Request } from "../../proxy/request.ts";
import type { KeyWatcher } from "../../proxy/route/multi-get.ts";
import { isHit, kindOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import type { Fields } from "../config/fields.ts";
import type { RouteReader } from "../config/read-routes.ts";
import type { RouteKind } from "../route-kind.ts";

interface SlowWarmUpRouteConfig extends RouteConfig {
  readonly type: "slow-warmup";
  readonly target: RouteConfig;
  readonly failover: RouteConfig;
  readonly enableThreshold: number;
  readonly disableThreshold: number;
  readonly start: number;
  readonly step: number;
  readonly minRequests: number;
}

/** Protects the servers of a PoolRoute. No handle makes this node alone. */
export const slowWarmUp: RouteKind<SlowWarmUpRouteConfig> = {
  type: "slow-warmup",
  handles: {},
  build(node, { build, random }) {
    return new SlowWarmUpRoute(build(node.target), build(node.failover), node, random);
  },
};

/** `slow_warmup` of a pool: each server gets another route for the requests that it is spared. */
export function warmedUp(
  destinations: readonly RouteConfig[],
  fields: Fields,
  reader: RouteReader,
): readonly RouteConfig[] {
  const found = fields.need("failoverTarget");
  if (found === null) return destinations;
  const failover = reader.one(found);
  const settings = fields.nested("settings");
  const part = (name: string, otherwise: number) => settings?.number(name, otherwise, 0, 1) ?? otherwise;
  const shared = {
    enableThreshold: part("enable_threshold", 0.7),
    disableThreshold: part("disable_threshold", 0.9),
    start: part("start", 0.1),
    step: settings?.number("step", 1, 0, Number.POSITIVE_INFINITY) ?? 1,
    minRequests: settings?.integer("min_requests", 100, 0, UNBOUNDED) ?? 100,
  };
  return destinations.map((target): SlowWarmUpRouteConfig => ({ type: "slow-warmup", target, failover, ...shared }));
}

export class SlowWarmUpRoute implements Route, KeyWatcher {
  readonly name = "slow-warmup";
  private readonly target: Route;
  private readonly failover: Route;
  private readonly settings: Omit<SlowWarmUpRouteConfig, "type" | "target" | "failover">;
  private readonly random: () => number;
  private hits = 0;
  private misses = 0;
  private isWarmingUp = false;

  constructor(
    target: Route,
    failover: Route,
    settings: Omit<SlowWarmUpRouteConfig, "type" | "target" | "failover">,
    random: () => number,
  ) {
    this.target = target;
    this.failover = failover;
    this.settings = settings;
    this.random = random;
  }

  route(request: Request): void {
    if (kindOf(request) === "get" && this.isSpared()) {
      this.failover.route(request);
      return;
    }
    request.push(this);
    this.target.route(request);
  }

  passKey(_request: Request, watchers: KeyWatcher[]): Route {
    if (this.isSpared()) return this.failover;
    watchers.push(this);
    return this.target;
  }

  passesBack(request: Request, reply: Reply, count: number): boolean {
    this.note(request, reply, count);
    return true;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
    see(this.failover, request);
  }

  onReply(request: Request, reply: Reply): void {
    this.note(request, reply, 1);
    request.complete(reply);
  }

  private note(request: Request, reply: Reply, count: number): void {
    const result = resultOf(request, reply);
    if (isHit(result)) this.hits += count;
    else if (result === "notfound") this.misses += count;
  }

  private isSpared(): boolean {
    const { enableThreshold, disableThreshold, start, step, minRequests } = this.settings;
    const total = this.hits + this.misses;
    const hitRate = total < minRequests ? 1 : this.hits / total;
    this.isWarmingUp = hitRate < (this.isWarmingUp ? disableThreshold : enableThreshold);
    return this.isWarmingUp && this.random() > start + hitRate * step;
  }
}
