/**
 * Routes without a server: NullRoute and DevNullRoute answer as for an absent item, ErrorRoute with an error.
 *
 * Source: mcrouter NullRoute.h, DevNullRoute.h, ErrorRoute.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import { defaultReply, errorReply } from "./default-reply.ts";
import type { Route } from "./route.ts";
import type { RouteCounters } from "./route-counters.ts";

/** Answers as for an absent item. */
export class NullRoute implements Route {
  readonly name: string = "null";

  route(request: Request): void {
    request.complete(defaultReply(request));
  }

  forEachTarget(): void {}
}

/** Like NullRoute, with a counter of its requests. */
export class DevNullRoute extends NullRoute {
  override readonly name = "devnull";
  private readonly counters: RouteCounters;

  constructor(counters: RouteCounters) {
    super();
    this.counters = counters;
  }

  override route(request: Request): void {
    this.counters.devNullRequests++;
    super.route(request);
  }
}

export class ErrorRoute implements Route {
  readonly name: string;
  private readonly reply: Reply;

  /** `message` "" uses the usual text of the result. `isLogged` only appears in the name. */
  constructor(result: Result, message: string, isLogged: boolean) {
    this.name = `error|${isLogged ? "log" : "no-log"}|mc_res_${result}${message === "" ? "" : `|${message}`}`;
    this.reply = errorReply(result, message);
  }

  route(request: Request): void {
    request.complete(this.reply);
  }

  forEachTarget(): void {}
}
