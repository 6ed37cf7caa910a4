/**
 * Measures one workload: every competitor is warmed up, then they take turns, each round in another order, so that
 * whatever else the machine does falls on all of them alike.
 */

import type { Competitor } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { cpuMicrosBetween, readCpu, residentBytes } from "./process-cost.ts";
import type { ProcessGroup } from "./process-group.ts";
import type { Progress } from "./progress.ts";
import type { Scenario } from "./scenarios/hits.ts";
import { keyCount } from "./tape.ts";

/** One competitor in one round. */
export interface Sample {
  /** A multiget is one request. */
  readonly cpuMicrosPerRequest: number;
  /** CPU of the memcached servers behind it; null where they are not known. */
  readonly serverCpuMicrosPerRequest: number | null;
  readonly requestsPerSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly residentBytes: number;
  /** Part of one CPU that the load generator used. */
  readonly generatorCpuShare: number;
}

/** A competitor's samples of one workload, in the order of the rounds. */
export interface Measured {
  readonly competitor: Competitor;
  readonly samples: Sample[];
}

/** Stores every key through the competitor itself and checks that it was stored. */
export async function preload(group: ProcessGroup, competitor: Competitor): Promise<void> {
  const load = { connections: 1, depth: 32, refill: "forEachAnswer", operation: "set", keysPerRequest: 1 } as const;
  const generator = await GeneratorProcess.open(group, competitor, load);
  await generator.run({ requests: keyCount });
  await generator.close();
}

/** Takes one step of `progress` for each warm-up and each sample. */
export async function measure(
  group: ProcessGroup,
  scenario: Scenario,
  competitors: readonly Competitor[],
  rounds: number,
  seconds: number,
  progress: Progress,
): Promise<Measured[]> {
  const { connections, depth, refill, keysPerRequest } = scenario;
  const load = { connections, depth, refill, operation: "get", keysPerRequest } as const;
  const turns: { readonly generator: GeneratorProcess; readonly measured: Measured }[] = [];
  for (const competitor of competitors) {
    progress.step(`${scenario.name}: warming up ${competitor.name}`);
    const generator = await GeneratorProcess.open(group, competitor, load);
    await generator.run({ seconds });
    turns.push({ generator, measured: { competitor, samples: [] } });
  }
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < turns.length; turn++) {
      const { generator, measured } = turns[(round + turn) % turns.length]!;
      progress.step(`${scenario.name}: round ${round + 1} of ${rounds}, ${measured.competitor.name}`);
      measured.samples.push(await sample(generator, measured.competitor, seconds));
    }
    const costs = turns.map(({ measured }) => {
      return `${measured.competitor.name} ${measured.samples[round]!.cpuMicrosPerRequest.toFixed(2)}`;
    });
    progress.note(`${scenario.name}: round ${round + 1} of ${rounds}: ${costs.join(", ")} µs CPU per request`);
  }
  await Promise.all(turns.map(({ generator }) => generator.close()));
  return turns.map(({ measured }) => measured);
}

async function sample(generator: GeneratorProcess, competitor: Competitor, seconds: number): Promise<Sample> {
  const { pids, serverPids } = competitor;
  const before = readCpu(pids);
  const serversBefore = readCpu(serverPids);
  const result = await generator.run({ seconds });
  const cpuMicros = cpuMicrosBetween(before, readCpu(pids));
  const serverCpuMicros = cpuMicrosBetween(serversBefore, readCpu(serverPids));
  return {
    cpuMicrosPerRequest: cpuMicros / result.requests,
    serverCpuMicrosPerRequest: serverPids.length === 0 ? null : serverCpuMicros / result.requests,
    requestsPerSecond: result.requests / result.seconds,
    p50Micros: result.p50Micros,
    p99Micros: result.p99Micros,
    residentBytes: residentBytes(pids),
    generatorCpuShare: result.generatorCpuSeconds / result.seconds,
  };
}
