/**
 * Values from an HTTP server. The configuration fixes the origin; the key only selects path, query, headers and body,
 * and redirects never leave the origin.
 *
 * The configuration defines the meaning of each status: a value, "not there", or a failure. A 304 to a conditional
 * request is "unchanged".
 */
import type { Pool } from "undici";
import { SourceError } from "../errors.ts";
import { names } from "../name-cache.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import { MAX_PLACES } from "./adaptive-concurrency.ts";
import { canUnpack, contentCodingsOf, maxPackedBytes, unpack } from "./content-coding.ts";
import { freshnessFieldsOf, freshnessOf, updatedFields } from "./freshness.ts";
import type { HttpSourceConfig } from "./http.ts";
import { HttpBatching } from "./http-batch.ts";
import { HttpCalls } from "./http-calls.ts";
import { exchange, type HttpResponse } from "./http-exchange.ts";
import { markOf, readMark, validatorOf } from "./http-mark.ts";
import { type HttpRequest, RequestTemplate } from "./http-request.ts";
import { selectJson } from "./json-pointer.ts";
import type { ResponseFields } from "./response-fields.ts";
import type { Batching, FetchContext, FetchedValue, FetchResult, Freshness, Source } from "./source.ts";

const KEEP_ALIVE_MS = 10_000;
const GRACE_MS = 1_000;
/** Maximum age of a connection, so that Platypus notices changed addresses of the host name. */
const CONNECTION_LIFE_MS = 60_000;
/** Statuses after which an immediate retry may succeed. */
const TRANSIENT: ReadonlySet<number> = new Set([502, 503, 504]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

/** The body of a response that has values. */
export interface HttpBody {
  readonly type: "body";
  readonly body: Buffer;
  readonly tag: string | null;
  readonly freshness: Freshness | null;
}

/** The answer to a request: a body, or the result without one. */
export type HttpAnswer = HttpBody | Exclude<FetchResult, FetchedValue>;

/** Fetches over a pool of keep-alive connections, at most as many as the source's concurrency. */
export class HttpSource implements Source {
  readonly name: string;
  private readonly config: HttpSourceConfig;
  private readonly request: RequestTemplate;
  readonly batching: Batching | null;
  readonly httpCalls: HttpCalls;
  private readonly pool: Promise<Pool>;

  constructor(config: HttpSourceConfig) {
    this.name = config.name;
    this.config = config;
    this.request = new RequestTemplate(config);
    this.httpCalls = new HttpCalls(this.request.origin);
    const { batch = null } = config;
    this.batching =
      batch === null ? null : new HttpBatching(config, batch, (request, context) => this.answerTo(request, context));
    this.pool = openPool(this.request.origin, config);
    // Each fetch reports this error.
    this.pool.catch(() => {});
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    const answer = await this.answerTo(this.request.render([context]), context);
    return answer.type === "body" ? this.valueOf(answer) : answer;
  }

  describe(context: FetchContext): string[] {
    return [this.request.describe([context])];
  }

  async close(): Promise<void> {
    await (await this.pool).destroy();
  }

  /** Throws a SourceError. */
  private async answerTo(request: HttpRequest, context: FetchContext): Promise<HttpAnswer> {
    try {
      return await this.ask(request, context);
    } catch (error) {
      if (error instanceof SourceError) throw error;
      const { message } = error as Error;
      throw new SourceError("SOURCE_UNREACHABLE", `source ${this.name}: ${message}`, { cause: error });
    }
  }

  private async ask(first: HttpRequest, { tag, signal, span = null }: FetchContext): Promise<HttpAnswer> {
    const { redirects, valueStatuses, notFoundStatuses } = this.config;
    let request = first;
    for (let followed = 0; ; followed++) {
      const response = await this.send(request, signal, span);
      const { status, fields } = response;
      if (valueStatuses.includes(status)) return this.read(response);
      if (notFoundStatuses.includes(status)) return { type: "notThere" };
      if (status === 304 && tag !== null) return unchanged(tag, fields);
      const target = REDIRECTS.has(status) && request.body === null ? this.redirectOf(request, fields) : null;
      if (target === null || followed === redirects) {
        const isTransient = TRANSIENT.has(status);
        throw new SourceError("SOURCE_STATUS", `source ${this.name}: status ${status}`, { isTransient, status });
      }
      request = { ...request, path: target, shownPath: target.split("?")[0]! };
    }
  }

  /**
   * One request to the server. A traced request carries its trace context. The span ends with the head of the response,
   * and so does the recorded duration.
   */
  private async send(request: HttpRequest, signal: AbortSignal, span: Span | null): Promise<HttpResponse> {
    const pool = await this.pool;
    const { method, path, body, template } = request;
    const call = span === null ? null : this.beginCall(span, request);
    const headers = call === null ? request.headers : { ...request.headers, traceparent: call.traceparent };
    const startMs = performance.now();
    const end = (status: number | null, error: string | null) => {
      this.httpCalls.add({ method, template, status, error }, performance.now() - startMs, call);
      if (status !== null) call?.set("http.response.status_code", status);
      if (error !== null) call?.fail(error);
      call?.end();
    };
    let hasHead = false;
    const limitOf = (status: number, fields: ResponseFields) => {
      hasHead = true;
      end(status, status >= 400 ? String(status) : null);
      return this.limitOf(status, fields);
    };
    try {
      return await exchange(pool, { method, path, headers, body }, { signal, limitOf });
    } catch (error) {
      if (!hasHead) end(null, errorTypeOf(error));
      throw error;
    }
  }

  private beginCall(span: Span, { method, template, shownPath }: HttpRequest): Span {
    const call = span.begin(`${method} ${template}`, SpanKind.client);
    call.set("http.request.method", method);
    call.set("server.address", this.httpCalls.address);
    call.set("server.port", this.httpCalls.port);
    call.set("url.template", template);
    call.setKeyText("url.full", this.request.origin + shownPath);
    return call;
  }

  /** Path of a redirect within the origin. `null` if there is no redirect, or if it leaves the origin. */
  private redirectOf({ path }: HttpRequest, fields: ResponseFields): string | null {
    const location = fields.single("location");
    const base = new URL(this.request.origin + path);
    if (location === null || !URL.canParse(location, base.href)) return null;
    const target = new URL(location, base);
    return target.origin === base.origin ? target.pathname + target.search : null;
  }

  /** Maximum size of a body as it is sent. `null` if `read` refuses the response whatever its body. */
  private limitOf(status: number, fields: ResponseFields): number | null {
    const { maxBodyBytes, valueStatuses } = this.config;
    if (!valueStatuses.includes(status) || !this.isWantedType(fields)) return null;
    const codings = contentCodingsOf(fields);
    if (codings.length === 0) return maxBodyBytes;
    return canUnpack(codings) ? maxPackedBytes(maxBodyBytes) : null;
  }

  /** Throws a SourceError. */
  private async read({ status, fields, body }: HttpResponse): Promise<HttpBody> {
    if (!this.isWantedType(fields)) {
      const type = contentTypeOf(fields);
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: status ${status} with content type ${type}`);
    }
    const codings = contentCodingsOf(fields);
    if (!canUnpack(codings)) {
      const coding = codings.join(", ");
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: the content encoding ${coding} was not asked for`);
    }
    const { maxBodyBytes } = this.config;
    const whole = body instanceof Buffer ? await unpack(body, codings, maxBodyBytes) : null;
    if (whole === null) {
      throw new SourceError("SOURCE_TOO_LARGE", `source ${this.name}: the body has more than ${maxBodyBytes} bytes`);
    }
    const kept = freshnessFieldsOf(fields);
    const freshness = freshnessOf(kept, fields, Date.now());
    return { type: "body", body: whole, tag: markOf(validatorOf(fields), kept), freshness };
  }

  private isWantedType(fields: ResponseFields): boolean {
    const { contentTypes } = this.config;
    return contentTypes.length === 0 || contentTypes.includes(contentTypeOf(fields));
  }

  private valueOf({ body, tag, freshness }: HttpBody): FetchedValue {
    const { isEmptyValue, select } = this.config;
    const value = select === null ? body : selectJson(body, select, this.name);
    if (value.length === 0 && !isEmptyValue) {
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: an empty body (a value only with empty = true)`);
    }
    return { type: "value", value, tag, freshness };
  }
}

/** undici is loaded only for such a source: it is an eighth of Platypus' memory at startup. */
async function openPool(origin: string, config: HttpSourceConfig): Promise<Pool> {
  const { Pool } = await import("undici");
  // If no read timeout is set, the limiter's timeout applies; this one ends the abandoned requests.
  const readTimeoutMs = config.readTimeoutMs ?? config.timeoutMs + GRACE_MS;
  return new Pool(origin, {
    connections: config.concurrency === "auto" ? MAX_PLACES : config.concurrency,
    pipelining: 1,
    // A server ends an HTTP/2 session whose responses are often cut off, and with it the other fetches.
    allowH2: false,
    keepAliveTimeout: KEEP_ALIVE_MS,
    clientTtl: CONNECTION_LIFE_MS,
    connect: { timeout: Math.min(config.connectTimeoutMs, config.timeoutMs), lookup: names.lookup },
    headersTimeout: readTimeoutMs,
    bodyTimeout: readTimeoutMs,
  });
}

/** The code of an error, such as `ECONNREFUSED`. */
function errorTypeOf(error: unknown): string {
  if (!(error instanceof Error)) return "unexpected";
  return "code" in error && typeof error.code === "string" ? error.code : error.name;
}

/** A 304 updates the stored fields of the response that it confirms (RFC 9111 section 4.3.4). */
function unchanged(known: string, fields: ResponseFields): HttpAnswer {
  const mark = readMark(known);
  const kept = updatedFields(mark.fields, freshnessFieldsOf(fields));
  const tag = markOf(validatorOf(fields) ?? mark.validator, kept)!;
  return { type: "unchanged", freshness: freshnessOf(kept, fields, Date.now()), tag };
}

/** In lower case without parameters; "none" if absent. The last of several lines counts. */
function contentTypeOf(fields: ResponseFields): string {
  const types = fields.list("content-type").map((type) => type.split(";")[0]!.trim().toLowerCase());
  return types.at(-1) ?? "none";
}
