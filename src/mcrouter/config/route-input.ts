/**
 * What the routes of a mcrouter configuration are read from: their fields, and the routes that stand in these.
 */
import type { RouteConfig } from "../../config/config.ts";
import type { Fields, Spot } from "./fields.ts";
import { describeJson, type Json } from "./json-value.ts";
import type { RouteReader } from "./read-routes.ts";

/** What a type is read from: its object's fields, or whatever stands behind the bar of a short form. */
export interface RouteInput {
  readonly spot: Spot;
  /** Null: it is no object. */
  readonly fields: Fields | null;
  readonly reader: RouteReader;
}

/** What stands for a route that is not there. */
export const nothing: RouteConfig = { type: "null" };

/** The fields of a type that is always an object, and readers of the routes in them. */
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

/** What `object` gives. */
export type ObjectInput = ReturnType<typeof object>;

/** Members in the order of their names, in which mcrouter reads them: a handle may be named by those behind it. */
export function sortedMembers(fields: Fields | null): readonly (readonly [string, Json])[] {
  return [...(fields?.object.members ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** `children` of an object; of anything else the list that it is. */
export function childrenOf({ fields, spot, reader }: RouteInput): readonly RouteConfig[] {
  if (fields === null) return spot.json.type === "null" ? [] : reader.list(spot);
  const children = fields.get("children");
  return children === null ? [] : reader.list(children);
}

/** A node with nothing but children. */
export interface ParentConfig<Type extends string> extends RouteConfig {
  readonly type: Type;
  /** Two and more. */
  readonly children: readonly RouteConfig[];
}

/** Reads a handle that has nothing but children; a single one stands for itself. */
export function parentReader<const Type extends string>(type: Type) {
  return (input: RouteInput): [RouteConfig] => {
    const children = childrenOf(input);
    const node: ParentConfig<Type> = { type, children };
    return [children.length < 2 ? (children[0] ?? nothing) : node];
  };
}
