/**
 * Where values come from.
 */

/** What a rule's pattern took out of a key. */
export interface Captures {
  /** The key without the rule's `strip_prefix`, decoded where its `key_encoding` says so, as text. */
  readonly key: string;
  /** Captures by number as text ("1" is the first) and by name. A group that took part in no match is "". */
  readonly groups: ReadonlyMap<string, string>;
  /** How `key` and the captures become the key's bytes again. */
  readonly encoding: "utf8" | "latin1";
}

/** One fetch. */
export interface FetchContext extends Captures {
  /** Aborted when nobody wants the result any more: the source gives up what it is doing. */
  readonly signal: AbortSignal;
}

export interface FetchedValue {
  readonly type: "value";
  readonly value: Buffer;
}

/** What a source answered. "Not there" is an answer; failures are thrown. */
export type FetchResult = FetchedValue | { readonly type: "notThere" };

/** A named source. */
export interface Source {
  readonly name: string;
  /** Throws a SourceError when it has no answer. */
  fetch(context: FetchContext): Promise<FetchResult>;
  /** Lets go of connections and files. */
  close(): Promise<void>;
}
