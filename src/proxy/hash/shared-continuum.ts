/**
 * Continua that were built lately, shared by all that need the same one: a pool after a reload, an explanation of a key, the
 * servers that are up. A continuum does not change once it is built, and takes 0.1 ms and more for each server to build.
 */
import type { Continuum } from "./continuum.ts";

const MAX_CONTINUA = 8;
/** In the order of their last use. */
const continua = new Map<string, Continuum>();

/** The continuum that `identity` describes in full, built by `build` unless it is here. */
export function sharedContinuum(identity: string, build: () => Continuum): Continuum {
  const continuum = continua.get(identity) ?? build();
  continua.delete(identity);
  continua.set(identity, continuum);
  if (continua.size > MAX_CONTINUA) continua.delete(continua.keys().next().value!);
  return continuum;
}
