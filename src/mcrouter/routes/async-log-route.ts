/**
 * Writes failed deletes to disk for a later replay, and answers them with a miss.
 *
 *     delete k ─► asynclog ─► … ─► server   the leaf that sends the delete has it watched there,
 *                                           so that the log names the server that failed
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

/** The part of PoolRoute that logs failed deletes, unless the log is off. No handle makes this node alone. */
export const asyncLog: RouteKind<AsyncLogRouteConfig> = {
  type: "asynclog",
  handles: {},
  build: ({ target, name }, { build, spool }) => new AsyncLogRoute(build(target), name, spool),
};

/** The store of failed deletes. */
export interface DeleteSpool {
  /** Calls `done` when the delete is written, or when the write has failed and was logged. */
  spool(server: string, pool: string, key: string, done: () => void): void;
}

export function asyncLogNode(target: RouteConfig, name: string): AsyncLogRouteConfig {
  return { type: "asynclog", target, name };
}

/** The node whose deletes a node logs. `null` if the node is not an async log. */
export function loggedOf(node: RouteConfig): RouteConfig | null {
  return isAsyncLog(node) ? node.target : null;
}

function isAsyncLog(node: RouteConfig): node is AsyncLogRouteConfig {
  return node.type === asyncLog.type;
}

/** The async log of mcrouter's PoolRoute. */
export class AsyncLogRoute implements Route, DeleteWatcher {
  readonly name: string;
  readonly passesAlike = true;
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
    // Copy the request: the watcher applies below this route only.
    request.retain();
    const sent = request.again({ onReply: (_sent, reply) => request.complete(reply) });
    sent.watcher = this;
    this.target.route(sent);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  passKey(): Route {
    return this.target;
  }

  watch(request: Request, server: string): void {
    request.watcher = null;
    request.push(new WatchedDelete(this.log, this.pool, server));
  }
}

/** A delete in flight to one server. */
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
