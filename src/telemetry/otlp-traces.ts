/**
 * Traces → the OpenTelemetry SDK, by the semantic conventions for database and HTTP calls.
 */
import {
  type Span as ApiSpan,
  SpanKind as ApiSpanKind,
  type Tracer as ApiTracer,
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type SpanContext,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import type { TelemetryConfig } from "../config/config.ts";
import { statusName } from "../proxy/backend/traced-call.ts";
import { isFailure, type Reply } from "../proxy/reply.ts";
import { classicStatus, type Request } from "../proxy/request.ts";
import { operationNameOf, protocolNameOf } from "./request-metrics.ts";
import { type Span, type SpanAttributes, SpanKind, type Tracer } from "./tracing.ts";

/** Spans a second of requests that were not sampled: a server that is down makes every request a failed one. */
const MAX_TOLD_PER_SECOND = 50;
const MAX_KEY_CHARACTERS = 250;

type KeyPolicy = TelemetryConfig["keys"];

/** Tells the SDK. */
export class OpenTelemetryTracer implements Tracer {
  readonly slowMicros: number;
  readonly tracesErrors: boolean;
  private readonly tracer: ApiTracer;
  private readonly config: TelemetryConfig;
  private readonly random: () => number;
  /** Requests until the next one that is sampled. */
  private untilNext: number;
  private toldSecond = 0;
  private told = 0;

  constructor(tracer: ApiTracer, config: TelemetryConfig, random: () => number) {
    this.tracer = tracer;
    this.config = config;
    this.random = random;
    this.slowMicros = config.slowMs === 0 ? Number.POSITIVE_INFINITY : config.slowMs * 1000;
    this.tracesErrors = config.tracesErrors;
    this.untilNext = this.nextDistance();
  }

  samples(): boolean {
    if (--this.untilNext > 0) return false;
    this.untilNext = this.nextDistance();
    return true;
  }

  beginRequest(request: Request, traceparent: string | null, agoMicros: number): Span | null {
    const parent = traceparent === null ? null : contextOf(traceparent);
    if (parent !== null && (parent.traceFlags & TraceFlags.SAMPLED) === 0) return null;
    const context = parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
    return this.server(request, context, Date.now() - agoMicros / 1000);
  }

  endRequest(span: Span, request: Request, reply: Reply): void {
    const status = classicStatus(request.operation, reply);
    span.set("platypus.result", statusName(status));
    if (isFailure(status)) span.fail(statusName(status));
    span.end();
  }

  tellRequest(request: Request, reply: Reply, tookMicros: number): void {
    const nowMs = Date.now();
    const second = Math.floor(nowMs / 1000);
    if (second !== this.toldSecond) this.told = 0;
    this.toldSecond = second;
    if (this.told++ >= MAX_TOLD_PER_SECOND) return;
    const span = this.server(request, ROOT_CONTEXT, nowMs - tookMicros / 1000);
    span.set("platypus.sampled_at_end", 1);
    this.endRequest(span, request, reply);
  }

  beginRefresh(origin: string | null): Span {
    const context = origin === null ? null : contextOf(origin);
    const links = context === null ? [] : [{ context }];
    const span = this.tracer.startSpan("refresh", { kind: ApiSpanKind.INTERNAL, links, root: true }, ROOT_CONTEXT);
    return new OpenTelemetrySpan(span, this.tracer, this.config.keys);
  }

  private server(request: Request, context: Context, startTime: number): Span {
    const name = operationNameOf(request);
    const attributes: Attributes = {
      "db.system.name": "memcached",
      "db.operation.name": name,
      "platypus.protocol": protocolNameOf(request),
    };
    if (request.keys !== null) attributes["db.operation.batch.size"] = request.keys.count;
    const span = this.tracer.startSpan(name, { kind: ApiSpanKind.SERVER, attributes, startTime }, context);
    const own = new OpenTelemetrySpan(span, this.tracer, this.config.keys);
    if (request.keyEnd > request.keyStart && request.keys === null) own.about(request.keyText(), null);
    return own;
  }

  /** Distances between samples of independent decisions: geometrically distributed. */
  private nextDistance(): number {
    const { sampledShare } = this.config;
    if (sampledShare >= 1) return 1;
    if (sampledShare <= 0) return Number.MAX_SAFE_INTEGER;
    return Math.max(1, Math.ceil(Math.log(1 - this.random()) / Math.log(1 - sampledShare)));
  }
}

class OpenTelemetrySpan implements Span {
  private readonly span: ApiSpan;
  private readonly tracer: ApiTracer;
  private readonly keys: KeyPolicy;

  constructor(span: ApiSpan, tracer: ApiTracer, keys: KeyPolicy) {
    this.span = span;
    this.tracer = tracer;
    this.keys = keys;
  }

  get traceId(): string {
    return this.span.spanContext().traceId;
  }

  get spanId(): string {
    return this.span.spanContext().spanId;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-01`;
  }

  begin(name: string, kind: SpanKind, attributes: SpanAttributes = {}): Span {
    const options = { kind: kind === SpanKind.client ? ApiSpanKind.CLIENT : ApiSpanKind.INTERNAL, attributes };
    const span = this.tracer.startSpan(name, options, trace.setSpan(ROOT_CONTEXT, this.span));
    return new OpenTelemetrySpan(span, this.tracer, this.keys);
  }

  set(name: string, value: string | number): void {
    this.span.setAttribute(name, value);
  }

  about(key: string, rule: string | null): void {
    if (rule !== null && this.keys !== "none") this.set("platypus.rule", rule);
    if (this.keys === "full") this.set("platypus.key", key.slice(0, MAX_KEY_CHARACTERS));
  }

  setKeyText(name: string, text: string): void {
    if (this.keys === "full") this.set(name, text);
  }

  fail(reason: string): void {
    this.span.setAttribute("error.type", reason);
    this.span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(): void {
    this.span.end();
  }
}

function contextOf(traceparent: string): SpanContext | null {
  const [, traceId, spanId, flags] = /^00-(\w{32})-(\w{16})-(\w{2})$/.exec(traceparent) ?? [];
  if (traceId === undefined) return null;
  const context = { traceId, spanId: spanId!, traceFlags: Number.parseInt(flags!, 16), isRemote: true };
  return trace.isSpanContextValid(context) ? context : null;
}
