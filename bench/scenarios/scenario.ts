/** The subjects of the benchmark: contenders with one load each, side by side in one workload. */
import { givenPrograms } from "../competitors.ts";
import type { Job } from "../job.ts";

/** A load without its destination. */
export type Load = Omit<Job, "host" | "port" | "isTls">;

/** A participant of a workload. */
export interface Contender {
  /** Name in the report. Default: the competitor's name. */
  readonly name: string;
  /** Name of a competitor: see `competitors.ts`. */
  readonly competitor: string;
  readonly load: Load;
  /** True if the workload's goal applies. */
  readonly hasGoal: boolean;
}

/** One workload and its goal. */
export interface Scenario {
  readonly name: string;
  /**
   * For plots: workloads of a group share a plot; `x` is the position on the axis of a line plot, `null` draws bars.
   */
  readonly group: string;
  readonly x: number | null;
  readonly contenders: readonly Contender[];
  /** The contender that ratios refer to. */
  readonly peer: string;
  /** Maximum ratio of CPU per request to the peer's. `null` if there is no goal. */
  readonly goal: number | null;
  /** True if the workload is part of `--quick`. */
  readonly isQuick: boolean;
  /** True if other available proxies also take part. */
  readonly hasGivenPeers: boolean;
}

/**
 * The participants: contenders of the scenario whose competitors are in `only` (`null`: all), and in comparisons with
 * peers also the given proxies. Empty if the scenario's peer is a program that was not given.
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
