/** Sources of a native configuration, and the checks that keep a key from choosing where a request goes. */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import type { AwsConnection, SourceConfig } from "./config.ts";
import type { FilesRead } from "./files-read.ts";
import { checkSecretName, readAwsConnection } from "./native-aws.ts";
import { readParts } from "./native-merge.ts";
import { suggestion } from "./nearest-name.ts";
import { readFailure } from "./read-failure.ts";
import {
  describeValue,
  findSetting,
  isTable,
  type Place,
  type Problems,
  readSection,
  type Section,
  type TemplateCheck,
} from "./section.ts";
import {
  awsSecretsManagerSettings,
  echoSettings,
  fileSettings,
  httpSettings,
  mergeSettings,
  moduleSettings,
  sourceSettings,
  type Values,
} from "./settings.ts";
import { shownUrl, withoutLiterals } from "./shown-url.ts";

/** What reading needs from the layers that know templates. */
export interface NativeHooks {
  /**
   * Names that a template uses: "key", a capture's name, or its number as digits. Throws an `Error` whose message says
   * what is wrong if `text` is no template.
   */
  checkTemplate(text: string): readonly string[];
}

/** One source and what its templates use. */
export interface SourceReading {
  readonly name: string;
  /** Null: it cannot be used, and the reason is reported. */
  readonly source: SourceConfig | null;
  readonly uses: readonly TemplateUse[];
}

/** A name that a template uses, and where the template stands. */
interface TemplateUse {
  readonly name: string;
  readonly place: Place;
}

interface SourceContext {
  readonly folder: string;
  readonly reads: FilesRead;
  readonly hooks: NativeHooks;
  /** Pools that are ways to AWS. */
  readonly awsPools: ReadonlyMap<string, AwsConnection>;
}

