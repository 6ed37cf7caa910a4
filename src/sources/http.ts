/**
 * Values from an HTTP server. The origin is fixed in the configuration; the key only chooses path, query and headers.
 *
 * 200 with a body is a value; 404 and 410 are "not there"; 304 to a conditional request is "unchanged"; everything else,
 * redirects included, is a failure.
 */
import type { IncomingHttpHeaders } from "node:http";
import { Pool } from "undici";
import type { HttpSourceConfig } from "../config/config.ts";
import { SourceError } from "../errors.ts";
import { freshnessOfResponse } from "./freshness.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import { asHeader, asUrl, parseTemplate, refuseDots, renderTemplate, type Template } from "./template.ts";

const CONNECT_TIMEOUT_MS = 1_000;
const KEEP_ALIVE_MS = 10_000;
/** What of a body that is not wanted is read, and for how long, so that its connection can be used again. */
const MAX_UNWANTED_BYTES = 16 * 1024;
const MAX_UNWANTED_MS = 1_000;
/** Statuses after which asking again at once may help. */
const TRANSIENT: ReadonlySet<number> = new Set([502, 503, 504]);
const ETAG = "etag ";
const DATE = "date ";
const MAX_TAG_LENGTH = 256;

/** Fetches over a pool of kept-alive connections, at most as many as the source's concurrency. */
export class HttpSource implements Source {
  readonly name: string;
  private readonly config: HttpSourceConfig;
  private readonly path: Template;
  private readonly headers: readonly (readonly [string, Template])[];
  private readonly pool: Pool;

  constructor(config: HttpSourceConfig) {
    this.name = config.name;
    this.config = config;
    const { origin, path } = splitUrl(config.url);
    this.path = parseTemplate(path);
    this.headers = config.headers.map(([name, value]) => [name, parseTemplate(value)] as const);
    this.pool = new Pool(origin, {
      connections: config.concurrency,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: { timeout: Math.min(CONNECT_TIMEOUT_MS, config.timeoutMs) },
      // The limiter's time-out is the one that counts; these end what it has given up.
      headersTimeout: config.timeoutMs + CONNECT_TIMEOUT_MS,
      bodyTimeout: config.timeoutMs + CONNECT_TIMEOUT_MS,
    });
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    const path = renderTemplate(this.path, context, asUrl);
    // Parts may be empty, and the template's own dots be what is left of a segment.
    refuseDots(path.split("?")[0]!);
    const headers = Object.fromEntries(
      this.headers.map(([name, value]) => [name, renderTemplate(value, context, asHeader)]),
    );
    try {
      return await this.request(path, headers, context);
    } catch (error) {
      if (error instanceof SourceError) throw error;
      const { message } = error as Error;
      throw new SourceError("SOURCE_UNREACHABLE", `source ${this.name}: ${message}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    await this.pool.destroy();
  }

  private async request(
    path: string,
    headers: Record<string, string>,
    { tag, signal }: FetchContext,
  ): Promise<FetchResult> {
    const { method, maxBodyBytes, isEmptyValue } = this.config;
    const response = await this.pool.request({ method, path, headers: { ...conditions(tag), ...headers }, signal });
    const { statusCode, body } = response;
    const freshness = freshnessOfResponse(statusCode, response.headers);
    if (statusCode !== 200) {
      body.dump({ limit: MAX_UNWANTED_BYTES, signal: AbortSignal.timeout(MAX_UNWANTED_MS) }).catch(() => {});
      if (statusCode === 404 || statusCode === 410) return { type: "notThere" };
      if (statusCode === 304 && tag !== null) return { type: "unchanged", freshness };
      const isTransient = TRANSIENT.has(statusCode);
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: status ${statusCode}`, { isTransient });
    }
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > maxBodyBytes) {
        // Leaving the loop destroys the body, and the connection with it.
        throw new SourceError("SOURCE_TOO_LARGE", `source ${this.name}: the body has more than ${maxBodyBytes} bytes`);
      }
      chunks.push(chunk);
    }
    if (length === 0 && !isEmptyValue) {
      throw new SourceError("SOURCE_STATUS", `source ${this.name}: an empty body (a value only with empty = true)`);
    }
    return { type: "value", value: Buffer.concat(chunks), tag: tagOf(response.headers), freshness };
  }
}

/** Marks of what a response is: its ETag, else when it was last modified; null: neither, or too long to be kept. */
function tagOf(headers: IncomingHttpHeaders): string | null {
  const { etag, "last-modified": modified } = headers;
  const tag = typeof etag === "string" ? `${ETAG}${etag}` : typeof modified === "string" ? `${DATE}${modified}` : null;
  return tag === null || tag.length > MAX_TAG_LENGTH ? null : tag;
}

/** Asks for the body only if it is another one than that of `tag` (RFC 9110, section 13). */
function conditions(tag: string | null): Record<string, string> {
  if (tag === null) return {};
  return tag.startsWith(ETAG)
    ? { "if-none-match": tag.slice(ETAG.length) }
    : { "if-modified-since": tag.slice(DATE.length) };
}

/**
 * Divides a URL template behind its origin. The path begins with a slash; a fragment is never sent. Blanks and what is
 * not ASCII are percent-encoded, as in the address bar of a browser.
 */
function splitUrl(url: string): { origin: string; path: string } {
  const [, origin, rest] = /^(https?:\/\/[^/?#]+)(.*)$/i.exec(url)!;
  const path = rest!.split("#")[0]!.replace(/[^!-~]+/g, encodeURIComponent);
  return { origin: origin!, path: path.startsWith("/") ? path : `/${path}` };
}
