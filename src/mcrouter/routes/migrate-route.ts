/**
 * Moves keys gradually from one place to another. Each key changes to the new place at its own time in the interval.
 * Deletes go to both places, from the start until twice the interval has passed; the worse reply counts.
 *
 * Source: mcrouter MigrateRoute.h, as facts: a key's time is start + (Spooky hash of its routing key mod interval), counted
 * from start + interval.
 */
import type { Clock } from "../../clock.ts";
import type { RouteConfig } from "../../config/config.ts";
import { UNBOUNDED } from "../../config/setting.ts";
import { spooky32 } from "../../proxy/hash/spooky.ts";
import { routingKeyEnd } from "../../proxy/key.ts";
import type { Request } from "../../proxy/request.ts";
import { kindOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { WorstReply } from "../../proxy/route/worst-reply.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface MigrateRouteConfig extends RouteConfig {
  readonly type: "migrate";
  readonly from: RouteConfig;
  readonly to: RouteConfig;
  readonly startUnixSeconds: number;
  readonly intervalSeconds: number;
}

export const migrate: RouteKind<MigrateRouteConfig> = {
  type: "migrate",
  handles: { MigrateRoute: (input) => [read(input)] },
  build: (node, { build, clock }) => new MigrateRoute(build(node.from), build(node.to), node, clock),
};

function read(input: RouteInput): MigrateRouteConfig {
  const { fields, child } = object(input);
  fields.need("start_time");
  return {
    type: "migrate",
    from: child("from"),
    to: child("to"),
    startUnixSeconds: fields.integer("start_time", 0, 0, UNBOUNDED)!,
    intervalSeconds: fields.integer("interval", 3600, 0, UNBOUNDED)!,
  };
}

export class MigrateRoute implements Route {
  readonly name = "migrate";
  private readonly from: Route;
  private readonly to: Route;
  private readonly startUnixSeconds: number;
  private readonly intervalSeconds: number;
  private readonly clock: Clock;

  constructor(from: Route, to: Route, times: { startUnixSeconds: number; intervalSeconds: number }, clock: Clock) {
    this.from = from;
    this.to = to;
    this.startUnixSeconds = times.startUnixSeconds;
    this.intervalSeconds = times.intervalSeconds;
    this.clock = clock;
  }

  route(request: Request): void {
    const targets = this.targetsOf(request);
    if (targets.length === 1) targets[0]!.route(request);
    else sendToAll(request, targets, new WorstReply(request, targets.length));
  }

  passKey(request: Request): Route {
    return this.targetsOf(request)[0]!;
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const target of this.targetsOf(request)) see(target, request);
  }

  private targetsOf(request: Request): readonly Route[] {
    const now = this.clock.unixSeconds();
    const { startUnixSeconds: start, intervalSeconds: interval } = this;
    if (kindOf(request) === "delete") {
      if (now < start) return [this.from];
      return now < start + 2 * interval ? [this.from, this.to] : [this.to];
    }
    return [now < this.timeOf(request) ? this.from : this.to];
  }

  private timeOf({ chunk, keyStart, keyEnd }: Request): number {
    const { startUnixSeconds: start, intervalSeconds: interval } = this;
    const hash = spooky32(chunk, keyStart, routingKeyEnd(chunk, keyStart, keyEnd), 0);
    return start + interval + (interval === 0 ? 0 : hash % interval);
  }
}
