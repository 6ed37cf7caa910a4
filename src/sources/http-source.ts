/**
 * Values from an HTTP server. The configuration fixes the origin; the key only selects path, query, headers and body,
 * and redirects never leave the origin.
 *
 * The configuration defines the meaning of each status: a value, "not there", or a failure. A 304 to a conditional
 * request is "unchanged".
 */
import type { Dispatcher, Pool } from "undici";
import { shownUrl, withoutLiterals } from "../config/shown-url.ts";
import { SourceError } from "../errors.ts";
import { names } from "../name-cache.ts";
import { type Span, SpanKind } from "../proxy/tracing.ts";
import { canUnpack, contentCodingsOf, unpack } from "./content-coding.ts";
import { freshnessFieldsOf, freshnessOf, updatedFields } from "./freshness.ts";
import type { HttpSourceConfig } from "./http.ts";
import { conditionsOf, markOf, readMark, validatorOf } from "./http-mark.ts";
import { selectJson } from "./json-pointer.ts";
import { ResponseFields } from "./response-fields.ts";
import type { FetchContext, FetchedValue, FetchResult, Source } from "./source.ts";
import {
  asForm,
  asHeader,
  asJson,
  asPlainText,
  asUrl,
  type Escape,
  parseTemplate,
  refuseDots,
  renderTemplate,
  type Template,
} from "./template.ts";

const KEEP_ALIVE_MS = 10_000;
const GRACE_MS = 1_000;
/** Maximum age of a connection, so that Platypus notices changed addresses of the host name. */
const CONNECTION_LIFE_MS = 60_000;
/** Maximum size and time for reading an unwanted body, so that its connection can be reused. */
const MAX_UNWANTED_BYTES = 16 * 1024;
const MAX_UNWANTED_MS = 1_000;
/** Statuses after which an immediate retry may succeed. */
const TRANSIENT: ReadonlySet<number> = new Set([502, 503, 504]);
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 307, 308]);

interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  /** The path in a form without secrets. */
  readonly shownPath: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer | null;
}

/** Fetches over a pool of keep-alive connections, at most as many as the source's concurrency. */
export class HttpSource implements Source {
  readonly name: string;
  private readonly config: HttpSourceConfig;
  private readonly origin: string;
  private readonly path: Template;
  private readonly query: readonly (readonly [string, Template])[];
  /** URL, path and query in a form without secrets. */
  private readonly shownUrl: string;
  private readonly shownPath: Template;
  private readonly shownQuery: readonly (readonly [string, Template])[];
  private readonly headers: readonly (readonly [string, Template])[];
  private readonly body: Template | null;
  private readonly escapeBody: Escape;
  private readonly pool: Promise<Pool>;

  constructor(config: HttpSourceConfig) {
    this.name = config.name;
    this.config = config;
    const { origin, path } = splitUrl(config.url);
    this.origin = origin;
    this.path = parseTemplate(path);
    this.query = parseAll(config.query);
    const shown = config.shown ?? {
      url: shownUrl(config.url),
      query: config.query.map(([name, value]) => [name, withoutLiterals(value)] as const),
    };
    this.shownUrl = shown.url;
    this.shownPath = parseTemplate(splitUrl(shown.url).path);
    this.shownQuery = parseAll(shown.query);
    this.headers = parseAll(config.headers);
    this.body = config.body === null ? null : parseTemplate(Buffer.from(config.body, "utf8").toString("latin1"));
    this.escapeBody = escapeFor(config.headers);
    this.pool = openPool(origin, config);
    // Each fetch reports this error.
    this.pool.catch(() => {});
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    try {
      return await this.ask(this.requestFor(context), context);
    } catch (error) {
      if (error instanceof SourceError) throw error;
      const { message } = error as Error;
      throw new SourceError("SOURCE_UNREACHABLE", `source ${this.name}: ${message}`, { cause: error });
    }
  }

  describe(context: FetchContext): string[] {
    const { method, shownPath, headers, body } = this.requestFor(context);
    const names = Object.keys(headers).join(", ");
    const sent = body === null ? "" : `, ${body.length} bytes of body`;
    return [`${method} ${this.origin}${shownPath} with ${names}${sent}`];
  }

  async close(): Promise<void> {
    await (await this.pool).destroy();
  }

