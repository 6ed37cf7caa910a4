/** What the benchmark compares: contenders under one load each, side by side in one workload. */
import { type Competitor, givenPrograms } from "../competitors.ts";
import type { Job } from "../job.ts";

/** A load, wherever it is sent. */
export type Load = Omit<Job, "host" | "port" | "isTls">;

/** Who is measured in a workload, and how. */
export interface Contender {
  /** In the report: the competitor's name where nothing else is said. */
  readonly name: string;
  /** Name of a competitor: see `competitors.ts`. */
  readonly competitor: string;
  readonly load: Load;
  /** Held to the workload's goal. */
  readonly hasGoal: boolean;
}

/** One workload and the goal it is held to. */
export interface Scenario {
  readonly name: string;
  /** Of the plots: workloads of a group are drawn together; `x` is the place on the axis of a line, null: bars. */
  readonly group: string;
  readonly x: number | null;
  readonly contenders: readonly Contender[];
  /** The contender that ratios are taken to. */
  readonly peer: string;
  /** Highest wanted ratio of CPU per request to the peer's; null: measured for its own sake. */
  readonly goal: number | null;
  /** Part of `--quick`. */
  readonly isQuick: boolean;
  /** Further proxies that are there take part. */
  readonly hasGivenPeers: boolean;
}

/** A contender with the competitor that it is. */
export interface StartedContender extends Contender {
  readonly started: Competitor;
}

/**
 * Who takes part: those of the scenario whose competitors are in `only` (null: all of them), and in comparisons with peers
 * also the proxies that were given. Nobody where the scenario's peer is a program that was not given.
 */
export function contendersOf(
  scenario: Scenario,
  given: readonly string[],
  only: readonly string[] | null,
): Contender[] {
  if (scenario.peer in givenPrograms && !given.includes(scenario.peer)) return [];
  const own = scenario.contenders.filter(({ competitor }) => only === null || only.includes(competitor));
  if (!scenario.hasGivenPeers || own.length === 0) return own;
  const { load } = scenario.contenders[0]!;
  return [...own, ...given.map((name): Contender => ({ name, competitor: name, load, hasGoal: false }))];
}
