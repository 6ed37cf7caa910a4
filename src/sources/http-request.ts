/**
 * The request of an http source: templates of its path, query, header fields and body. One request can ask for several
 * keys: then the values of one part of the keys are joined in its place, and the other parts are the same in all keys.
 */
import type { Dispatcher } from "undici";
import { shownUrl, withoutLiterals } from "../config/shown-url.ts";
import { conditionsOf } from "./http-mark.ts";
import { type JsonList, jsonListOf, renderJsonList } from "./json-list.ts";
import type { Captures, FetchContext } from "./source.ts";
import {
  asForm,
  asHeader,
  asJson,
  asPlainText,
  asUrl,
  type Escape,
  type Joining,
  parseTemplate,
  partOf,
  refuseDots,
  renderJoined,
  type Template,
  templateNames,
} from "./template.ts";

export interface HttpRequest {
  readonly method: Dispatcher.HttpMethod;
  readonly path: string;
  /** The path in a form without secrets. */
  readonly shownPath: string;
  /** The template of the path, without the query and without secrets. */
  readonly template: string;
  readonly headers: Record<string, string>;
  readonly body: Buffer | null;
}

type Named<T> = readonly (readonly [string, T])[];

/** The settings of a request, as templates. */
export interface RequestConfig {
  readonly url: string;
  readonly method: string;
  readonly query: Named<string>;
  readonly headers: Named<string>;
  readonly body: string | null;
  /** The Authorization header. `null` if absent. */
  readonly authorization: string | null;
  /** `url` and `query` for display. */
  readonly shown?: { readonly url: string; readonly query: Named<string> };
}

export class RequestTemplate {
  readonly origin: string;
  private readonly method: Dispatcher.HttpMethod;
  private readonly path: Template;
  private readonly query: Named<Template>;
  private readonly pathTemplate: string;
  /** Path and query in a form without secrets. */
  private readonly shownPath: Template;
  private readonly shownQuery: Named<Template>;
  private readonly headers: Named<Template>;
  private readonly authorization: string | null;
  private readonly body: Template | null;
  private readonly escapeBody: Escape;
  private readonly joining: Joining | null;
  /** The list in a JSON body that has an entry per key. `null` if there is no such list. */
  private readonly list: JsonList | null;
  /** Parts of a key, apart from the joined part. */
  private readonly others: readonly string[];

  /** `joining`: for requests for several keys. */
  constructor(config: RequestConfig, joining: Joining | null = null) {
    const { origin, path } = splitUrl(config.url);
    this.origin = origin;
    // The choices of the setting are methods.
    this.method = config.method as Dispatcher.HttpMethod;
    this.path = parseTemplate(path);
    this.query = parseAll(config.query);
    const shown = config.shown ?? {
      url: shownUrl(config.url),
      query: config.query.map(([name, value]) => [name, withoutLiterals(value)] as const),
    };
    const shownPath = splitUrl(shown.url).path;
    this.pathTemplate = shownPath.split("?")[0]!;
    this.shownPath = parseTemplate(shownPath);
    this.shownQuery = parseAll(shown.query);
    this.headers = parseAll(config.headers);
    this.authorization = config.authorization;
    this.body = config.body === null ? null : parseTemplate(Buffer.from(config.body, "utf8").toString("latin1"));
    this.escapeBody = escapeFor(config.headers);
    this.joining = joining;
    const isJson = joining !== null && this.body !== null && this.escapeBody === asJson;
    this.list = isJson ? jsonListOf(this.body!, joining.name) : null;
    const templates = [this.path, this.body ?? [], ...[...this.query, ...this.headers].map(([, value]) => value)];
    this.others = [...new Set(templates.flatMap(templateNames))].filter((name) => name !== joining?.name);
  }

  /** The request for these keys, of one group. Throws a SourceError for a refused key. */
  render(keys: readonly FetchContext[]): HttpRequest {
    let path = this.join(this.path, keys, asUrl);
    // Parts may be empty, so that only the template's own dots remain of a segment.
    refuseDots(path.split("?")[0]!);
    path = this.withQuery(path, this.query, keys);
    const { authorization, method, list } = this;
    const headers = this.headers.map(([name, value]) => [name, this.join(value, keys, asHeader)] as const);
    const body = list === null ? this.bodyOf(keys) : renderJsonList(list, keys);
    return {
      method,
      path,
      shownPath: this.withQuery(this.join(this.shownPath, keys, asUrl), this.shownQuery, keys),
      template: this.pathTemplate,
      headers: {
        "accept-encoding": "gzip, br",
        ...(keys.length === 1 && conditionsOf(keys[0]!.tag)),
        ...(authorization !== null && { authorization }),
        ...Object.fromEntries(headers),
      },
      body: body === null ? null : Buffer.from(body, "latin1"),
    };
  }

  /** One line without secrets. Throws a SourceError for a refused key. */
  describe(keys: readonly FetchContext[]): string {
    const { method, shownPath, headers, body } = this.render(keys);
    const sent = body === null ? "" : `, ${body.length} bytes of body`;
    return `${method} ${this.origin}${shownPath} with ${Object.keys(headers).join(", ")}${sent}`;
  }

  /** Equal for keys that can share a request. Throws a SourceError for a key without a needed part. */
  groupOf(captures: Captures): string {
    // The same text in another encoding has other bytes.
    return JSON.stringify([captures.encoding, ...this.others.map((name) => partOf(captures, name))]);
  }

  private bodyOf(keys: readonly FetchContext[]): string | null {
    return this.body === null ? null : this.join(this.body, keys, this.escapeBody);
  }

  private join(template: Template, keys: readonly FetchContext[], escapeAs: Escape): string {
    return renderJoined(template, keys, this.joining, escapeAs);
  }

  /** Adds a query to a path. */
  private withQuery(path: string, query: Named<Template>, keys: readonly FetchContext[]): string {
    let whole = path;
    for (const [name, value] of query) {
      const separator = whole.includes("?") ? "&" : "?";
      whole += `${separator}${encodeURIComponent(name)}=${this.join(value, keys, asForm)}`;
    }
    return whole;
  }
}

function parseAll(templates: Named<string>): [string, Template][] {
  return templates.map(([name, value]) => [name, parseTemplate(value)]);
}

/** The escape function for parts of a key in a body of this type. */
function escapeFor(headers: Named<string>): Escape {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1].toLowerCase() ?? "";
  if (/^application\/([\w.-]+\+)?json\b/.test(type)) return asJson;
  return type.startsWith("application/x-www-form-urlencoded") ? asForm : asPlainText;
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
