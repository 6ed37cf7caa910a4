/**
 * One section of a configuration: what was found for its keys, from whichever layer, and its reading by the rows of
 * the settings table. A value that cannot be used is reported and read as the default, so that one pass finds
 * every problem; `Problems.end` then keeps the result from being used.
 */

import { ConfigError, type ConfigProblem } from "../errors.ts";
import { suggestion } from "./nearest-name.ts";
import { describeType, fieldOf, type Setting, type Settings, type SettingType, type Values } from "./setting.ts";
import { parseDuration, parseSize } from "./units.ts";

/** Where a value or a section stands, for messages. */
export interface Place {
  readonly file: string | null;
  readonly line: number | null;
  /** Full key path; for the environment and the command line with their names behind it. */
  readonly path: string;
}

/** A value nobody has checked yet. */
export interface Found {
  readonly value: unknown;
  readonly place: Place;
  /** It may be secret: no message shows it. */
  readonly isHidden?: boolean;
  /** The value as it may be shown: with what came from outside left out. Absent where nothing did. */
  readonly shown?: unknown;
  /** Where an entry of a list or a table stands. */
  entry(key: string | number): Place;
}

export interface Section {
  readonly place: Place;
  /** By key as the user wrote it, synonyms included. */
  readonly found: ReadonlyMap<string, Found>;
}

/** Told of every template that is read; reports it if it cannot be. */
export type TemplateCheck = (text: string, place: Place) => void;

/** Collects problems and warnings; equal ones count once. */
export class Problems {
  readonly #problems = new Map<string, ConfigProblem>();
  readonly #warnings = new Set<string>();

  add(place: Place, message: string): void {
    const problem = { file: place.file, line: place.line, message: `${place.path}: ${message}` };
    this.#problems.set(JSON.stringify(problem), problem);
  }

  /** Adds what a user should know and what keeps nothing from being used. */
  warn({ path, line }: Place, message: string): void {
    this.#warnings.add(`${path}${line === null ? "" : ` (line ${line})`} ${message}`);
  }

