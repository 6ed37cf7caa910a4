/**
 * The span of one request's way to a server and back, as one of the frames that see its reply.
 *
 * Source of names: OpenTelemetry semantic conventions, "Database client spans".
 */
import type { Address } from "../../config/config.ts";
import { isFailure, type Reply, Status } from "../reply.ts";
import { classicStatus, type ReplyOwner, type Request } from "../request.ts";
import { operationNameOf } from "../request-metrics.ts";
import { type Span, SpanKind } from "../tracing.ts";

/** What failed, in the words of `Status`. */
const statusNames = new Map<number, string>(Object.entries(Status).map(([name, status]) => [status, name]));

/** The name of a status. */
export function statusName(status: Status): string {
  return statusNames.get(status) ?? "unknown";
}

export class TracedCall implements ReplyOwner {
  private readonly span: Span;

  /** Begins within `parent`. To be pushed on `request` by who sends it. */
  constructor(parent: Span, request: Request, address: Address, pool: string) {
    const name = operationNameOf(request);
    const count = request.indexes?.length ?? request.keys?.count ?? 1;
    this.span = parent.begin(name, SpanKind.client, {
      "db.system.name": "memcached",
      "db.operation.name": name,
      ...(count > 1 && { "db.operation.batch.size": count }),
      ...(address.type === "unix"
        ? { "server.address": address.path }
        : { "server.address": address.host, "server.port": address.port }),
      "platypus.pool": pool,
    });
    if (request.keys === null) this.span.about(request.keyText(), null);
  }

  onReply(request: Request, reply: Reply): void {
    const status = classicStatus(request.operation, reply);
    this.span.set("platypus.result", statusName(status));
    if (isFailure(status)) this.span.fail(statusName(status));
    this.span.end();
    request.complete(reply);
  }
}
