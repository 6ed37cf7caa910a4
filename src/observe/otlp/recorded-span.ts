/**
 * A span for the OpenTelemetry SDK's processors and exporters. The SDK's own spans take several times as much time and
 * memory (each copies a context and checks its attributes twice), and many spans exist at once, until their batch is
 * sent.
 */
import { type Attributes, type SpanContext, type SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { RandomIdGenerator, type ReadableSpan, type SpanProcessor } from "@opentelemetry/sdk-trace";
import type { TelemetryConfig } from "../../config/config.ts";
import { SpanKind as OwnKind, type Span, type SpanAttributes } from "../../proxy/tracing.ts";

const SAMPLED = 1;
const MAX_KEY_CHARACTERS = 250;

const ids = new RandomIdGenerator();
const none: never[] = [];
const unset: ReadableSpan["status"] = { code: SpanStatusCode.UNSET };
const failed: ReadableSpan["status"] = { code: SpanStatusCode.ERROR };
/** OpenTelemetry's numbers of the kinds. */
const kinds: Readonly<Record<OwnKind, SpanKind>> = { [OwnKind.internal]: 0, [OwnKind.client]: 2 };

/** Common data of a tracer's spans. */
export interface SpanOrigin {
  readonly resource: ReadableSpan["resource"];
  readonly instrumentationScope: ReadableSpan["instrumentationScope"];
  /** Form of keys in spans. */
  readonly keys: TelemetryConfig["keys"];
  /** Receives ended spans. */
  readonly processor: SpanProcessor;
}

/** Start of a span. */
export interface SpanStart {
  readonly name: string;
  readonly kind: SpanKind;
  readonly parent: SpanContext | null;
  /** Link to another trace. */
  readonly link: SpanContext | null;
  readonly attributes: Attributes;
  /** Time since the real start of the span. */
  readonly agoMs: number;
}

/** A recorded span. It does not change after `end`. */
export class RecordedSpan implements Span, ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  readonly attributes: Attributes;
  readonly parentSpanContext?: SpanContext;
  status: ReadableSpan["status"] = unset;
  ended = false;
  private readonly origin: SpanOrigin;
  private readonly context: SpanContext;
  private readonly link: SpanContext | null;
  private readonly startUnixMs: number;
  /** Time of `performance.now()`: changes of the wall clock do not affect durations. */
  private readonly startMs: number;
  private durationMs = 0;

  constructor(origin: SpanOrigin, { name, kind, parent, link, attributes, agoMs }: SpanStart) {
    this.origin = origin;
    this.name = name;
    this.kind = kind;
    if (parent !== null) this.parentSpanContext = parent;
    this.link = link;
    this.attributes = attributes;
    this.context = {
      traceId: parent === null ? ids.generateTraceId() : parent.traceId,
      spanId: ids.generateSpanId(),
      traceFlags: SAMPLED,
    };
    this.startMs = performance.now() - agoMs;
    this.startUnixMs = Date.now() - agoMs;
  }

  spanContext(): SpanContext {
    return this.context;
  }

  get traceId(): string {
    return this.context.traceId;
  }

  get spanId(): string {
    return this.context.spanId;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-01`;
  }

  begin(name: string, kind: OwnKind, attributes: SpanAttributes = {}): Span {
    const start = {
      name,
      kind: kinds[kind],
      parent: this.context,
      link: null,
      attributes: { ...attributes },
      agoMs: 0,
    };
    return new RecordedSpan(this.origin, start);
  }

  set(name: string, value: string | number): void {
    this.attributes[name] = value;
  }

  about(key: string, rule: string | null): void {
    const { keys } = this.origin;
    if (rule !== null && keys !== "none") this.set("platypus.rule", rule);
    if (keys === "full") this.set("platypus.key", key.slice(0, MAX_KEY_CHARACTERS));
  }

  setKeyText(name: string, text: string): void {
    if (this.origin.keys === "full") this.set(name, text);
  }

  fail(reason: string, message?: string): void {
    this.set("error.type", reason);
    this.status = message === undefined ? failed : { ...failed, message };
  }

  end(): void {
    this.durationMs = performance.now() - this.startMs;
    this.ended = true;
    this.origin.processor.onEnd(this);
  }

  get startTime(): [number, number] {
    return secondsAndNanos(this.startUnixMs);
  }

  get endTime(): [number, number] {
    return secondsAndNanos(this.startUnixMs + this.durationMs);
  }

  get duration(): [number, number] {
    return secondsAndNanos(this.durationMs);
  }

  get links(): ReadableSpan["links"] {
    return this.link === null ? none : [{ context: this.link }];
  }

  get events(): ReadableSpan["events"] {
    return none;
  }

  get resource(): ReadableSpan["resource"] {
    return this.origin.resource;
  }

  get instrumentationScope(): ReadableSpan["instrumentationScope"] {
    return this.origin.instrumentationScope;
  }

  get droppedAttributesCount(): number {
    return 0;
  }

  get droppedEventsCount(): number {
    return 0;
  }

  get droppedLinksCount(): number {
    return 0;
  }
}

/** In microseconds, the precision of a double with milliseconds since 1970. */
function secondsAndNanos(ms: number): [number, number] {
  const micros = Math.round(ms * 1000);
  const seconds = Math.floor(micros / 1e6);
  return [seconds, (micros - seconds * 1e6) * 1000];
}
