/** A user's function that receives the captures of a key and returns the value. */
import type { Settings } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { parseDuration } from "../config/units.ts";
import { SourceError } from "../errors.ts";
import type { Getter, GetterResult, GetterValue } from "../getter.ts";
import type { FetchContext, FetchResult, Source } from "./source.ts";
import type { SourceType } from "./source-type.ts";

const settings = {
  getter: { type: { kind: "function" }, default: null, isRequired: true, meaning: "Gives the value of a key." },
} as const satisfies Settings;

interface GetterSourceConfig extends SourceConfig {
  readonly getter: Getter;
}

/** A function of the process that embeds Platypus. A file cannot name it. */
export const getterType: SourceType<typeof settings, GetterSourceConfig> = {
  names: ["getter"],
  about: "Calls a function of the program.",
  settings,
  // The library's type of `get` defines the function's type.
  read: ({ getter }) => (getter === null ? null : { getter: getter as Getter }),
  create: ({ name, getter }) => new GetterSource(name, async () => getter),
};

/** Calls a getter. Its exceptions, and results that are not values, become a SourceError. */
export class GetterSource implements Source {
  readonly name: string;
  private readonly load: () => Promise<Getter>;
  /** `null` before the first load, and after a failed load. */
  private getter: Promise<Getter> | null = null;

  /** `load` is called once at the first fetch, and again after a failure. */
  constructor(name: string, load: () => Promise<Getter>) {
    this.name = name;
    this.load = load;
  }

  async fetch({ key, groups, tag, signal }: FetchContext): Promise<FetchResult> {
    this.getter ??= this.load().catch((error: unknown) => {
      this.getter = null;
      throw error;
    });
    let result: GetterResult;
    try {
      const getter = await this.getter;
      result = await getter({ key, captures: Object.fromEntries(groups), tag, signal });
    } catch (error) {
      if (error instanceof SourceError) throw error;
      const { message } = error instanceof Error ? error : new Error(String(error));
      throw new SourceError("SOURCE_FAILED", `source ${this.name}: ${message}`, { cause: error });
    }
    return this.resultOf(result, tag);
  }

  describe({ key }: FetchContext): string[] {
    return [`its function with ${JSON.stringify(key)}`];
  }

  async close(): Promise<void> {}

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

function isValue(value: unknown): value is GetterValue {
  return typeof value === "string" || value instanceof Uint8Array;
}

function bytesOf(value: GetterValue): Buffer {
  return typeof value === "string" ? Buffer.from(value, "utf8") : Buffer.from(value);
}
