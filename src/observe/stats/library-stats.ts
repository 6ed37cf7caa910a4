/** A snapshot → the numbers that a program reads from its Platypus. */
import type { LibraryStats } from "../../library-stats.ts";
import type { Snapshot } from "../snapshot.ts";

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
