/**
 * JSON as mcrouter configurations have it: whole numbers apart from others, 64 bits wide, and every value knows where it
 * stands, so that what is wrong with one can be told with its line. Values are never changed, so they may be shared.
 */

/** Where a value begins. */
export interface JsonPlace {
  /** As the user named it; null: the text was given without a file. */
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
  /** Signed, of 64 bits. */
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
  /** In the order of the file; of equal names the last one's value. */
  readonly members: ReadonlyMap<string, Json>;
}

export type Json = JsonNull | JsonBoolean | JsonInteger | JsonDouble | JsonString | JsonArray | JsonObject;

/** The same value, standing elsewhere; what is inside stays where it was. */
export function movedTo(value: Json, place: JsonPlace): Json {
  return { ...value, place };
}

/** A string that stands at `place`. */
export function jsonString(value: string, place: JsonPlace): JsonString {
  return { type: "string", value, place };
}

/** A whole number, cut to its low 64 bits. */
export function jsonInteger(value: bigint, place: JsonPlace): JsonInteger {
  return { type: "integer", value: BigInt.asIntN(64, value), place };
}

export function jsonBoolean(value: boolean, place: JsonPlace): JsonBoolean {
  return { type: "boolean", value, place };
}

/** As JavaScript has it; whole numbers past 2^53 lose their last digits. */
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

/** A value's kind as messages say it. */
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

/** Equal as mcrouter's `equals` has it: 1 and 1.0 are. */
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

/** Order of kinds among each other. */
const ranks: Readonly<Record<Json["type"], number>> = {
  null: 0,
  array: 1,
  boolean: 2,
  double: 3,
  integer: 4,
  object: 5,
  string: 6,
};

/** Negative, zero or positive. Null: objects have no order. */
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
