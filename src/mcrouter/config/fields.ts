/**
 * Reads the fields of JSON objects one by one. Problems are collected, not thrown; an invalid field counts as absent.
 */
import { type Found, type Problems, readValue } from "../../config/section.ts";
import { boolean, choice, integer, number, type SettingType, text, type Value } from "../../config/setting.ts";
import { describeJson, type Json, type JsonArray, type JsonObject, type JsonString, plainJson } from "./json-value.ts";

/** Maximum of a signed 32-bit integer. */
export const MAX_INT32 = 2 ** 31 - 1;

/** Position of a value, for messages: its file and line, and its path from the top, such as "pools.A.servers[2]". */
export interface Spot {
  readonly json: Json;
  readonly path: string;
}

/** Reads the members of one object, and records which members were read. */
export class Fields {
  readonly object: JsonObject;
  readonly path: string;
  private readonly problems: Problems;
  private readonly asked = new Set<string>();

  constructor(object: JsonObject, path: string, problems: Problems) {
    this.object = object;
    this.path = path;
    this.problems = problems;
  }

  has(name: string): boolean {
    this.asked.add(name);
    return this.object.members.has(name);
  }

  get(name: string): Spot | null {
    this.asked.add(name);
    const json = this.object.members.get(name);
    return json === undefined ? null : { json, path: this.pathOf(name) };
  }

  /** Reads a required member. */
  need(name: string): Spot | null {
    const spot = this.get(name);
    if (spot === null) this.complain(`no "${name}"; expected one`);
    return spot;
  }

  string(name: string): string | null;
  string(name: string, otherwise: string): string;
  string(name: string, otherwise: string | null = null): string | null {
    return this.value(name, text) ?? otherwise;
  }

  /** Reads one of the given words. */
  choice<const Choices extends readonly string[]>(
    name: string,
    choices: Choices,
    otherwise: Choices[number],
  ): Choices[number] {
    return this.value(name, choice(...choices)) ?? otherwise;
  }

  boolean(name: string, otherwise: boolean): boolean {
    return this.value(name, boolean) ?? otherwise;
  }

  /** Reads an integer from `min` to `max`. */
  integer(name: string, otherwise: number | null, min: number, max: number): number | null {
    return this.value(name, integer(min, max)) ?? otherwise;
  }

  /** Reads a number from `min` to `max`. */
  number(name: string, otherwise: number | null, min: number, max: number): number | null {
    return this.value(name, number(min, max)) ?? otherwise;
  }

  array(name: string): JsonArray | null {
    return this.part(name, "a list", (json) => (json.type === "array" ? json : null));
  }

  nested(name: string): Fields | null {
    const object = this.part(name, "an object", (json) => (json.type === "object" ? json : null));
    return object === null ? null : new Fields(object, this.pathOf(name), this.problems);
  }

  /** Reads a list of strings. */
  strings(name: string): readonly string[] | null {
    const list = this.array(name);
    if (list === null) return null;
    const bad = list.items.findIndex(({ type }) => type !== "string");
    if (bad >= 0) {
      this.complainAt(
        { json: list.items[bad]!, path: `${this.pathOf(name)}[${bad}]` },
        `expected a string, got ${describeJson(list.items[bad]!)}`,
      );
      return null;
    }
    return list.items.map((item) => (item as JsonString).value);
  }

  /** Adds a problem of this object. */
  complain(message: string): void {
    this.complainAt({ json: this.object, path: this.path }, message);
  }

  complainAt({ json, path }: Spot, message: string): void {
    this.problems.add({ ...json.place, path }, message);
  }

  /** Members that were not read. */
  unread(): Spot[] {
    return [...this.object.members]
      .filter(([name]) => !this.asked.has(name))
      .map(([name, json]) => ({ json, path: this.pathOf(name) }));
  }

  private pathOf(name: string): string {
    return this.path === "" ? name : `${this.path}.${name}`;
  }

  private value<T extends SettingType>(name: string, type: T): Value<T> | undefined {
    const spot = this.get(name);
    return spot === null ? undefined : readValue(type, foundOf(spot, type), this.problems);
  }

  private part<T extends Json>(name: string, expected: string, of: (json: Json) => T | null): T | null {
    const spot = this.get(name);
    if (spot === null) return null;
    const part = of(spot.json);
    if (part === null) this.complainAt(spot, `expected ${expected}, got ${describeJson(spot.json)}`);
    return part;
  }
}

/** The value in the form that all formats share. As in mcrouter, `2.0` is not an integer. */
function foundOf({ json, path }: Spot, { kind }: SettingType): Found {
  const place = { ...json.place, path };
  const value = kind === "integer" && json.type === "double" ? undefined : plainJson(json);
  return { value, place, got: describeJson(json), entry: () => place };
}

/** The value as a double. `null` if the value is not a number. */
export function numberOf(json: Json): number | null {
  return json.type === "integer" || json.type === "double" ? Number(json.value) : null;
}

/** The bytes of a text as one character each: keys are bytes. */
export function bytesText(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
