/** `type = "http"`: its settings, and checks that no key can change the destination of a request. */
import { isTable, type Place, type Problems } from "../config/section.ts";
import {
  boolean,
  type Complete,
  choice,
  duration,
  fieldsOf,
  integer,
  list,
  numbersOrTexts,
  type Settings,
  template,
  templates,
  text,
  type Values,
} from "../config/setting.ts";
import { maxBodySetting } from "../config/settings.ts";
import { shownUrl, withoutLiterals } from "../config/shown-url.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { MAX_PLACES } from "./adaptive-concurrency.ts";
import { type HttpBatchConfig, httpBatchSettings, readHttpBatch } from "./http-batch-settings.ts";
import { HttpSource } from "./http-source.ts";
import { isJsonPointer } from "./json-pointer.ts";
import type { SourceInput, SourceType } from "./source-type.ts";
import { parseTemplate, templateNames } from "./template.ts";

const settings = {
  url: {
    type: template,
    default: null,
    example: "http://localhost:8080/example/{1}",
    isRequired: true,
    meaning: "Template of the URL. Captures are percent-encoded, and cannot stand in scheme, host or port.",
  },
  method: {
    type: choice("GET", "POST", "PUT", "QUERY"),
    default: "GET",
    synonyms: ["action"],
    meaning: "Method of the request.",
  },
  query: {
    type: templates,
    default: {},
    example: { lang: "en" },
    meaning: "Names and templates of values that are added to the query of `url`, percent-encoded.",
  },
  headers: { type: templates, default: {}, meaning: "Names and templates of the request's header fields." },
  body: {
    type: template,
    default: null,
    example: '{{"id": "{1}"}}',
    meaning:
      "Template of the request's body. Captures are escaped for its `content-type` (JSON or form); other types refuse control characters.",
  },
  username: { type: text, default: null, example: "platypus", meaning: "User name for basic authentication." },
  password: {
    type: text,
    default: null,
    example: "${ENV:EXAMPLE_PASSWORD}",
    meaning: "Password of `username`, best as `${ENV:NAME}` or `${file:PATH}`.",
  },
  bearer_token: {
    type: text,
    default: null,
    example: "${file:token}",
    meaning: "Token for `Authorization: Bearer`, best as `${file:PATH}`.",
  },
  connect_timeout: {
    field: "connectTimeoutMs",
    type: duration("1ms", "1h"),
    default: "1s",
    meaning: "Maximum time to connect.",
  },
  read_timeout: {
    field: "readTimeoutMs",
    type: duration("1ms", "1h"),
    default: null,
    example: "5s",
    meaning: "Maximum time between two pieces of a response. Default: `timeout`.",
  },
  value_statuses: {
    type: numbersOrTexts,
    default: ["200"],
    meaning: 'Statuses whose body is a value: `"200"` or `"200-299"`.',
  },
  not_found_statuses: {
    type: numbersOrTexts,
    default: ["404", "410"],
    meaning: "Statuses that mean that the source does not have the key.",
  },
  content_types: {
    type: list,
    default: [],
    meaning:
      'Content types whose body is a value, such as `"application/json"`; other types are failures. An empty list accepts all types.',
  },
  select: {
    type: text,
    default: null,
    example: "/data/value",
    meaning: 'JSON pointer (RFC 6901) of the part of a JSON body that is the value, such as `"/data/value"`.',
  },
  redirects: {
    type: integer(0, 10),
    default: 3,
    meaning: "Maximum number of redirects that are followed, to the same origin only.",
  },
  max_body: maxBodySetting,
  empty: {
    field: "isEmptyValue",
    type: boolean,
    default: false,
    meaning: "An empty body with status 200 is a value rather than a failure.",
  },
  ...httpBatchSettings,
} as const satisfies Settings;

/** Settings with another form in `Config`: statuses become numbers, a login becomes a header field. */
type Replaced =
  | "valueStatuses"
  | "notFoundStatuses"
  | "username"
  | "password"
  | "bearerToken"
  | keyof Values<typeof httpBatchSettings>;

/** `contentTypes` are in lower case, without parameters. */
export interface HttpSourceConfig extends SourceConfig, Omit<Complete<typeof settings>, Replaced> {
  /** `url` and `query` for display: without literal text in the query, and without values of references. */
  readonly shown?: { readonly url: string; readonly query: readonly (readonly [string, string])[] };
  /** The Authorization header. `null` if absent. It is never logged or shown. */
  readonly authorization: string | null;
  readonly valueStatuses: readonly number[];
  readonly notFoundStatuses: readonly number[];
  /** Requests for several keys. `null` or absent if there are none. */
  readonly batch?: HttpBatchConfig | null;
}

export function isHttpSource(config: SourceConfig): config is HttpSourceConfig {
  return config.type === "http";
}

