/**
 * Reads `[get.NAME]`: its pattern, its times, and a check that the templates of its source only use existing captures.
 */

import { RE2JS } from "re2js";
import type { RuleConfig, ServerConfig } from "./config.ts";
import type { Layers } from "./layers.ts";
import { suggestion } from "./nearest-name.ts";
import { type Found, findSetting, type Problems, readSection, type Section } from "./section.ts";
import { ruleDefaultSettings, ruleSettings } from "./settings.ts";
import { leastTtlMs, usesOf } from "./source-parts.ts";
import type { SourceReading, TemplateUse } from "./source-types.ts";

/** Default of `ttl = "source"` if the source gives no TTL. */
const DEFAULT_TTL_MS = 60_000;

/** `null` if a required setting is missing; the problem is reported. */
export function readRule(
  name: string,
  section: Section,
  { sources }: Layers,
  server: ServerConfig,
  readings: readonly SourceReading[],
  problems: Problems,
): RuleConfig | null {
  const sourceFound = section.found.get("source");
  const sourceName = typeof sourceFound?.value === "string" ? sourceFound.value : "";
  const defaults = ruleDefaults(sources.get(sourceName));
  const values = readSection(
    { ...section, found: new Map([...defaults, ...section.found]) },
    ruleSettings,
    problems,
    () => {},
  );
  if (values.source !== null && !sources.has(values.source)) {
    problems.add(
      sourceFound?.place ?? section.place,
      `there is no [source.${values.source}]${suggestion(values.source, sources.keys())}`,
    );
  }
  const isSourceTtl = values.ttlMs === "source";
  const ownTtlMs = values.ttlMs === "source" ? DEFAULT_TTL_MS : values.ttlMs;
  // A merged value must not live longer than its parts.
  const ttlMs = Math.min(ownTtlMs, leastTtlMs(sourceName, readings, sources));
  if (values.minTtlMs > values.maxTtlMs) {
    problems.add(section.found.get("min_ttl")?.place ?? section.place, "expected min_ttl to be no more than max_ttl");
  }
  if (values.refreshBeforeMs !== null && !isSourceTtl && values.refreshBeforeMs >= ttlMs) {
    const place = section.found.get("refresh_before")?.place ?? section.found.get("ttl")?.place ?? section.place;
    problems.add(place, "expected refresh_before to be shorter than ttl");
  }
  const { match, source } = values;
  if (match === null || source === null) return null;
  const pattern = compile(match, section.found.get("match"), problems);
  const reading = readings.find((each) => each.name === sourceName);
  if (pattern !== null && reading !== undefined) checkCaptures(name, pattern, usesOf(reading, readings), problems);
  const keyEncoding = values.keyEncoding ?? server.keyEncoding;
  return { ...values, name, match, source, keyEncoding, ttlMs, isSourceTtl };
}

/** Rule settings in the source's section, as defaults of its rules. */
function ruleDefaults(source: Section | undefined): [string, Found][] {
  const shared = Object.entries(ruleDefaultSettings);
  return shared.flatMap(([key, row]) => {
    const found = source && findSetting(source, key, row);
    return found === undefined ? [] : [[key, found]];
  });
}

function compile(match: string, found: Found | undefined, problems: Problems): RE2JS | null {
  try {
    return RE2JS.compile(match);
  } catch (error) {
    if (found !== undefined) problems.add(found.place, error instanceof Error ? error.message : String(error));
    return null;
  }
}

/** Each capture in a template of the source must exist in the rule's pattern. */
function checkCaptures(rule: string, pattern: RE2JS, uses: readonly TemplateUse[], problems: Problems): void {
  const count = pattern.groupCount();
  const names = Object.keys(pattern.namedGroups());
  for (const { name, place } of uses) {
    if (name === "key" || names.includes(name)) continue;
    const isNumber = /^\d+$/.test(name);
    if (isNumber && Number(name) >= 1 && Number(name) <= count) continue;
    const lack = isNumber
      ? `has only ${count} ${count === 1 ? "capture" : "captures"}`
      : `has no capture named "${name}"${suggestion(name, [...names, "key"])}`;
    problems.add(place, `uses {${name}}, but get.${rule}.match ${lack}`);
  }
}