const httpUrl = /^(https?:\/\/)([^/?#]*)/i;
/** Control characters and line ends, which an editor or a file has put there. Others are percent-encoded. */
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

/** Reads `[source.NAME]` of any type. */
export function readSource(name: string, section: Section, context: SourceContext, problems: Problems): SourceReading {
  const uses: TemplateUse[] = [];
  const checkTemplate: TemplateCheck = (text, place) => {
    try {
      uses.push(...context.hooks.checkTemplate(text).map((used) => ({ name: used, place })));
    } catch (error) {
      problems.add(place, error instanceof Error ? error.message : String(error));
    }
  };
  return { name, source: readTypedSource(name, section, context, problems, checkTemplate), uses };
}

function readTypedSource(
  name: string,
  section: Section,
  { folder, reads, hooks, awsPools }: SourceContext,
  problems: Problems,
  checkTemplate: TemplateCheck,
): SourceConfig | null {
  const type = section.found.get("type");
  switch (type?.value) {
    case "echo": {
      const values = readSection(section, { ...sourceSettings, ...echoSettings }, problems, checkTemplate);
      return { type: "echo", ...base(name, values), template: values.template };
    }
    case "file": {
      const values = readSection(section, { ...sourceSettings, ...fileSettings }, problems, checkTemplate);
      const { root, path } = values;
      if (root === null || path === null) return null;
      checkPath(path, section, problems);
      return { type: "file", ...base(name, values), root: resolve(folder, root), path, maxBodyBytes: values.max_body };
    }
    case "http": {
      const values = readSection(section, { ...sourceSettings, ...httpSettings }, problems, checkTemplate);
      const { url, method, headers, query, body, select, redirects } = values;
      checkHeaders(headers, section, problems);
      if (body !== null && method === "GET") {
        problems.add(section.found.get("body")!.place, 'a GET has no body; method = "POST" has');
      }
      if (select !== null && !/^(\/([^~]|~[01])*)*$/.test(select)) {
        problems.add(section.found.get("select")!.place, `expected a JSON pointer such as "/data/value"`);
      }
      const request = {
        query,
        body,
        select,
        redirects,
        authorization: readAuthorization(section, values, problems),
        connectTimeoutMs: values.connect_timeout,
        readTimeoutMs: values.read_timeout,
        valueStatuses: readStatuses(section, "value_statuses", values.value_statuses, problems),
        contentTypes: values.content_types.map((type) => type.toLowerCase()),
        notFoundStatuses: readStatuses(section, "not_found_statuses", values.not_found_statuses, problems),
      };
      if (url === null) return null;
      const shown = shownRequest(section, url, query);
      checkUrl(url, section.found.get("url")!.place, hooks, problems);
      const { max_body: maxBodyBytes, empty: isEmptyValue } = values;
      // What is not idempotent is asked once.
      const retries = method === "POST" ? 0 : values.retries;
      return {
        type: "http",
        ...base(name, values),
        retries,
        url,
        shown,
        method,
        headers,
        maxBodyBytes,
        isEmptyValue,
        ...request,
      };
    }
    case "merge":
    case "map": {
      const values = readSection(section, { ...sourceSettings, ...mergeSettings }, problems, checkTemplate);
      if (values.template === null) return null;
      const list = section.found.get("template") ?? section.found.get("merge")!;
      const merge = { values: values.template, list, onFailure: values.on_failure };
      return { type: "merge", ...base(name, values), parts: readParts(merge, problems, checkTemplate) };
    }
    case "module": {
      const values = readSection(section, { ...sourceSettings, ...moduleSettings }, problems, checkTemplate);
      if (values.path === null) return null;
      const path = resolve(folder, values.path);
      try {
        const version = createHash("sha256").update(reads.bytesSync(path)).digest("hex");
        return { type: "module", ...base(name, values), path, version };
      } catch (error) {
        problems.add(section.found.get("path")!.place, `${path}: ${readFailure(error)}`);
        return null;
      }
    }
    case "awssm":
    case "aws_secrets_manager": {
      const values = readSection(section, { ...sourceSettings, ...awsSecretsManagerSettings }, problems, checkTemplate);
      const { key, version_stage: versionStage, field } = values;
      const connection = readAwsConnection(section, values, awsPools, problems);
      if (!/^[!-~]{1,256}$/.test(versionStage)) {
        problems.add(section.found.get("version_stage")!.place, "expected the staging label of a version");
      }
      if (field === "") problems.add(section.found.get("field")!.place, "expected the name of a field");
      if (key === null) return null;
      checkSecretName(key, findSetting(section, "key", awsSecretsManagerSettings.key)!.place, problems);
      return { type: "awssm", ...base(name, values), key, versionStage, field, connection };
    }
    default:
      reportType(section, type?.value, problems);
      return null;
  }
}

function base(name: string, values: Values<typeof sourceSettings>) {
  return {
    name,
    timeoutMs: values.timeout,
    concurrency: values.concurrency,
    queue: values.queue,
    ratePerSecond: values.rate,
    breakerFailures: values.breaker_failures,
    breakerMs: values.breaker_time,
    retries: values.retries,
  };
}

/** The URL and the query without what came from outside, or may be a token. */
function shownRequest(section: Section, url: string, query: readonly (readonly [string, string])[]) {
  const text = section.found.get("url")?.shown;
  const table = section.found.get("query")?.shown;
  return {
    url: shownUrl(typeof text === "string" ? text : url),
    query: query.map(([name, value]) => {
      const entry = isTable(table) ? table[name] : value;
      return [name, withoutLiterals(typeof entry === "string" ? entry : value)] as const;
    }),
  };
}

function reportType(section: Section, type: unknown, problems: Problems): void {
  const place = section.found.get("type")?.place ?? { ...section.place, path: `${section.place.path}.type` };
  const types = sourceSettings.type.type.choices;
  const expected = `expected ${types.map((each) => `"${each}"`).join(", ")}`;
  if (type === undefined) {
    problems.add(place, `missing; ${expected}`);
  } else {
    problems.add(
      place,
      `${expected}, got ${describeValue(type)}${typeof type === "string" ? suggestion(type, types) : ""}`,
    );
  }
}

function checkPath(path: string, section: Section, problems: Problems): void {
  if (path.startsWith("/") || path.split(/[/\\]/).includes("..")) {
    problems.add(
      section.found.get("path")!.place,
      `expected a path below root without "..", got ${JSON.stringify(path)}`,
    );
  }
}

/** Scheme, host and port are literal, so that no key can choose them. */
function checkUrl(url: string, place: Place, hooks: NativeHooks, problems: Problems): void {
  const [, scheme = "", authority = ""] = httpUrl.exec(url) ?? [];
  if (authority === "") {
    // Not the rest, which may hold secrets.
    const beginning = /^[^/?#]*\/{0,3}/.exec(url)?.[0];
    problems.add(
      place,
      `expected a URL that begins with http://HOST or https://HOST, got ${JSON.stringify(beginning)}`,
    );
    return;
  }
  if (hasPlaceholder(authority, hooks)) {
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

function hasPlaceholder(text: string, hooks: NativeHooks): boolean {
  try {
    return hooks.checkTemplate(text).length > 0;
  } catch {
    // Half a placeholder: the other half stands behind the host.
    return true;
  }
}

/** The header of `username` and `password`, or of `bearer_token`. No message shows any of them. */
function readAuthorization(
  section: Section,
  values: { username: string | null; password: string | null; bearer_token: string | null },
  problems: Problems,
): string | null {
  const { username, password, bearer_token: token } = values;
  const complain = (key: string, message: string) => {
    problems.add(section.found.get(key)?.place ?? section.place, message);
    return null;
  };
  const header = section.found.get("headers");
  const hasOwn =
    isTable(header?.value) && Object.keys(header.value).some((name) => name.toLowerCase() === "authorization");
  if (hasOwn && (token !== null || username !== null)) return complain("headers", "has an Authorization of its own");
  if (token !== null && username !== null) return complain("bearer_token", "username and password say another login");
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
function readStatuses(section: Section, key: string, texts: readonly string[], problems: Problems): number[] {
  return texts.flatMap((text, index) => {
    const [, first, last = first] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text) ?? [];
    if (first === undefined || Number(last) < Number(first)) {
      const found = section.found.get(key)!;
      const place = Array.isArray(found.value) ? found.entry(index) : found.place;
      problems.add(place, `expected a status such as "200" or a range such as "200-299", got ${JSON.stringify(text)}`);
      return [];
    }
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
}

function checkHeaders(headers: readonly (readonly [string, string])[], section: Section, problems: Problems): void {
  const seen = new Set<string>();
  for (const [name, value] of headers) {
    const place = section.found.get("headers")!.entry(name);
    const lower = name.toLowerCase();
    if (!headerName.test(name)) problems.add(place, "expected the name of a header field");
    if (connectionHeaders.includes(lower)) problems.add(place, "belongs to the connection and cannot be set");
    if (seen.has(lower)) problems.add(place, "is given twice");
    if (/[\r\n\0]/.test(value)) problems.add(place, "a header field cannot hold a line break");
    seen.add(lower);
  }
}
