/**
 * An error in a macro, a variable or a call. It collects the surrounding calls on the way to the value that needs it.
 */

import type { ConfigProblem } from "../../errors.ts";
import type { JsonPlace } from "./json-value.ts";

/** Maximum number of calls that a message names. */
const MAX_CALLS = 3;

export class MacroError extends Error {
  readonly place: JsonPlace;
  /** Calls that the error passed through, the innermost first. */
  private readonly calls: string[] = [];

  constructor(message: string, place: JsonPlace) {
    super(message);
    this.place = place;
  }

  /** Records that the error passed through a call at `place`. */
  outOf(call: string, place: JsonPlace): void {
    if (this.calls.length === MAX_CALLS) this.calls.push("…");
    if (this.calls.length > MAX_CALLS) return;
    const file = place.file === this.place.file ? "" : ` of ${place.file}`;
    this.calls.push(`in ${call}, line ${place.line}${file}`);
  }

  /** `path` is the path of the document's value that needs the macro. */
  problem(path: string): ConfigProblem {
    const where = path === "" ? "" : `${path}: `;
    const calls = this.calls.length === 0 ? "" : ` (${this.calls.join("; ")})`;
    return { ...this.place, message: `${where}${this.message}${calls}` };
  }
}
