/** Sources that ask other sources: checks that the parts exist and form no cycle, and combines their uses and TTLs. */

import { suggestion } from "./nearest-name.ts";
import type { Problems, Section } from "./section.ts";
import type { SourcePart, SourceReading, TemplateUse } from "./source-types.ts";
import { parseDuration } from "./units.ts";

/** Reports parts that do not exist, and cycles. */
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

/** The names on the cycle from a source through its parts back to itself. `null` if there is no cycle. */
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

/** The captures that a source and its parts use, without captures that are replaced on the way to a part. */
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

/** The smallest `ttl` of a source's parts (ms). Infinity if no part has one. */
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
