/**
 * The way to `src/mcrouter`. A process with a native configuration never loads it: a quarter of the source. Whoever makes a
 * configuration with a tree loads it before, so that what is built of the tree finds it loaded.
 */
type Wing = typeof import("../mcrouter/wing.ts");

let wing: Wing | null = null;

/** Loads it, once. */
export async function loadWing(): Promise<Wing> {
  wing ??= await import("../mcrouter/wing.ts");
  return wing;
}

/** What was loaded. Throws where nothing was. */
export function loadedWing(): Wing {
  if (wing === null) throw new Error("a routing tree is used before src/mcrouter was loaded");
  return wing;
}
