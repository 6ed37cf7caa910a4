/**
 * A setting as a row of a table: its type, bounds, default and meaning. The rows define reading and checks
 * (section.ts), environment names, error messages and docs/configuration.md.
 */

import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

/** Types of settings. Bounds are inclusive, in the unit of `Config`: milliseconds, bytes, plain numbers. */
export type SettingType =
  | { readonly kind: "duration" | "size" | "integer" | "number"; readonly min: number; readonly max: number }
  /** A duration, or the word "source" if the source decides. */
  | { readonly kind: "ttl"; readonly min: number; readonly max: number }
  /** An integer, or "auto" for a number that Platypus finds. */
  | { readonly kind: "count"; readonly min: number; readonly max: number }
  | { readonly kind: "boolean" | "text" | "template" }
  /** One string or several. With `takesNumbers`, numbers are converted to text. */
  | { readonly kind: "list"; readonly takesNumbers?: boolean }
  /** A table of names, each with a text or a template. */
  | { readonly kind: "texts" | "templates" }
  /** A list of tables: the parts of a merge. */
  | { readonly kind: "parts" }
  /** A function, which only code can set. */
  | { readonly kind: "function" }
  | { readonly kind: "choice"; readonly choices: readonly string[] };

export interface Setting {
  /** Name of the value in `Config`, if it differs from the key in camel case, for example with a unit. */
  readonly field?: string;
  readonly type: SettingType;
  /** The default as in the file. `null` if absent: the setting is omitted or, with `isRequired`, missing. */
  readonly default: string | number | boolean | readonly string[] | Readonly<Record<string, string>> | null;
  /** The value in config/platypus.toml, if it is not the default. */
  readonly example?: unknown;
  readonly meaning: string;
  readonly isRequired?: boolean;
  /** Other names for the key in the file. */
  readonly synonyms?: readonly string[];
  /** If set, the setting is ignored with a warning that has this reason. */
  readonly noEffect?: string;
}

/** The rows of one section by key. A key such as `batch.url` belongs to a table inside the section. */
export type Settings = Readonly<Record<string, Setting>>;

/** The value of a type after reading. */
export type Value<T extends SettingType> = T extends { kind: "duration" | "size" | "integer" | "number" }
  ? number
  : T extends { kind: "ttl" }
    ? number | "source"
    : T extends { kind: "count" }
      ? number | "auto"
      : T extends { kind: "boolean" }
        ? boolean
        : T extends { kind: "list" }
          ? readonly string[]
          : T extends { kind: "parts" }
            ? readonly Readonly<Record<string, unknown>>[]
            : T extends { kind: "templates" | "texts" }
              ? readonly (readonly [string, string])[]
              : T extends { kind: "function" }
                ? Callable
                : T extends { kind: "choice"; choices: readonly (infer Choice)[] }
                  ? Choice
                  : string;

/** A function of any type; its reader knows the type. */
type Callable = (...args: never[]) => unknown;

/** `drain_timeout` → `drainTimeout`. */
type CamelCase<Key> = Key extends `${infer Word}_${infer Rest}` ? `${Word}${Capitalize<CamelCase<Rest>>}` : Key;

type FieldOf<Rows extends Settings, Key extends keyof Rows> = Rows[Key] extends { field: infer Field extends string }
  ? Field
  : CamelCase<Key>;

/** The value that code gives for a setting of a type. */
type Given<T extends SettingType> = T extends { kind: "duration" | "ttl" }
  ? string
  : T extends { kind: "size" }
    ? string | number
    : T extends { kind: "list" }
      ? string | readonly string[]
      : T extends { kind: "templates" | "texts" }
        ? Readonly<Record<string, string>>
        : Value<T>;

/** A section as options in code: its settings in camel case, all optional. */
export type Options<Rows extends Settings> = {
  readonly [Key in keyof Rows as CamelCase<Key>]?: Given<Rows[Key]["type"]>;
};

export function fieldOf(key: string, row: Setting): string {
  return row.field ?? key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * A section after reading, by field: durations in milliseconds, sizes in bytes. `null` only if the row has no default.
 */
export type Values<Rows extends Settings> = {
  readonly [Key in keyof Rows as FieldOf<Rows, Key>]:
    | Value<Rows[Key]["type"]>
    | (Rows[Key]["default"] extends null ? null : never);
};

/** A section after its checks: required settings have values. */
export type Complete<Rows extends Settings> = {
  readonly [Key in keyof Rows as FieldOf<Rows, Key>]:
    | Value<Rows[Key]["type"]>
    | (Rows[Key]["default"] extends null ? (Rows[Key] extends { isRequired: true } ? never : null) : never);
};

/** The values of these rows, from a section that was read with more rows. */
export function fieldsOf<const Rows extends Settings>(
  rows: Rows,
  values: Readonly<Record<string, unknown>>,
): Values<Rows> {
  const fields = Object.entries<Setting>(rows).map(([key, row]) => fieldOf(key, row));
  // These rows are among the rows that read the section.
  return Object.fromEntries(fields.map((field) => [field, values[field]])) as Values<Rows>;
}

export function duration(min: string, max: string) {
  return { kind: "duration", min: parseDuration(min)!, max: parseDuration(max)! } as const;
}

export function size(min: string, max: string) {
  return { kind: "size", min: parseSize(min)!, max: parseSize(max)! } as const;
}

export function integer(min: number, max: number) {
  return { kind: "integer", min, max } as const;
}

export function number(min: number, max: number) {
  return { kind: "number", min, max } as const;
}

/** Upper bound of integers without a limit. */
export const UNBOUNDED = Number.MAX_SAFE_INTEGER;

export function choice<const Choices extends readonly string[]>(...choices: Choices) {
  return { kind: "choice", choices } as const;
}

export const boolean = { kind: "boolean" } as const;
export const text = { kind: "text" } as const;
export const template = { kind: "template" } as const;
export const templates = { kind: "templates" } as const;
export const texts = { kind: "texts" } as const;
export const parts = { kind: "parts" } as const;
export const list = { kind: "list" } as const;
/** One value or several, as text or integers. */
export const numbersOrTexts = { kind: "list", takesNumbers: true } as const;

/** The type of a setting, for messages and docs: "a duration from 1s to 365d". */
export function describeType(type: SettingType): string {
  switch (type.kind) {
    case "duration":
      return `a duration from ${formatDuration(type.min)} to ${formatDuration(type.max)}, such as "250ms" or "1m30s"`;
    case "ttl":
      return `a duration from ${formatDuration(type.min)} to ${formatDuration(type.max)}, or "source"`;
    case "size":
      return `a size from ${formatSize(type.min)} to ${formatSize(type.max)}, such as "64KiB" or "1MiB"`;
    case "integer":
      return type.max === UNBOUNDED
        ? `a whole number from ${type.min} on`
        : `a whole number from ${type.min} to ${type.max}`;
    case "count":
      return `a whole number from ${type.min} to ${type.max}, or "auto"`;
    case "boolean":
      return "true or false";
    case "text":
      return "a string";
    case "template":
      return 'a template such as "{1}" or "{key}"';
    case "list":
      return "a string or a list of strings";
    case "number":
      return `a number from ${type.min} to ${type.max}`;
    case "texts":
      return "a table of strings";
    case "templates":
      return "a table of templates";
    case "parts":
      return 'a list of parts such as [{ key = ["a"], source = "NAME" }]';
    case "function":
      return "a function";
    case "choice":
      return type.choices.map((each) => `"${each}"`).join(" or ");
  }
}