  private requestFor(context: FetchContext): HttpRequest {
    let path = renderTemplate(this.path, context, asUrl);
    // Parts may be empty, so that only the template's own dots remain of a segment.
    refuseDots(path.split("?")[0]!);
    path = withQuery(path, this.query, context);
    const { authorization, method } = this.config;
    return {
      method: method as Dispatcher.HttpMethod,
      path,
      shownPath: withQuery(renderTemplate(this.shownPath, context, asUrl), this.shownQuery, context),
      headers: {
        "accept-encoding": "gzip, br",
        ...conditionsOf(context.tag),
        ...(authorization !== null && { authorization }),
        ...Object.fromEntries(this.headers.map(([name, value]) => [name, renderTemplate(value, context, asHeader)])),
      },
      body: this.body === null ? null : Buffer.from(renderTemplate(this.body, context, this.escapeBody), "latin1"),
    };
  }

  private async ask(first: HttpRequest, { tag, signal, span = null }: FetchContext): Promise<FetchResult> {
    const { redirects, valueStatuses, notFoundStatuses } = this.config;
    let request = first;
    for (let followed = 0; ; followed++) {
      const { statusCode, headers, body } = await this.send(request, signal, span);
      const fields = new ResponseFields(headers);
      if (valueStatuses.includes(statusCode)) return this.read(statusCode, fields, body);
      leaveUnread(body);
      if (notFoundStatuses.includes(statusCode)) return { type: "notThere" };
      if (statusCode === 304 && tag !== null) return unchanged(tag, fields);
      const target = REDIRECTS.has(statusCode) && request.body === null ? this.redirectOf(request, fields) : null;
      if (target === null || followed === redirects) {
        const isTransient = TRANSIENT.has(statusCode);
        throw new SourceError("SOURCE_STATUS", `source ${this.name}: status ${statusCode}`, { isTransient });
      }
      request = { ...request, path: target, shownPath: target.split("?")[0]! };
    }
  }

  /**
   * One request to the server. A traced request carries its trace context. The span ends with the head of the response.
   */
  private async send(request: HttpRequest, signal: AbortSignal, span: Span | null): Promise<Dispatcher.ResponseData> {
    const pool = await this.pool;
    const { shownPath, ...sent } = request;
    if (span === null) return pool.request({ ...sent, signal });
    const { hostname, port, protocol } = new URL(this.origin);
    const call = span.begin(request.method, SpanKind.client, {
      "http.request.method": request.method,
      "server.address": hostname,
      "server.port": Number(port) || (protocol === "https:" ? 443 : 80),
      "url.template": this.shownUrl,
    });
    call.setKeyText("url.full", this.origin + shownPath);
    try {
      const headers = { ...request.headers, traceparent: call.traceparent };
      const response = await pool.request({ ...sent, headers, signal });
      call.set("http.response.status_code", response.statusCode);
      if (response.statusCode >= 400) call.fail(String(response.statusCode));
      return response;
    } catch (error) {
      call.fail(error instanceof Error ? error.name : "unexpected");
      throw error;
    } finally {
      call.end();
    }
  }

  /** Path of a redirect within the origin. `null` if there is no redirect, or if it leaves the origin. */
  private redirectOf({ path }: HttpRequest, fields: ResponseFields): string | null {
    const location = fields.single("location");
    const base = new URL(this.origin + path);
    if (location === null || !URL.canParse(location, base.href)) return null;
    const target = new URL(location, base);
    return target.origin === base.origin ? target.pathname + target.search : null;
  }

