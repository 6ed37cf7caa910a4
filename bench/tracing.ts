/**
 * The cost of traces: gets with one request in a hundred traced, and with all of them, compared with no telemetry. The
 * three take turns in each round. The spans go to a receiver that discards them.
 */
import { type Bench, type Length, type Measured, measureSteps } from "./measure.ts";
import { summarize, type WorkloadReport } from "./report.ts";
import type { Contender, Scenario } from "./scenarios/scenario.ts";
import { base } from "./scenarios/workloads.ts";

const UNTRACED = "not traced";
/** Goals are ratios to the CPU time per request without telemetry. */
const TRACED = [
  { name: "1 % traced", competitor: "platypus, traced 1 %", goal: 1.03 },
  { name: "all traced", competitor: "platypus, all traced", goal: 1.6 },
] as const;

/** Number of steps of `measureTracing`, for the progress. */
export function tracingSteps(length: Length): number {
  return measureSteps(length, 1 + TRACED.length);
}

export async function measureTracing(bench: Bench, length: Length): Promise<WorkloadReport[]> {
  const contenders: Contender[] = [
    { name: UNTRACED, competitor: "platypus, no telemetry", load: base, hasGoal: false },
    ...TRACED.map(({ name, competitor }) => ({ name, competitor, load: base, hasGoal: true })),
  ];
  const shape = { group: "tracing", x: null, isQuick: false, hasGivenPeers: false };
  const scenario: Scenario = { ...shape, name: "tracing", contenders, peer: UNTRACED, goal: null };
  const measured = await bench.measure(scenario, length);
  return TRACED.map(({ name, goal }) => {
    const pair = measured.filter(({ contender }: Measured) => contender.name === UNTRACED || contender.name === name);
    return summarize({ ...scenario, name: `tracing: ${name}`, goal }, pair);
  });
}
