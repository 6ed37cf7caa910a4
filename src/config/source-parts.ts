/** Sources that ask other sources: these must exist, none may need itself, and what they use and last counts for the whole. */

import { suggestion } from "./nearest-name.ts";
import type { Problems, Section } from "./section.ts";
import type { SourcePart, SourceReading, TemplateUse } from "./source-types.ts";
import { parseDuration } from "./units.ts";

/** Reports parts that do not exist, and sources that need themselves. */
export function checkParts(readings: readonly SourceReading[], problems: Problems): void {
  const parts = new Map(readings.map((each) => [each.name, each.parts]));
  for (const [name, list] of parts) {
    for (const { source, place } of list) {
      if (!parts.has(source)) problems.add(place, `there is no [source.${source}]${suggestion(source, parts.keys())}`);
    }
    const way = wayBack(name, parts);
    if (way !== null) problems.add(list[0]!.place, `needs itself: ${way.join(" → ")}`);
  }
}

/** Names from a source by way of its parts back to itself. `null` if there is no such way. */
function wayBack(start: string, parts: ReadonlyMap<string, readonly SourcePart[]>): string[] | null {
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

/** What a source and its parts use of a key, without the captures that are replaced on the way to a part. */
export function usesOf(
  reading: SourceReading,
  readings: readonly SourceReading[],
  seen = new Set<string>(),
): readonly TemplateUse[] {
  if (reading.parts.length === 0 || seen.has(reading.name)) return reading.uses;
  seen.add(reading.name);
  const ofParts = reading.parts.flatMap(({ source, replaced }) => {
    const part = readings.find(({ name }) => name === source);
    return part === undefined ? [] : usesOf(part, readings, seen).filter(({ name }) => !replaced.includes(name));
  });
  return [...reading.uses, ...ofParts];
}

/** The least `ttl` of the parts of a source, in ms. Infinity if none of them has one. */
export function leastTtlMs(
  name: string,
  readings: readonly SourceReading[],
  sources: ReadonlyMap<string, Section>,
): number {
  const parts = readings.find((each) => each.name === name)?.parts ?? [];
  const ttls = parts.map((part) => {
    const value = sources.get(part.source)?.found.get("ttl")?.value;
    return (typeof value === "string" ? parseDuration(value) : null) ?? Number.POSITIVE_INFINITY;
  });
  return Math.min(...ttls);
}