export const httpType: SourceType<typeof settings, HttpSourceConfig> = {
  names: ["http"],
  about: "Asks an HTTP server; 404 means the value is not there.",
  settings,
  read: readHttp,
  create: (config) => new HttpSource(config),
  hostOf: ({ url }) => new URL(/^[^/]+\/\/[^/?#]+/.exec(url)![0]).hostname,
  maxConnections: ({ concurrency }) => (concurrency === "auto" ? MAX_PLACES : concurrency),
};

function readHttp(values: Values<typeof settings>, input: SourceInput): ReturnType<(typeof httpType)["read"]> {
  const { username: _, password: __, bearerToken: ___, ...rest } = values;
  const batchValues = fieldsOf(httpBatchSettings, values);
  const own = without(rest, Object.keys(batchValues) as (keyof typeof batchValues)[]);
  const { problems, placeOf } = input;
  checkHeaders(own.headers, input);
  if (own.body !== null && own.method === "GET")
    problems.add(placeOf("body"), 'a GET has no body; method = "POST" has');
  if (own.select !== null && !isJsonPointer(own.select)) {
    problems.add(placeOf("select"), `expected a JSON pointer such as "/data/value"`);
  }
  const read = {
    authorization: readAuthorization(values, input),
    valueStatuses: readStatuses("value_statuses", values.valueStatuses, input),
    notFoundStatuses: readStatuses("not_found_statuses", values.notFoundStatuses, input),
    contentTypes: own.contentTypes.map((type) => type.toLowerCase()),
  };
  const { url } = own;
  if (url === null) return null;
  checkUrl(url, placeOf("url"), problems);
  const shown = shownRequest(url, own.query, input);
  const batch = readHttpBatch(batchValues, { ...own, url, shown }, input, (batchUrl, key) =>
    checkUrl(batchUrl, placeOf(key), problems),
  );
  const isPost = own.method === "POST" || batch?.method === "POST";
  // A POST is not idempotent: it is not retried.
  return { ...own, ...read, url, shown, batch, ...(isPost && { retries: 0 }) };
}

function without<T extends object, Key extends keyof T>(values: T, keys: readonly Key[]): Omit<T, Key> {
  const rest = { ...values };
  for (const key of keys) delete rest[key];
  return rest;
}

const httpUrl = /^(https?:\/\/)([^/?#]*)/i;
/** Control characters and line ends, which an editor or a file may have added. Other characters are percent-encoded. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const notInUrl = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Header fields that belong to the connection, not to the request. */
const connectionHeaders = [
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
];

/** The URL and the query without values of references, and without text that may be a token. */
function shownRequest(url: string, query: readonly (readonly [string, string])[], { found }: SourceInput) {
  const text = found("url")?.shown;
  const table = found("query")?.shown;
  return {
    url: shownUrl(typeof text === "string" ? text : url),
    query: query.map(([name, value]) => {
      const entry = isTable(table) ? table[name] : value;
      return [name, withoutLiterals(typeof entry === "string" ? entry : value)] as const;
    }),
  };
}

/** Scheme, host and port must be literal, so that no key can change them. */
function checkUrl(url: string, place: Place, problems: Problems): void {
  const [, scheme = "", authority = ""] = httpUrl.exec(url) ?? [];
  if (authority === "") {
    // The rest may contain secrets.
    const beginning = /^[^/?#]*\/{0,3}/.exec(url)?.[0];
    problems.add(
      place,
      `expected a URL that begins with http://HOST or https://HOST, got ${JSON.stringify(beginning)}`,
    );
    return;
  }
  if (hasPlaceholder(authority)) {
    problems.add(place, `scheme, host and port cannot hold a placeholder, got ${JSON.stringify(scheme + authority)}`);
  } else if (authority.includes("@")) {
    problems.add(place, "a user name or password cannot stand in a URL; send an Authorization header");
  } else if (!URL.canParse(scheme + authority) || /[\s\\{}]/.test(authority)) {
    problems.add(place, `expected HOST or HOST:PORT after ${scheme}, got ${JSON.stringify(authority)}`);
  }
  const at = url.search(notInUrl);
  if (at >= 0) {
    const character = url.codePointAt(at)!.toString(16).toUpperCase().padStart(4, "0");
    problems.add(
      place,
      `a URL cannot hold the character U+${character}, at position ${at + 1}; write it percent-encoded`,
    );
  }
}

function hasPlaceholder(text: string): boolean {
  try {
    return templateNames(parseTemplate(text)).length > 0;
  } catch {
    // Only half of a placeholder: the other half is after the host.
    return true;
  }
}

/** The header of `username` and `password`, or of `bearer_token`. No message contains them. */
function readAuthorization(values: Values<typeof settings>, { found, placeOf, problems }: SourceInput): string | null {
  const { username, password, bearerToken: token } = values;
  const complain = (key: string, message: string) => {
    problems.add(placeOf(key), message);
    return null;
  };
  const header = found("headers");
  const hasOwn =
    isTable(header?.value) && Object.keys(header.value).some((name) => name.toLowerCase() === "authorization");
  if (hasOwn && (token !== null || username !== null)) return complain("headers", "has an Authorization field too");
  if (token !== null && (username !== null || password !== null))
    return complain("bearer_token", "username and password say another login");
  if (token !== null) {
    if (!/^[!-~]+$/.test(token)) return complain("bearer_token", "expected characters without spaces, from ASCII");
    return `Bearer ${token}`;
  }
  if (username === null && password === null) return null;
  if (username === null) return complain("password", "stands without username");
  if (password === null) return complain("username", "stands without password");
  if (username.includes(":")) return complain("username", "cannot hold a colon (RFC 7617)");
  return `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;
}

/** `"200"` and `"200-299"` as numbers. */
function readStatuses(key: string, texts: readonly string[], { found, placeOf, problems }: SourceInput): number[] {
  return texts.flatMap((text, index) => {
    const [, first, last = first] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      const given = found(key)!;
      const place = Array.isArray(given.value) ? given.entry(index) : placeOf(key);
      problems.add(place, `expected a status such as "200" or a range such as "200-299", got ${JSON.stringify(text)}`);
      return [];
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

function checkHeaders(headers: readonly (readonly [string, string])[], { found, problems }: SourceInput): void {
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    const place = found("headers")!.entry(name);
    const lower = name.toLowerCase();
    if (!headerName.test(name)) problems.add(place, "expected the name of a header field");
    if (connectionHeaders.includes(lower)) problems.add(place, "belongs to the connection and cannot be set");
    if (seen.has(lower)) problems.add(place, "is given twice");
    if (/[\r\n\0]/.test(value)) problems.add(place, "a header field cannot hold a line break");
    seen.add(lower);
  }
}
