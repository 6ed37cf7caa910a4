/**
 * A span for the OpenTelemetry SDK's processors and exporters. The SDK's own spans take several times as much time and
 * memory (each copies a context and checks its attributes twice), and many spans exist at once, until their batch is
 * sent.
 */
import { type Attributes, type SpanKind, SpanStatusCode } from "@opentelemetry/api";
import type { ReadableSpan, SpanProcessor } from "@opentelemetry/sdk-trace";
import type { TelemetryConfig } from "../../config/config.ts";
import { SpanKind as OwnKind, type Span, type SpanAttributes } from "../../proxy/tracing.ts";
import { SpanIds } from "./span-ids.ts";

const MAX_KEY_CHARACTERS = 250;

const none: never[] = [];
export const noAttributes: SpanAttributes = {};
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
  readonly parent: SpanIds | null;
  /** Link to another trace. */
  readonly link: SpanIds | null;
  /** Attributes that other spans share. They do not change. */
  readonly attributes: SpanAttributes;
  /** Time since the real start of the span. */
  readonly agoMs: number;
}

/** A recorded span. It does not change after `end`. */
export class RecordedSpan implements Span, ReadableSpan {
  readonly name: string;
  readonly kind: SpanKind;
  /** Attributes that other spans share, and those of this span alone. */
  readonly shared: SpanAttributes;
  readonly own: Attributes = {};
  readonly parentSpanContext?: SpanIds;
  status: ReadableSpan["status"] = unset;
  ended = false;
  private readonly origin: SpanOrigin;
  readonly link: SpanIds | null;
  private readonly ids: SpanIds;
  private readonly startUnixMs: number;
  /** Time of `performance.now()`: changes of the wall clock do not affect durations. */
  private readonly startMs: number;
  private durationMs = 0;

  /** `above` is the parent if it is a span of this process. Both use the same reading of the wall clock. */
  constructor(
    origin: SpanOrigin,
    { name, kind, parent, link, attributes, agoMs }: SpanStart,
    above: RecordedSpan | null = null,
  ) {
    this.origin = origin;
    this.name = name;
    this.kind = kind;
    if (parent !== null) this.parentSpanContext = parent;
    this.link = link;
    this.shared = attributes;
    this.ids = new SpanIds(parent);
    this.startMs = performance.now() - agoMs;
    this.startUnixMs = above === null ? Date.now() - agoMs : above.startUnixMs + (this.startMs - above.startMs);
  }

  spanContext(): SpanIds {
    return this.ids;
  }

  get traceId(): string {
    return this.ids.traceId;
  }

  get spanId(): string {
    return this.ids.spanId;
  }

  get traceparent(): string {
    return this.ids.traceparent;
  }

  get showsKeys(): boolean {
    return this.origin.keys === "full";
  }

  begin(name: string, kind: OwnKind, attributes: SpanAttributes = noAttributes): Span {
    const start = { name, kind: kinds[kind], parent: this.ids, link: null, attributes, agoMs: 0 };
    return new RecordedSpan(this.origin, start, this);
  }

  set(name: string, value: string | number): void {
    this.own[name] = value;
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

  /** Microseconds since 1970: the precision of a double. */
  get startMicros(): number {
    return Math.round(this.startUnixMs * 1000);
  }

  get endMicros(): number {
    return Math.round((this.startUnixMs + this.durationMs) * 1000);
  }

  get startTime(): [number, number] {
    return secondsAndNanos(this.startMicros);
  }

  get endTime(): [number, number] {
    return secondsAndNanos(this.endMicros);
  }

  get duration(): [number, number] {
    return secondsAndNanos(Math.round(this.durationMs * 1000));
  }

  get attributes(): Attributes {
    return { ...this.shared, ...this.own };
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

function secondsAndNanos(micros: number): [number, number] {
  const seconds = Math.floor(micros / 1e6);
  return [seconds, (micros - seconds * 1e6) * 1000];
}
