/**
 * The link between requests and spans: what a tracer is told of a request, and how the result of a request ends its span.
 */
import { isFailure, type Reply, Status } from "./reply.ts";
import { classicStatus, type Request } from "./request.ts";
import { operationNameOf, protocolNameOf } from "./request-metrics.ts";
import type { Span, TracedRequest } from "./tracing.ts";

/** Names of results, as `Status` has them. */
const statusNames = new Map<number, string>(Object.entries(Status).map(([name, status]) => [status, name]));

/** The part of a client's request that a tracer is told. */
export function tracedRequest(request: Request): TracedRequest {
  const { keys } = request;
  const hasKey = keys === null && request.keyEnd > request.keyStart;
  return {
    operation: operationNameOf(request),
    protocol: protocolNameOf(request),
    key: hasKey ? request.keyText() : null,
    keyCount: keys === null ? null : keys.count,
  };
}

/** Ends the span of a request that was answered with `reply`. */
export function endRequestSpan(span: Span, request: Request, reply: Reply): void {
  const status = classicStatus(request.operation, reply);
  const name = statusNames.get(status) ?? "unknown";
  span.set("platypus.result", name);
  if (isFailure(status)) span.fail(name);
  span.end();
}
