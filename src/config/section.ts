/**
 * Values with their positions, from all formats and layers, and their reading by types and by rows of a table of
 * settings. A section holds the values of one part of a configuration. An invalid value is reported and read as the
 * default, so that one pass finds all problems; `Problems.end` then rejects the result.
 */

import { ConfigError, type ConfigProblem } from "../errors.ts";
import { suggestion } from "./nearest-name.ts";
import {
  describeType,
  fieldOf,
  type Setting,
  type Settings,
  type SettingType,
  type Value,
  type Values,
} from "./setting.ts";
import { durationMeant, parseDuration, parseSize, sizeMeant } from "./units.ts";

/** Position of a value or a section, for messages. */
export interface Place {
  readonly file: string | null;
  readonly line: number | null;
  /** Full key path; for the environment and the command line, followed by their names. */
  readonly path: string;
}

/** A value that is not checked yet. */
export interface Found {
  readonly value: unknown;
  readonly place: Place;
  /** The value in messages, if the format's notation differs from TOML. */
  readonly got?: string;
  /** True if the value may be secret. Messages do not show it. */
  readonly isHidden?: boolean;
  /** The value without inserted text, for display. Absent if no text was inserted. */
  readonly shown?: unknown;
  /** Position of an entry in a list or a table. */
  entry(key: string | number): Place;
}

export interface Section {
  readonly place: Place;
  /** Values by key as the user wrote it, including synonyms. */
  readonly found: ReadonlyMap<string, Found>;
}

/** Receives each template that is read; reports invalid ones. */
export type TemplateCheck = (text: string, place: Place) => void;

/** Collects problems and warnings. Duplicates count once. */
export class Problems {
  readonly #problems = new Map<string, ConfigProblem>();
  readonly #sectionsWith: (key: string) => readonly string[];
  /** Line by text of the warning. */
  readonly #warnings = new Map<string, number | null>();

  /** `sectionsWith`: headers of the sections that have a setting with this name. */
  constructor(sectionsWith: (key: string) => readonly string[] = () => []) {
    this.#sectionsWith = sectionsWith;
  }

  /** Adds a problem: the section has no such setting. */
  addUnknown(place: Place, key: string, known: readonly string[]): void {
    const near = suggestion(key, known);
    const kind = place.path.split(".")[0]!;
    const isOwn = (header: string) => header.startsWith(`[${kind}`) || (kind === "pool" && header === "[target]");
    const others = near === "" ? this.#sectionsWith(key).filter((header) => !isOwn(header)) : [];
    const elsewhere = others.length === 0 ? "" : `; ${key} belongs to ${others.join(" or ")}`;
    this.add(place, `unknown setting${near}${elsewhere}`);
  }

  add(place: Place, message: string): void {
    const path = place.path === "" ? "" : `${place.path}: `;
    const problem = { file: place.file, line: place.line, message: `${path}${message}` };
    this.#problems.set(JSON.stringify(problem), problem);
  }

  /** Adds a warning, which does not reject the configuration. */
  warn({ path, line }: Place, message: string): void {
    this.#warnings.set(`${path}${line === null ? "" : ` (line ${line})`} ${message}`, line);
  }

