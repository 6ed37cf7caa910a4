/** The parts of a running configuration that are told of. */
import type { Config } from "../config/config.ts";
import type { BuiltPools } from "../proxy/route/pools.ts";
import type { Rules } from "../refresh/rules.ts";
import type { BuiltSource } from "../sources/build.ts";
import type { Limiter } from "../sources/limiter.ts";

export interface RunningParts {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
}

/** What sources are asked through, in the order of the configuration. */
export function limitersOf({ sources }: RunningParts): Limiter[] {
  return [...sources.values()].map(({ limiter }) => limiter);
}