  get warnings(): readonly string[] {
    return [...this.#warnings];
  }

  /** All of them, in order of line. */
  get all(): readonly ConfigProblem[] {
    return [...this.#problems.values()].sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
  }

  /** Throws a `ConfigError` with all of them in order of line, if there are any. */
  end(): void {
    if (this.#problems.size === 0) return;
    throw new ConfigError(this.all);
  }
}

/** Reads and checks a section by its rows; keys without a row are problems. */
export function readSection<const Rows extends Settings>(
  section: Section,
  rows: Rows,
  problems: Problems,
  checkTemplate: TemplateCheck,
): Values<Rows> {
  const known = Object.entries<Setting>(rows).flatMap(([key, row]) => [key, ...(row.synonyms ?? [])]);
  for (const [key, { place }] of section.found) {
    if (!known.includes(key)) problems.add(place, `unknown setting${suggestion(key, known)}`);
  }
  const values: Record<string, unknown> = {};
  for (const [key, row] of Object.entries<Setting>(rows)) {
    const reader = new ValueReader(row.type, problems, checkTemplate);
    const found = findSetting(section, key, row, problems);
    if (found === undefined && row.isRequired === true) {
      problems.add(
        { ...section.place, path: `${section.place.path}.${key}` },
        `missing; expected ${describeType(row.type)}`,
      );
    }
    if (found !== undefined && row.noEffect !== undefined) problems.warn(found.place, `has no effect: ${row.noEffect}`);
    const value = found === undefined ? undefined : reader.read(found);
    values[fieldOf(key, row)] = value ?? (row.default === null ? null : reader.read(defaultValue(row.default)));
  }
  // Each value was read by the type of its own row.
  return values as Values<Rows>;
}

/** The value given for a key or one of its synonyms; both at once is a problem. */
export function findSetting(section: Section, key: string, row: Setting, problems?: Problems): Found | undefined {
  const given = [key, ...(row.synonyms ?? [])].filter((each) => section.found.has(each));
  if (given.length > 1) {
    problems?.add(section.found.get(given[1]!)!.place, `says the same as ${given[0]}; keep one of them`);
  }
  return section.found.get(given[0] ?? key);
}

function defaultValue(value: unknown): Found {
  const place = { file: null, line: null, path: "default" };
  return { value, place, entry: () => place };
}

/** Reads values of one type. Undefined: not of that type, reported. */
class ValueReader {
  readonly #type: SettingType;
  readonly #problems: Problems;
  readonly #checkTemplate: TemplateCheck;

  constructor(type: SettingType, problems: Problems, checkTemplate: TemplateCheck) {
    this.#type = type;
    this.#problems = problems;
    this.#checkTemplate = checkTemplate;
  }

  read(found: Found): unknown {
    const type = this.#type;
    const { value } = found;
    switch (type.kind) {
      case "duration":
        return this.#bounded(found, type, typeof value === "string" ? parseDuration(value) : null);
      case "ttl":
        if (value === "source") return value;
        return this.#bounded(found, type, typeof value === "string" ? parseDuration(value) : null);
      case "size":
        return this.#bounded(found, type, typeof value === "string" ? parseSize(value) : value);
      case "count":
        return value === "auto" ? value : this.#bounded(found, type, value);
      case "integer":
        return this.#bounded(found, type, value);
      case "fraction":
        return typeof value === "number" && value >= 0 && value <= 1 ? value : this.#refuse(found);
      case "boolean":
        return typeof value === "boolean" ? value : this.#refuse(found);
      case "text":
        return typeof value === "string" ? value : this.#refuse(found);
      case "template":
        return typeof value === "string" ? this.#template(value, found.place) : this.#refuse(found);
      case "list":
        return this.#list(found);
      case "texts":
      case "templates":
        return this.#templates(found);
      case "parts": {
        const isParts = Array.isArray(found.value) && found.value.length > 0 && found.value.every(isTable);
        return isParts ? found.value : this.#refuse(found);
      }
      case "function":
        return typeof value === "function" ? value : this.#refuse(found);
      case "choice":
        if (typeof value === "string" && type.choices.includes(value)) return value;
        return this.#refuse(found, typeof value === "string" ? suggestion(value, type.choices) : "");
    }
  }

  #bounded(found: Found, type: { readonly min: number; readonly max: number }, value: unknown): unknown {
    const isInside = typeof value === "number" && Number.isSafeInteger(value) && value >= type.min && value <= type.max;
    return isInside ? value : this.#refuse(found);
  }

  #list(found: Found): unknown {
    const entries: unknown[] = Array.isArray(found.value) ? found.value : [found.value];
    return entries.every((entry) => typeof entry === "string") ? entries : this.#refuse(found);
  }

  #templates(found: Found): unknown {
    if (!isTable(found.value)) return this.#refuse(found);
    return Object.entries(found.value).map(([name, value]) => {
      const place = found.entry(name);
      const isTemplate = this.#type.kind === "templates";
      if (typeof value === "string") return [name, isTemplate ? this.#template(value, place) : value];
      this.#problems.add(place, `expected a ${isTemplate ? "template" : "string"}, got ${describeValue(value)}`);
      return [name, ""];
    });
  }

  #template(text: string, place: Place): string {
    this.#checkTemplate(text, place);
    return text;
  }

  #refuse(found: Found, hint = ""): undefined {
    // Header fields may be secret, and text that should have been a table of them is too.
    const isHidden = this.#type.kind === "templates" || this.#type.kind === "texts" || found.isHidden === true;
    const got = isHidden ? "something else" : describeValue(found.value);
    this.#problems.add(found.place, `expected ${describeType(this.#type)}, got ${got}${hint}`);
  }
}

/** A TOML table, as opposed to a list or a single value. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A value as a message shows it; never what is inside a list or a table. */
export function describeValue(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object" && value !== null) return "a table";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
