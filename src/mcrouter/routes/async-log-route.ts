/**
 * Deletes that fail are written to disk, to be done later, and answered as if there had been nothing to delete: an item that
 * a server could not be asked to forget is not forgotten about.
 *
 *     delete k ─► asynclog ─► … ─► server   whatever lies between, the leaf that sends the delete has it watched there:
 *                                           so it is the very server that failed which is written down
 *
 * Source: mcrouter AsynclogRoute.h, DestinationRoute.h, as facts.
 */

import type { RouteConfig } from "../../config/config.ts";
import { type Reply, Status } from "../../proxy/reply.ts";
import type { DeleteWatcher, ReplyOwner, Request } from "../../proxy/request.ts";
import { defaultFailoverErrors, kindOf, resultOf } from "../../proxy/route/result.ts";
import type { Route, SeeTarget } from "../../proxy/route/route.ts";
import { replyTo } from "../../proxy/wire/command.ts";
import type { RouteKind } from "../route-kind.ts";

/** Failed deletes are written to the async log. */
export interface AsyncLogRouteConfig extends RouteConfig {
  readonly type: "asynclog";
  readonly target: RouteConfig;
  /** Name of the pool in the log. */
  readonly name: string;
}

/** What a PoolRoute does unless the log is off: no handle has this alone. */
export const asyncLog: RouteKind<AsyncLogRouteConfig> = {
  type: "asynclog",
  handles: {},
  build: ({ target, name }, { build, spool }) => new AsyncLogRoute(build(target), name, spool),
};

/** Where deletes are kept. */
export interface DeleteSpool {
  /** Calls `done` once it is written, or has failed to be; then that was logged. */
  spool(server: string, pool: string, key: string, done: () => void): void;
}

export function asyncLogNode(target: RouteConfig, name: string): AsyncLogRouteConfig {
  return { type: "asynclog", target, name };
}

/** What a node logs the deletes of. `null` if it is something else. */
export function loggedOf(node: RouteConfig): RouteConfig | null {
  return isAsyncLog(node) ? node.target : null;
}

function isAsyncLog(node: RouteConfig): node is AsyncLogRouteConfig {
  return node.type === asyncLog.type;
}

/** What mcrouter's PoolRoute does with failed deletes. */
export class AsyncLogRoute implements Route, DeleteWatcher {
  readonly name: string;
  readonly target: Route;
  private readonly pool: string;
  private readonly log: DeleteSpool;

  /** `pool` is the name in the log. */
  constructor(target: Route, pool: string, log: DeleteSpool) {
    this.name = `asynclog:${pool}`;
    this.target = target;
    this.pool = pool;
    this.log = log;
  }

  route(request: Request): void {
    if (kindOf(request) !== "delete") {
      this.target.route(request);
      return;
    }
    // A request of its own: what it says holds below this route only.
    request.retain();
    const sent = request.again({ onReply: (_sent, reply) => request.complete(reply) });
    sent.watcher = this;
    this.target.route(sent);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  watch(request: Request, server: string): void {
    request.watcher = null;
    request.push(new WatchedDelete(this.log, this.pool, server));
  }
}

/** A delete on its way to one server. */
class WatchedDelete implements ReplyOwner {
  private readonly log: DeleteSpool;
  private readonly pool: string;
  private readonly server: string;

  constructor(log: DeleteSpool, pool: string, server: string) {
    this.log = log;
    this.pool = pool;
    this.server = server;
  }

  onReply(request: Request, reply: Reply): void {
    if (!defaultFailoverErrors.has(resultOf(request, reply))) {
      request.complete(reply);
      return;
    }
    const answer = replyTo(request, { status: Status.notFound });
    this.log.spool(this.server, this.pool, request.keyText(), () => request.complete(answer));
  }
}
