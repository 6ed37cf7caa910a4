/**
 * Sends to all children, waits for all, and answers with the worst of what they said; among equals the first received.
 *
 * Source: mcrouter AllSyncRoute.h, lib/McResUtil.h (`worseThan`), as facts.
 */
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { type Result, resultOf, severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";

/** mcrouter's AllSyncRoute. */
export class AllSyncRoute implements Route {
  readonly name = "all-sync";
  private readonly children: readonly Route[];

  /** Two children and more. */
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

/** Waits for `due` answers to copies of a request, which it completes with the worst. */
export class WorstReply implements ReplyOwner {
  private readonly request: Request;
  private due: number;
  private worst: Reply | null = null;
  private worstResult: Result = "ok";

  constructor(request: Request, due: number) {
    this.request = request;
    this.due = due;
  }

  onReply(_copy: Request, reply: Reply): void {
    const result = resultOf(this.request, reply);
    this.due--;
    if (this.worst === null || severity(result) > severity(this.worstResult)) {
      // The last one is handled before it is overwritten.
      this.worst = this.due === 0 ? reply : reply.copy();
      this.worstResult = result;
    }
    if (this.due === 0) this.request.complete(this.worst);
  }
}
