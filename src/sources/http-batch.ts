/**
 * One HTTP request for several keys: `[source.NAME.batch]`. The answer is JSON: a list of items with their ids, or an
 * object of items by id. A key whose id the answer lacks is not there.
 */
import { isAscii } from "node:buffer";
import { SourceError } from "../errors.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";
import type { HttpSourceConfig } from "./http.ts";
import type { HttpBatchConfig } from "./http-batch-settings.ts";
import { type HttpRequest, RequestTemplate } from "./http-request.ts";
import type { HttpAnswer, HttpBody } from "./http-source.ts";
import { valueAt } from "./json-pointer.ts";
import type { Batching, Captures, FetchContext, FetchResult } from "./source.ts";
import { partOf } from "./template.ts";

export class HttpBatching implements Batching {
  readonly maxKeys: number;
  readonly waitMs: number;
  readonly refreshWaitMs: number;
  private readonly name: string;
  private readonly batch: HttpBatchConfig;
  private readonly isEmptyValue: boolean;
  /** The text between two parts, as it is and as a server decodes it. */
  private readonly separators: readonly string[];
  /** Number of keys that were kept alone. */
  private alone = 0;
  private readonly request: RequestTemplate;
  private readonly send: (request: HttpRequest, context: FetchContext) => Promise<HttpAnswer>;

  /** `send` makes a request, with the limits of the source. It throws a SourceError. */
  constructor(
    config: HttpSourceConfig,
    batch: HttpBatchConfig,
    send: (request: HttpRequest, context: FetchContext) => Promise<HttpAnswer>,
  ) {
    this.maxKeys = batch.maxKeys;
    this.waitMs = batch.waitMs;
    this.refreshWaitMs = batch.refreshWaitMs;
    this.name = config.name;
    this.batch = batch;
    this.isEmptyValue = config.isEmptyValue;
    this.separators = [batch.join, decoded(batch.join)];
    const { url, method, body, shown } = batch;
    const joining = { name: batch.key, separator: batch.join };
    this.request = new RequestTemplate(
      { ...config, url, method, body, ...(shown !== undefined && { shown }) },
      joining,
    );
    this.send = send;
  }

  groupOf(captures: Captures): string {
    // Two keys may have the same part, and are still fetched alone.
    return this.request.groupOf(captures) + (this.isAlone(captures) ? ` ${++this.alone}` : "");
  }

  /** True if the key's part could be lost among others: in a server that splits them, or in the answer. */
  private isAlone(captures: Captures): boolean {
    const id = partOf(captures, this.batch.key);
    if (id === "" || this.separators.some((separator) => (id + separator).indexOf(separator) < id.length)) return true;
    // Bytes that are not UTF-8 have no text in JSON.
    return captures.encoding === "latin1" && !isAscii(Buffer.from(id, "utf8"));
  }

  describe(requests: readonly FetchContext[]): string[] {
    return [`${this.request.describe(requests)}, for ${requests.length} keys`];
  }

  async fetchMany(requests: readonly FetchContext[]): Promise<readonly (FetchResult | Error)[]> {
    // A key that cannot stand in the request fails alone.
    const refusals = requests.map((request) => this.refusalOf(request));
    // A tag belongs to the answer to a request for one key.
    const sent = requests.flatMap((request, i) => (refusals[i] === null ? [{ ...request, tag: null }] : []));
    const first = sent.find(({ span }) => span) ?? sent[0];
    if (first === undefined) return refusals.map((refusal) => refusal!);
    const answer = await this.send(this.request.render(sent), first);
    const find = answer.type === "body" ? this.finder(answer) : (): FetchResult => ({ type: "notThere" });
    return requests.map((request, i) => refusals[i] ?? find(partOf(request, this.batch.key)));
  }

  private refusalOf(request: FetchContext): SourceError | null {
    try {
      this.request.render([request]);
      return null;
    } catch (error) {
      if (error instanceof SourceError) return error;
      throw error;
    }
  }

  /** Returns the result for an id. Throws a SourceError if the answer has no items. */
  private finder({ body, freshness }: HttpBody): (id: string) => FetchResult | SourceError {
    const items = this.itemsOf(body);
    return (id) => {
      const item = items.get(id);
      if (item === undefined || item === null) return { type: "notThere" };
      const found = valueAt(item, this.batch.value);
      if (found === undefined) return this.failure(`an item of the answer has nothing at ${this.batch.value}`);
      const text = textOf(found);
      if (text === null) return this.failure("an item of the answer is nested too deeply");
      const value = Buffer.from(text, "utf8");
      if (value.length === 0 && !this.isEmptyValue) {
        return this.failure("an item of the answer is empty (a value only with empty = true)");
      }
      return { type: "value", value, tag: null, freshness };
    };
  }

  /** The items of an answer by their ids as text. */
  private itemsOf(body: Buffer): ReadonlyMap<string, unknown> {
    let document: unknown;
    try {
      document = parseJson(body);
    } catch (error) {
      throw this.failure("the answer is no JSON", error);
    }
    const { items: pointer, id } = this.batch;
    const items = valueAt(document, pointer);
    if (isJsonObject(items)) return new Map(Object.entries(items));
    if (!Array.isArray(items)) throw this.failure(`the answer has neither a list nor an object at "${pointer}"`);
    return new Map(
      items.flatMap((item): [string, unknown][] => {
        const found = valueAt(item, id);
        const text = found === undefined || found === null ? null : textOf(found);
        return text === null ? [] : [[text, item]];
      }),
    );
  }

  private failure(why: string, cause?: unknown): SourceError {
    return new SourceError("SOURCE_FAILED", `source ${this.name}: ${why}`, { cause });
  }
}

/** `null` for a value with too many levels. */
function textOf(value: unknown): string | null {
  try {
    return jsonText(value);
  } catch {
    return null;
  }
}

/** `text` as a server reads it in a query. */
function decoded(text: string): string {
  return text
    .replaceAll("+", " ")
    .replace(/%([0-9A-Fa-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
}
