/**
 * Config → named sources behind their bounds.
 */
import type { Clock } from "../clock.ts";
import type { SourceConfig } from "../config/config.ts";
import { EchoSource } from "./echo.ts";
import { FileSource } from "./file.ts";
import { HttpSource } from "./http.ts";
import { Limiter } from "./limiter.ts";
import type { Source } from "./source.ts";

/** A source as it runs. */
export interface BuiltSource {
  readonly config: SourceConfig;
  readonly source: Source;
  readonly limiter: Limiter;
}

/** Builds the sources; those whose configuration has not changed are taken over from `previous`. */
export function buildSources(
  configs: readonly SourceConfig[],
  previous: ReadonlyMap<string, BuiltSource>,
  clock: Clock,
): Map<string, BuiltSource> {
  return new Map(
    configs.map((config) => {
      const old = previous.get(config.name);
      if (old !== undefined && JSON.stringify(old.config) === JSON.stringify(config)) return [config.name, old];
      const source = createSource(config);
      return [config.name, { config, source, limiter: new Limiter(source, config, clock) }];
    }),
  );
}

function createSource(config: SourceConfig): Source {
  switch (config.type) {
    case "echo":
      return new EchoSource(config);
    case "file":
      return new FileSource(config);
    case "http":
      return new HttpSource(config);
  }
}
