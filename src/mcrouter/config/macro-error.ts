/** What is wrong with a macro, a variable or a call: how it is told on the way out to the value that needs it. */

import type { ConfigProblem } from "../../errors.ts";
import type { JsonPlace } from "./json-value.ts";

/** Calls that a message names at most. */
const MAX_CALLS = 3;

export class MacroError extends Error {
  readonly place: JsonPlace;
  /** Calls that it came out of, the innermost first. */
  private readonly calls: string[] = [];

  constructor(message: string, place: JsonPlace) {
    super(message);
    this.place = place;
  }

  /** It came out of a call that stands at `place`. */
  outOf(call: string, place: JsonPlace): void {
    if (this.calls.length === MAX_CALLS) this.calls.push("…");
    if (this.calls.length > MAX_CALLS) return;
    const file = place.file === this.place.file ? "" : ` of ${place.file}`;
    this.calls.push(`in ${call}, line ${place.line}${file}`);
  }

  /** `path` is that of the value of the document which needs what is wrong. */
  problem(path: string): ConfigProblem {
    const where = path === "" ? "" : `${path}: `;
    const calls = this.calls.length === 0 ? "" : ` (${this.calls.join("; ")})`;
    return { ...this.place, message: `${where}${this.message}${calls}` };
  }
}
