/** The parameters in a macro's definition. */

import { describeJson, type Json } from "./json-value.ts";
import { MacroError } from "./macro-error.ts";

export interface Parameter {
  readonly name: string;
  readonly default: Json | null;
  readonly isRequired: boolean;
}

/**
 * Reads `params`. Throws a `MacroError` for an invalid parameter, and for a required parameter after an optional one.
 */
export function readParameters(params: Json | undefined): Parameter[] {
  if (params === undefined) return [];
  if (params.type !== "array")
    throw new MacroError(`expected params to be a list, got ${describeJson(params)}`, params.place);
  const parameters = params.items.map(readParameter);
  for (const [i, { name, isRequired }] of parameters.entries()) {
    const { place } = params.items[i]!;
    if (isRequired && i > 0 && !parameters[i - 1]!.isRequired) {
      throw new MacroError(`parameter "${name}" must be optional: the one before it is`, place);
    }
    if (parameters.findIndex((each) => each.name === name) < i) {
      throw new MacroError(`parameter "${name}" is listed twice`, place);
    }
  }
  return parameters;
}

function readParameter(param: Json): Parameter {
  if (param.type === "string") return { name: param.value, default: null, isRequired: true };
  const name = param.type === "object" ? param.members.get("name") : undefined;
  if (param.type !== "object" || name?.type !== "string") {
    throw new MacroError(
      `expected a parameter's name, or an object with its name, got ${describeJson(param)}`,
      param.place,
    );
  }
  const optional = param.members.get("optional");
  const fallback = param.members.get("default");
  if (optional !== undefined && optional.type !== "boolean") {
    throw new MacroError(`expected optional to be true or false, got ${describeJson(optional)}`, optional.place);
  }
  if (fallback !== undefined && optional?.value === false) {
    throw new MacroError(`parameter "${name.value}" has a default, so it is optional`, param.place);
  }
  // As in mcrouter, a default of null means no default.
  const value = fallback === undefined || fallback.type === "null" ? null : fallback;
  return { name: name.value, default: value, isRequired: fallback === undefined && optional?.value !== true };
}