  private async read(
    status: number,
    fields: ResponseFields,
    body: Dispatcher.ResponseData["body"],
  ): Promise<FetchedValue> {
    const { maxBodyBytes, isEmptyValue, select, contentTypes } = this.config;
    const type = contentTypeOf(fields);
    if (contentTypes.length > 0 && !contentTypes.includes(type)) {
      leaveUnread(body);
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: status ${status} with content type ${type}`);
    }
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of this.unpacked(body, fields)) {
      length += chunk.length;
      if (length > maxBodyBytes) {
        // Leaving the loop destroys the body and its connection.
        throw new SourceError("SOURCE_TOO_LARGE", `source ${this.name}: the body has more than ${maxBodyBytes} bytes`);
      }
      chunks.push(chunk);
    }
    const whole = Buffer.concat(chunks);
    const value = select === null ? whole : selectJson(whole, select, this.name);
    if (value.length === 0 && !isEmptyValue) {
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: an empty body (a value only with empty = true)`);
    }
    const kept = freshnessFieldsOf(fields);
    const freshness = freshnessOf(kept, fields, Date.now());
    return { type: "value", value, tag: markOf(validatorOf(fields), kept), freshness };
  }

  /** Throws a SourceError for an encoding that was not requested. */
  private unpacked(body: Dispatcher.ResponseData["body"], fields: ResponseFields): AsyncIterable<Buffer> {
    const codings = contentCodingsOf(fields);
    if (canUnpack(codings)) return unpack(body, codings);
    leaveUnread(body);
    throw new SourceError(
      "SOURCE_STATUS",
      `source ${this.name}: the content encoding ${codings.join(", ")} was not asked for`,
    );
  }
}

/** undici is loaded only for such a source: it is an eighth of Platypus' memory at startup. */
async function openPool(origin: string, config: HttpSourceConfig): Promise<Pool> {
  const { Pool } = await import("undici");
  // If no read timeout is set, the limiter's timeout applies; this one ends the abandoned requests.
  const readTimeoutMs = config.readTimeoutMs ?? config.timeoutMs + GRACE_MS;
  return new Pool(origin, {
    connections: config.concurrency,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    clientTtl: CONNECTION_LIFE_MS,
    connect: { timeout: Math.min(config.connectTimeoutMs, config.timeoutMs), lookup: names.lookup },
    headersTimeout: readTimeoutMs,
    bodyTimeout: readTimeoutMs,
  });
}

/** The connection can be reused if the rest of the body is short and arrives soon. */
function leaveUnread(body: Dispatcher.ResponseData["body"]): void {
  body.dump({ limit: MAX_UNWANTED_BYTES, signal: AbortSignal.timeout(MAX_UNWANTED_MS) }).catch(() => {});
}

function parseAll(templates: readonly (readonly [string, string])[]): [string, Template][] {
  return templates.map(([name, value]) => [name, parseTemplate(value)]);
}

/** The escape function for parts of a key in a body of this type. */
function escapeFor(headers: readonly (readonly [string, string])[]): Escape {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1].toLowerCase() ?? "";
  if (/^application\/([\w.-]+\+)?json\b/.test(type)) return asJson;
  return type.startsWith("application/x-www-form-urlencoded") ? asForm : asPlainText;
}

/** A 304 updates the stored fields of the response that it confirms (RFC 9111 section 4.3.4). */
function unchanged(known: string, fields: ResponseFields): FetchResult {
  const mark = readMark(known);
  const kept = updatedFields(mark.fields, freshnessFieldsOf(fields));
  const tag = markOf(validatorOf(fields) ?? mark.validator, kept)!;
  return { type: "unchanged", freshness: freshnessOf(kept, fields, Date.now()), tag };
}

/** In lower case without parameters; "none" if there is none. The last of several lines counts. */
function contentTypeOf(fields: ResponseFields): string {
  const types = fields.list("content-type").map((type) => type.split(";")[0]!.trim().toLowerCase());
  return types.at(-1) ?? "none";
}

/** Adds a query to a path. */
function withQuery(path: string, query: readonly (readonly [string, Template])[], context: FetchContext): string {
  let whole = path;
  for (const [name, value] of query) {
    const separator = whole.includes("?") ? "&" : "?";
    whole += `${separator}${encodeURIComponent(name)}=${renderTemplate(value, context, asForm)}`;
  }
  return whole;
}

/**
 * Splits a URL template after its origin. The path begins with a slash; a fragment is never sent. Blanks and non-ASCII
 * characters are percent-encoded, as in the address bar of a browser.
 */
function splitUrl(url: string): { origin: string; path: string } {
  const [, origin, rest] = /^(https?:\/\/[^/?#]+)([\s\S]*)$/i.exec(url)!;
  const path = rest!.split("#")[0]!.replace(/[^!-~]+/g, encodeURIComponent);
  return { origin: origin!, path: path.startsWith("/") ? path : `/${path}` };
}
