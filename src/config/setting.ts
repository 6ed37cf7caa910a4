/**
 * A setting as a row of a table: its type, bounds, default and meaning. Reading and checking (section.ts), environment
 * names, error messages and docs/configuration.md come from these rows.
 */

import { formatDuration, formatSize, parseDuration, parseSize } from "./units.ts";

/** What a setting takes. Bounds are inclusive, in the unit of `Config`: milliseconds, bytes, plain numbers. */
export type SettingType =
  | { readonly kind: "duration" | "size" | "integer" | "number"; readonly min: number; readonly max: number }
  /** A duration, or the word that leaves it to the source. */
  | { readonly kind: "ttl"; readonly min: number; readonly max: number }
  /** A whole number, or "auto" for as many as there are cores. */
  | { readonly kind: "count"; readonly min: number; readonly max: number }
  | { readonly kind: "boolean" | "text" | "template" }
  /** One string or several; with `takesNumbers` numbers stand for their texts. */
  | { readonly kind: "list"; readonly takesNumbers?: boolean }
  /** A table of names, each with a text or a template. */
  | { readonly kind: "texts" | "templates" }
  /** A list of tables: what a merge is made of. */
  | { readonly kind: "parts" }
  /** A function, which only code can give. */
  | { readonly kind: "function" }
  | { readonly kind: "choice"; readonly choices: readonly string[] };

export interface Setting {
  /** Name of the value in `Config`, if it is another one than the key in camel case: with a unit, for example. */
  readonly field?: string;
  readonly type: SettingType;
  /** As it would stand in the file. Null: none; the setting is left out or, if `isRequired`, missing. */
  readonly default: string | number | boolean | readonly string[] | Readonly<Record<string, string>> | null;
  /** What config/platypus.toml shows, if it is not the default. */
  readonly example?: unknown;
  readonly meaning: string;
  readonly isRequired?: boolean;
  /** Other names the file may use for the key. */
  readonly synonyms?: readonly string[];
  /** The setting is only taken, with a warning that says this reason. */
  readonly noEffect?: string;
}

/** The rows of one section by key. */
export type Settings = Readonly<Record<string, Setting>>;

/** What a value of a type is after reading. */
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

/** Any function: its reader knows which. */
type Callable = (...args: never[]) => unknown;

/** `drain_timeout` as `drainTimeout`. */
type CamelCase<Key> = Key extends `${infer Word}_${infer Rest}` ? `${Word}${Capitalize<CamelCase<Rest>>}` : Key;

type FieldOf<Rows extends Settings, Key extends keyof Rows> = Rows[Key] extends { field: infer Field extends string }
  ? Field
  : CamelCase<Key>;

/** What code gives for a setting of this type. */
type Given<T extends SettingType> = T extends { kind: "duration" | "ttl" }
  ? string
  : T extends { kind: "size" }
    ? string | number
    : T extends { kind: "list" }
      ? string | readonly string[]
      : T extends { kind: "templates" | "texts" }
        ? Readonly<Record<string, string>>
        : Value<T>;

/** A section as options of code: its settings in camel case, each of them optional. */
export type Options<Rows extends Settings> = {
  readonly [Key in keyof Rows as CamelCase<Key>]?: Given<Rows[Key]["type"]>;
};

export function fieldOf(key: string, row: Setting): string {
  return row.field ?? key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** A section after reading, by field: durations in milliseconds, sizes in bytes. Null only where the row has no default. */
export type Values<Rows extends Settings> = {
  readonly [Key in keyof Rows as FieldOf<Rows, Key>]:
    | Value<Rows[Key]["type"]>
    | (Rows[Key]["default"] extends null ? null : never);
};

/** A section after its checks: settings that are required have values. */
export type Complete<Rows extends Settings> = {
  readonly [Key in keyof Rows as FieldOf<Rows, Key>]:
    | Value<Rows[Key]["type"]>
    | (Rows[Key]["default"] extends null ? (Rows[Key] extends { isRequired: true } ? never : null) : never);
};

/** The part of `values` that these rows have, of a section that was read by more rows. */
export function fieldsOf<const Rows extends Settings>(
  rows: Rows,
  values: Readonly<Record<string, unknown>>,
): Values<Rows> {
  const fields = Object.entries<Setting>(rows).map(([key, row]) => fieldOf(key, row));
  // They were read by these rows.
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

/** Upper bound of whole numbers without one. */
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
/** One or several, as texts or as whole numbers. */
export const numbersOrTexts = { kind: "list", takesNumbers: true } as const;

/** What a setting takes, for messages and docs: "a duration from 1s to 365d". */
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
