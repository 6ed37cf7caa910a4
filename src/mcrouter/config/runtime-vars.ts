/**
 * Runtime variables (`--runtime-vars-file`): a JSON object that changes parts of the routes without a change of the
 * configuration. The file is watched like the configuration. A file that cannot be read sets no variables.
 *
 *     {"key_fraction_range_0": [0.4, 0.5], "key_fractions": {"TIER": 0.1}}
 *
 * Source: mcrouter RuntimeVarsData.cpp, ShadowSettings.cpp, as facts.
 */
import { readFailure } from "../../config/read-failure.ts";
import { ConfigError } from "../../errors.ts";
import type { ReadText } from "./config.ts";
import { readJson } from "./json-reader.ts";
import { plainJson } from "./json-value.ts";

const FRACTIONS = "key_fractions";
const RANGE_PREFIX = "key_fraction_range_";

export class RuntimeVars {
  private readonly values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.values = values;
  }

  /**
   * The range of keys, as parts of 1, that the variable `name` sets: a pair of numbers, or a number in `key_fractions`.
   * `null` if it is not set. Returns a text that says what is wrong with the value.
   */
  keyRange(name: string): readonly [number, number] | null | string {
    const fractions = own(this.values, FRACTIONS);
    if (isObject(fractions)) {
      const tier = name.startsWith(RANGE_PREFIX) ? name.slice(RANGE_PREFIX.length) : name;
      const end = own(fractions, tier);
      if (end === undefined) return null;
      return isPart(end) ? [0, end] : `${FRACTIONS}.${tier}: expected a number from 0 to 1`;
    }
    const range = own(this.values, name);
    if (range === undefined) return null;
    const [start, end, ...more] = Array.isArray(range) ? range : [];
    if (!isPart(start) || !isPart(end) || start > end || more.length > 0) {
      return `${name}: expected two numbers from 0 to 1, in ascending order`;
    }
    return [start, end];
  }
}

/** `warn` receives what is wrong with the file. */
export async function readRuntimeVars(
  file: string | null,
  read: ReadText,
  warn: (message: string) => void,
): Promise<RuntimeVars> {
  if (file === null) return new RuntimeVars({});
  try {
    const values = plainJson(readJson(await read(file), file));
    if (isObject(values)) return new RuntimeVars(values);
    warn(`${file}: expected an object with runtime variables`);
  } catch (error) {
    const problem = error instanceof ConfigError ? error.problems[0]!.message : readFailure(error);
    warn(`${file}: ${problem}; there are no runtime variables`);
  }
  return new RuntimeVars({});
}

function own(object: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isPart(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= 1;
}
