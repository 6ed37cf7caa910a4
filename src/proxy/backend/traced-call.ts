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
import { type Span, type SpanAttributes, SpanKind } from "../tracing.ts";

/** Attributes of all calls of a server of `pool`. */
export function callAttributes(address: Address, pool: string): SpanAttributes {
  return { "db.system.name": "memcached", ...serverAttributes(address), "platypus.pool": pool };
}

export function serverAttributes(address: Address): SpanAttributes {
  if (address.type === "unix") return { "server.address": address.path };
  return { "server.address": address.host, "server.port": address.port };
}

export class TracedCall implements ReplyOwner {
  private readonly span: Span;

  /** Begins within `parent`. The sender must push it on `request`. `attributes` are those of all calls of the server. */
  constructor(parent: Span, request: Request, attributes: SpanAttributes) {
    const name = operationNameOf(request);
    const count = request.indexes?.length ?? request.keys?.count ?? 1;
    this.span = parent.begin(name, SpanKind.client, attributes);
    this.span.set("db.operation.name", name);
    if (count > 1) this.span.set("db.operation.batch.size", count);
    if (request.keys === null) this.span.about(request.keyText(), null);
  }

  onReply(request: Request, reply: Reply): void {
    endRequestSpan(this.span, request, reply, isFailure(reply.status));
    request.complete(reply);
  }
}
