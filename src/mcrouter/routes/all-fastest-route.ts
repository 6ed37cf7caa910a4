/**
 * Sends to all children and answers with the first successful reply, or with the last failure if all fail.
 *
 * Source: mcrouter AllFastestRoute.h, as facts.
 */
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { defaultFailoverErrors, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allFastest: RouteKind<ParentConfig<"all-fastest">> = {
  type: "all-fastest",
  handles: { AllFastestRoute: parentReader("all-fastest") },
  build: ({ children }, { buildAll }) => new AllFastestRoute(buildAll(children)),
};

export class AllFastestRoute implements Route {
  readonly name = "all-fastest";
  private readonly children: readonly Route[];

  /** At least two children. */
  constructor(children: readonly Route[]) {
    this.children = children;
  }

  route(request: Request): void {
    sendToAll(request, this.children, new FastestReply(request, this.children.length));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.children) see(child, request);
  }
}

class FastestReply implements ReplyOwner {
  private readonly request: Request;
  private due: number;
  private isDone = false;

  constructor(request: Request, due: number) {
    this.request = request;
    this.due = due;
  }

  onReply(_copy: Request, reply: Reply): void {
    this.due--;
    if (this.isDone) return;
    if (this.due > 0 && defaultFailoverErrors.has(resultOf(this.request, reply))) return;
    this.isDone = true;
    this.request.complete(reply);
  }
}
