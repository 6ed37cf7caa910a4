/** The numbers that a program reads from its Platypus: a part of the snapshot. */
import type { Snapshot } from "../snapshot.ts";

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

export function statsOf({ work, clients, rules, sources, servers }: Snapshot): LibraryStats {
  return {
    tracked: work.tracked,
    fillsInFlight: work.fills,
    refreshesInFlight: work.refreshes,
    clients: { connections: clients.connections, hits: clients.getHits, misses: clients.getMisses },
    rules: Object.fromEntries(
      rules.map(({ name, counters, tracked, inFlight }) => [name, { ...counters, tracked, inFlight }]),
    ),
    sources: Object.fromEntries(
      sources.map(({ name, breaker, inFlight, waiting, counters }) => {
        return [name, { breaker, inFlight, waiting, counters: { ...counters } }];
      }),
    ),
    servers: servers.map(({ name, pool, state }) => ({ name, pool, state })),
  };
}
