/** Reads native configurations as the file /etc/p.toml. */
import type { Config } from "../../../src/config/config.ts";
import { parseNative } from "../../../src/config/native.ts";
import { ConfigError } from "../../../src/errors.ts";
import { sourceTypes } from "../../../src/sources/types.ts";

interface Layers {
  readonly env?: Record<string, string>;
  readonly overrides?: Record<string, string>;
}

export function read(text: string, { env = {}, overrides = {} }: Layers = {}): Config {
  return parseNative({ file: "/etc/p.toml", text, env, overrides, sourceTypes });
}

/** Each problem as `line: message`, or `message` for those without a line. */
export function problems(text: string, layers: Layers = {}): string[] {
  try {
    read(text, layers);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ line, message }) => (line === null ? message : `${line}: ${message}`));
  }
  return [];
}
