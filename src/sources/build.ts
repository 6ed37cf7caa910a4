/**
 * Config → named sources with their limits.
 */
import type { Clock } from "../clock.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { Limiter } from "./limiter.ts";
import type { Source } from "./source.ts";
import { typeOf } from "./types.ts";

/** A running source. */
export interface BuiltSource {
  readonly config: SourceConfig;
  readonly source: Source;
  readonly limiter: Limiter;
}

/**
 * Builds the sources; the parts of a merge come before the merge. Sources with an unchanged configuration are reused
 * from `previous`. The configuration has been checked: all names exist, and merges form no cycle.
 */
export function buildSources(
  configs: readonly SourceConfig[],
  previous: ReadonlyMap<string, BuiltSource>,
  clock: Clock,
): Map<string, BuiltSource> {
  const built = new Map<string, BuiltSource>();
  const build = (config: SourceConfig): BuiltSource => {
    const done = built.get(config.name);
    if (done !== undefined) return done;
    const parts = partsOf(config).map((name) => build(configs.find((each) => each.name === name)!));
    const old = previous.get(config.name);
    // A merge refers to its parts, so it can only be reused if they are reused.
    const isSame =
      old !== undefined &&
      JSON.stringify(old.config) === JSON.stringify(config) &&
      parts.every((part) => previous.get(part.config.name) === part);
    const result = isSame ? old : create(config, built, previous, clock);
    built.set(config.name, result);
    return result;
  };
  for (const config of configs) build(config);
  return new Map(configs.map(({ name }) => [name, built.get(name)!]));
}

/**
 * Closes the sources of `previous` that are not in `current`, each after its last fetch. The parts of a merge close
 * after the merge, whose fetches may still be queued. `failed` is called for sources that cannot be closed.
 */
export function retireSources(
  previous: ReadonlyMap<string, BuiltSource>,
  current: ReadonlyMap<string, BuiltSource>,
  failed: (name: string, error: unknown) => void,
): void {
  const gone = [...previous].filter(([name, { source }]) => current.get(name)?.source !== source);
  const retiring = new Map<string, Promise<void>>();
  const retire = ([name, { limiter }]: (typeof gone)[number]): Promise<void> => {
    const users = gone.filter(([, { config }]) => partsOf(config).includes(name));
    const retired =
      retiring.get(name) ??
      Promise.all(users.map(retire))
        .then(() => limiter.retire())
        .catch((error: unknown) => failed(name, error));
    retiring.set(name, retired);
    return retired;
  };
  for (const each of gone) void retire(each);
}

function create(
  config: SourceConfig,
  built: ReadonlyMap<string, BuiltSource>,
  previous: ReadonlyMap<string, BuiltSource>,
  clock: Clock,
): BuiltSource {
  const source = typeOf(config).create(config, {
    clock,
    peers: [...built.values(), ...previous.values()].map((each) => each.source),
    partNamed: (name) => built.get(name)!.limiter,
  });
  return { config, source, limiter: new Limiter(source, config, clock) };
}

function partsOf(config: SourceConfig): string[] {
  return (typeOf(config).partsOf?.(config) ?? []).map(({ source }) => source);
}
