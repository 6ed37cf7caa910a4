/** A source that is a function: what it is asked, and what it may answer. Modules and the library share it. */

/** What a getter is asked. */
export interface GetterRequest {
  /** The key, without its rule's `strip_prefix`. */
  readonly key: string;
  /** Captures of the rule's pattern by name, and by number: `captures[1]`. */
  readonly captures: Readonly<Record<string, string>>;
  /** What the getter said of the value that is stored; null: nothing is known of one. */
  readonly tag: string | null;
  /** Aborted at the source's time-out. */
  readonly signal: AbortSignal;
}

/** A value as text or bytes. */
export type GetterValue = string | Uint8Array;

/** Undefined or null: there is no such value. */
export type GetterResult =
  | GetterValue
  | {
      readonly value: GetterValue;
      /** How long it is good: "60s", or in ms. Left out: as the rule says. */
      readonly ttl?: string | number;
      /** By which the getter knows this value again. */
      readonly tag?: string;
    }
  | { readonly unchanged: true; readonly ttl?: string | number }
  | undefined
  | null;

/** A source of the user's own. */
export type Getter = (request: GetterRequest) => GetterResult | Promise<GetterResult>;
