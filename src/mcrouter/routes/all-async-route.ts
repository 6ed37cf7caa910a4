/**
 * Sends to all children, and immediately answers with a miss or its equivalent.
 *
 * Source: mcrouter AllAsyncRoute.h, as facts.
 */
import type { Request } from "../../proxy/request.ts";
import { noOwner } from "../../proxy/request.ts";
import { defaultReply } from "../../proxy/route/default-reply.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { childrenOf, nothing, type ParentConfig, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allAsync: RouteKind<ParentConfig<"all-async">> = {
  type: "all-async",
  handles: { AllAsyncRoute: (input) => [read(input)] },
  build: ({ children }, { buildAll }) => new AllAsyncRoute(buildAll(children)),
};

function read(input: RouteInput) {
  const children = childrenOf(input);
  return children.length === 0 ? nothing : { type: "all-async", children };
}

export class AllAsyncRoute implements Route {
  readonly name = "all-async";
  private readonly children: readonly Route[];

  /** At least one child. */
  constructor(children: readonly Route[]) {
    this.children = children;
  }

  route(request: Request): void {
    sendToAll(request, this.children, noOwner);
    request.complete(defaultReply(request));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.children) see(child, request);
  }
}
