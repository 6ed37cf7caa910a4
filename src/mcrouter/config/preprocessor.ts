/**
 * Expands macros: `@name(argument)` and `%name%` in strings, objects whose `type` names a macro or a built-in, and `vars`.
 *
 *     document ─► macros removed ─► each value expanded, from the outside in ─► document without macros
 *
 * A macro's body sees its parameters and the global definitions, not the variables around the call. Arguments are
 * expanded in the scope of the call; those of lazy built-ins (`if`, `and`, `select` …) only if they are needed.
 *
 * Source: mcrouter lib/config/ConfigPreprocessor.cpp, as facts.
 */

import { suggestion } from "../../config/nearest-name.ts";
import type { ConfigError, ConfigProblem } from "../../errors.ts";
import { Arguments, builtIns } from "./built-ins.ts";
import {
  describeJson,
  type Json,
  type JsonObject,
  type JsonPlace,
  jsonBoolean,
  jsonString,
  movedTo,
} from "./json-value.ts";
import { loops } from "./loops.ts";
import { MacroError } from "./macro-error.ts";
import { readCall, readPieces } from "./macro-text.ts";
import { type Parameter, readParameters } from "./parameters.ts";
import { type Expand, Scope } from "./scope.ts";

/** Maximum depth of nested calls, strings and values. Deeper nesting counts as a cycle. */
const NESTED_LIMIT = 250;

/** Reads the file of `@import(path)`. Throws a `MacroError` if the file cannot be read or is not JSON. */
export type Importer = (path: string, place: JsonPlace) => { readonly id: string; readonly value: Json };

/** A macro or a built-in. Arguments are given unexpanded, with the scope of the call. */
interface Macro {
  readonly parameters: readonly Parameter[];
  run(call: Call): Json;
}

/** A call: its arguments by name, unexpanded. */
class Call {
  readonly place: JsonPlace;
  readonly scope: Scope;
  private readonly given: ReadonlyMap<string, Json>;
  private readonly expand: Expand;

  constructor(given: ReadonlyMap<string, Json>, place: JsonPlace, scope: Scope, expand: Expand) {
    this.given = given;
    this.place = place;
    this.scope = scope;
    this.expand = expand;
  }

  has(name: string): boolean {
    return this.given.has(name);
  }

  value(name: string): Json {
    return this.expand(this.given.get(name)!, this.scope);
  }

  boolean(name: string): boolean {
    const value = this.value(name);
    if (value.type === "boolean") return value.value;
    throw new MacroError(`expected ${name} to be true or false, got ${describeJson(value)}`, this.place);
  }

  string(name: string): string {
    const value = this.value(name);
    if (value.type === "string") return value.value;
    throw new MacroError(`expected ${name} to be a string, got ${describeJson(value)}`, this.place);
  }

  /** All given arguments, expanded. */
  values(): Map<string, Json> {
    return new Map([...this.given.keys()].map((name) => [name, this.value(name)]));
  }
}

/** Expands one document. */
export class Preprocessor {
  readonly problems: ConfigProblem[] = [];
  private readonly importer: Importer;
  private readonly macros = new Map<string, Macro>();
  private readonly constants = new Map<string, { value: Json; isExpanded: boolean }>();
  private readonly imports = new Map<string, Json>();
  private readonly importing: string[];
  private readonly known = new Set<string>();
  /** Path of the value that is being expanded. */
  private readonly path: string[] = [];
  private depth = 0;
  /** Number of calls that are being expanded. A mistake within a call is a mistake of the whole call. */
  private calls = 0;
  private readonly expandIn: Expand = (value, scope) => this.expand(value, scope);

