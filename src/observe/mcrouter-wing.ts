/**
 * Loads `src/mcrouter` and the stats format that belongs to it on demand: a process with a native configuration never
 * loads this quarter of the source. Code that makes a configuration with a tree loads the wing first, so that the
 * builders of the tree find it loaded.
 */
type Wing = typeof import("../mcrouter/wing.ts") & typeof import("./stats/mcrouter-stats.ts");

let wing: Wing | null = null;

/** Loads the wing once. */
export async function loadWing(): Promise<Wing> {
  wing ??= { ...(await import("../mcrouter/wing.ts")), ...(await import("./stats/mcrouter-stats.ts")) };
  return wing;
}

/** The loaded wing. Throws if the wing is not loaded. */
export function loadedWing(): Wing {
  if (wing === null) throw new Error("a routing tree is used before src/mcrouter was loaded");
  return wing;
}
