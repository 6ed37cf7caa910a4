/**
 * Numbers of the embedded store → lines of `stats` in memcached's format: one slab class with chunks of one byte,
 * because an item takes exactly its size.
 *
 * Source: memcached doc/protocol.txt, "General-purpose statistics", "Item statistics" and "Slab statistics".
 */
import type { StatLine } from "../../proxy/client/local-commands.ts";
import type { StoreNumbers } from "../snapshot.ts";

/** The store's part of plain `stats`. */
export function storeLines(store: StoreNumbers): StatLine[] {
  const { counters } = store;
  return [
    ["limit_maxbytes", store.maxBytes],
    ["threads", 1],
    ["bytes", store.bytes],
    ["curr_items", store.items],
    ["total_items", counters.stored],
    ["expired_unfetched", counters.expiredUnfetched],
    ["evicted_unfetched", counters.evictedUnfetched],
    ["evictions", counters.evicted],
    ["reclaimed", counters.reclaimed],
  ];
}

/** `stats items` */
export function storeItemLines(store: StoreNumbers): StatLine[] {
  if (store.items === 0) return [];
  const { counters } = store;
  return [
    ["items:1:number", store.items],
    ["items:1:age", store.ageSeconds],
    ["items:1:mem_requested", store.bytes],
    ["items:1:evicted", counters.evicted],
    ["items:1:evicted_nonzero", counters.evictedNonzero],
    ["items:1:evicted_time", counters.evictedSeconds],
    ["items:1:outofmemory", 0],
    ["items:1:tailrepairs", 0],
    ["items:1:reclaimed", counters.reclaimed],
    ["items:1:expired_unfetched", counters.expiredUnfetched],
    ["items:1:evicted_unfetched", counters.evictedUnfetched],
  ];
}

/** `stats slabs`. Client commands are counted outside of the store; `hits` are their lines of plain `stats`. */
export function storeSlabLines(
  store: StoreNumbers,
  getHits: number,
  sets: number,
  hits: readonly StatLine[],
): StatLine[] {
  const { bytes, maxBytes } = store;
  const ofSlab = hits.filter(([name]) => name.endsWith("_hits") || name === "cas_badval");
  const slab: StatLine[] = [
    ["1:chunk_size", 1],
    ["1:chunks_per_page", maxBytes],
    ["1:total_pages", 1],
    ["1:total_chunks", maxBytes],
    ["1:used_chunks", bytes],
    ["1:free_chunks", maxBytes - bytes],
    ["1:free_chunks_end", 0],
    ["1:mem_requested", bytes],
    ["1:get_hits", getHits],
    ["1:cmd_set", sets],
    ...ofSlab.map(([name, value]): StatLine => [`1:${name}`, value]),
  ];
  const isEmpty = store.items === 0;
  return [...(isEmpty ? [] : slab), ["active_slabs", isEmpty ? 0 : 1], ["total_malloced", bytes]];
}
