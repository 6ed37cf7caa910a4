/**
 * Functions that each mcrouter configuration can call, for example `@select(%pools%, main)`: their parameters and
 * results. Built-ins that depend on the surrounding macros (import, if, foreach …) are in preprocessor.ts.
 *
 * Source: mcrouter lib/config/ConfigPreprocessor.cpp, as facts. mcrouter does not define the order of an object's
 * members; Platypus keeps the order of the file.
 */

import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { spooky64 } from "../../proxy/hash/spooky.ts";
import {
  compareJson,
  describeJson,
  isEqualJson,
  type Json,
  type JsonArray,
  type JsonObject,
  jsonBoolean,
  jsonInteger,
  jsonString,
  plainJson,
} from "./json-value.ts";
import { MacroError } from "./macro-error.ts";

/** A function: its parameters and its implementation. */
export interface BuiltIn {
  readonly parameters: readonly string[];
  /** Parameters that a call may omit. */
  readonly optional?: readonly string[];
  run(call: Arguments): Json;
}

/** Reads the arguments of a call, or throws an error that says what is wrong with them. */
export class Arguments {
  private readonly values: ReadonlyMap<string, Json>;
  readonly place: Json["place"];

  constructor(values: ReadonlyMap<string, Json>, place: Json["place"]) {
    this.values = values;
    this.place = place;
  }

  has(parameter: string): boolean {
    return this.values.has(parameter);
  }

  value(parameter: string): Json {
    return this.values.get(parameter)!;
  }

  object(parameter: string): JsonObject {
    const value = this.value(parameter);
    return value.type === "object" ? value : this.refuse(parameter, "an object");
  }

  array(parameter: string): JsonArray {
    const value = this.value(parameter);
    return value.type === "array" ? value : this.refuse(parameter, "a list");
  }

  string(parameter: string): string {
    const value = this.value(parameter);
    return value.type === "string" ? value.value : this.refuse(parameter, "a string");
  }

  integer(parameter: string): bigint {
    const value = this.value(parameter);
    return value.type === "integer" ? value.value : this.refuse(parameter, "a whole number");
  }

  boolean(parameter: string): boolean {
    const value = this.value(parameter);
    return value.type === "boolean" ? value.value : this.refuse(parameter, "true or false");
  }

  refuse(parameter: string, expected: string): never {
    return this.fail(`expected ${parameter} to be ${expected}, got ${describeJson(this.value(parameter))}`);
  }

  fail(message: string): never {
    throw new MacroError(message, this.place);
  }
}

const ofTwo = (run: (a: bigint, b: bigint, call: Arguments) => bigint): BuiltIn => ({
  parameters: ["A", "B"],
  run: (call) => jsonInteger(run(call.integer("A"), call.integer("B"), call), call.place),
});

const isKind = (type: Json["type"]): BuiltIn => ({
  parameters: ["value"],
  run: (call) => jsonBoolean(call.value("value").type === type, call.place),
});

export const builtIns: Readonly<Record<string, BuiltIn>> = {
  hash: { parameters: ["value"], run: hash },
  weightedHash: {
    parameters: ["dictionary", "key"],
    run: (call) => call.fail("weightedHash is not available in this version; give the choice itself in its place"),
  },
  int: { parameters: ["value"], run: toInteger },
  double: { parameters: ["value"], run: toDouble },
  str: { parameters: ["value"], run: toText },
  bool: { parameters: ["value"], run: toBoolean },
  keys: {
    parameters: ["dictionary"],
    run: (call) =>
      arrayOf(
        [...call.object("dictionary").members.keys()].map((key) => jsonString(key, call.place)),
        call,
      ),
  },
  values: {
    parameters: ["dictionary"],
    run: (call) => arrayOf([...call.object("dictionary").members.values()], call),
  },
  merge: { parameters: ["params"], run: merge },
  shuffle: { parameters: ["dictionary"], optional: ["seed"], run: shuffle },
  slice: { parameters: ["dictionary", "from", "to"], run: slice },
  split: { parameters: ["dictionary", "delim"], run: split },
  set: { parameters: ["dictionary", "key", "value"], run: set },
  range: { parameters: ["from", "to"], run: range },
  contains: { parameters: ["dictionary", "key"], run: contains },
  empty: { parameters: ["dictionary"], run: (call) => jsonBoolean(sizeOf(call) === 0, call.place) },
  size: { parameters: ["dictionary"], run: (call) => jsonInteger(BigInt(sizeOf(call)), call.place) },
  equals: {
    parameters: ["A", "B"],
    run: (call) => jsonBoolean(isEqualJson(call.value("A"), call.value("B")), call.place),
  },
  less: { parameters: ["A", "B"], run: less },
  isArray: isKind("array"),
  isBool: isKind("boolean"),
  isInt: isKind("integer"),
  isDouble: isKind("double"),
  isObject: isKind("object"),
  isString: isKind("string"),
  bitwiseAnd: ofTwo((a, b) => a & b),
  bitwiseOr: ofTwo((a, b) => a | b),
  bitwiseXor: ofTwo((a, b) => a ^ b),
  bitwiseNot: { parameters: ["A"], run: (call) => jsonInteger(~call.integer("A"), call.place) },
  bitwiseLeftShift: ofTwo((a, b) => a << (b & 63n)),
  bitwiseRightShift: ofTwo((a, b) => BigInt.asUintN(64, a) >> (b & 63n)),
  not: { parameters: ["A"], run: (call) => jsonBoolean(!call.boolean("A"), call.place) },
  add: ofTwo((a, b) => a + b),
  sub: ofTwo((a, b) => a - b),
  mul: ofTwo((a, b) => a * b),
  div: ofTwo((a, b, call) => (b === 0n ? call.fail("B is 0") : a / b)),
  mod: ofTwo((a, b, call) => (b === 0n ? call.fail("B is 0") : a % b)),
  sort: { parameters: ["dictionary"], run: sort },
  define: { parameters: ["result"], run: (call) => call.value("result") },
  fail: { parameters: ["msg"], run: fail },
  isLocalIp: { parameters: ["ip"], run: isLocalIp },
};

