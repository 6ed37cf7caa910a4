/**
 * Reads `[[route]]` and checks it against the pools. The result is data: `src/mcrouter/key-routes.ts` compiles it into a
 * routing tree.
 */
import { RE2JS } from "re2js";
import type { KeyRouteConfig, PoolConfig, ServerConfig } from "./config.ts";
import { suggestion } from "./nearest-name.ts";
import { type Place, type Problems, readSection, type Section } from "./section.ts";
import { routeSettings } from "./settings.ts";

/** The parts of the configuration that routes refer to. */
export interface RouteContext {
  /** Names of all pools that store keys, also of invalid ones. */
  readonly poolNames: readonly string[];
  readonly pools: readonly PoolConfig[];
  readonly server: ServerConfig;
  readonly serverSection: Section;
}

/** Reads all routes, in file order. */
export function readRoutes(
  sections: ReadonlyMap<string, Section>,
  context: RouteContext,
  problems: Problems,
): KeyRouteConfig[] {
  const all = [...sections.values()];
  const routes = all.map((section) => readRoute(section, context, problems));
  const [first] = all;
  if (first === undefined) return routes;
  if (context.poolNames.length === 0) problems.add(first.place, "there is no pool; expected [pool.NAME] with servers");
  if (context.server.prefix !== "") {
    const place = context.serverSection.found.get("prefix")?.place ?? context.serverSection.place;
    problems.add(place, "does not go together with [[route]]");
  }
  if (!routes.some(isForAllKeys)) {
    const place = all.at(-1)!.place;
    problems.add(
      place,
      "some keys have no route; expected a last [[route]] without prefix and match, for all other keys",
    );
  }
  warnOfUnusedParts(routes, all, context, problems);
  return routes;
}

/** True if the route takes each key that reaches it. */
export function isForAllKeys({ prefixes, match }: KeyRouteConfig): boolean {
  return match === null && (prefixes.length === 0 || prefixes.includes(""));
}

/** The route as a file shows it: its line, if there is one, and the keys that it takes. */
export function routeText(route: KeyRouteConfig): string {
  const { line, prefixes, match } = route;
  const keys = isForAllKeys(route)
    ? "all other keys"
    : match !== null
      ? `match = ${JSON.stringify(match)}`
      : `prefix = ${JSON.stringify(prefixes.length === 1 ? prefixes[0] : prefixes)}`;
  return `[[route]]${line === null ? "" : ` of line ${line}`}, ${keys}`;
}

function readRoute(section: Section, { poolNames }: RouteContext, problems: Problems): KeyRouteConfig {
  const given = readSection(section, routeSettings, problems);
  const prefixes = given.prefixes ?? [];
  const replicas = given.replicas ?? [];
  const failover = given.failover ?? [];
  const placeOf = (key: string): Place => section.found.get(key)?.place ?? section.place;
  const placeOfEntry = (key: string, index: number): Place => {
    const found = section.found.get(key);
    return found !== undefined && Array.isArray(found.value) ? found.entry(index) : placeOf(key);
  };
  const checkPool = (name: string, place: Place) => {
    if (poolNames.includes(name)) return;
    const known =
      poolNames.length === 0 ? "" : `; there ${poolNames.length === 1 ? "is" : "are"} ${poolNames.join(", ")}`;
    problems.add(place, `there is no pool ${JSON.stringify(name)}${suggestion(name, poolNames) || known}`);
  };
  const { pool, warmFrom, match } = given;
  if (pool !== null) checkPool(pool, placeOf("pool"));
  if (warmFrom !== null) checkPool(warmFrom, placeOf("warm_from"));
  for (const [key, names] of [
    ["replicas", replicas],
    ["failover", failover],
  ] as const) {
    for (const [index, name] of names.entries()) {
      checkPool(name, placeOfEntry(key, index));
      if (names.indexOf(name) < index)
        problems.add(placeOfEntry(key, index), `${JSON.stringify(name)} is listed twice`);
    }
  }
  const stores = pool === null ? replicas : [pool];
  if (pool !== null && replicas.length > 0)
    problems.add(placeOf("replicas"), "says the same as pool; keep one of them");
  if (pool === null && replicas.length < 2 && !section.found.has("pool")) {
    problems.add(
      section.found.has("replicas") ? placeOf("replicas") : section.place,
      replicas.length === 0
        ? 'no pool; expected pool = "NAME" or replicas = ["NAME", "NAME"]'
        : `expected at least two pools; for one pool use pool = ${JSON.stringify(replicas[0])}`,
    );
  }
  for (const [key, names] of [
    ["failover", failover],
    ["warm_from", warmFrom === null ? [] : [warmFrom]],
  ] as const) {
    const own = names.find((name) => stores.includes(name));
    if (own !== undefined) problems.add(placeOf(key), `the pool ${JSON.stringify(own)} stores the keys of this route`);
  }
  if (section.found.has("read") && replicas.length === 0) problems.add(placeOf("read"), "has no use without replicas");
  if (section.found.has("failover_ttl") && failover.length === 0) {
    problems.add(placeOf("failover_ttl"), "has no use without failover");
  }
  if (match !== null) {
    if (prefixes.length > 0) problems.add(placeOf("match"), "does not go together with prefix; keep one of them");
    compile(match, placeOf("match"), problems);
  }
  for (const [index, prefix] of prefixes.entries()) checkKeyText(prefix, placeOfEntry("prefix", index), problems);
  if (section.found.has("prefix") && prefixes.includes("")) {
    problems.add(placeOf("prefix"), "expected a prefix that is not empty; for all keys leave prefix out");
  }
  checkKeyText(given.stripPrefix, placeOf("strip_prefix"), problems);
  return { ...given, prefixes, replicas, failover, line: section.place.line };
}

function compile(match: string, place: Place, problems: Problems): void {
  try {
    RE2JS.compile(match);
  } catch (error) {
    problems.add(place, error instanceof Error ? error.message : String(error));
  }
}

function checkKeyText(text: string, place: Place, problems: Problems): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: keys contain none of them
  if (/[\x00-\x20\x7f]/.test(text) || Buffer.byteLength(text) > 250) {
    problems.add(place, "expected at most 250 bytes without blanks and control characters");
  }
}

/** Routes that no key reaches, and pools that no route uses, are valid but probably a mistake. */
function warnOfUnusedParts(
  routes: readonly KeyRouteConfig[],
  sections: readonly Section[],
  { pools }: RouteContext,
  problems: Problems,
): void {
  for (const [index, route] of routes.entries()) {
    const first = routes.slice(0, index).find((earlier) => coversRoute(earlier, route));
    if (first === undefined) continue;
    const line = first.line === null ? "an earlier route" : `the route of line ${first.line}`;
    problems.warn(sections[index]!.place, `is never used: ${line} takes all of its keys; put it first`);
  }
  const used = new Set(
    routes.flatMap(({ pool, replicas, failover, warmFrom }) => [pool, ...replicas, ...failover, warmFrom]),
  );
  for (const { name } of pools) {
    if (used.has(name)) continue;
    problems.warn({ file: null, line: null, path: `pool.${name}` }, "is used by no route");
  }
}

function coversRoute(earlier: KeyRouteConfig, later: KeyRouteConfig): boolean {
  if (isForAllKeys(earlier)) return true;
  if (earlier.match !== null) return earlier.match === later.match;
  if (later.match !== null || isForAllKeys(later)) return false;
  return later.prefixes.every((prefix) => earlier.prefixes.some((short) => prefix.startsWith(short)));
}
