/** What names mean where a value is expanded. */

import type { Json } from "./json-value.ts";

/** Expands a value by the names of a scope. */
export type Expand = (value: Json, scope: Scope) => Json;

/** Names that mean something, from the inside out. */
export class Scope {
  private readonly outer: Scope | null;
  private readonly values = new Map<string, Json>();
  /** Of `vars`: expanded when they are asked for. */
  private readonly pending = new Map<string, Json>();

  /** `outer` null: what is around it means nothing here. */
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