function arrayOf(items: readonly Json[], call: Arguments): JsonArray {
  return { type: "array", items, place: call.place };
}

function objectOf(members: ReadonlyMap<string, Json>, call: Arguments): JsonObject {
  return { type: "object", members, place: call.place };
}

/** SpookyHash V2 of a string; Thomas Wang's 64-bit mix of a number. */
function hash(call: Arguments): Json {
  const value = call.value("value");
  if (value.type === "integer") return jsonInteger(twangMix64(value.value), call.place);
  if (value.type !== "string") return call.refuse("value", "a string or a whole number");
  const bytes = Buffer.from(value.value);
  return jsonInteger(spooky64(bytes, 0, bytes.length, 0), call.place);
}

function twangMix64(value: bigint): bigint {
  const wrap = (number: bigint) => BigInt.asUintN(64, number);
  let key = wrap(~value + (value << 21n));
  key ^= key >> 24n;
  key = wrap(key + (key << 3n) + (key << 8n));
  key ^= key >> 14n;
  key = wrap(key + (key << 2n) + (key << 4n));
  key ^= key >> 28n;
  return wrap(key + (key << 31n));
}

function toInteger(call: Arguments): Json {
  const value = call.value("value");
  switch (value.type) {
    case "integer":
      return jsonInteger(value.value, call.place);
    case "boolean":
      return jsonInteger(value.value ? 1n : 0n, call.place);
    case "double":
      if (Number.isInteger(value.value)) return jsonInteger(BigInt(value.value), call.place);
      break;
    case "string":
      if (/^\s*[-+]?\d+\s*$/.test(value.value)) {
        const number = BigInt(value.value.trim().replace(/^\+/, ""));
        if (number === BigInt.asIntN(64, number)) return jsonInteger(number, call.place);
      }
      break;
  }
  return call.refuse("value", "something that is a whole number");
}

function toDouble(call: Arguments): Json {
  const value = call.value("value");
  const text = value.type === "string" ? value.value.trim() : "";
  const number =
    value.type === "integer" || value.type === "double" || value.type === "boolean"
      ? Number(value.value)
      : /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text)
        ? Number(text)
        : null;
  return number === null
    ? call.refuse("value", "something that is a number")
    : { type: "double", value: number, place: call.place };
}

function toText(call: Arguments): Json {
  const value = call.value("value");
  if (value.type === "boolean") return jsonString(value.value ? "1" : "0", call.place);
  if (value.type === "null" || value.type === "array" || value.type === "object") {
    return call.refuse("value", "a string, a number or a boolean");
  }
  return jsonString(String(value.value), call.place);
}

const trueWords = ["true", "t", "yes", "y", "on", "1"];
const falseWords = ["false", "f", "no", "n", "off", "0"];

function toBoolean(call: Arguments): Json {
  const value = call.value("value");
  if (value.type === "boolean") return jsonBoolean(value.value, call.place);
  if (value.type === "integer" || value.type === "double") return jsonBoolean(Number(value.value) !== 0, call.place);
  const word = value.type === "string" ? value.value.trim().toLowerCase() : "";
  if (trueWords.includes(word)) return jsonBoolean(true, call.place);
  return falseWords.includes(word)
    ? jsonBoolean(false, call.place)
    : call.refuse("value", "something that is true or false");
}

