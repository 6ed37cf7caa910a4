/**
 * Passes requests on with another exptime, set or bounded; deletes are left alone.
 *
 * Source: mcrouter ModifyExptimeRoute.h, as facts.
 */
import type { Reply } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { exptimeOf, withExptime } from "./derived-request.ts";
import type { Route, SeeTarget } from "./route.ts";

/** mcrouter's ModifyExptimeRoute. */
export class ModifyExptimeRoute implements Route {
  readonly name: string;
  private readonly target: Route;
  private readonly action: "set" | "min";
  private readonly exptime: number;

  /** `exptime` as memcached takes it; "min" is not given 0. */
  constructor(target: Route, action: "set" | "min", exptime: number) {
    this.name = `modify-exptime|${action}|exptime=${exptime}`;
    this.target = target;
    this.action = action;
    this.exptime = exptime;
  }

  route(request: Request): void {
    const exptime = exptimeOf(request);
    const isChanged =
      exptime !== null && (this.action === "set" ? exptime !== this.exptime : exptime === 0 || exptime > this.exptime);
    if (!isChanged) {
      this.target.route(request);
      return;
    }
    request.retain();
    this.target.route(withExptime(request, this.exptime, new Passed(request)));
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
