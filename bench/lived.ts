/**
 * The same comparisons in processes that have lived: each contender runs once, serves all of these workloads in turn before
 * the first round, and is not restarted. A fresh process only knows one load, so its code and its memory suit that
 * load; in production a proxy serves all of them for weeks.
 *
 *     life (all workloads) ─► round 1 (all workloads) ─► round 2 … ─► latency at 70 % of saturation (all workloads)
 */
import type { Bench, Length, Measured } from "./measure.ts";
import { spread, summarize, type WorkloadReport } from "./report.ts";
import { type Contender, contendersOf, type Scenario } from "./scenarios/scenario.ts";

const LIFE_SECONDS = 1.5;
/** New connections are accepted before a measurement begins. */
const ARRIVAL_SECONDS = 0.2;
const SATURATION_SHARE = 0.7;

/** Number of steps of `measureLived`, for the progress. */
export function livedSteps({ rounds }: Length, contenders: number): number {
  return contenders * (1 + 2 * rounds);
}

/** Per workload a report of the rounds and one of the latency below saturation. `only`: see `Bench.measure`. */
export async function measureLived(
  bench: Bench,
  scenarios: readonly Scenario[],
  length: Length,
  only: readonly string[] | null,
): Promise<WorkloadReport[]> {
  await bench.competitors.stopProxies();
  const given = bench.competitors.given();
  const lives = scenarios.map((scenario) => ({ scenario, contenders: contendersOf(scenario, given, only) }));
  for (const { scenario, contenders } of lives) {
    for (const contender of contenders) await turn(bench, `${scenario.name}: a life`, contender, LIFE_SECONDS);
  }
  const saturated = await measureRounds(bench, lives, length);
  const below = lives.map(({ scenario, contenders }, i) => {
    const most = saturated[i]!.map(({ samples }) => spread(samples.map((each) => each.requestsPerSecond)).median);
    const rate = Math.round(Math.min(...most) * SATURATION_SHARE);
    const name = `${scenario.name}, ${rate.toLocaleString("en")} requests/s offered`;
    return {
      scenario: { ...scenario, name, goal: null },
      contenders: contenders.map((contender): Contender => ({ ...contender, load: { ...contender.load, rate } })),
    };
  });
  const offered = await measureRounds(bench, below, length);
  return lives.flatMap(({ scenario }, i) => [
    summarize(scenario, saturated[i]!),
    summarize(below[i]!.scenario, offered[i]!),
  ]);
}

interface Life {
  readonly scenario: Scenario;
  readonly contenders: readonly Contender[];
}

/** Per workload the samples of all contenders. Each round goes through all workloads. */
async function measureRounds(bench: Bench, lives: readonly Life[], { rounds, seconds }: Length): Promise<Measured[][]> {
  const measured = lives.map(({ contenders }) => contenders.map((contender): Measured => ({ contender, samples: [] })));
  for (let round = 0; round < rounds; round++) {
    for (const [i, { scenario }] of lives.entries()) {
      const each = measured[i]!;
      for (let at = 0; at < each.length; at++) {
        const { contender, samples } = each[(round + at) % each.length]!;
        const title = `${scenario.name}: round ${round + 1} of ${rounds}`;
        samples.push(await turn(bench, title, contender, seconds));
      }
    }
  }
  return measured;
}

/** One contender serves one load over new connections. */
async function turn(bench: Bench, title: string, contender: Contender, seconds: number) {
  bench.progress.step(`${title}, ${contender.name}`);
  const { started, generator } = await bench.open(contender);
  try {
    await generator.run({ seconds: ARRIVAL_SECONDS });
    return await bench.sample({ load: contender.load, started, generator }, seconds);
  } finally {
    await generator.close();
  }
}
