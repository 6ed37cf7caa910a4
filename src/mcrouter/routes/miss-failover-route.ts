/**
 * Gets and deletes go to the next child unless the reply is a hit; other commands only go to the first child. If no
 * child has the item, the reply of the last child counts, or the best reply.
 *
 * Source: mcrouter MissFailoverRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { type Reply, Status } from "../../proxy/reply.ts";
import type { ReplyOwner, Request } from "../../proxy/request.ts";
import type { KeyWatcher } from "../../proxy/route/multi-get.ts";
import { isHit, kindOf, resultOf, severity } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { childrenOf, nothing, type RouteInput } from "../config/route-input.ts";
import type { RouteKind } from "../route-kind.ts";

interface MissFailoverRouteConfig extends RouteConfig {
  readonly type: "miss-failover";
  /** At least two. */
  readonly children: readonly RouteConfig[];
  /** If all children miss or fail, the best reply counts instead of the last. */
  readonly returnsBestOnError: boolean;
}

export const missFailover: RouteKind<MissFailoverRouteConfig> = {
  type: "miss-failover",
  handles: { MissFailoverRoute: (input) => [read(input)] },
  build: ({ children, returnsBestOnError }, { buildAll }) =>
    new MissFailoverRoute(buildAll(children), returnsBestOnError),
};

function read(input: RouteInput): RouteConfig {
  const children = childrenOf(input);
  if (children.length < 2) return children[0] ?? nothing;
  const returnsBestOnError = input.fields?.boolean("return_best_on_error", false) ?? false;
  const node: MissFailoverRouteConfig = { type: "miss-failover", children, returnsBestOnError };
  return node;
}

export class MissFailoverRoute implements Route, KeyWatcher {
  readonly name = "miss-failover";
  readonly passesAlike = true;
  readonly children: readonly Route[];
  readonly returnsBestOnError: boolean;

  /** At least two children. */
  constructor(children: readonly Route[], returnsBestOnError: boolean) {
    this.children = children;
    this.returnsBestOnError = returnsBestOnError;
  }

  route(request: Request): void {
    if (isPassedOn(request)) {
      request.retain();
      request.push(this);
    }
    this.children[0]!.route(request);
  }

  passKey(_request: Request, watchers: KeyWatcher[]): Route {
    watchers.push(this);
    return this.children[0]!;
  }

  passesBack(_request: Request, reply: Reply): boolean {
    return reply.status === Status.found;
  }

  /** The reply of the first child. */
  onReply(request: Request, reply: Reply): void {
    new Search(this, request).onReply(request, reply);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    for (const child of isPassedOn(request) ? this.children : this.children.slice(0, 1)) see(child, request);
  }
}

function isPassedOn(request: Request): boolean {
  const kind = kindOf(request);
  return kind === "get" || kind === "delete";
}

class Search implements ReplyOwner {
  private readonly parent: MissFailoverRoute;
  private readonly request: Request;
  private at = 0;
  private best: Reply | null = null;

  constructor(parent: MissFailoverRoute, request: Request) {
    this.parent = parent;
    this.request = request;
  }

  onReply(_sent: Request, reply: Reply): void {
    const { parent, request } = this;
    const result = resultOf(request, reply);
    const isFound = isHit(result) || result === "ok";
    if (!isFound && ++this.at < parent.children.length) {
      if (parent.returnsBestOnError) this.keepBest(reply);
      parent.children[this.at]!.route(request.again(this));
      return;
    }
    if (!isFound && parent.returnsBestOnError) {
      this.keepBest(reply);
      request.complete(this.best!);
    } else {
      request.complete(reply);
    }
  }

  private keepBest(reply: Reply): void {
    const { request } = this;
    const isBetter = this.best === null || severity(resultOf(request, reply)) <= severity(resultOf(request, this.best));
    if (isBetter) this.best = reply.copy();
  }
}
