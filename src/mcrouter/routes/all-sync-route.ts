/**
 * Sends to all children, waits for all replies, and answers with the worst; of equal replies with the first received.
 *
 * Source: mcrouter AllSyncRoute.h, lib/McResUtil.h (`worseThan`), as facts.
 */
import type { Result } from "../../config/results.ts";
import type { Request } from "../../proxy/request.ts";
import { type Choice, type FanOut, type ReplyJoiner, sendJoined } from "../../proxy/route/fan-out.ts";
import { severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allSync: RouteKind<ParentConfig<"all-sync">> = {
  type: "all-sync",
  handles: { AllSyncRoute: parentReader("all-sync") },
  build: ({ children }, { buildAll }) => new AllSyncRoute(buildAll(children)),
};

export class AllSyncRoute implements Route {
  readonly name = "all-sync";
  readonly fanOut: FanOut;

  /** At least two children. */
  constructor(children: readonly Route[]) {
    this.fanOut = { children, joiner: (keys) => new WorstJoiner(keys) };
  }

  route(request: Request): void {
    sendJoined(request, this.fanOut);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.fanOut.children) see(child, request);
  }
}

class WorstJoiner implements ReplyJoiner {
  /** Severity of the worst reply to each key. */
  private readonly worst: Float64Array;

  constructor(keys: number) {
    this.worst = new Float64Array(keys).fill(Number.NEGATIVE_INFINITY);
  }

  take(index: number, result: Result, left: number): Choice {
    if (severity(result) <= this.worst[index]!) return left === 0 ? "kept" : "wait";
    this.worst[index] = severity(result);
    return left === 0 ? "reply" : "keep";
  }
}
