/** Compares a run with an earlier run: finds contenders that became slower by more than the noise of both. */

import { readFileSync } from "node:fs";
import { BenchError } from "./process-group.ts";
import type { WorkloadReport } from "./report.ts";

/** Smaller changes of a median count as noise, even with similar rounds. */
const LEAST_CHANGE = 0.05;

/** Reads the reports of a file that an earlier run wrote. */
export function readReports(path: string): WorkloadReport[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BenchError(`--against: ${error instanceof Error ? error.message : error}`);
  }
  let saved: { readonly reports?: WorkloadReport[] };
  try {
    saved = JSON.parse(text);
  } catch {
    throw new BenchError(`--against: ${path} is no JSON; expected a file from bench/results`);
  }
  const { reports } = saved;
  if (!Array.isArray(reports) || reports.some(({ scenario, rows }) => !scenario?.name || !Array.isArray(rows))) {
    throw new BenchError(`--against: ${path} has no reports; expected a file from bench/results`);
  }
  return reports;
}

/**
 * One line for each contender whose ratio to its peer has grown: the median by more than 5 %, and the better half of
 * the current rounds is above the worse half of the earlier ones (separate quartiles).
 */
export function regressions(now: readonly WorkloadReport[], before: readonly WorkloadReport[]): string[] {
  return now.flatMap(({ scenario, rows }) => {
    const earlier = before.find((each) => each.scenario.name === scenario.name);
    return rows.flatMap((row) => {
      const then = earlier?.rows.find(({ contender }) => contender === row.contender)?.ratio;
      if (row.ratio === null || then == null) return [];
      const isSlower = row.ratio.median > then.median * (1 + LEAST_CHANGE) && row.ratio.lower > then.upper;
      if (!isSlower) return [];
      const change = `${then.median.toFixed(2)} → ${row.ratio.median.toFixed(2)} × ${scenario.peer}`;
      return [`${scenario.name}, ${row.contender}: ${change}`];
    });
  });
}

/** Number of ratios that both runs have. */
export function comparable(now: readonly WorkloadReport[], before: readonly WorkloadReport[]): number {
  const ratios = (reports: readonly WorkloadReport[]) =>
    reports.flatMap(({ scenario, rows }) => {
      return rows.flatMap(({ contender, ratio }) => (ratio === null ? [] : [`${scenario.name}/${contender}`]));
    });
  const earlier = new Set(ratios(before));
  return ratios(now).filter((name) => earlier.has(name)).length;
}
