/**
 * Spares a server that has just been emptied: while few of its gets hit, a part of them goes elsewhere, less and less as it
 * fills up.
 *
 * Source: mcrouter SlowWarmUpRoute.h, as facts.
 */
import type { SlowWarmUpRouteConfig } from "../../config/route-config.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { isHit, kindOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

/** PoolRoute's `slow_warmup` in mcrouter, for one server. */
export class SlowWarmUpRoute implements Route, ReplyOwner {
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

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
    see(this.failover, request);
  }

  onReply(request: Request, reply: Reply): void {
    const result = resultOf(request, reply);
    if (isHit(result)) this.hits++;
    else if (result === "notfound") this.misses++;
    request.complete(reply);
  }

  private isSpared(): boolean {
    const { enableThreshold, disableThreshold, start, step, minRequests } = this.settings;
    const total = this.hits + this.misses;
    const hitRate = total < minRequests ? 1 : this.hits / total;
    this.isWarmingUp = hitRate < (this.isWarmingUp ? disableThreshold : enableThreshold);
    return this.isWarmingUp && this.random() > start + hitRate * step;
  }
}
