/** The parts of a running configuration that are told of. */
import type { Config } from "../config/config.ts";
import type { BuiltPools } from "../proxy/route/pools.ts";
import type { Rules } from "../refresh/rules.ts";
import type { BuiltSource } from "../sources/build.ts";

export interface RunningParts {
  readonly config: Config;
  readonly pools: BuiltPools;
  readonly sources: ReadonlyMap<string, BuiltSource>;
  readonly rules: Rules;
}
