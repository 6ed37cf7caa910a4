/**
 * Numbers of the embedded store → lines of `stats`, as memcached has them: one slab class, of chunks of one byte, because
 * items take what they need.
 *
 * Source: memcached doc/protocol.txt, "General-purpose statistics", "Item statistics" and "Slab statistics".
 */
import type { StatLine } from "../../proxy/client/local-commands.ts";
import type { ItemStore } from "../../proxy/store/item-store.ts";

/** Its part of plain `stats`. */
export function storeLines(store: ItemStore): StatLine[] {
  const { counters } = store;
  return [
    ["limit_maxbytes", store.maxBytes],
    ["threads", 1],
    ["bytes", store.byteLength],
    ["curr_items", store.count],
    ["total_items", counters.stored],
    ["expired_unfetched", counters.expiredUnfetched],
    ["evicted_unfetched", counters.evictedUnfetched],
    ["evictions", counters.evicted],
    ["reclaimed", counters.reclaimed],
  ];
}

/** `stats items` */
export function storeItemLines(store: ItemStore): StatLine[] {
  if (store.count === 0) return [];
  const { counters } = store;
  return [
    ["items:1:number", store.count],
    ["items:1:age", store.ageSeconds],
    ["items:1:mem_requested", store.byteLength],
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

/** `stats slabs`; what clients asked for is counted before the store, `hits` are its lines of plain `stats`. */
export function storeSlabLines(store: ItemStore, getHits: number, sets: number, hits: readonly StatLine[]): StatLine[] {
  const { byteLength, maxBytes } = store;
  const ofSlab = hits.filter(([name]) => name.endsWith("_hits") || name === "cas_badval");
  const slab: StatLine[] = [
    ["1:chunk_size", 1],
    ["1:chunks_per_page", maxBytes],
    ["1:total_pages", 1],
    ["1:total_chunks", maxBytes],
    ["1:used_chunks", byteLength],
    ["1:free_chunks", maxBytes - byteLength],
    ["1:free_chunks_end", 0],
    ["1:mem_requested", byteLength],
    ["1:get_hits", getHits],
    ["1:cmd_set", sets],
    ...ofSlab.map(([name, value]): StatLine => [`1:${name}`, value]),
  ];
  const isEmpty = store.count === 0;
  return [...(isEmpty ? [] : slab), ["active_slabs", isEmpty ? 0 : 1], ["total_malloced", byteLength]];
}