  /** `globals` can be used as `%name%` in every place; `id` is the importer's name for the document itself. */
  constructor(globals: ReadonlyMap<string, Json>, id: string, importer: Importer) {
    this.importer = importer;
    this.importing = [id];
    for (const [name, value] of globals) this.constants.set(name, { value, isExpanded: true });
    for (const [name, { parameters, optional = [], run }] of Object.entries(builtIns)) {
      this.addBuiltIn(name, parameters, optional, (call) => run(new Arguments(call.values(), call.place)));
    }
    this.addBuiltIn("if", ["condition", "is_true", "is_false"], [], (call) =>
      call.value(call.boolean("condition") ? "is_true" : "is_false"),
    );
    this.addBuiltIn("and", ["A", "B"], [], (call) => jsonBoolean(call.boolean("A") && call.boolean("B"), call.place));
    this.addBuiltIn("or", ["A", "B"], [], (call) => jsonBoolean(call.boolean("A") || call.boolean("B"), call.place));
    this.addBuiltIn("select", ["dictionary", "key"], ["default"], select);
    this.addBuiltIn("defined", ["name"], [], (call) => {
      const name = call.string("name");
      return jsonBoolean(call.scope.has(name) || this.constants.has(name), call.place);
    });
    this.addBuiltIn("import", ["path"], ["default"], (call) => this.import(call));
  }

  /** The document without its macros. All mistakes are in `problems`; if there are any, the result is useless. */
  expandDocument(document: JsonObject): JsonObject {
    const members = new Map(document.members);
    const macros = members.get("macros");
    members.delete("macros");
    if (macros !== undefined) this.collect("macros", document.place, () => this.defineAll(macros));
    const expanded = this.collect("", document.place, () => this.expand({ ...document, members }, new Scope(null)));
    if (expanded.type !== "object" && this.problems.length === 0) {
      this.problems.push({ ...document.place, message: `expected an object, got ${describeJson(expanded)}` });
    }
    return expanded.type === "object" ? expanded : document;
  }

  private addBuiltIn(
    name: string,
    required: readonly string[],
    optional: readonly string[],
    run: (call: Call) => Json,
  ): void {
    const parameters = [
      ...required.map((each) => ({ name: each, default: null, isRequired: true })),
      ...optional.map((each) => ({ name: each, default: null, isRequired: false })),
    ];
    this.macros.set(name, { parameters, run });
  }

  /** Records the mistake of a value outside of calls, and continues with null in place of the value. */
  private collect(key: string | number, place: JsonPlace, expand: () => Json): Json {
    this.path.push(typeof key === "number" ? `[${key}]` : `.${key}`);
    try {
      return expand();
    } catch (error) {
      if (!(error instanceof MacroError) || this.calls > 0) throw error;
      this.note(error);
      return { type: "null", place };
    } finally {
      this.path.pop();
    }
  }

  /** Reports a mistake in a constant or a variable once, at its first use. */
  private note(error: MacroError): void {
    const { file, line } = error.place;
    const mistake = JSON.stringify([file, line, error.message]);
    if (this.known.has(mistake)) return;
    this.known.add(mistake);
    this.problems.push(error.problem(this.path.join("").replace(/^\.+/, "")));
  }

  private defineAll(given: Json): Json {
    const macros = this.expand(given, new Scope(null));
    if (macros.type === "array") {
      for (const [i, each] of macros.items.entries()) this.collect(i, each.place, () => this.defineAll(each));
    } else if (macros.type === "object") {
      for (const [name, definition] of macros.members) {
        this.collect(name, definition.place, () => this.define(name, definition));
      }
    } else {
      throw new MacroError(`expected an object of macros or a list of such, got ${describeJson(macros)}`, macros.place);
    }
    return macros;
  }

  private define(name: string, definition: Json): Json {
    const { place } = definition;
    if (definition.type !== "object") {
      throw new MacroError(`expected a macroDef or a constDef, got ${describeJson(definition)}`, place);
    }
    const { members } = definition;
    const type = members.get("type");
    const kind = type?.type === "string" ? type.value : "";
    const result = members.get("result");
    if (kind !== "macroDef" && kind !== "constDef") {
      throw new MacroError(`expected type to be "macroDef" or "constDef"`, type?.place ?? place);
    }
    if (result === undefined) throw new MacroError(`${kind} has no result`, place);
    if (kind === "constDef") {
      this.constants.set(name, { value: result, isExpanded: false });
    } else {
      const parameters = readParameters(members.get("params"));
      const run = (call: Call): Json => {
        const scope = new Scope(null);
        const values = call.values();
        for (const { name: parameter, default: fallback } of parameters) {
          const value = values.get(parameter) ?? fallback;
          if (value !== null) scope.define(parameter, value);
        }
        return this.expand(result, scope);
      };
      this.macros.set(name, { parameters, run });
    }
    return definition;
  }

