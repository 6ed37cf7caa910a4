/**
 * Deletes that fail are written to disk, to be done later, and answered as if there had been nothing to delete: an item that
 * a server could not be asked to forget is not forgotten about.
 *
 * Source: mcrouter AsynclogRoute.h, as facts.
 */
import { type Reply, Status } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { replyTo } from "../wire/command.ts";
import { defaultFailoverErrors, kindOf, resultOf } from "./result.ts";
import type { Route, SeeTarget } from "./route.ts";
import { firstServerOf } from "./server-of.ts";

/** Where deletes are kept. */
export interface DeleteSpool {
  /** Calls `done` once it is written, or has failed to be; then that was logged. */
  spool(server: string, pool: string, key: string, done: () => void): void;
}

/** What mcrouter's PoolRoute does with failed deletes. */
export class AsyncLogRoute implements Route, ReplyOwner {
  readonly name: string;
  private readonly target: Route;
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
    if (kindOf(request) === "delete") {
      request.retain();
      request.push(this);
    }
    this.target.route(request);
  }

  forEachTarget(request: Request, see: SeeTarget): void {
    see(this.target, request);
  }

  onReply(request: Request, reply: Reply): void {
    if (!defaultFailoverErrors.has(resultOf(request, reply))) {
      request.complete(reply);
      return;
    }
    const found = firstServerOf(this.target, request);
    const answer = replyTo(request, { status: Status.notFound });
    if (found === null) request.complete(reply);
    else this.log.spool(found.server, this.pool, found.request.keyText(), () => request.complete(answer));
  }
}
