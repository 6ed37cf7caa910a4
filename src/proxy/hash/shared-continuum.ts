/**
 * A cache of recently built continua, shared by all users of an equal one: a pool after a reload, an explanation of a
 * key, the servers that are up. A continuum is immutable, and takes at least 0.1 ms per server to build.
 */
import type { Continuum } from "./continuum.ts";

const MAX_CONTINUA = 8;
/** In the order of last use. */
const continua = new Map<string, Continuum>();

/** The continuum that `identity` describes completely. `build` creates it if it is not in the cache. */
export function sharedContinuum(identity: string, build: () => Continuum): Continuum {
  const continuum = continua.get(identity) ?? build();
  continua.delete(identity);
  continua.set(identity, continuum);
  if (continua.size > MAX_CONTINUA) continua.delete(continua.keys().next().value!);
  return continuum;
}
