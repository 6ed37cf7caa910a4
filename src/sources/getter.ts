/** User's functions that receive the captures of a key, or of several keys, and return the values. */
import type { Settings } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { parseDuration } from "../config/units.ts";
import { SourceError } from "../errors.ts";
import type { Getter, GetterRequest, GetterResult, GetterValue, ManyGetter, ManyResults } from "../getter.ts";
import { type BatchLimits, batchSettings, readBatchLimits } from "./batch-settings.ts";
import type { Batching, FetchContext, FetchResult, Source } from "./source.ts";
import type { SourceType } from "./source-type.ts";

/** Settings of calls for several keys. */
export const getterBatchSettings = batchSettings(50, "1ms");

const settings = {
  getter: { type: { kind: "function" }, default: null, meaning: "Gives the value of a key." },
  get_many: { type: { kind: "function" }, default: null, meaning: "Gives the values of several keys." },
  ...getterBatchSettings,
} as const satisfies Settings;

interface GetterSourceConfig extends SourceConfig {
  readonly functions: Functions;
  readonly batch: BatchLimits;
}

/** Functions of a source: at least one of them. */
export interface Functions {
  readonly one: Getter | null;
  readonly many: ManyGetter | null;
}

/** Functions of the process that embeds Platypus. A file cannot name them. */
export const getterType: SourceType<typeof settings, GetterSourceConfig> = {
  names: ["getter"],
  about: "Calls a function of the program.",
  settings,
  read({ getter, getMany, ...limits }, input) {
    if (getter === null && getMany === null) {
      input.problems.add(input.section.place, "expected a function: getter or get_many");
      return null;
    }
    // The library's types of `get` and `getMany` define the functions' types.
    const functions = { one: getter as Getter | null, many: getMany as ManyGetter | null };
    return { functions, batch: readBatchLimits(limits, input) };
  },
  create: ({ name, functions, batch }) => new GetterSource(name, async () => functions, batch),
};

/** Calls functions. Their exceptions, and results that are not values, become a SourceError. */
export class GetterSource implements Source {
  readonly name: string;
  private readonly load: () => Promise<Functions>;
  private readonly batch: BatchLimits;
  /** `null` before the first load, and after a failed load. */
  private functions: Promise<Functions> | null = null;

  /** `load` is called once at the first fetch, and again after a failure. */
  constructor(name: string, load: () => Promise<Functions>, batch: BatchLimits) {
    this.name = name;
    this.load = load;
    this.batch = batch;
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    let result: GetterResult;
    try {
      const { one, many } = await this.loaded();
      if (one === null) return alone(await this.askMany(many!, [context]));
      result = await one(requestOf(context));
    } catch (error) {
      throw this.failure(error);
    }
    return this.resultOf(result, context.tag);
  }

  async loadBatching(): Promise<Batching | null> {
    const { many } = await this.loaded();
    if (many === null) return null;
    return {
      ...this.batch,
      groupOf: () => "",
      fetchMany: async (requests) => {
        const results = new Array<FetchResult | Error>(requests.length);
        const ask = async (indexes: readonly number[]) => {
          const found = await this.askMany(
            many,
            indexes.map((index) => requests[index]!),
          );
          for (const [i, index] of indexes.entries()) results[index] = found[i]!;
        };
        await Promise.all(callsOf(requests).map(ask));
        return results;
      },
      describe: (requests) => [
        `its function fetchMany with ${requests.map(({ key }) => JSON.stringify(key)).join(", ")}`,
      ],
    };
  }

  describe({ key }: FetchContext): string[] {
    return [`its function with ${JSON.stringify(key)}`];
  }

  async close(): Promise<void> {}

  private loaded(): Promise<Functions> {
    this.functions ??= this.load().catch((error: unknown) => {
      this.functions = null;
      throw error;
    });
    return this.functions;
  }

