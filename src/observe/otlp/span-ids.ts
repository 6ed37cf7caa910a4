/**
 * The ids of a span: 128 bits of its trace, 64 bits of its own. Most spans are only encoded
 * (span-encoder.ts), so the ids are numbers. Their texts are made when they are needed.
 *
 * Source: W3C Trace Context, section 3.2.
 */
import { isSpanContextValid, type SpanContext, TraceFlags } from "@opentelemetry/api";

export class SpanIds implements SpanContext {
  readonly traceFlags: number;
  readonly isRemote: boolean;
  /** Words of 32 bits, most significant first. */
  readonly trace0: number;
  readonly trace1: number;
  readonly trace2: number;
  readonly trace3: number;
  readonly span0: number;
  readonly span1: number;
  private traceText: string | null = null;
  private spanText: string | null = null;

  /** A new span, in the trace of `parent` if there is one. */
  constructor(parent: SpanIds | null, context: SpanContext | null = null) {
    this.traceFlags = context?.traceFlags ?? TraceFlags.SAMPLED;
    this.isRemote = context !== null;
    if (context !== null) {
      this.trace0 = wordOf(context.traceId, 0);
      this.trace1 = wordOf(context.traceId, 1);
      this.trace2 = wordOf(context.traceId, 2);
      this.trace3 = wordOf(context.traceId, 3);
      this.span0 = wordOf(context.spanId, 0);
      this.span1 = wordOf(context.spanId, 1);
      return;
    }
    this.trace0 = parent === null ? randomWord() : parent.trace0;
    this.trace1 = parent === null ? randomWord() : parent.trace1;
    this.trace2 = parent === null ? randomWord() : parent.trace2;
    // An id of zeros is invalid.
    this.trace3 = parent === null ? randomWord() || 1 : parent.trace3;
    this.span0 = randomWord();
    this.span1 = randomWord() || 1;
  }

  get traceId(): string {
    this.traceText ??= textOf(this.trace0) + textOf(this.trace1) + textOf(this.trace2) + textOf(this.trace3);
    return this.traceText;
  }

  get spanId(): string {
    this.spanText ??= textOf(this.span0) + textOf(this.span1);
    return this.spanText;
  }

  get traceparent(): string {
    return `00-${this.traceId}-${this.spanId}-${this.traceFlags.toString(16).padStart(2, "0")}`;
  }
}

/** The span of a caller. `null` if the text is not a valid traceparent. */
export function idsOf(traceparent: string): SpanIds | null {
  const [, traceId, spanId, flags] = /^00-(\w{32})-(\w{16})-(\w{2})$/.exec(traceparent) ?? [];
  if (traceId === undefined) return null;
  const context = { traceId, spanId: spanId!, traceFlags: Number.parseInt(flags!, 16) };
  return isSpanContextValid(context) ? new SpanIds(null, context) : null;
}

/** A signed word: V8 keeps it without an allocation. */
function randomWord(): number {
  return (Math.random() * 0x1_0000_0000) | 0;
}

function wordOf(hex: string, index: number): number {
  return Number.parseInt(hex.slice(index * 8, index * 8 + 8), 16) | 0;
}

function textOf(word: number): string {
  return (word >>> 0).toString(16).padStart(8, "0");
}
