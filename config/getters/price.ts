/**
 * A getter that returns prices from a table, in place of a database. `platypus-proxy` exports these types (`Getter`,
 * `GetterRequest`, `GetterResult`). They are repeated here so that the file needs only Node.
 */
interface Request {
  /** Captures of the rule's pattern, by name and by number. */
  readonly captures: Readonly<Record<string, string>>;
  /** The tag that was returned with the stored value. `null` if it has no tag. */
  readonly tag: string | null;
  /** Aborted at the source's timeout. Pass it on, for example to `fetch`. */
  readonly signal: AbortSignal;
}

interface Price {
  readonly cents: number;
  /** Increases with each change. */
  readonly version: number;
}

type Result = { readonly value: string; readonly tag: string; readonly ttl: string } | { readonly unchanged: true };

const prices: ReadonlyMap<string, Price> = new Map([
  ["tea", { cents: 450, version: 1 }],
  ["coffee", { cents: 620, version: 3 }],
]);

/** Returns undefined for a miss. An exception is a failure of the source. */
export default async function price({ captures, tag, signal }: Request): Promise<Result | undefined> {
  signal.throwIfAborted();
  const sku = captures.sku ?? "";
  const found = prices.get(sku);
  if (found === undefined) return undefined;
  const version = String(found.version);
  if (tag === version) return { unchanged: true };
  return { value: JSON.stringify({ sku, cents: found.cents }), tag: version, ttl: "20s" };
}
