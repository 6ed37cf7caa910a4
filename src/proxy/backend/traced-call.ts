/**
 * The span of a request to a server and back, as one of the owners that see its reply.
 *
 * Source of names: OpenTelemetry semantic conventions, "Database client spans".
 */
import type { Address } from "../../config/config.ts";
import { isFailure, type Reply } from "../reply.ts";
import { OPERATION_COUNT, type ReplyOwner, type Request } from "../request.ts";
import { operationNameOf } from "../request-metrics.ts";
import { endRequestSpan } from "../request-span.ts";
import { type Span, type SpanAttributes, SpanKind } from "../tracing.ts";

/** Attributes of the calls of a server, by operation. */
export class CallAttributes {
  private readonly common: SpanAttributes;
  /** `null` for operations that have not been traced. */
  private readonly byOperation: (SpanAttributes | null)[] = new Array(OPERATION_COUNT).fill(null);

  constructor(address: Address, pool: string) {
    this.common = { "db.system.name": "memcached", ...serverAttributes(address), "platypus.pool": pool };
  }

  of(request: Request): SpanAttributes {
    return this.byOperation[request.operation] ?? this.begin(request);
  }

  private begin(request: Request): SpanAttributes {
    const attributes = { ...this.common, "db.operation.name": operationNameOf(request) };
    this.byOperation[request.operation] = attributes;
    return attributes;
  }
}

export function serverAttributes(address: Address): SpanAttributes {
  if (address.type === "unix") return { "server.address": address.path };
  return { "server.address": address.host, "server.port": address.port };
}

export class TracedCall implements ReplyOwner {
  private readonly span: Span;

  /** Begins within `parent`. The sender must push it on `request`. */
  constructor(parent: Span, request: Request, attributes: CallAttributes) {
    const count = request.indexes?.length ?? request.keys?.count ?? 1;
    this.span = parent.begin(operationNameOf(request), SpanKind.client, attributes.of(request));
    if (count > 1) this.span.set("db.operation.batch.size", count);
    if (parent.showsKeys && request.keys === null) this.span.about(request.keyText(), null);
  }

  onReply(request: Request, reply: Reply): void {
    endRequestSpan(this.span, request, reply, isFailure(reply.status));
    request.complete(reply);
  }
}