  /** Runs `read`. If `read` finds problems, they are removed again, and their messages are returned. */
  attempt<T>(read: () => T): { readonly result: T } | { readonly messages: readonly string[] } {
    const before = new Set(this.#problems.keys());
    const result = read();
    const found = [...this.#problems].filter(([key]) => !before.has(key));
    if (found.length === 0) return { result };
    for (const [key] of found) this.#problems.delete(key);
    return { messages: found.map(([, { message }]) => message) };
  }

  /** In order of lines. */
  get warnings(): readonly string[] {
    return [...this.#warnings].sort(([, a], [, b]) => (a ?? 0) - (b ?? 0)).map(([text]) => text);
  }

  /** All problems, in order of lines. */
  get all(): readonly ConfigProblem[] {
    return [...this.#problems.values()].sort((a, b) => (a.line ?? 0) - (b.line ?? 0));
  }

  /** Throws a `ConfigError` with all problems in order of lines, if there are any. */
  end(): void {
    if (this.#problems.size === 0) return;
    throw new ConfigError(this.all);
  }
}

/** Reads and checks a section by its rows. A key without a row is a problem. */
export function readSection<const Rows extends Settings>(
  section: Section,
  rows: Rows,
  problems: Problems,
  checkTemplate: TemplateCheck = () => {},
): Values<Rows> {
  const known = Object.entries<Setting>(rows).flatMap(([key, row]) => [key, ...(row.synonyms ?? [])]);
  for (const [key, { place }] of section.found) {
    if (!known.includes(key)) problems.addUnknown(place, key, known);
  }
  const values: Record<string, unknown> = {};
  for (const [key, row] of Object.entries<Setting>(rows)) {
    const found = findSetting(section, key, row, problems);
    if (found === undefined && row.isRequired === true) {
      problems.add(
        { ...section.place, path: `${section.place.path}.${key}` },
        `missing; expected ${describeType(row.type)}`,
      );
    }
    // A setting that is switched off needs no warning.
    if (found !== undefined && found.value !== false && row.noEffect !== undefined)
      problems.warn(found.place, `has no effect: ${row.noEffect}`);
    const value = found === undefined ? undefined : readValue(row.type, found, problems, checkTemplate);
    values[fieldOf(key, row)] =
      value ?? (row.default === null ? null : readValue(row.type, defaultValue(row.default), problems, checkTemplate));
  }
  // Each value was read with the type of its row.
  return values as Values<Rows>;
}

/** The value of a key or of one of its synonyms. Both at once are a problem. */
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

/** Reads a value of one type. `undefined` if the value has another type; the problem is reported. */
export function readValue<T extends SettingType>(
  type: T,
  found: Found,
  problems: Problems,
  checkTemplate: TemplateCheck = () => {},
): Value<T> | undefined {
  const value = checkedValue(type, found, problems, checkTemplate);
  if (value === undefined) refuse(type, found, problems);
  // The reader of a type returns a value of that type.
  return value as Value<T> | undefined;
}

function checkedValue(type: SettingType, found: Found, problems: Problems, checkTemplate: TemplateCheck): unknown {
  const { value } = found;
  switch (type.kind) {
    case "duration":
      return bounded(type, typeof value === "string" ? parseDuration(value) : null);
    case "ttl":
      if (value === "source") return value;
      return bounded(type, typeof value === "string" ? parseDuration(value) : null);
    case "size":
      return bounded(type, typeof value === "string" ? parseSize(value) : value);
    case "count":
      return value === "auto" ? value : bounded(type, value);
    case "integer":
      return bounded(type, value);
    case "number":
      return typeof value === "number" && value >= type.min && value <= type.max ? value : undefined;
    case "boolean":
      return typeof value === "boolean" ? value : undefined;
    case "text":
      return typeof value === "string" ? value : undefined;
    case "template":
      if (typeof value !== "string") return undefined;
      checkTemplate(value, found.place);
      return value;
    case "list": {
      const given: unknown[] = Array.isArray(value) ? value : [value];
      const entries = type.takesNumbers ? given.map((each) => (typeof each === "number" ? String(each) : each)) : given;
      return entries.every((entry) => typeof entry === "string") ? entries : undefined;
    }
    case "texts":
    case "templates":
      return isTable(value) ? texts(type, found, value, problems, checkTemplate) : undefined;
    case "parts":
      return Array.isArray(value) && value.length > 0 && value.every(isTable) ? value : undefined;
    case "function":
      return typeof value === "function" ? value : undefined;
    case "choice":
      return typeof value === "string" && type.choices.includes(value) ? value : undefined;
  }
}

function bounded({ min, max }: { readonly min: number; readonly max: number }, value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined;
}

function texts(
  { kind }: SettingType,
  found: Found,
  table: Readonly<Record<string, unknown>>,
  problems: Problems,
  checkTemplate: TemplateCheck,
): [string, string][] {
  return Object.entries(table).map(([name, value]) => {
    const place = found.entry(name);
    if (typeof value !== "string") {
      problems.add(place, `expected a ${kind === "texts" ? "string" : "template"}, got ${describeValue(value)}`);
      return [name, ""];
    }
    if (kind === "templates") checkTemplate(value, place);
    return [name, value];
  });
}

function refuse(type: SettingType, found: Found, problems: Problems): void {
  const { value, place } = found;
  // Header fields may be secret; text in place of their table may be secret too.
  const isHidden = type.kind === "templates" || type.kind === "texts" || found.isHidden === true;
  const got = isHidden ? "something else" : (found.got ?? describeValue(value));
  const hint = isHidden ? "" : hintFor(type, value);
  problems.add(place, `expected ${describeType(type)}, got ${got}${hint}`);
}

/** Suggests a correction. */
function hintFor(type: SettingType, value: unknown): string {
  if (type.kind === "choice") return typeof value === "string" ? suggestion(value, type.choices) : "";
  const isDuration = type.kind === "duration" || type.kind === "ttl";
  if (isDuration && typeof value === "number") return `; a duration has a unit: "${value}s" or "${value}ms"`;
  if (typeof value !== "string") return "";
  const meant = isDuration ? durationMeant(value) : type.kind === "size" ? sizeMeant(value) : null;
  return meant === null || meant === value ? "" : `; use ${JSON.stringify(meant)}`;
}

/** True for a TOML table; false for a list or a single value. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** A value for messages, without the content of lists and tables. */
export function describeValue(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object" && value !== null) return "a table";
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
