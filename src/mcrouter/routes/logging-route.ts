/**
 * Passes requests on and says in the log, at level debug, how each ended: operation, routing key, result, bytes.
 *
 * Source: mcrouter LoggingRoute.h, as facts; there what is done with them is up to a callback.
 */
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { operationNameOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";

/** Where the lines go. */
export type RequestLog = (line: string) => void;

/** mcrouter's LoggingRoute. */
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
