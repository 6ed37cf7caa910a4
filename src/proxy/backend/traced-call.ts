/**
 * The span of a request to a server and back, as one of the owners that see its reply.
 *
 * Source of names: OpenTelemetry semantic conventions, "Database client spans".
 */
import type { Address } from "../../config/config.ts";
import { isFailure, type Reply } from "../reply.ts";
import type { ReplyOwner, Request } from "../request.ts";
import { operationNameOf } from "../request-metrics.ts";
import { endRequestSpan } from "../request-span.ts";
import { type Span, SpanKind } from "../tracing.ts";

export class TracedCall implements ReplyOwner {
  private readonly span: Span;

  /** Begins within `parent`. The sender must push it on `request`. */
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
    endRequestSpan(this.span, request, reply, isFailure(reply.status));
    request.complete(reply);
  }
}
