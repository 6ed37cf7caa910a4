/**
 * Selects the requests and refreshes to trace, and sets the attributes of their spans, by the semantic conventions for
 * database and HTTP calls.
 */
import { SpanKind as ApiSpanKind, TraceFlags } from "@opentelemetry/api";
import type { TelemetryConfig } from "../../config/config.ts";
import type { Span, SpanAttributes, TracedRequest, Tracer } from "../../proxy/tracing.ts";
import { noAttributes, RecordedSpan, type SpanOrigin } from "./recorded-span.ts";
import { idsOf, type SpanIds } from "./span-ids.ts";

/** Maximum number of spans per second for requests that were not sampled: with a dead server, each request fails. */
const MAX_TOLD_PER_SECOND = 50;

/** Passes spans to the SDK's processor. */
export class OpenTelemetryTracer implements Tracer {
  readonly slowMicros: number;
  readonly tracesErrors: boolean;
  readonly showsKeys: boolean;
  private readonly origin: SpanOrigin;
  private readonly config: TelemetryConfig;
  private readonly random: () => number;
  /** Number of requests until the next sampled one. */
  private untilNext: number;
  /** Attributes of requests, by operation and protocol. */
  private readonly attributes = new Map<string, Map<TracedRequest["protocol"], SpanAttributes>>();
  private toldSecond = 0;
  private told = 0;

  constructor(origin: SpanOrigin, config: TelemetryConfig, random: () => number) {
    this.origin = origin;
    this.config = config;
    this.random = random;
    this.slowMicros = config.slowMs === 0 ? Number.POSITIVE_INFINITY : config.slowMs * 1000;
    this.tracesErrors = config.tracesErrors;
    this.showsKeys = config.keys === "full";
    this.untilNext = this.nextDistance();
  }

  samples(): boolean {
    if (--this.untilNext > 0) return false;
    this.untilNext = this.nextDistance();
    return true;
  }

  beginRequest(request: TracedRequest, traceparent: string | null, agoMicros: number): Span | null {
    const parent = traceparent === null ? null : idsOf(traceparent);
    if (parent !== null && (parent.traceFlags & TraceFlags.SAMPLED) === 0) return null;
    return this.server(request, parent, agoMicros / 1000);
  }

  beginUnsampled(request: TracedRequest, tookMicros: number): Span | null {
    const second = Math.floor(Date.now() / 1000);
    if (second !== this.toldSecond) this.told = 0;
    this.toldSecond = second;
    if (this.told++ >= MAX_TOLD_PER_SECOND) return null;
    const span = this.server(request, null, tookMicros / 1000);
    span.set("platypus.sampled_at_end", 1);
    return span;
  }

  beginRefresh(origin: string | null): Span {
    const link = origin === null ? null : idsOf(origin);
    const kind = ApiSpanKind.INTERNAL;
    return new RecordedSpan(this.origin, {
      name: "refresh",
      kind,
      parent: null,
      link,
      attributes: noAttributes,
      agoMs: 0,
    });
  }

  private server(request: TracedRequest, parent: SpanIds | null, agoMs: number): Span {
    const { operation: name, protocol, key, keyCount } = request;
    const attributes = this.attributes.get(name)?.get(protocol) ?? this.keepAttributes(name, protocol);
    const kind = ApiSpanKind.SERVER;
    const span = new RecordedSpan(this.origin, { name, kind, parent, link: null, attributes, agoMs });
    if (keyCount !== null) span.set("db.operation.batch.size", keyCount);
    if (key !== null) span.about(key, null);
    return span;
  }

  private keepAttributes(name: string, protocol: TracedRequest["protocol"]): SpanAttributes {
    const attributes = { "db.system.name": "memcached", "db.operation.name": name, "platypus.protocol": protocol };
    const byProtocol = this.attributes.get(name) ?? new Map<TracedRequest["protocol"], SpanAttributes>();
    this.attributes.set(name, byProtocol.set(protocol, attributes));
    return attributes;
  }

  /** Distances between samples are geometrically distributed, as for independent decisions. */
  private nextDistance(): number {
    const { sampledShare } = this.config;
    if (sampledShare >= 1) return 1;
    if (sampledShare <= 0) return Number.MAX_SAFE_INTEGER;
    return Math.max(1, Math.ceil(Math.log(1 - this.random()) / Math.log(1 - sampledShare)));
  }
}
