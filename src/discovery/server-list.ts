/** Lists of servers: their order, and the difference between two of them. */
import { addressText, type PoolConfig, type PoolServer } from "../config/config.ts";
import { withServers } from "../config/native-placement.ts";
import { buildPlacement } from "../proxy/hash/build.ts";

/** Number of keys by which the share of moved keys is measured. */
const SAMPLE_KEYS = 4_096;
const NO_PREFIX = Buffer.alloc(0);

/** A server as in a configuration: `host:port weight name`. Equal servers have equal texts. */
export function serverText({ address, weight, name }: PoolServer): string {
  const place = addressText(address);
  return name !== null ? `${place} ${weight} ${name}` : weight !== 1 ? `${place} ${weight}` : place;
}

/**
 * Sorts servers by address, with numbers in their order. Answers come in any order, and some placements depend on it:
 * all processes must use the same one.
 */
export function sortServers(servers: readonly PoolServer[]): readonly PoolServer[] {
  const byText = new Map(servers.map((server) => [addressText(server.address), server]));
  return [...byText]
    .sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }) || (a < b ? -1 : 1))
    .map(([, server]) => server);
}

export interface ListChange {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Share of the keys that are stored on another server now, from 0 to 1. */
  readonly movedShare: number;
}

/** The change of the servers of `pool`. */
export function changeOf(pool: PoolConfig, before: readonly PoolServer[], now: readonly PoolServer[]): ListChange {
  const [old, next] = [before, now].map((list) => new Set(list.map(serverText)));
  return {
    added: [...next!].filter((text) => !old!.has(text)),
    removed: [...old!].filter((text) => !next!.has(text)),
    movedShare: before.length === 0 || now.length === 0 ? 1 : movedShare(pool, before, now),
  };
}

function movedShare(pool: PoolConfig, before: readonly PoolServer[], now: readonly PoolServer[]): number {
  const owners = [before, now].map((list) => {
    const { placement, servers } = withServers(pool, list);
    const built = buildPlacement(placement, servers, { prefix: NO_PREFIX, random: () => 0 });
    return (key: Buffer) => addressText(servers[built.locate(key, 0, key.length)]!.address);
  });
  let moved = 0;
  for (let i = 0; i < SAMPLE_KEYS; i++) {
    const key = Buffer.from(`key:${i}`, "latin1");
    if (owners[0]!(key) !== owners[1]!(key)) moved++;
  }
  return moved / SAMPLE_KEYS;
}