  private expand(value: Json, scope: Scope): Json {
    return this.nested(value.place, () => {
      switch (value.type) {
        case "string":
          return this.expandText(value.value, value.place, scope);
        case "array":
          return {
            ...value,
            items: value.items.map((item, i) => this.collect(i, item.place, () => this.expand(item, scope))),
          };
        case "object":
          return this.expandObject(value, scope);
        default:
          return value;
      }
    });
  }

  private nested(place: JsonPlace, run: () => Json): Json {
    if (this.depth + 1 >= NESTED_LIMIT) {
      throw new MacroError("too many macros in each other; does one need itself?", place);
    }
    this.depth++;
    try {
      return run();
    } finally {
      this.depth--;
    }
  }

  private expandText(text: string, place: JsonPlace, scope: Scope): Json {
    return this.nested(place, () => {
      if (!text.startsWith("@")) return this.substitute(text, place, scope);
      const call = readCall(text);
      if (typeof call === "string") throw new MacroError(call, place);
      const name = this.substitute(call.name, place, scope);
      if (name.type !== "string")
        throw new MacroError(`expected the name of a macro, got ${describeJson(name)}`, place);
      const macro = this.macros.get(name.value);
      if (macro === undefined) {
        throw new MacroError(`there is no macro "${name.value}"${suggestion(name.value, this.macros.keys())}`, place);
      }
      const { parameters } = macro;
      const least = parameters.filter(({ isRequired }) => isRequired).length;
      if (call.arguments.length < least || call.arguments.length > parameters.length) {
        const takes = least === parameters.length ? `${least}` : `${least} to ${parameters.length}`;
        const count = `takes ${takes} arguments, got ${call.arguments.length}`;
        throw new MacroError(`macro "${name.value}" ${count}`, place);
      }
      const given = new Map(call.arguments.map((each, i) => [parameters[i]!.name, jsonString(each, place)]));
      return this.call(name.value, macro, given, place, scope);
    });
  }

  private call(name: string, macro: Macro, given: Map<string, Json>, place: JsonPlace, scope: Scope): Json {
    return this.within(`macro "${name}"`, place, () => macro.run(new Call(given, place, scope, this.expandIn)));
  }

  /** Expands the body of a call. The result has the position of the call. */
  private within(call: string, place: JsonPlace, run: () => Json): Json {
    this.calls++;
    try {
      return movedTo(run(), place);
    } catch (error) {
      if (error instanceof MacroError) error.outOf(call, place);
      throw error;
    } finally {
      this.calls--;
    }
  }

  /** Replaces names between percent signs. A string that is only one such name may become any value. */
  private substitute(text: string, place: JsonPlace, scope: Scope): Json {
    const pieces = readPieces(text);
    if (pieces === null) {
      throw new MacroError(`a "%" has no other one in ${JSON.stringify(text)}; "\\\\%" is a plain one`, place);
    }
    const [first] = pieces;
    if (pieces.length === 1 && first!.type === "name") return movedTo(this.valueOf(first!.text, place, scope), place);
    const texts = pieces.map((piece) => {
      if (piece.type === "literal") return piece.text;
      const value = this.valueOf(piece.text, place, scope);
      if (value.type === "string") return value.value;
      throw new MacroError(`expected %${piece.text}% to be a string inside of one, got ${describeJson(value)}`, place);
    });
    return jsonString(texts.join(""), place);
  }

  private valueOf(name: string, place: JsonPlace, scope: Scope): Json {
    const local = scope.find(name, this.expandIn);
    if (local !== undefined) return local;
    const constant = this.constants.get(name);
    if (constant === undefined) {
      throw new MacroError(`%${name}% is not defined here${suggestion(name, this.constants.keys())}`, place);
    }
    if (!constant.isExpanded) {
      constant.value = this.within(`"${name}"`, place, () => this.expand(constant.value, new Scope(null)));
      constant.isExpanded = true;
    }
    return constant.value;
  }

