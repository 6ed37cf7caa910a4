/**
 * Built-ins that loop over a list or an object. They define names for the key and the item of each step. Source:
 * mcrouter lib/config/ConfigPreprocessor.cpp, as facts.
 */

import { describeJson, type Json, type JsonArray, type JsonObject, jsonInteger, jsonString } from "./json-value.ts";
import { MacroError } from "./macro-error.ts";
import { type Expand, Scope } from "./scope.ts";

/** Loops by the `type` of the object that calls them. The object's members are not expanded yet. */
export const loops: ReadonlyMap<string, (object: JsonObject, scope: Scope, expand: Expand) => Json> = new Map([
  ["transform", transform],
  ["process", process],
  ["foreach", foreach],
]);

/** Changes each item of a list, or the names and items of an object. */
function transform(object: JsonObject, scope: Scope, expand: Expand): Json {
  const dictionary = collectionOf(object, "dictionary", scope, expand);
  const itemTransform = object.members.get("itemTransform");
  const keyTransform = object.members.get("keyTransform");
  const names = [nameOf(object, "keyName", "key"), nameOf(object, "itemName", "item")] as const;
  if (dictionary.type === "array") {
    if (itemTransform === undefined && dictionary.items.length > 0) {
      throw new MacroError("a list needs itemTransform", object.place);
    }
    const items = dictionary.items.map((item, i) => {
      const inner = scopeOf(scope, names, [jsonInteger(BigInt(i), item.place), item]);
      return expand(itemTransform!, inner);
    });
    return { ...dictionary, items };
  }
  const members = new Map<string, Json>();
  for (const [name, item] of dictionary.members) {
    const inner = scopeOf(scope, names, [jsonString(name, item.place), item]);
    const keys = keyTransform === undefined ? [name] : stringsOf(expand(keyTransform, inner));
    if (keys.length === 0) continue;
    const value = itemTransform === undefined ? item : expand(itemTransform, inner);
    for (const key of keys) members.set(key, value);
  }
  return { ...dictionary, members };
}

/** Loops over a list or an object with a value that each step replaces. */
function process(object: JsonObject, scope: Scope, expand: Expand): Json {
  const dictionary = collectionOf(object, "dictionary", scope, expand);
  let value = expand(memberOf(object, "initialValue"), scope);
  const step = memberOf(object, "transform");
  const names = [
    nameOf(object, "keyName", "key"),
    nameOf(object, "itemName", "item"),
    nameOf(object, "valueName", "value"),
  ] as const;
  for (const [key, item] of entriesOf(dictionary)) {
    value = expand(step, scopeOf(scope, names, [key, item, value]));
  }
  return value;
}

/** Joins the `use` values of the items that fit `where`, at most `top` items. */
function foreach(object: JsonObject, scope: Scope, expand: Expand): Json {
  const from = collectionOf(object, "from", scope, expand);
  const names = [nameOf(object, "key", "key"), nameOf(object, "item", "item")] as const;
  const where = object.members.get("where");
  const use = object.members.get("use");
  let left = topOf(object, scope, expand);
  const used: (JsonArray | JsonObject)[] = [];
  for (const [key, item] of entriesOf(from)) {
    if (left <= 0) break;
    const inner = scopeOf(scope, names, [key, item]);
    if (where !== undefined) {
      const isWanted = expand(where, inner);
      if (isWanted.type !== "boolean") {
        throw new MacroError(`expected where to be true or false, got ${describeJson(isWanted)}`, where.place);
      }
      if (!isWanted.value) continue;
    }
    used.push(use === undefined ? entryOf(from, key, item) : collection(expand(use, inner), "use"));
    left--;
  }
  const [first] = used;
  const otherwise = object.members.get("noMatchResult");
  if (first !== undefined) return joined(first, used);
  if (otherwise !== undefined) return expand(otherwise, scope);
  return from.type === "object" ? { ...from, members: new Map() } : { ...from, items: [] };
}

function topOf(object: JsonObject, scope: Scope, expand: Expand): number {
  const given = object.members.get("top");
  if (given === undefined) return Number.POSITIVE_INFINITY;
  const top = expand(given, scope);
  if (top.type === "integer" && top.value >= 0n) return Number(top.value);
  throw new MacroError(`expected top to be a whole number from 0 on, got ${describeJson(top)}`, given.place);
}

function collectionOf(object: JsonObject, name: string, scope: Scope, expand: Expand): JsonArray | JsonObject {
  return collection(expand(memberOf(object, name), scope), name);
}

function memberOf(object: JsonObject, name: string): Json {
  const member = object.members.get(name);
  if (member === undefined) throw new MacroError(`needs "${name}"`, object.place);
  return member;
}

/** The name of a loop variable, which the configuration may set. */
function nameOf(object: JsonObject, member: string, fallback: string): string {
  const name = object.members.get(member);
  if (name === undefined) return fallback;
  if (name.type === "string") return name.value;
  throw new MacroError(`expected ${member} to be a string, got ${describeJson(name)}`, name.place);
}

function scopeOf(outer: Scope, names: readonly string[], values: readonly Json[]): Scope {
  const scope = new Scope(outer);
  for (const [i, name] of names.entries()) scope.define(name, values[i]!);
  return scope;
}

function collection(value: Json, name: string): JsonArray | JsonObject {
  if (value.type === "array" || value.type === "object") return value;
  throw new MacroError(`expected ${name} to be a list or an object, got ${describeJson(value)}`, value.place);
}

/** Pairs of index or name and item. */
function entriesOf(value: JsonArray | JsonObject): [Json, Json][] {
  if (value.type === "array") return value.items.map((item, i) => [jsonInteger(BigInt(i), item.place), item]);
  return [...value.members].map(([name, item]) => [jsonString(name, item.place), item]);
}

function entryOf(from: JsonArray | JsonObject, key: Json, item: Json): JsonArray | JsonObject {
  if (from.type === "array") return { ...from, items: [item] };
  return { ...from, members: new Map([[key.type === "string" ? key.value : "", item]]) };
}

function joined(first: JsonArray | JsonObject, all: readonly (JsonArray | JsonObject)[]): Json {
  const odd = all.find(({ type }) => type !== first.type);
  if (odd !== undefined) {
    throw new MacroError(
      `expected use to be ${describeJson(first)} as the first is, got ${describeJson(odd)}`,
      odd.place,
    );
  }
  if (first.type === "array")
    return { ...first, items: all.flatMap((each) => (each.type === "array" ? each.items : [])) };
  return { ...first, members: new Map(all.flatMap((each) => (each.type === "object" ? [...each.members] : []))) };
}

function stringsOf(keys: Json): string[] {
  const list = keys.type === "array" ? keys.items : [keys];
  return list.map((key) => {
    if (key.type === "string") return key.value;
    throw new MacroError(
      `expected keyTransform to give a string or a list of strings, got ${describeJson(key)}`,
      key.place,
    );
  });
}
