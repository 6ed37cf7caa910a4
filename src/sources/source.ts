/** The interface of sources. */
import type { Span } from "../proxy/tracing.ts";
import type { HttpCallNumbers } from "./http-calls.ts";

/** The parts of a key that a rule's pattern captured. */
export interface Captures {
  /** The key without the rule's `strip_prefix`, as text. */
  readonly key: string;
  /** Captures by number as text ("1" is the first) and by name. An unmatched group is "". */
  readonly groups: ReadonlyMap<string, string>;
  /** The whole key, one character per byte. A source uses it to report that the value has changed. */
  readonly cacheKey?: string;
  /** Span of a traced fetch. Calls to other servers become its children. */
  readonly span?: Span | null;
  /** Encoding that converts `key` and the captures back to the key's bytes. */
  readonly encoding: "utf8" | "latin1";
}

/** One fetch. */
export interface FetchContext extends Captures {
  /**
   * The tag of the value that the pool still has (`FetchedValue.tag`). The source may answer "unchanged". `null` if the
   * source must return the value.
   */
  readonly tag: string | null;
  /** The kind of fetch: fills go before refreshes, also for the parts of a merge. */
  readonly priority: "fill" | "refresh";
  /** Aborted when no caller waits for the result: the source must stop. */
  readonly signal: AbortSignal;
}

/** The lifetime of a value according to its source. */
export interface Freshness {
  /** `null` if the source gives none; then the rule's default applies. */
  readonly ttlMs: number | null;
  /** Time after the TTL during which the value may be served. `null` if the source gives none. */
  readonly staleMs: number | null;
  /** True if these values apply to each rule. Otherwise they only apply to a rule with `ttl = "source"`. */
  readonly isBinding?: boolean;
}

export interface FetchedValue {
  readonly type: "value";
  readonly value: Buffer;
  /** Identifies the value for the source (an ETag, a version). `null` if the source has no such identifier. */
  readonly tag: string | null;
  readonly freshness: Freshness | null;
}

/** The answer of a source. "Not there" is an answer; failures are thrown. */
export type FetchResult =
  | FetchedValue
  | { readonly type: "notThere" }
  /** Only if a tag was given. `tag` replaces the value's tag; if absent, the given tag stays. */
  | { readonly type: "unchanged"; readonly freshness: Freshness | null; readonly tag?: string };

/** Calls of a source for many keys. */
export interface Batching {
  /** Maximum number of keys per call. */
  readonly maxKeys: number;
  /** Time that a fill waits for other keys (ms). 0: for keys of the same turn of the event loop. */
  readonly waitMs: number;
  /** Time that a refresh waits for other keys (ms). */
  readonly refreshWaitMs: number;
  /** Keys with equal groups can share a call. Throws a SourceError for a refused key. */
  groupOf(captures: Captures): string;
  /**
   * Fetches at least two keys of one group; their signals are the same. Returns a result per request, in their order: an
   * error only concerns its key. Throws a SourceError if the call failed for all keys.
   */
  fetchMany(requests: readonly FetchContext[]): Promise<readonly (FetchResult | Error)[]>;
  /** Describes the call of `fetchMany`, like `Source.describe`. */
  describe(requests: readonly FetchContext[]): string[];
}

/** A named source. */
export interface Source {
  readonly name: string;
  /** Throws a SourceError if it has no answer. */
  fetch(context: FetchContext): Promise<FetchResult>;
  /** How to fetch several keys in one call. `null` or absent if the source cannot. */
  readonly batching?: Batching | null;
  /** For a source that learns later if it can. Called before fetches until it has resolved. */
  loadBatching?(): Promise<Batching | null>;
  /** Describes the calls of `fetch`, one line per call, without secrets. Throws a SourceError for a refused key. */
  describe?(context: FetchContext): string[];
  /** Called when the value of a key (`Captures.cacheKey`) has changed. The user of the source sets it. */
  onChanged?: (key: string) => void;
  /** Durations of its HTTP requests. Absent for other sources. */
  readonly httpCalls?: { read(): readonly HttpCallNumbers[] };
  /** Closes connections and files. */
  close(): Promise<void>;
}