  private expandObject(given: JsonObject, around: Scope): Json {
    const { object, scope } = this.takeVariables(given, around);
    const type = object.members.get("type");
    const kind = type === undefined ? null : this.expand(type, scope);
    if (kind?.type === "string") {
      const { place } = object;
      if (kind.value === "macroDef" || kind.value === "constDef") return object;
      const loop = loops.get(kind.value);
      if (loop !== undefined) return this.within(`"${kind.value}"`, place, () => loop(object, scope, this.expandIn));
      const macro = this.macros.get(kind.value);
      if (macro !== undefined) {
        const named = macro.parameters.filter(({ name }) => object.members.has(name));
        const missing = macro.parameters.find(({ name, isRequired }) => isRequired && !object.members.has(name));
        if (missing !== undefined) throw new MacroError(`macro "${kind.value}" needs "${missing.name}"`, place);
        const values = new Map(named.map(({ name }) => [name, object.members.get(name)!]));
        return this.call(kind.value, macro, values, place, scope);
      }
    }
    const members = new Map<string, Json>();
    for (const [name, member] of object.members) {
      this.collect(name, member.place, () => {
        const key = this.expandText(name, member.place, scope);
        if (key.type !== "string") throw new MacroError(`expected a name, got ${describeJson(key)}`, member.place);
        members.set(key.value, this.expand(member, scope));
        return key;
      });
    }
    return { ...object, members };
  }

  private takeVariables(object: JsonObject, around: Scope): { object: JsonObject; scope: Scope } {
    const variables = object.members.get("vars");
    if (variables === undefined) return { object, scope: around };
    if (variables.type !== "object") {
      throw new MacroError(`expected vars to be an object, got ${describeJson(variables)}`, variables.place);
    }
    const scope = new Scope(around);
    // The variables may refer to each other, in any order.
    for (const [name, value] of variables.members) scope.defineLater(name, value);
    for (const name of variables.members.keys()) scope.find(name, this.expandIn);
    const members = new Map(object.members);
    members.delete("vars");
    return { object: { ...object, members }, scope };
  }

  private import(call: Call): Json {
    const path = call.string("path");
    try {
      const { id, value } = this.importer(path, call.place);
      const known = this.imports.get(id);
      if (known !== undefined) return known;
      if (this.importing.includes(id)) {
        throw new MacroError(`${path} imports itself: ${[...this.importing, id].join(" → ")}`, call.place);
      }
      this.importing.push(id);
      try {
        const expanded = this.expand(value, new Scope(null));
        this.imports.set(id, expanded);
        return expanded;
      } finally {
        this.importing.pop();
      }
    } catch (error) {
      if (error instanceof MacroError && call.has("default")) return call.value("default");
      throw error;
    }
  }
}

function select(call: Call): Json {
  const dictionary = call.value("dictionary");
  const key = call.value("key");
  let found: Json | undefined;
  if (dictionary.type === "object") {
    if (key.type !== "string")
      throw new MacroError(`expected key to be a string, got ${describeJson(key)}`, call.place);
    found = dictionary.members.get(key.value);
  } else if (dictionary.type === "array") {
    if (key.type !== "integer") {
      throw new MacroError(`expected key to be a whole number, got ${describeJson(key)}`, call.place);
    }
    found = dictionary.items.at(Number(key.value));
  } else {
    throw new MacroError(`expected dictionary to be a list or an object, got ${describeJson(dictionary)}`, call.place);
  }
  if (found !== undefined) return found;
  if (call.has("default")) return call.value("default");
  throw new MacroError(`there is no ${describeJson(key)} in the dictionary, and no default`, call.place);
}

/** A syntax error of an imported file, as a mistake of the import. */
export function asMacroError(error: ConfigError): MacroError {
  const [problem] = error.problems;
  return new MacroError(problem!.message, { file: problem!.file, line: problem!.line ?? 1 });
}