  private async askMany(many: ManyGetter, contexts: readonly FetchContext[]): Promise<(FetchResult | Error)[]> {
    let results: ManyResults;
    try {
      results = await many(contexts.map(requestOf));
    } catch (error) {
      throw this.failure(error);
    }
    const find = this.finder(results, contexts.length);
    return contexts.map((context, i) => {
      const result = find(context.key, i);
      if (result instanceof Error) return this.failure(result);
      try {
        return this.resultOf(result, context.tag);
      } catch (error) {
        return this.failure(error);
      }
    });
  }

  /** Finds the result of a key in a list, a map or an object. */
  private finder(results: ManyResults, count: number): (key: string, index: number) => GetterResult | Error {
    if (Array.isArray(results)) {
      if (results.length === count) return (_, index) => results[index];
      throw this.failure(
        new Error(`expected ${count} results from fetchMany, in the order of the requests, got ${results.length}`),
      );
    }
    if (results instanceof Map) return (key) => results.get(key);
    if (typeof results !== "object" || results === null) {
      throw this.failure(new Error(`expected a list, a map or an object from fetchMany, got a ${typeof results}`));
    }
    const byKey = results as Readonly<Record<string, GetterResult | Error>>;
    return (key) => (Object.hasOwn(byKey, key) ? byKey[key] : undefined);
  }

  private failure(error: unknown): SourceError {
    if (error instanceof SourceError) return error;
    const { message } = error instanceof Error ? error : new Error(String(error));
    return new SourceError("SOURCE_FAILED", `source ${this.name}: ${message}`, { cause: error });
  }

  private resultOf(result: GetterResult, tag: string | null): FetchResult {
    if (result === undefined || result === null) return { type: "notThere" };
    if (isValue(result)) return { type: "value", value: bytesOf(result), tag: null, freshness: null };
    if (typeof result === "object" && "unchanged" in result) {
      if (tag === null) throw this.wrong("a value, since no tag was given,", result);
      return { type: "unchanged", freshness: this.freshnessOf(result.ttl) };
    }
    if (typeof result !== "object" || !isValue(result.value)) {
      throw this.wrong("a string, bytes, { value, ttl, tag } or undefined", result);
    }
    const { value, ttl, tag: own = null } = result;
    return { type: "value", value: bytesOf(value), tag: own, freshness: this.freshnessOf(ttl) };
  }

  private freshnessOf(ttl: string | number | undefined) {
    if (ttl === undefined) return null;
    const ttlMs = typeof ttl === "number" ? ttl : parseDuration(ttl);
    if (ttlMs === null || !(ttlMs >= 0)) throw this.wrong('a ttl such as "60s" or 60000', ttl);
    return { ttlMs, staleMs: null, isBinding: true };
  }

  /** The message names the kind of the result, never its content. */
  private wrong(expected: string, got: unknown): SourceError {
    const kind = Array.isArray(got) ? "an array" : `a ${typeof got}`;
    return new SourceError("SOURCE_FAILED", `source ${this.name}: expected ${expected} from the getter, got ${kind}`);
  }
}

function requestOf({ key, groups, tag, signal }: FetchContext): GetterRequest {
  return { key, captures: Object.fromEntries(groups), tag, signal };
}

/**
 * The indexes of the requests for each call. Parts of a merge ask for one key with several captures: these are in separate
 * calls, because results by key have one value for each key.
 */
function callsOf(requests: readonly FetchContext[]): readonly (readonly number[])[] {
  const calls: number[][] = [];
  const formsOfKeys = new Map<string, string[]>();
  for (const [index, { key, groups }] of requests.entries()) {
    const form = JSON.stringify([...groups]);
    const forms = formsOfKeys.get(key) ?? [];
    formsOfKeys.set(key, forms);
    if (!forms.includes(form)) forms.push(form);
    const at = forms.indexOf(form);
    calls[at] ??= [];
    calls[at].push(index);
  }
  return calls;
}

/** The only result. Throws it if it is an error. */
function alone([result]: readonly (FetchResult | Error)[]): FetchResult {
  if (result instanceof Error) throw result;
  return result!;
}

function isValue(value: unknown): value is GetterValue {
  return typeof value === "string" || value instanceof Uint8Array;
}

function bytesOf(value: GetterValue): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
}
