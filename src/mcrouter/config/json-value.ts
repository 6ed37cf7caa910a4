/**
 * JSON of mcrouter configurations. Integers are a separate type with 64 bits. Each value knows its position, so that a
 * message can give its line. Values are immutable and may be shared.
 */

/** The position where a value begins. */
export interface JsonPlace {
  /** The path as the user wrote it. `null` if the text does not come from a file. */
  readonly file: string | null;
  readonly line: number;
}

interface Placed {
  readonly place: JsonPlace;
}

interface JsonNull extends Placed {
  readonly type: "null";
}

export interface JsonBoolean extends Placed {
  readonly type: "boolean";
  readonly value: boolean;
}

export interface JsonInteger extends Placed {
  readonly type: "integer";
  /** Signed 64-bit integer. */
  readonly value: bigint;
}

interface JsonDouble extends Placed {
  readonly type: "double";
  readonly value: number;
}

export interface JsonString extends Placed {
  readonly type: "string";
  readonly value: string;
}

export interface JsonArray extends Placed {
  readonly type: "array";
  readonly items: readonly Json[];
}

export interface JsonObject extends Placed {
  readonly type: "object";
  /** Members in the order of the file; the last of duplicate names counts. */
  readonly members: ReadonlyMap<string, Json>;
}

export type Json = JsonNull | JsonBoolean | JsonInteger | JsonDouble | JsonString | JsonArray | JsonObject;

/** Copies a value to another position; nested values keep their positions. */
export function movedTo(value: Json, place: JsonPlace): Json {
  return { ...value, place };
}

/** Makes a string at `place`. */
export function jsonString(value: string, place: JsonPlace): JsonString {
  return { type: "string", value, place };
}

/** Makes an integer at `place`, cut to its low 64 bits. */
export function jsonInteger(value: bigint, place: JsonPlace): JsonInteger {
  return { type: "integer", value: BigInt.asIntN(64, value), place };
}

export function jsonBoolean(value: boolean, place: JsonPlace): JsonBoolean {
  return { type: "boolean", value, place };
}

/** The value as plain JavaScript; integers above 2^53 lose their last digits. */
export function plainJson(json: Json): unknown {
  switch (json.type) {
    case "null":
      return null;
    case "integer":
      return Number(json.value);
    case "array":
      return json.items.map(plainJson);
    case "object":
      return Object.fromEntries([...json.members].map(([name, member]) => [name, plainJson(member)]));
    default:
      return json.value;
  }
}

/** The kind of a value, for messages. */
export function describeJson(json: Json): string {
  switch (json.type) {
    case "null":
      return "null";
    case "boolean":
    case "double":
    case "integer":
      return String(json.value);
    case "string":
      return JSON.stringify(json.value);
    case "array":
      return "a list";
    case "object":
      return "an object";
  }
}

/** Compares as mcrouter's `equals` does: 1 equals 1.0. */
export function isEqualJson(one: Json, other: Json): boolean {
  if (isNumber(one) && isNumber(other)) return compareNumbers(one.value, other.value) === 0;
  switch (one.type) {
    case "array":
      if (other.type !== "array" || one.items.length !== other.items.length) return false;
      return one.items.every((item, i) => isEqualJson(item, other.items[i]!));
    case "object":
      if (other.type !== "object" || one.members.size !== other.members.size) return false;
      return [...one.members].every(([name, member]) => {
        const its = other.members.get(name);
        return its !== undefined && isEqualJson(member, its);
      });
    case "null":
      return other.type === "null";
    default:
      return one.type === other.type && one.value === other.value;
  }
}

/** Order of the kinds. */
const ranks: Readonly<Record<Json["type"], number>> = {
  null: 0,
  array: 1,
  boolean: 2,
  double: 3,
  integer: 4,
  object: 5,
  string: 6,
};

/** Negative, zero or positive. `null` if the values are objects, which have no order. */
export function compareJson(one: Json, other: Json): number | null {
  if (one.type === "object" || other.type === "object") return null;
  if (isNumber(one) && isNumber(other)) return compareNumbers(one.value, other.value);
  if (one.type !== other.type) return ranks[one.type] - ranks[other.type];
  if (one.type === "array" && other.type === "array") {
    for (const [i, item] of one.items.entries()) {
      const its = other.items[i];
      if (its === undefined) return 1;
      const order = compareJson(item, its);
      if (order !== 0) return order;
    }
    return one.items.length - other.items.length;
  }
  if (one.type === "string" && other.type === "string") {
    return Buffer.compare(Buffer.from(one.value), Buffer.from(other.value));
  }
  return one.type === "boolean" && other.type === "boolean" ? Number(one.value) - Number(other.value) : 0;
}

function isNumber(json: Json): json is JsonInteger | JsonDouble {
  return json.type === "integer" || json.type === "double";
}

function compareNumbers(one: number | bigint, other: number | bigint): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
