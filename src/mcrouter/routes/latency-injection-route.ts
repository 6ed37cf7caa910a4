/**
 * Delays requests and replies, to show the effect of slow servers on an application.
 *
 * Source: mcrouter LatencyInjectionRoute.h, as facts.
 */
import type { Clock } from "../../clock.ts";
import type { RouteConfig } from "../../config/config.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface LatencyInjectionRouteConfig extends RouteConfig {
  readonly type: "latency-injection";
  readonly child: RouteConfig;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** Minimum total time. 0 sets no minimum. */
  readonly totalMs: number;
}

export const latencyInjection: RouteKind<LatencyInjectionRouteConfig> = {
  type: "latency-injection",
  handles: { LatencyInjectionRoute: (input) => [read(input)] },
  build: (node, { build, clock }) => new LatencyInjectionRoute(build(node.child), node, clock),
};

function read(input: RouteInput): RouteConfig {
  const { fields, child } = object(input);
  const isGiven = ["before_latency_ms", "after_latency_ms", "total_latency_ms", "request_payload_latency"].some(
    (name) => fields.has(name),
  );
  const ms = (name: string) => fields.integer(name, 0, 0, 3_600_000)!;
  const [beforeMs, afterMs, totalMs] = [ms("before_latency_ms"), ms("after_latency_ms"), ms("total_latency_ms")];
  if (fields.has("total_latency_percentile_ms")) {
    fields.complain(
      "total_latency_percentile_ms is not supported; use before_latency_ms, after_latency_ms or total_latency_ms",
    );
  } else if (!isGiven) {
    fields.complain('expected "before_latency_ms", "after_latency_ms" or "total_latency_ms"');
  }
  for (const name of ["request_payload_latency", "max_request_latency_us"]) {
    const found = fields.get(name);
    if (found !== null) input.reader.warn(found, "has no effect: memcached's requests say nothing of latencies");
  }
  if (beforeMs + afterMs + totalMs === 0) return child("child");
  const node: LatencyInjectionRouteConfig = {
    type: "latency-injection",
    child: child("child"),
    beforeMs,
    afterMs,
    totalMs,
  };
  return node;
}

export class LatencyInjectionRoute implements Route {
  readonly name: string;
  private readonly child: Route;
  private readonly times: LatencyTimes;
  private readonly clock: Clock;

  constructor(child: Route, times: LatencyTimes, clock: Clock) {
    this.name = `latency-injection|before:${times.beforeMs}ms|after:${times.afterMs}ms|total:${times.totalMs}ms`;
    this.child = child;
    this.times = times;
    this.clock = clock;
  }

  route(request: Request): void {
    const startMs = this.clock.nowMs();
    request.retain();
    const { beforeMs, afterMs, totalMs } = this.times;
    const owner: ReplyOwner = {
      onReply: (_request: Request, reply: Reply) => {
        const dueMs = Math.max(afterMs, totalMs - (this.clock.nowMs() - startMs));
        if (dueMs <= 0) {
          request.complete(reply);
          return;
        }
        const kept = reply.copy();
        this.clock.setTimer(dueMs, () => request.complete(kept));
      },
    };
    request.push(owner);
    if (beforeMs > 0) this.clock.setTimer(beforeMs, () => this.child.route(request));
    else this.child.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.child, request);
  }
}

/** Delays in ms. `totalMs` is the minimum time of a request; 0 sets no minimum. */
export interface LatencyTimes {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly totalMs: number;
}
