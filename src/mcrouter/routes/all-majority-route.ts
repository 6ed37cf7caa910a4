/**
 * Sends to all children, and answers when more than half of them give equal results. Otherwise the most frequent result
 * wins; of two equally frequent results, the worse one.
 *
 * Source: mcrouter AllMajorityRoute.h, as facts.
 */

import type { Result } from "../../config/results.ts";
import type { Request } from "../../proxy/request.ts";
import { type Choice, type FanOut, type ReplyJoiner, sendJoined } from "../../proxy/route/fan-out.ts";
import { severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { type ParentConfig, parentReader } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

export const allMajority: RouteKind<ParentConfig<"all-majority">> = {
  type: "all-majority",
  handles: { AllMajorityRoute: parentReader("all-majority") },
  build: ({ children }, { buildAll }) => new AllMajorityRoute(buildAll(children)),
};

export class AllMajorityRoute implements Route {
  readonly name = "all-majority";
  readonly fanOut: FanOut;

  /** At least two children. */
  constructor(children: readonly Route[]) {
    const majority = Math.floor(children.length / 2) + 1;
    this.fanOut = { children, joiner: (keys) => new MajorityJoiner(keys, majority) };
  }

  route(request: Request): void {
    sendJoined(request, this.fanOut);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of this.fanOut.children) see(child, request);
  }
}

/** The replies to one key. */
interface Votes {
  readonly counts: Map<Result, number>;
  best: Result;
}

class MajorityJoiner implements ReplyJoiner {
  private readonly votes: readonly Votes[];
  private readonly majority: number;

  constructor(keys: number, majority: number) {
    this.votes = Array.from({ length: keys }, () => ({ counts: new Map(), best: "ok" }));
    this.majority = majority;
  }

  take(index: number, result: Result, left: number): Choice {
    const votes = this.votes[index]!;
    const { counts, best } = votes;
    const bestCount = counts.get(best) ?? 0;
    const count = (counts.get(result) ?? 0) + 1;
    counts.set(result, count);
    const isBest = count > bestCount || (count === bestCount && severity(result) > severity(best));
    if (isBest) votes.best = result;
    if (left > 0 && Math.max(count, bestCount) < this.majority) return isBest ? "keep" : "wait";
    return isBest ? "reply" : "kept";
  }
}
