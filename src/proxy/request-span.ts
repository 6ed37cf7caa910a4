/**
 * The connection between requests and spans: the data of a request for a tracer, and the end of a span by the request's
 * result.
 */
import { isFailure, type Reply, STATUS_COUNT, Status } from "./reply.ts";
import { classicStatus, isMeta, type Request, readsKeys } from "./request.ts";
import { operationNameOf, protocolNameOf } from "./request-metrics.ts";
import { type Span, TRACEPARENT_LENGTH, type TracedRequest, type Tracer, traceparentOf } from "./tracing.ts";
import { metaFlags } from "./wire/meta-line.ts";
import type { Turn } from "./wire/turn.ts";

/** Names of results by `Status`. */
const statusNames: string[] = new Array(STATUS_COUNT).fill("unknown");
for (const [name, status] of Object.entries(Status)) statusNames[status] = name;

/** The data of a client's request for a tracer. */
export function tracedRequest(request: Request, showsKeys: boolean): TracedRequest {
  const { keys } = request;
  const hasKey = showsKeys && keys === null && request.keyEnd > request.keyStart;
  return {
    operation: operationNameOf(request),
    protocol: protocolNameOf(request),
    key: hasKey ? request.keyText() : null,
    keyCount: keys === null ? null : keys.count,
  };
}

/** Begins the span of a client's request, if it is traced: because it names a parent, or because it is sampled. */
export function beginRequestSpan(tracer: Tracer, request: Request, turn: Turn): void {
  // A line that is too short for a parent is not examined.
  const mayHaveParent = isMeta(request.operation) && request.lineEnd - request.frameStart > TRACEPARENT_LENGTH;
  const traceparent = mayHaveParent ? traceparentOf(metaFlags(request)) : null;
  if (traceparent === null && !tracer.samples()) return;
  const agoMicros = (turn.nowMicros() - request.readMicros) | 0;
  request.span = tracer.beginRequest(tracedRequest(request, tracer.showsKeys), traceparent, agoMicros);
}

/**
 * Ends the span of an answered request, and returns it. An unsampled request is traced too if it was slow or failed.
 * `null` if the request is not traced.
 */
export function traceReply(tracer: Tracer, request: Request, reply: Reply, tookMicros: number): Span | null {
  // A request that is the client's own mistake has not failed.
  const hasFailed = isFailure(reply.status) && reply.status !== Status.clientError;
  let { span } = request;
  if (span === null && (tookMicros >= tracer.slowMicros || (tracer.tracesErrors && hasFailed))) {
    span = tracer.beginUnsampled(tracedRequest(request, tracer.showsKeys), tookMicros);
  }
  if (span !== null) endRequestSpan(span, request, reply, hasFailed);
  return span;
}

/** Ends the span of a request that was answered with `reply`. */
export function endRequestSpan(span: Span, request: Request, reply: Reply, hasFailed: boolean): void {
  const name = resultNameOf(request, reply);
  span.set("platypus.result", name);
  if (hasFailed) span.fail(name);
  span.end();
}

/** The name of a request's result: `found`, `missing`, `stored`, `timeout` and others. */
export function resultNameOf({ operation }: Request, reply: Reply): string {
  const status = classicStatus(operation, reply);
  // A get that misses has one name in all protocols.
  if (status === Status.notFound && readsKeys(operation)) return "missing";
  return statusNameOf(status);
}

/** The name of a `Status`, such as `found` or `timeout`. */
export function statusNameOf(status: number): string {
  return statusNames[status] ?? "unknown";
}
