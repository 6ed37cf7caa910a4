/** `[source.NAME.batch]` of an http source: its settings and their checks. */
import { choice, type Settings, template, text, type Values } from "../config/setting.ts";
import { shownUrl } from "../config/shown-url.ts";
import { type BatchLimits, batchSettings, readBatchLimits } from "./batch-settings.ts";
import { isJsonPointer } from "./json-pointer.ts";
import type { SourceInput } from "./source-type.ts";
import { parseTemplate, templateNames } from "./template.ts";

const MAX_KEYS = 50;

export const httpBatchSettings = {
  "batch.url": {
    field: "batchUrl",
    type: template,
    default: null,
    example: "http://localhost:8080/examples?ids={1}",
    meaning:
      "Template of the URL of a request for several keys, on the server of `url`. One placeholder stands for the parts of all keys, joined. Default: `url`.",
  },
  "batch.method": {
    field: "batchMethod",
    type: choice("GET", "POST", "PUT", "QUERY"),
    default: null,
    example: "POST",
    meaning: "Method of that request. Default: `method`.",
  },
  "batch.body": {
    field: "batchBody",
    type: template,
    default: null,
    example: '{{"ids": ["{1}"]}}',
    meaning: "Template of its body. In a JSON body, the string around the placeholder becomes a list. Default: `body`.",
  },
  "batch.key": {
    field: "batchKey",
    type: text,
    default: null,
    example: "1",
    meaning:
      "Name of the placeholder that is joined, if there are several. Keys share a request if their other parts are the same.",
  },
  "batch.join": {
    field: "batchJoin",
    type: text,
    default: ",",
    meaning: "Text between the parts of two keys, outside of JSON.",
  },
  "batch.items": {
    field: "batchItems",
    type: text,
    default: "",
    meaning: "JSON pointer to the items in the answer: a list, or an object with the keys' parts as names.",
  },
  "batch.id": {
    field: "batchId",
    type: text,
    default: "/id",
    meaning: "JSON pointer in an item of a list: the key's part.",
  },
  "batch.value": {
    field: "batchValue",
    type: text,
    default: "",
    meaning: "JSON pointer in an item: the value. The whole item if empty.",
  },
  ...batchSettings(MAX_KEYS, "1ms"),
} as const satisfies Settings;

/** Requests for several keys. */
export interface HttpBatchConfig extends BatchLimits {
  readonly url: string;
  readonly method: string;
  readonly body: string | null;
  /** Name of the part of a key that is joined. */
  readonly key: string;
  readonly join: string;
  /** JSON pointers to the items, to the id of an item, and to its value. */
  readonly items: string;
  readonly id: string;
  readonly value: string;
  /** `url` and `query` for display. */
  readonly shown?: { readonly url: string; readonly query: readonly (readonly [string, string])[] };
}

/** The source's own request. */
interface OwnRequest {
  readonly url: string;
  readonly method: string;
  readonly body: string | null;
  readonly query: readonly (readonly [string, string])[];
  readonly shown: { readonly url: string; readonly query: readonly (readonly [string, string])[] };
}

/** `null` if the source has no batches, or if they are invalid. `checkUrl` reports an invalid URL. */
export function readHttpBatch(
  values: Values<typeof httpBatchSettings>,
  own: OwnRequest,
  input: SourceInput,
  checkUrl: (url: string, key: string) => void,
): HttpBatchConfig | null {
  const given = Object.keys(httpBatchSettings).filter((key) => input.found(key) !== undefined);
  if (given.length === 0) return null;
  const { problems, placeOf, found } = input;
  if (values.batchUrl === null && values.batchBody === null) {
    problems.add(placeOf(given[0]!), "batch.url or batch.body is missing: the request for several keys");
    return null;
  }
  const url = values.batchUrl ?? own.url;
  if (values.batchUrl !== null) {
    checkUrl(values.batchUrl, "batch.url");
    if (originOf(url) !== originOf(own.url)) {
      problems.add(placeOf("batch.url"), `expected a URL on the server of url, ${originOf(own.url)}`);
    }
  }
  const method = values.batchMethod ?? own.method;
  const body = values.batchBody ?? own.body;
  if (body !== null && method === "GET") {
    problems.add(placeOf("batch.body"), 'a GET has no body; batch.method = "POST" has');
  }
  for (const [key, pointer] of [
    ["batch.items", values.batchItems],
    ["batch.id", values.batchId],
    ["batch.value", values.batchValue],
  ] as const) {
    if (!isJsonPointer(pointer)) problems.add(placeOf(key), 'expected a JSON pointer such as "/id"');
  }
  if (!/^[!-~]{1,16}$/.test(values.batchJoin)) {
    problems.add(placeOf("batch.join"), "expected 1 to 16 ASCII characters without blanks");
  }
  const place = placeOf(values.batchUrl === null ? "batch.body" : "batch.url");
  const key = joinedPart(values.batchKey, [url, body, ...own.query.map(([, value]) => value)]);
  if (typeof key !== "string") {
    problems.add(values.batchKey === null ? place : placeOf("batch.key"), key.problem);
    return null;
  }
  const text = found("batch.url")?.shown;
  const shown =
    values.batchUrl === null ? own.shown : { ...own.shown, url: shownUrl(typeof text === "string" ? text : url) };
  const { batchJoin: join, batchItems: items, batchId: id, batchValue: value } = values;
  return { ...readBatchLimits(values, input), url, method, body, key, join, items, id, value, shown };
}

/** The name of the placeholder that is joined, or why there is none. */
function joinedPart(key: string | null, templates: readonly (string | null)[]): string | { readonly problem: string } {
  let names: string[];
  try {
    names = [...new Set(templates.flatMap((text) => (text === null ? [] : templateNames(parseTemplate(text)))))];
  } catch {
    // The template has been reported.
    return { problem: "expected a valid template" };
  }
  const listed = names.map((name) => `{${name}}`).join(", ");
  if (names.length === 0) return { problem: "expected a placeholder such as {1}, for the parts of all keys" };
  if (key !== null) return names.includes(key) ? key : { problem: `expected one of ${listed}` };
  if (names.length > 1) return { problem: `has ${listed}; say with batch.key which of them is joined` };
  return names[0]!;
}

function originOf(url: string): string {
  return /^[^/]*\/\/[^/?#]*/.exec(url)?.[0].toLowerCase() ?? "";
}
