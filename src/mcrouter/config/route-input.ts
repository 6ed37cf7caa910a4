/** Input for the readers of routes: the route's fields, and the routes in these fields. */
import type { RouteConfig } from "../../config/config.ts";
import type { Fields, Spot } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";
import type { RouteReader } from "./read-routes.ts";

/** Input for a type: the fields of its object, or the text after the bar of a short form. */
export interface RouteInput {
  readonly spot: Spot;
  /** `null` if the value is not an object. */
  readonly fields: Fields | null;
  readonly reader: RouteReader;
}

/** Replaces an absent route. */
export const nothing: RouteConfig = { type: "null" };

/** The fields of a type that is always an object, and readers for the routes in them. */
export function object({ fields, spot, reader }: RouteInput) {
  if (fields === null) reader.complain(spot, `expected an object, got ${describeJson(spot.json)}`);
  const optional = (name: string): RouteConfig | null => {
    const found = fields?.get(name) ?? null;
    return found === null ? null : reader.one(found);
  };
  const child = (name: string): RouteConfig => {
    const found = fields?.need(name) ?? null;
    return found === null ? nothing : reader.one(found);
  };
  const children = (name: string): readonly RouteConfig[] => {
    const found = fields?.need(name) ?? null;
    return found === null ? [] : reader.list(found);
  };
  return { fields: fields ?? reader.fieldsIn(spot), optional, child, children, reader };
}

/** Result of `object`. */
export type ObjectInput = ReturnType<typeof object>;

/** Members sorted by name, as mcrouter reads them: a handle can be named by the members after it. */
export function sortedMembers(fields: Fields | null): readonly (readonly [string, Json])[] {
  return [...(fields?.object.members ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `children` of an object; any other value is the list itself. */
export function childrenOf({ fields, spot, reader }: RouteInput): readonly RouteConfig[] {
  if (fields === null) return spot.json.type === "null" ? [] : reader.list(spot);
  const children = fields.get("children");
  return children === null ? [] : reader.list(children);
}

/** A node that only has children. */
export interface ParentConfig<Type extends string> extends RouteConfig {
  readonly type: Type;
  /** At least two. */
  readonly children: readonly RouteConfig[];
}

/** Reads a handle that only has children; a single child replaces the handle. */
export function parentReader<const Type extends string>(type: Type) {
  return (input: RouteInput): [RouteConfig] => {
    const children = childrenOf(input);
    const node: ParentConfig<Type> = { type, children };
    return [children.length < 2 ? (children[0] ?? nothing) : node];
  };
}
