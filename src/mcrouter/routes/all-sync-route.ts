/**
 * Sends to all children, waits for all replies, and answers with the worst; of equal replies with the first received.
 *
 * Source: mcrouter AllSyncRoute.h, lib/McResUtil.h (`worseThan`), as facts.
 */
import type { Request } from "../../proxy/request.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { WorstReply } from "../../proxy/route/worst-reply.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allSync: RouteKind<ParentConfig<"all-sync">> = {
  type: "all-sync",
  handles: { AllSyncRoute: parentReader("all-sync") },
  build: ({ children }, { buildAll }) => new AllSyncRoute(buildAll(children)),
};

export class AllSyncRoute implements Route {
  readonly name = "all-sync";
  private readonly children: readonly Route[];

  /** At least two children. */
  constructor(children: readonly Route[]) {
    this.children = children;
  }

  route(request: Request): void {
    sendToAll(request, this.children, new WorstReply(request, this.children.length));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.children) see(child, request);
  }
}
