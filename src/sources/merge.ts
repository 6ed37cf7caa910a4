/**
 * JSON from several sources. They are asked in parallel, each with its own limits.
 *
 *     template   [{ key = ["config"], source = "a" }, { key = [], source = "b" }]
 *     value      { "config": <value of a>, …the members of b's object… }
 */
import { suggestion } from "../config/nearest-name.ts";
import { describeValue, isTable, type Place } from "../config/section.ts";
import { type Complete, choice, parts, type Settings } from "../config/setting.ts";
import type { SourceConfig } from "../config/source-types.ts";
import { SourceError } from "../errors.ts";
import { isJsonObject, jsonText, parseJson } from "./exact-json.ts";
import type { FetchContext, FetchResult, Freshness, Source } from "./source.ts";
import type { PartSource, SourceInput, SourceType } from "./source-type.ts";
import { asBytes, parseTemplate, renderTemplate, type Template } from "./template.ts";

const settings = {
  format: { type: choice("json"), default: "json", meaning: "Format of the value: a JSON object." },
  template: {
    field: "parts",
    type: parts,
    default: null,
    example: [
      { key: ["user"], source: "web", args: { inherit: {} } },
      { key: ["echo"], source: "echo" },
    ],
    isRequired: true,
    synonyms: ["merge"],
    meaning:
      'Parts of the value: `{ key = ["a", "b"], source = "NAME", args = { inherit = {} } }`, or `args = { replace = { NAME = "TEMPLATE" } }`; `to = "a.b"` or `to = "."` in place of `key`; `on_failure` of a part.',
  },
  on_failure: {
    type: choice("fail", "null", "omit"),
    default: "fail",
    meaning:
      "What happens if a part fails or is not found: `fail` (so does the whole), `null` in its place, or `omit` the part.",
  },
} as const satisfies Settings;

interface MergePart {
  /** Member path of the part. Empty if the members of the part are added at the top. */
  readonly path: readonly string[];
  /** Name of an existing source. */
  readonly source: string;
  /** Name and template of each replaced capture. */
  readonly replace: readonly (readonly [string, string])[];
  /** Effect on the whole value if the part fails or is not there. */
  readonly onFailure: Complete<typeof settings>["onFailure"];
}

export interface MergeSourceConfig extends SourceConfig {
  readonly parts: readonly MergePart[];
}

export const mergeType: SourceType<typeof settings, MergeSourceConfig> = {
  names: ["merge", "map"],
  about: "Puts JSON together from other sources.",
  settings,
  read(values, input) {
    return values.parts === null ? null : { parts: readParts(values.parts, values.onFailure, input) };
  },
  create: (config, { partNamed }) => new MergeSource(config, partNamed),
  partsOf: (config) => config.parts.map(({ source, replace }) => ({ source, replaced: replace.map(([name]) => name) })),
};

const settingsOfPart = ["key", "to", "source", "args", "on_failure"];

/** Parts of a merge. Invalid parts are reported with their positions and left out. */
function readParts(
  values: readonly Readonly<Record<string, unknown>>[],
  onFailure: MergePart["onFailure"],
  input: SourceInput,
): MergePart[] {
  const { problems } = input;
  const list = input.found("template")!;
  return values.flatMap((value, index) => {
    const place = list.entry(index);
    for (const key of Object.keys(value)) {
      if (!settingsOfPart.includes(key))
        problems.add(place, `unknown setting ${key}${suggestion(key, settingsOfPart)}`);
    }
    const path = readMembers(value, place, input);
    const policy = value.on_failure ?? onFailure;
    if (policy !== "fail" && policy !== "null" && policy !== "omit") {
      problems.add(place, 'on_failure: expected "fail", "null" or "omit"');
      return [];
    }
    if (typeof value.source !== "string") {
      problems.add(place, `source: expected the name of a source, got ${describeValue(value.source)}`);
      return [];
    }
    const replace = readArgs(value.args, place, input);
    return [{ path, source: value.source, replace, onFailure: policy }];
  });
}

/** `key = ["a", "b"]` or `to = "a.b"`; `to = "."` and `key = []` mean the top. */
function readMembers(
  { key, to }: Readonly<Record<string, unknown>>,
  place: Place,
  { problems }: SourceInput,
): string[] {
  if (Array.isArray(key) && key.every((name) => typeof name === "string") && to === undefined) return key;
  if (typeof to === "string" && key === undefined) return to.split(".").filter((name) => name !== "");
  problems.add(place, 'expected key = ["a", "b"], or to = "a.b"; to = "." is the top');
  return [];
}

/** `{ inherit = {} }` or `{ replace = { NAME = "TEMPLATE" } }`. */
function readArgs(args: unknown, place: Place, { problems, checkTemplate }: SourceInput): [string, string][] {
  const { inherit, replace, ...others } = isTable(args) ? args : {};
  const isOne =
    isTable(args) && Object.keys(others).length === 0 && (inherit === undefined) !== (replace === undefined);
  if ((args !== undefined && !isOne) || (replace !== undefined && !isTable(replace))) {
    problems.add(place, 'args: expected { inherit = {} } or { replace = { NAME = "TEMPLATE" } }');
    return [];
  }
  return Object.entries(replace ?? {}).flatMap(([name, template]) => {
    if (typeof template !== "string") {
      problems.add(place, `args.replace.${name}: expected a template, got ${describeValue(template)}`);
      return [];
    }
    checkTemplate(template, place);
    return [[name, template] as [string, string]];
  });
}