function merge(call: Arguments): Json {
  const [first, ...others] = call.array("params").items;
  if (first === undefined) return call.fail("params is empty");
  const alike = <Type extends Json["type"]>(type: Type, what: string) =>
    others.map((other, i) => {
      if (other.type !== type)
        call.fail(`expected params[${i + 1}] to be ${what} as params[0] is, got ${describeJson(other)}`);
      return other as Extract<Json, { type: Type }>;
    });
  switch (first.type) {
    case "array":
      return arrayOf(
        [first, ...alike("array", "a list")].flatMap(({ items }) => items),
        call,
      );
    case "object":
      return objectOf(new Map([first, ...alike("object", "an object")].flatMap(({ members }) => [...members])), call);
    case "string":
      return jsonString([first, ...alike("string", "a string")].map(({ value }) => value).join(""), call.place);
    default:
      return call.fail(`expected params[0] to be a list, an object or a string, got ${describeJson(first)}`);
  }
}

function shuffle(call: Arguments): Json {
  if (call.has("seed")) call.fail("a seed is not available in this version: its order is the C++ library's own");
  const items = [...call.array("dictionary").items];
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return arrayOf(items, call);
}

/** `from` and `to` are within the value. */
function slice(call: Arguments): Json {
  const dictionary = call.value("dictionary");
  if (dictionary.type === "object") {
    const [from, to] = [call.string("from"), call.string("to")].map((text) => Buffer.from(text));
    const isWithin = (name: string) => {
      const key = Buffer.from(name);
      return Buffer.compare(from!, key) <= 0 && Buffer.compare(key, to!) <= 0;
    };
    return objectOf(new Map([...dictionary.members].filter(([name]) => isWithin(name))), call);
  }
  if (dictionary.type !== "array" && dictionary.type !== "string") {
    return call.refuse("dictionary", "a list, an object or a string");
  }
  const from = Math.max(0, Number(call.integer("from")));
  const to = Math.max(0, Number(call.integer("to")) + 1);
  if (dictionary.type === "array") return arrayOf(dictionary.items.slice(from, to), call);
  return jsonString(Buffer.from(dictionary.value).subarray(from, to).toString(), call.place);
}

function split(call: Arguments): Json {
  const [text, delimiter] = [call.string("dictionary"), call.string("delim")];
  const parts = delimiter === "" ? [text] : text.split(delimiter);
  return arrayOf(
    parts.map((part) => jsonString(part, call.place)),
    call,
  );
}

function set(call: Arguments): Json {
  const dictionary = call.value("dictionary");
  const value = call.value("value");
  if (dictionary.type === "object")
    return objectOf(new Map([...dictionary.members, [call.string("key"), value]]), call);
  if (dictionary.type !== "array") return call.refuse("dictionary", "a list or an object");
  const key = Number(call.integer("key"));
  const { items } = dictionary;
  if (key < 0 || key >= items.length) call.fail(`expected key to be from 0 to ${items.length - 1}, got ${key}`);
  return arrayOf(items.with(key, value), call);
}

const MAX_RANGE = 1_000_000;

function range(call: Arguments): Json {
  const [from, to] = [call.integer("from"), call.integer("to")];
  const count = Number(to - from) + 1;
  if (count > MAX_RANGE) call.fail(`more than ${MAX_RANGE} numbers`);
  return arrayOf(
    Array.from({ length: Math.max(0, count) }, (_, i) => jsonInteger(from + BigInt(i), call.place)),
    call,
  );
}

function contains(call: Arguments): Json {
  const dictionary = call.value("dictionary");
  switch (dictionary.type) {
    case "object":
      return jsonBoolean(dictionary.members.has(call.string("key")), call.place);
    case "array":
      return jsonBoolean(
        dictionary.items.some((item) => isEqualJson(item, call.value("key"))),
        call.place,
      );
    case "string":
      return jsonBoolean(dictionary.value.includes(call.string("key")), call.place);
    default:
      return call.refuse("dictionary", "a list, an object or a string");
  }
}

/** The length of a string is in bytes. */
function sizeOf(call: Arguments): number {
  const dictionary = call.value("dictionary");
  switch (dictionary.type) {
    case "object":
      return dictionary.members.size;
    case "array":
      return dictionary.items.length;
    case "string":
      return Buffer.byteLength(dictionary.value);
    default:
      return call.refuse("dictionary", "a list, an object or a string");
  }
}

function less(call: Arguments): Json {
  const order = compareJson(call.value("A"), call.value("B"));
  return order === null ? call.fail("objects have no order") : jsonBoolean(order < 0, call.place);
}

function sort(call: Arguments): Json {
  const items = [...call.array("dictionary").items];
  return arrayOf(
    items.sort((a, b) => compareJson(a, b) ?? call.fail("objects have no order")),
    call,
  );
}

function fail(call: Arguments): Json {
  const message = call.value("msg");
  throw new MacroError(message.type === "string" ? message.value : JSON.stringify(plainJson(message)), call.place);
}

function isLocalIp(call: Arguments): Json {
  const ip = canonicalIp(call.string("ip"));
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return jsonBoolean(
    own.some(({ address }) => canonicalIp(address) === ip),
    call.place,
  );
}

/** IPv6 address in its shortest form, as in URLs. */
function canonicalIp(text: string): string {
  return isIPv6(text) && !text.includes("%") ? new URL(`http://[${text}]`).hostname : text;
}
