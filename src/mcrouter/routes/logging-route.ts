/**
 * Passes requests on and logs each result at level debug: operation, routing key, result, bytes.
 *
 * Source: mcrouter LoggingRoute.h, as facts; in mcrouter, a callback handles the results.
 */

import type { RouteConfig } from "../../config/config.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { operationNameOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { nothing, object, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export interface LoggingRouteConfig extends RouteConfig {
  readonly type: "logging";
  readonly target: RouteConfig;
}

export const logging: RouteKind<LoggingRouteConfig> = {
  type: "logging",
  handles: { LoggingRoute: (input) => [{ type: "logging", target: targetOf(input) } satisfies LoggingRouteConfig] },
  build: ({ target }, { build, log }) => new LoggingRoute(build(target), log),
};

function targetOf(input: RouteInput): RouteConfig {
  const { fields, spot, reader } = input;
  if (fields !== null) return object(input).optional("target") ?? nothing;
  return spot.json.type === "string" ? reader.one(spot) : nothing;
}

/** Receives the log lines. */
export type RequestLog = (line: string) => void;

export class LoggingRoute implements Route, ReplyOwner {
  readonly name = "logging";
  private readonly target: Route;
  private readonly log: RequestLog;

  constructor(target: Route, log: RequestLog) {
    this.target = target;
    this.log = log;
  }

  route(request: Request): void {
    request.retain();
    request.push(this);
    this.target.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  onReply(request: Request, reply: Reply): void {
    const bytes = Math.max(0, reply.valueEnd - reply.valueStart);
    this.log(`${operationNameOf(request)} ${request.keyText()} ${resultOf(request, reply)} ${bytes} bytes`);
    request.complete(reply);
  }
}
