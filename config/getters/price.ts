/**
 * A getter: prices from a table that stands for a database. `platypus` exports these types (`Getter`, `GetterRequest`,
 * `GetterResult`); they are written out so that the file needs nothing but Node.
 */
interface Request {
  /** What the rule's pattern took out of the key, by name and by number. */
  readonly captures: Readonly<Record<string, string>>;
  /** What was said of the value that is stored; null: nothing is known of one. */
  readonly tag: string | null;
  /** Aborted at the source's time-out; hand it on to what takes one, such as `fetch`. */
  readonly signal: AbortSignal;
}

interface Price {
  readonly cents: number;
  /** Goes up with every change. */
  readonly version: number;
}

type Result = { readonly value: string; readonly tag: string; readonly ttl: string } | { readonly unchanged: true };

const prices: ReadonlyMap<string, Price> = new Map([
  ["tea", { cents: 450, version: 1 }],
  ["coffee", { cents: 620, version: 3 }],
]);

/** Undefined: there is no such thing, which is a miss. What is thrown is a failure of the source. */
export default async function price({ captures, tag, signal }: Request): Promise<Result | undefined> {
  signal.throwIfAborted();
  const sku = captures.sku ?? "";
  const found = prices.get(sku);
  if (found === undefined) return undefined;
  const version = String(found.version);
  if (tag === version) return { unchanged: true };
  return { value: JSON.stringify({ sku, cents: found.cents }), tag: version, ttl: "20s" };
}
