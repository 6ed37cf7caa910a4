/**
 * The interface to a tracer. Without a tracer there are no spans; an unsampled request costs one comparison.
 *
 *     client's request (server) ─┬─ call of a server (client), one for each
 *                                └─ fill ─┬─ lease
 *                                         ├─ fetch ── request to an HTTP server (client), with the trace context
 *                                         └─ populate
 *     refresh (a separate trace, linked to the request that made the key needed) ── fetch ── …
 */

export const SpanKind = { internal: 0, client: 2 } as const;
export type SpanKind = (typeof SpanKind)[keyof typeof SpanKind];

export type SpanAttributes = Readonly<Record<string, string | number>>;

/** A traced operation. `end` is called once; no other call follows it. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Its trace context as the value of a header field (W3C Trace Context). */
  readonly traceparent: string;
  /** False if `about` and `setKeyText` ignore keys. */
  readonly showsKeys: boolean;
  /** Starts a child span. Many spans share one object of `attributes`, which does not change. */
  begin(name: string, kind: SpanKind, attributes?: SpanAttributes): Span;
  set(name: string, value: string | number): void;
  /** Sets the key (one character per byte) and its rule, as far as the configuration allows. */
  about(key: string, rule: string | null): void;
  /** Sets a text that contains parts of the key, as far as the configuration allows. */
  setKeyText(name: string, text: string): void;
  /** Marks the operation as failed; `reason` is one of a few words. `message`: a text of a server without keys. */
  fail(reason: string, message?: string): void;
  end(): void;
}

/** The data of a client's request for a tracer. */
export interface TracedRequest {
  /** The command in the client's notation, such as `get`. */
  readonly operation: string;
  readonly protocol: "classic" | "meta" | "binary";
  /** One character per byte. `null` if the request has no key, or several, or if spans have no keys. */
  readonly key: string | null;
  /** Number of keys of a get of many. `null` for other requests. */
  readonly keyCount: number | null;
}

/** Decides which operations are traced, and begins traces. The caller ends each span. */
export interface Tracer {
  /** Requests slower than this are traced even if they are not sampled. Integer, in µs. */
  readonly slowMicros: number;
  /** True if failed requests are traced even if they are not sampled. */
  readonly tracesErrors: boolean;
  /** False if spans have no keys. */
  readonly showsKeys: boolean;
  /** True if a trace should begin now. Allocates nothing. */
  samples(): boolean;
  /**
   * A client's request that was read `agoMicros` ago. `traceparent` is the caller's trace; `null` if absent.
   * Returns `null` if the caller's trace is not sampled.
   */
  beginRequest(request: TracedRequest, traceparent: string | null, agoMicros: number): Span | null;
  /** A span for an unsampled request that took `tookMicros`. `null` if there were too many in this second. */
  beginUnsampled(request: TracedRequest, tookMicros: number): Span | null;
  /** A refresh. `origin` is the traceparent of the request that made its key needed; `null` if that was not sampled. */
  beginRefresh(origin: string | null): Span;
}

/**
 * Length of the flag `P` of a meta command with a traceparent: version, two ids and flags (W3C Trace Context, section
 * 3.2).
 */
export const TRACEPARENT_LENGTH = 55;
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** The traceparent in the flags of a meta command. `null` if absent. */
export function traceparentOf(flags: readonly string[]): string | null {
  const token = flags.find((flag) => flag[0] === "P")?.slice(1);
  return token !== undefined && TRACEPARENT.test(token) ? token : null;
}
