/** The names that are visible where a value is expanded. */

import type { Json } from "./json-value.ts";

/** Expands a value with the names of a scope. */
export type Expand = (value: Json, scope: Scope) => Json;

/** Names and their values, from the innermost scope outwards. */
export class Scope {
  private readonly outer: Scope | null;
  private readonly values = new Map<string, Json>();
  /** Names of `vars`: expanded on first use. */
  private readonly pending = new Map<string, Json>();

  /** `outer` is `null` if outer names are not visible. */
  constructor(outer: Scope | null) {
    this.outer = outer;
  }

  define(name: string, value: Json): void {
    this.values.set(name, value);
  }

  defineLater(name: string, value: Json): void {
    this.pending.set(name, value);
  }

  find(name: string, expand: Expand): Json | undefined {
    const pending = this.pending.get(name);
    if (pending !== undefined) {
      this.values.set(name, expand(pending, this));
      this.pending.delete(name);
    }
    return this.values.get(name) ?? this.outer?.find(name, expand);
  }

  has(name: string): boolean {
    return this.values.has(name) || this.pending.has(name) || (this.outer?.has(name) ?? false);
  }
}
