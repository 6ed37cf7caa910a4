/** A source that is a function: its request and its result. Modules and the library share it. */

/** The request to a getter. */
export interface GetterRequest {
  /** The key, without its rule's `strip_prefix`. */
  readonly key: string;
  /** Captures of the rule's pattern by name, and by number: `captures[1]`. */
  readonly captures: Readonly<Record<string, string>>;
  /** The tag that the getter returned for the stored value. `null` if absent. */
  readonly tag: string | null;
  /** Aborted at the source's timeout. */
  readonly signal: AbortSignal;
}

/** A value as text or bytes. */
export type GetterValue = string | Uint8Array;

/** `undefined` or `null` if there is no such value. */
export type GetterResult =
  | GetterValue
  | {
      readonly value: GetterValue;
      /** Time to live: "60s", or a number of ms. If omitted, the rule's TTL applies. */
      readonly ttl?: string | number;
      /** Identifies this value in later requests. */
      readonly tag?: string;
    }
  | { readonly unchanged: true; readonly ttl?: string | number }
  | undefined
  | null;

/** A source that a user writes. */
export type Getter = (request: GetterRequest) => GetterResult | Promise<GetterResult>;

/**
 * A source that a user writes for several keys at once. Returns a result for each request: as a list in the order of the
 * requests, or as a map or an object with the requests' keys. A key that the map lacks has no value; an Error fails its
 * key only. An exception fails all keys.
 */
export type ManyGetter = (requests: readonly GetterRequest[]) => ManyResults | Promise<ManyResults>;

type OneResult = GetterResult | Error;
export type ManyResults = readonly OneResult[] | ReadonlyMap<string, OneResult> | Readonly<Record<string, OneResult>>;
