/**
 * Commands that change a running Platypus: an operator's, over the admin address. Each worker executes a command and
 * answers with counts, which are added. Long commands are jobs: their counts grow until nothing is left.
 */

/** Selects tracked keys: one key, all keys with a prefix, or all keys of a rule. Keys have one character per byte. */
export type Selector = { readonly key: string } | { readonly prefix: string } | { readonly rule: string };

export type ControlCommand =
  /** Starts a job with a unique name. Counts: `matched`. */
  | { readonly type: "refresh" | "forget"; readonly job: string; readonly selector: Selector }
  /** The counts of a job: `matched`, `left` and one per outcome. */
  | { readonly type: "progress"; readonly job: string }
  /** Takes a memcached server out of use, or back. `server`: its address as shown. Counts: `servers`. */
  | { readonly type: "drain" | "undrain"; readonly server: string }
  | { readonly type: "closeBreaker"; readonly source: string }
  /** `level` as in `[server] log_level`. */
  | { readonly type: "logLevel"; readonly level: string };

export type Counts = Readonly<Record<string, number>>;

/** The answer of one worker. An error says what is wrong with the command. */
export type ControlAnswer = { readonly counts: Counts } | { readonly error: string };

/** Adds the answers of all workers; the first error counts for all. */
export function addAnswers(answers: readonly ControlAnswer[]): ControlAnswer {
  const counts: Record<string, number> = {};
  for (const answer of answers) {
    if ("error" in answer) return answer;
    for (const [name, count] of Object.entries(answer.counts)) counts[name] = (counts[name] ?? 0) + count;
  }
  return { counts };
}
