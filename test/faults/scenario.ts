/** A scenario: something that goes wrong, as data and a function. Its file is in scenarios/, its row in scenarios/all.ts. */
import type { Random } from "../fuzz/random.ts";
import type { Rig } from "./rig.ts";
import type { Setup } from "./setup.ts";

/**
 * What the other clients may see while it lasts: "failures" are errors and misses of stored values, "missed fills" are misses
 * of pages, "refusals" are new connections that are not served, "closes" are connections that end under a request.
 */
export type Allowance = "failures" | "missed fills" | "refusals" | "closes";

export interface Scenario {
  /** For `--only`. */
  readonly name: string;
  /** What is done, for the table. */
  readonly title: string;
  readonly setup: Setup;
  readonly allows: readonly Allowance[];
  /** What it takes hold of: the soak never runs two at once that take hold of the same. `null` if the soak leaves it out. */
  readonly touches: "servers" | "source" | "configuration" | "clients" | null;
  /** Why it cannot run; `null` if it can. */
  skipped?(isShort: boolean): string | null;
  /** Maximum resident memory (bytes). */
  readonly maxResident?: number;
  /** Does it. What it has begun ends with the returned promise, unless `later` ends it. */
  run(stage: Stage): Promise<void>;
}

/** What `run` works with. */
export interface Stage {
  readonly rig: Rig;
  /** How long it is to last. */
  readonly seconds: number;
  readonly random: Random;
  /** A size of the load: the first in a full run, the second in a short one. */
  amount(full: number, short: number): number;
  /** From now on Platypus can recover; without a call, from the end of `run`. */
  heals(): void;
  /** Something to be undone after the recovery. */
  later(undo: () => unknown): void;
}
