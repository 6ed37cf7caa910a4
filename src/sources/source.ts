/**
 * Where values come from.
 */
import type { Span } from "../proxy/tracing.ts";

/** What a rule's pattern took out of a key. */
export interface Captures {
  /** The key without the rule's `strip_prefix`, as text. */
  readonly key: string;
  /** Captures by number as text ("1" is the first) and by name. A group that took part in no match is "". */
  readonly groups: ReadonlyMap<string, string>;
  /** The whole key, one character per byte: by which a source may say that its value has changed. */
  readonly cacheKey?: string;
  /** Of the fetch, where it is traced: calls to others are parts of it. */
  readonly span?: Span | null;
  /** How `key` and the captures become the key's bytes again. */
  readonly encoding: "utf8" | "latin1";
}

/** One fetch. */
export interface FetchContext extends Captures {
  /**
   * What the source said of the value that the pool still has (`FetchedValue.tag`): it may answer that this is unchanged.
   * Null: it has to give the value.
   */
  readonly tag: string | null;
  /** What it is for: fills go before refreshes, those of the parts of a merge too. */
  readonly priority: "fill" | "refresh";
  /** Aborted when nobody wants the result any more: the source gives up what it is doing. */
  readonly signal: AbortSignal;
}

/** How long a value is good, as its source says. */
export interface Freshness {
  /** `null` if the source does not say it: the rule's default counts. */
  readonly ttlMs: number | null;
  /** How long the value may be served after that. `null` if the source does not say it. */
  readonly staleMs: number | null;
  /** These figures count for every rule. Otherwise they count only for a rule with `ttl = "source"`. */
  readonly isBinding?: boolean;
}

export interface FetchedValue {
  readonly type: "value";
  readonly value: Buffer;
  /** By which the source knows this value again (an ETag, a version); null: it has nothing of the kind. */
  readonly tag: string | null;
  readonly freshness: Freshness | null;
}

/** What a source answered. "Not there" is an answer; failures are thrown. */
export type FetchResult =
  | FetchedValue
  | { readonly type: "notThere" }
  /** Only where a tag was given. `tag` is the tag of the value from now on; without it the given tag stays. */
  | { readonly type: "unchanged"; readonly freshness: Freshness | null; readonly tag?: string };

/** A named source. */
export interface Source {
  readonly name: string;
  /** Throws a SourceError when it has no answer. */
  fetch(context: FetchContext): Promise<FetchResult>;
  /** What `fetch` would do, a line for each call, without secrets. Throws a SourceError where it would refuse the key. */
  describe?(context: FetchContext): string[];
  /** Set by whoever wants to be told that the value of a key (`Captures.cacheKey`) has changed. */
  onChanged?: (key: string) => void;
  /** Lets go of connections and files. */
  close(): Promise<void>;
}
