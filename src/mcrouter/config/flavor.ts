/**
 * mcrouter's flavor: a file of options that the command line names, and a second file next to it.
 *
 *     FLAVOR.json              { "options": { "name": "value", … } }
 *     FLAVOR-standalone.json   { "standalone_options": { … }, "libmcrouter_options": { … } }
 *
 * Options of the command line override both files. The flavor's name is the router's name.
 *
 * Source: mcrouter flavor.cpp, StandaloneUtils.cpp, as facts.
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { readFailure } from "../../config/read-failure.ts";
import { ConfigError, UsageError } from "../../errors.ts";
import { readJson } from "./json-reader.ts";
import { describeJson, type Json } from "./json-value.ts";
import { optionRows } from "./option-table.ts";

/** Options by internal name, and notes about them. */
export interface Flavor {
  readonly given: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
}

/**
 * Reads both files. Rejects with a UsageError or a ConfigError if neither file exists, or if one of them is invalid.
 */
export async function readFlavor(file: string): Promise<Flavor> {
  const { dir, name, ext } = path.parse(file);
  const standalone = path.join(dir, `${name}-standalone${ext}`);
  const given = new Map<string, string>();
  const notes: string[] = [];
  const own = await readFile(file, "utf8").catch(() => null);
  const beside = await readFile(standalone, "utf8").catch(() => null);
  if (own === null && beside === null) {
    const error = await readFile(file).then(
      () => null,
      (reason: unknown) => reason,
    );
    throw new UsageError(`flavor ${file}: ${readFailure(error)}`);
  }
  const add = (text: string | null, from: string, members: readonly string[]) => {
    if (text !== null)
      for (const [option, value] of optionsOf(readJson(text, from), from, members)) given.set(option, value);
  };
  add(own, file, ["options"]);
  add(beside, standalone, ["standalone_options", "libmcrouter_options"]);
  for (const option of given.keys()) {
    if (!optionRows.some((row) => row.name === option))
      notes.push(`unknown option ${option} in flavor ${file}, left out`);
  }
  const known = [...given].filter(([option]) => optionRows.some((row) => row.name === option));
  return { given: new Map([...known, ["router_name", name], ["flavor_name", path.resolve(file)]]), notes };
}

/** The first of `members` is required. */
function optionsOf(json: Json, file: string, members: readonly string[]): [string, string][] {
  const complain = (at: Json, message: string): never => {
    throw new ConfigError([{ file, line: at.place.line, message }]);
  };
  if (json.type !== "object") return complain(json, `expected an object, got ${describeJson(json)}`);
  return members.flatMap((member, index): [string, string][] => {
    const options = json.members.get(member);
    if (options === undefined) return index === 0 ? complain(json, `expected "${member}", an object of options`) : [];
    if (options.type !== "object")
      return complain(options, `${member}: expected an object, got ${describeJson(options)}`);
    return [...options.members].map(([name, value]) => [
      name,
      textOf(value) ?? complain(value, `${name}: expected a text or a number`),
    ]);
  });
}

function textOf(value: Json): string | null {
  switch (value.type) {
    case "string":
      return value.value;
    case "integer":
    case "double":
    case "boolean":
      return String(value.value);
    default:
      return null;
  }
}
