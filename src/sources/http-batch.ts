/**
 * One HTTP request for several keys: `[source.NAME.batch]`. The answer is JSON: a list of items with their ids, or an
 * object of items by id. A key whose id the answer lacks is not there.
 */
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
    const { url, method, body, shown } = batch;
    const joining = { name: batch.key, separator: batch.join };
    this.request = new RequestTemplate(
      { ...config, url, method, body, ...(shown !== undefined && { shown }) },
      joining,
    );
    this.send = send;
  }

  groupOf(captures: Captures): string {
    const id = partOf(captures, this.batch.key);
    // A server that splits the joined parts would not see these as one: such a key is fetched alone.
    const isAlone = id === "" || id.includes(this.batch.join);
    return this.request.groupOf(captures) + (isAlone ? ` ${id}` : "");
  }

  describe(requests: readonly FetchContext[]): string[] {
    return [`${this.request.describe(requests)}, for ${requests.length} keys`];
  }

  async fetchMany(requests: readonly FetchContext[]): Promise<readonly (FetchResult | Error)[]> {
    // A key that cannot stand in the request fails alone.
    const refusals = requests.map((request) => this.refusalOf(request));
    const sent = requests.filter((_, i) => refusals[i] === null);
    const first = sent.find(({ span }) => span) ?? sent[0];
    if (first === undefined) return refusals.map((refusal) => refusal!);
    const answer = await this.send(this.request.render(sent), { ...first, tag: null });
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
      const value = Buffer.from(jsonText(found), "utf8");
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
        return found === undefined ? [] : [[jsonText(found), item]];
      }),
    );
  }

  private failure(why: string, cause?: unknown): SourceError {
    return new SourceError("SOURCE_FAILED", `source ${this.name}: ${why}`, { cause });
  }
}
