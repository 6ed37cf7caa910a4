/**
 * `shadows` of PoolRoute and ShadowRoute: which requests are mirrored, and where to.
 *
 * Source: mcrouter ShadowRoute.h, ShadowSettings.cpp, as facts.
 */
import type { RouteConfig, ShadowConfig } from "../../config/route-config.ts";
import { Problems } from "../../config/section.ts";
import { bytesText, Fields, numberOf, type Spot, UNBOUNDED } from "./fields.ts";
import { describeJson } from "./json-value.ts";
import type { RouteReader } from "./read-routes.ts";

/** Children with the shadows that their index has. What is wrong with a shadow is said, and the shadow left out. */
export function shadowed(
  children: readonly RouteConfig[],
  fields: Fields,
  reader: RouteReader,
): readonly RouteConfig[] {
  const policy = fields.get("shadow_policy");
  if (policy !== null && !(policy.json.type === "string" && policy.json.value === "default")) {
    reader.complain(policy, `expected "default", got ${describeJson(policy.json)}`);
  }
  const list = fields.array("shadows");
  const shadows = (list?.items ?? []).flatMap((json, index) => {
    const shadow = readShadow({ json, path: `${fields.path}.shadows[${index}]` }, reader);
    return shadow === null ? [] : [shadow];
  });
  return children.map((child, index) => {
    const own = shadows.filter(({ from, to, shadow }) => shadow.keys !== null || (from <= index && index < to));
    return own.length === 0 ? child : { type: "shadow", child, shadows: own.map(({ shadow }) => shadow) };
  });
}

function readShadow(spot: Spot, reader: RouteReader): { from: number; to: number; shadow: ShadowConfig } | null {
  if (spot.json.type !== "object") {
    reader.warn(spot, "is no object, and is left out");
    return null;
  }
  const problems = new Problems();
  const fields = new Fields(spot.json, spot.path, problems);
  const target = fields.need("target");
  const [from, to] = range(fields, "index_range", UNBOUNDED) ?? [0, 0];
  const listed = fields.strings("keys_to_shadow") ?? [];
  const keyFraction = range(fields, "key_fraction_range", 1) ?? [0, 0];
  const ranges = ["index_range", "key_fraction_range", "key_fraction_range_rv"].filter((name) => fields.has(name));
  if (listed.length > 0 && ranges.length > 0) fields.complain(`keys_to_shadow does not go together with ${ranges[0]}`);
  if (fields.has("key_fraction_range_rv")) {
    fields.complain("key_fraction_range_rv needs runtime variables, which are not supported; use key_fraction_range");
  }
  const requestsFraction = fields.number("requests_fraction", 1, 0, 1)!;
  reader.warnOfUnread(fields, "a shadow");
  if (target === null || problems.all.length > 0) {
    for (const { message } of problems.all) reader.warn(spot, `is left out: ${message}`);
    return null;
  }
  const keys = listed.length === 0 ? null : listed.map(bytesText);
  const maxOutstanding = reader.options.maxShadows === 0 ? UNBOUNDED : reader.options.maxShadows;
  return { from, to, shadow: { target: reader.one(target), keyFraction, keys, requestsFraction, maxOutstanding } };
}

/** Two numbers, the first not above the second; null: there is no such field. */
function range(fields: Fields, name: string, max: number): [number, number] | null {
  const found = fields.get(name);
  if (found === null) return null;
  const numbers = found.json.type === "array" ? found.json.items.map(numberOf) : [];
  const [from, to] = numbers;
  if (numbers.length === 2 && from != null && to != null && from >= 0 && from <= to && to <= max) return [from, to];
  fields.complainAt(found, "expected a list of two numbers, the first not above the second");
  return null;
}
