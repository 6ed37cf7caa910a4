/**
 * Sends to all children and answers with the first successful reply, or with the last failure if all fail.
 *
 * Source: mcrouter AllFastestRoute.h, as facts.
 */
import type { Request } from "../../proxy/request.ts";
import { type FanOut, type ReplyJoiner, sendJoined } from "../../proxy/route/fan-out.ts";
import { defaultFailoverErrors } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allFastest: RouteKind<ParentConfig<"all-fastest">> = {
  type: "all-fastest",
  handles: { AllFastestRoute: parentReader("all-fastest") },
  build: ({ children }, { buildAll }) => new AllFastestRoute(buildAll(children)),
};

export class AllFastestRoute implements Route {
  readonly name = "all-fastest";
  readonly fanOut: FanOut;

  /** At least two children. */
  constructor(children: readonly Route[]) {
    this.fanOut = { children, joiner: () => fastest };
  }

  route(request: Request): void {
    sendJoined(request, this.fanOut);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.fanOut.children) see(child, request);
  }
}

const fastest: ReplyJoiner = {
  take: (_index, result, left) => (left === 0 || !defaultFailoverErrors.has(result) ? "reply" : "wait"),
};
