/**
 * Passes requests on later, and their answers too: to see what slow servers do to an application.
 *
 * Source: mcrouter LatencyInjectionRoute.h, as facts.
 */
import type { Clock } from "../../clock.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

/** mcrouter's LatencyInjectionRoute. */
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

/** In ms; `totalMs` is the least that a request takes, 0: whatever it takes. */
export interface LatencyTimes {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly totalMs: number;
}
