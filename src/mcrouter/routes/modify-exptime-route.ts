/**
 * Passes requests on with another exptime, set or bounded; deletes are left alone.
 *
 * Source: mcrouter ModifyExptimeRoute.h, as facts.
 */
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { withExptimes } from "./derived-request.ts";

/** mcrouter's ModifyExptimeRoute. */
export class ModifyExptimeRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly changed: (exptime: number) => number;

  /** `exptime` as memcached takes it; "min" is not given 0. */
  constructor(target: Route, action: "set" | "min", exptime: number) {
    this.name = `modify-exptime|${action}|exptime=${exptime}`;
    this.target = target;
    // 0 is never.
    this.changed = action === "set" ? () => exptime : (before) => (before === 0 || before > exptime ? exptime : before);
  }

  route(request: Request): void {
    const changed = withExptimes(request, this.changed, new Passed(request));
    // It is not sent itself: no server takes a copy of what it needs.
    if (changed !== null) request.retain();
    this.target.route(changed ?? request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }
}

/** The answer to the changed request is the answer to the request. */
class Passed implements ReplyOwner {
  private readonly request: Request;

  constructor(request: Request) {
    this.request = request;
  }

  onReply(_changed: Request, reply: Reply): void {
    this.request.complete(reply);
  }
}
