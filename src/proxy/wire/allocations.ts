/** Tells when large buffers of so many bytes were allocated, so that a bound on memory is looked at in time. */

const EVERY_BYTES = 4 * 1024 * 1024;

const watchers = new Set<() => void>();
let bytes = 0;

/** To be called for each buffer that is not small. */
export function noteAllocation(length: number): void {
  bytes += length;
  if (bytes < EVERY_BYTES) return;
  bytes = 0;
  for (const watcher of watchers) watcher();
}

/** Has `watcher` called whenever some more MiB were allocated, in the middle of whatever allocates. Returns what ends that. */
export function watchAllocations(watcher: () => void): () => void {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}
