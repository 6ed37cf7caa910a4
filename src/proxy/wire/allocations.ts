/** Reports allocations of large buffers, so that the memory limit is checked in time. */

const EVERY_BYTES = 4 * 1024 * 1024;

const watchers = new Set<() => void>();
let bytes = 0;

/** Call for each buffer that is not small. */
export function noteAllocation(length: number): void {
  bytes += length;
  if (bytes < EVERY_BYTES) return;
  bytes = 0;
  for (const watcher of watchers) watcher();
}

/**
 * Calls `watcher` after each further few MiB of allocations, within the allocating call. Returns a function that stops
 * it.
 */
export function watchAllocations(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}
