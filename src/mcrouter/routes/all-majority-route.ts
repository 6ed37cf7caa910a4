/**
 * Sends to all children, and answers when more than half of them give equal results. Otherwise the most frequent result
 * wins; of two equally frequent results, the worse one.
 *
 * Source: mcrouter AllMajorityRoute.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import type { Reply } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import { resultOf, severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { sendToAll } from "../../proxy/route/send-to-all.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allMajority: RouteKind<ParentConfig<"all-majority">> = {
  type: "all-majority",
  handles: { AllMajorityRoute: parentReader("all-majority") },
  build: ({ children }, { buildAll }) => new AllMajorityRoute(buildAll(children)),
};

export class AllMajorityRoute implements Route {
  readonly name = "all-majority";
  private readonly children: readonly Route[];

  /** At least two children. */
  constructor(children: readonly Route[]) {
    this.children = children;
  }

  route(request: Request): void {
    sendToAll(request, this.children, new MajorityReply(request, this.children.length));
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.children) see(child, request);
  }
}

class MajorityReply implements ReplyOwner {
  private readonly request: Request;
  private due: number;
  private readonly majority: number;
  private readonly counts = new Map<Result, number>();
  private best: Reply | null = null;
  private bestResult: Result = "ok";
  private bestCount = 0;
  private isDone = false;

  constructor(request: Request, due: number) {
    this.request = request;
    this.due = due;
    this.majority = Math.floor(due / 2) + 1;
  }

  onReply(_copy: Request, reply: Reply): void {
    this.due--;
    if (this.isDone) return;
    const result = resultOf(this.request, reply);
    const count = (this.counts.get(result) ?? 0) + 1;
    this.counts.set(result, count);
    const isWorse = count === this.bestCount && severity(result) > severity(this.bestResult);
    if (count > this.bestCount || isWorse) {
      this.best = reply.copy();
      this.bestResult = result;
      this.bestCount = count;
    }
    if (this.bestCount < this.majority && this.due > 0) return;
    this.isDone = true;
    this.request.complete(this.best!);
  }
}
