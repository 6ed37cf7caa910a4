/**
 * Routes that ask nobody: NullRoute and DevNullRoute answer as if there were nothing, ErrorRoute with an error.
 *
 * Source: mcrouter NullRoute.h, DevNullRoute.h, ErrorRoute.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import type { Reply } from "../reply.ts";
import type { Request } from "../request.ts";
import { defaultReply, errorReply } from "./default-reply.ts";
import type { Route } from "./route.ts";
import type { RouteCounters } from "./route-counters.ts";

/** Answers as if there were nothing. */
export class NullRoute implements Route {
  readonly name: string = "null";

  route(request: Request): void {
    request.complete(defaultReply(request));
  }

  forEachTarget(): void {}
}

/** The same, and counts what it swallows. */
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

/** Answers with one error. */
export class ErrorRoute implements Route {
  readonly name: string;
  private readonly reply: Reply;

  /** `message` "": what the result is usually called. `isLogged` stands in the name alone. */
  constructor(result: Result, message: string, isLogged: boolean) {
    this.name = `error|${isLogged ? "log" : "no-log"}|mc_res_${result}${message === "" ? "" : `|${message}`}`;
    this.reply = errorReply(result, message);
  }

  route(request: Request): void {
    request.complete(this.reply);
  }

  forEachTarget(): void {}
}
