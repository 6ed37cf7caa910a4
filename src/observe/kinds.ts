/**
 * Kinds of numbers for the rows of snapshot.ts. A kind joins the values of two workers, and its type is the type of the
 * field.
 */
import { type Durations, durationsTogether } from "../telemetry/durations.ts";

/** Joins the values of one field of two workers. */
export type Kind<Value> = (one: Value, other: Value) => Value;
type Rows = Readonly<Record<string, (one: never, other: never) => unknown>>;

/** The type of an object with these rows. */
export type NumbersOf<Table extends Rows> = {
  readonly [Field in keyof Table]: Table[Field] extends Kind<infer Value> ? Value : never;
};

export const sum: Kind<number> = (one, other) => one + other;
export const max: Kind<number> = (one, other) => Math.max(one, other);
export const min: Kind<number> = (one, other) => Math.min(one, other);
export const any: Kind<boolean> = (one, other) => one || other;
/** The greater number; `null` is less than any number. */
export const greatestGiven: Kind<number | null> = (one, other) => {
  return one === null || other === null ? (one ?? other) : Math.max(one, other);
};
/** Adds the amounts at each index. */
export const sumsByIndex: Kind<readonly number[]> = (one, other) => one.map((count, at) => count + (other[at] ?? 0));
export const durations: Kind<Durations> = durationsTogether;

/** For values that are equal in all workers, or for which the value of one process is enough. */
export function first<Value>(): Kind<Value> {
  return (one) => one;
}

export function firstGiven<Value>(): Kind<Value | null> {
  return (one, other) => one ?? other;
}

/** The value that comes last in `order`. */
export function worst<Value>(...order: readonly Value[]): Kind<Value> {
  return (one, other) => (order.indexOf(one) >= order.indexOf(other) ? one : other);
}

/** Joins values by name. Names keep the order of the first worker that has them. */
export function byName<Value>(kind: Kind<Value>): Kind<Readonly<Record<string, Value>>> {
  return (one, other) => {
    const all = { ...one };
    for (const [name, value] of Object.entries(other)) {
      all[name] = Object.hasOwn(all, name) ? kind(all[name]!, value) : value;
    }
    return all;
  };
}

export const sums = byName(sum);

/** Like `sums`, for an object with known names. */
export function sumsOf<Counters extends object>(): Kind<Readonly<Counters>> {
  return (one, other) => sums({ ...one } as Record<string, number>, { ...other } as Record<string, number>) as Counters;
}

/** Joins objects field by field. While workers are replaced by those of another version, one of them may lack a field. */
export function fields<Table extends Rows>(table: Table): Kind<NumbersOf<Table>> {
  // Each row only gets the values of its field.
  const rows = Object.entries(table) as [string, Kind<unknown>][];
  const together = (kind: Kind<unknown>, one: unknown, other: unknown) =>
    one === undefined ? other : other === undefined ? one : kind(one, other);
  return (one: Readonly<Record<string, unknown>>, other: Readonly<Record<string, unknown>>) => {
    return Object.fromEntries(
      rows.map(([name, kind]) => [name, together(kind, one[name], other[name])]),
    ) as NumbersOf<Table>;
  };
}

/** Joins items with the same identity. Items keep the order of the first worker that has them. */
export function list<Item>(kind: Kind<Item>, identity: (item: Item) => string): Kind<readonly Item[]> {
  return (one, other) => {
    const all = new Map(one.map((item) => [identity(item), item]));
    for (const item of other) {
      const same = all.get(identity(item));
      all.set(identity(item), same === undefined ? item : kind(same, item));
    }
    return [...all.values()];
  };
}

export function nullable<Value>(kind: Kind<Value>): Kind<Value | null> {
  return (one, other) => (one === null || other === null ? (one ?? other) : kind(one, other));
}
