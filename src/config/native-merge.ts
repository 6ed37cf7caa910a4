/** Merges of a native configuration: their parts, and that none of them needs itself. */

import type { MergePart, SourceConfig } from "./config.ts";
import { suggestion } from "./nearest-name.ts";
import {
  describeValue,
  type Found,
  isTable,
  type Place,
  type Problems,
  type Section,
  type TemplateCheck,
} from "./section.ts";

/** The list of parts as it stands in the file. */
interface MergeReading {
  readonly values: readonly Readonly<Record<string, unknown>>[];
  readonly list: Found;
  readonly onFailure: MergePart["onFailure"];
}

const settingsOfPart = ["key", "to", "source", "args", "on_failure"];

/** Parts of a merge; what is wrong with one is reported with its place in the list, and it is left out. */
export function readParts(
  { values, list, onFailure }: MergeReading,
  problems: Problems,
  checkTemplate: TemplateCheck,
): MergePart[] {
  return values.flatMap((value, index) => {
    const place = list.entry(index);
    for (const key of Object.keys(value)) {
      if (!settingsOfPart.includes(key))
        problems.add(place, `unknown setting ${key}${suggestion(key, settingsOfPart)}`);
    }
    const path = readMembers(value, place, problems);
    const policy = value.on_failure ?? onFailure;
    if (policy !== "fail" && policy !== "null" && policy !== "omit") {
      problems.add(place, 'on_failure: expected "fail", "null" or "omit"');
      return [];
    }
    if (typeof value.source !== "string") {
      problems.add(place, `source: expected the name of a source, got ${describeValue(value.source)}`);
      return [];
    }
    const replace = readArgs(value.args, place, problems, checkTemplate);
    return [{ path, source: value.source, replace, onFailure: policy }];
  });
}

/** `key = ["a", "b"]` or `to = "a.b"`; `to = "."` and `key = []` are the top. */
function readMembers({ key, to }: Readonly<Record<string, unknown>>, place: Place, problems: Problems): string[] {
  if (Array.isArray(key) && key.every((name) => typeof name === "string") && to === undefined) return key;
  if (typeof to === "string" && key === undefined) return to.split(".").filter((name) => name !== "");
  problems.add(place, 'expected key = ["a", "b"], or to = "a.b"; to = "." is the top');
  return [];
}

/** `{ inherit = {} }` or `{ replace = { NAME = "TEMPLATE" } }`. */
function readArgs(args: unknown, place: Place, problems: Problems, checkTemplate: TemplateCheck): [string, string][] {
  const { inherit, replace, ...others } = isTable(args) ? args : {};
  const isOne =
    isTable(args) && Object.keys(others).length === 0 && (inherit === undefined) !== (replace === undefined);
  if ((args !== undefined && !isOne) || (replace !== undefined && !isTable(replace))) {
    problems.add(place, 'args: expected { inherit = {} } or { replace = { NAME = "TEMPLATE" } }');
    return [];
  }
  return Object.entries(replace ?? {}).flatMap(([name, template]) => {
    if (typeof template !== "string") {
      problems.add(place, `args.replace.${name}: expected a template, got ${describeValue(template)}`);
      return [];
    }
    checkTemplate(template, place);
    return [[name, template] as [string, string]];
  });
}

/** Sources that merges name must exist, and no merge may need itself. */
export function checkMerges(
  sources: readonly { readonly name: string; readonly source: SourceConfig | null }[],
  sections: ReadonlyMap<string, Section>,
  problems: Problems,
): void {
  const parts = new Map(sources.map(({ name, source }) => [name, source?.type === "merge" ? source.parts : []]));
  for (const [name, list] of parts) {
    const section = sections.get(name)!;
    const place = (section.found.get("template") ?? section.found.get("merge"))?.place ?? section.place;
    for (const { source } of list) {
      if (!parts.has(source)) problems.add(place, `there is no [source.${source}]${suggestion(source, parts.keys())}`);
    }
    const way = wayBack(name, parts);
    if (way !== null) problems.add(place, `needs itself: ${way.join(" → ")}`);
  }
}

/** Names from a source by way of its parts back to itself; null: there is no such way. */
function wayBack(start: string, parts: ReadonlyMap<string, readonly MergePart[]>): string[] | null {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.pop(); way !== undefined; way = ways.pop()) {
    for (const { source } of parts.get(way.at(-1)!) ?? []) {
      if (source === start) return [...way, start];
      if (!seen.has(source)) ways.push([...way, source]);
      seen.add(source);
    }
  }
  return null;
}
