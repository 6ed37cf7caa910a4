/** The numbers that a program reads from its Platypus. Imports nothing, so that the package's types need no others. */

type Numbers = Readonly<Record<string, number>>;

/** Counters count from the start. */
export interface LibraryStats {
  /** Keys that are kept fresh. */
  readonly tracked: number;
  readonly fillsInFlight: number;
  readonly refreshesInFlight: number;
  readonly clients: { readonly connections: number; readonly hits: number; readonly misses: number };
  /** Counters by rule, as in `stats platypus`, and the present numbers of tracked keys and fetches in flight. */
  readonly rules: Readonly<Record<string, Numbers>>;
  /** Counters by source, and its present state. */
  readonly sources: Readonly<
    Record<
      string,
      { readonly breaker: string; readonly inFlight: number; readonly waiting: number; readonly counters: Numbers }
    >
  >;
  readonly servers: readonly { readonly name: string; readonly pool: string; readonly state: string }[];
}
