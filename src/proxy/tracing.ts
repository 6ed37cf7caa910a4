/**
 * The seam to whoever records traces. Without a tracer there is no span anywhere: what is not sampled costs one comparison.
 *
 *     client's request (server) ─┬─ call of a server (client), one for each
 *                                └─ fill ─┬─ lease
 *                                         ├─ fetch ── call of an HTTP server (client), which is told the trace
 *                                         └─ populate
 *     refresh (a trace of its own, linked to the request that made the key needed) ── fetch ── …
 */

export const SpanKind = { internal: 0, client: 2 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export type SpanAttributes = Readonly<Record<string, string | number>>;

/** What is told of something that takes time. It is ended once; nothing is told of it after that. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Its place in the trace, as a header field carries it (W3C Trace Context). */
  readonly traceparent: string;
  /** Something within it, which begins now. */
  begin(name: string, kind: SpanKind, attributes?: SpanAttributes): Span;
  set(name: string, value: string | number): void;
  /** The key that it is about, one character per byte, and its rule; told as far as the configuration allows. */
  about(key: string, rule: string | null): void;
  /** The same of a text that has parts of the key in it. */
  setKeyText(name: string, text: string): void;
  /** It did not succeed; `reason` is one of few words. */
  fail(reason: string): void;
  end(): void;
}

/** The part of a client's request that a tracer is told. */
export interface TracedRequest {
  /** The command in the client's words, such as `get`. */
  readonly operation: string;
  readonly protocol: "classic" | "meta" | "binary";
  /** One character per byte; `null` if the request has no key, or many. */
  readonly key: string | null;
  /** Number of keys of a get of many; `null` for other requests. */
  readonly keyCount: number | null;
}

/** Decides what is traced, and begins traces. The caller that gets a span ends it. */
export interface Tracer {
  /** Requests that took longer are told of though they were not sampled. Whole µs. */
  readonly slowMicros: number;
  /** The same of those that failed. */
  readonly tracesErrors: boolean;
  /** Whether to begin a trace now; nothing is allocated. */
  samples(): boolean;
  /**
   * A client's request, which was read `agoMicros` ago. `traceparent`: the trace of the caller's that it belongs to; null:
   * none. Null: the caller does not want it to be traced.
   */
  beginRequest(request: TracedRequest, traceparent: string | null, agoMicros: number): Span | null;
  /**
   * A span for a request that took `tookMicros` and was not sampled. `null` if there were too many of them in this second.
   */
  beginUnsampled(request: TracedRequest, tookMicros: number): Span | null;
  /** A refresh; `origin` is the traceparent of the request that made its key needed, null where that was not sampled. */
  beginRefresh(origin: string | null): Span;
}

/** `P` of a meta command that holds a traceparent: the version, two ids and the flags (W3C Trace Context, section 3.2). */
export const TRACEPARENT_LENGTH = 55;
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The traceparent in the flags of a meta command; null: none. */
export function traceparentOf(flags: readonly string[]): string | null {
  const token = flags.find((flag) => flag[0] === "P")?.slice(1);
  return token !== undefined && TRACEPARENT.test(token) ? token : null;
}
