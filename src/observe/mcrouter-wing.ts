/**
 * The way to `src/mcrouter`, and to the form of stats that belongs to it. A process with a native configuration never loads
 * them: a quarter of the source. Whoever makes a configuration with a tree loads them before, so that what is built of the
 * tree finds them loaded.
 */
type Wing = typeof import("../mcrouter/wing.ts") & typeof import("./stats/mcrouter-stats.ts");

let wing: Wing | null = null;

/** Loads it, once. */
export async function loadWing(): Promise<Wing> {
  wing ??= { ...(await import("../mcrouter/wing.ts")), ...(await import("./stats/mcrouter-stats.ts")) };
  return wing;
}

/** What was loaded. Throws where nothing was. */
export function loadedWing(): Wing {
  if (wing === null) throw new Error("a routing tree is used before src/mcrouter was loaded");
  return wing;
}