interface Part {
  readonly path: readonly string[];
  readonly source: PartSource;
  /** Captures that are replaced for the source. */
  readonly replaced: readonly (readonly [string, Template])[];
  readonly onFailure: "fail" | "null" | "omit";
}

/** The result of a part: its JSON, or the reason why there is none. */
type Answer =
  | { readonly json: unknown; readonly freshness: Freshness | null }
  | "notThere"
  | { readonly error: unknown };

/** Joins the parts into a JSON object. */
export class MergeSource implements Source {
  readonly name: string;
  private readonly parts: readonly Part[];

  /** `sourceOf` finds a source that is already built, by name. */
  constructor(config: MergeSourceConfig, sourceOf: (name: string) => PartSource) {
    this.name = config.name;
    this.parts = config.parts.map(({ path, source, replace, onFailure }) => ({
      path,
      source: sourceOf(source),
      replaced: replace.map(([name, template]) => [name, parseTemplate(template)] as const),
      onFailure,
    }));
  }

  async fetch(context: FetchContext): Promise<FetchResult> {
    const answers = await Promise.all(this.parts.map((part) => this.ask(part, context)));
    if (answers.every((answer) => answer === "notThere")) return { type: "notThere" };
    const value: Record<string, unknown> = {};
    const freshness: Freshness[] = [];
    for (const [i, answer] of answers.entries()) {
      const { path, onFailure } = this.parts[i]!;
      if (answer !== "notThere" && "json" in answer) {
        this.put(value, path, answer.json);
        if (answer.freshness !== null) freshness.push(answer.freshness);
      } else if (onFailure === "null") {
        this.put(value, path, null);
      } else if (onFailure === "fail") {
        if (answer === "notThere") return { type: "notThere" };
        throw answer.error;
      }
    }
    const soonest = soonestOf(freshness);
    return { type: "value", value: this.bytesOf(value), tag: null, freshness: soonest };
  }

  private bytesOf(value: unknown): Buffer {
    try {
      return Buffer.from(jsonText(value), "utf8");
    } catch {
      throw new SourceError("SOURCE_FAILED", `source ${this.name}: the merged value is nested too deeply`);
    }
  }

  describe(context: FetchContext): string[] {
    return this.parts.flatMap((part) => {
      const place = part.path.length === 0 ? "the top" : part.path.join(".");
      return part.source.describe(contextFor(part, context)).map((line) => `${place}: ${line}`);
    });
  }

  async close(): Promise<void> {}

  private async ask(part: Part, context: FetchContext): Promise<Answer> {
    try {
      const result = await part.source.fetch(contextFor(part, context), context.priority, null);
      if (result.type !== "value") return "notThere";
      return { json: jsonOf(result.value), freshness: result.freshness };
    } catch (error) {
      return { error };
    }
  }

  /** Adds `json` at a path of members. With an empty path, adds the members of `json`. */
  private put(value: Record<string, unknown>, path: readonly string[], json: unknown): void {
    if (path.length === 0) {
      if (json === null) return;
      if (!isJsonObject(json)) {
        throw new SourceError("SOURCE_FAILED", `source ${this.name}: only an object can be put at the top`);
      }
      for (const [name, member] of Object.entries(json)) define(value, name, member);
      return;
    }
    let at = value;
    for (const name of path.slice(0, -1)) {
      const next = Object.hasOwn(at, name) ? at[name] : undefined;
      const inner: Record<string, unknown> = isJsonObject(next) ? next : {};
      define(at, name, inner);
      at = inner;
    }
    define(at, path.at(-1)!, json);
  }
}

/** The captures for a part's source, with replacements. */
function contextFor({ replaced }: Part, context: FetchContext): FetchContext {
  const groups = new Map(context.groups);
  for (const [name, template] of replaced) {
    const bytes = Buffer.from(renderTemplate(template, context, asBytes), "latin1");
    groups.set(name, bytes.toString(context.encoding));
  }
  return { ...context, groups };
}

/** The freshness that ends first. A part without a lifetime ends last. */
function soonestOf(freshness: readonly Freshness[]): Freshness | null {
  const endOf = ({ ttlMs }: Freshness) => ttlMs ?? Number.POSITIVE_INFINITY;
  return freshness.reduce<Freshness | null>(
    (soonest, each) => (soonest === null || endOf(each) < endOf(soonest) ? each : soonest),
    null,
  );
}

/** Adds an own property with any name: `__proto__` is treated like other names. */
function define(object: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/** A valid JSON value as JSON, other values as a string. */
function jsonOf(value: Buffer): unknown {
  try {
    return parseJson(value);
  } catch {
    return value.toString("utf8");
  }
}
