/**
 * Measures one workload: every contender is warmed up, then they take turns, each round in another order, so that
 * whatever else the machine does falls on all of them alike.
 */

import { once } from "node:events";
import { connect } from "node:net";
import type { Competitor, Competitors } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import type { JobResult, Limit } from "./job.ts";
import { cpuMicrosBetween, processTree, readCpu, residentBytes } from "./process-cost.ts";
import type { ProcessGroup } from "./process-group.ts";
import type { Progress } from "./progress.ts";
import { contendersOf, type Load, type Scenario, type StartedContender } from "./scenarios/scenario.ts";
import { fillKey, keyCountFor } from "./tape.ts";

/** One contender in one round. */
export interface Sample {
  /** A multiget is one request. */
  readonly cpuMicrosPerRequest: number;
  /** CPU of the memcached servers behind it; null where they are not known. */
  readonly serverCpuMicrosPerRequest: number | null;
  readonly requestsPerSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
  readonly residentBytes: number;
  /** Part of one CPU that the load generator used. */
  readonly generatorCpuShare: number;
}

/** A contender warms up for so much of the time it is measured for, one turn at the least. */
const WARM_UP_SHARE = 0.2;

/** A contender's samples of one workload, in the order of the rounds. */
export interface Measured {
  readonly contender: StartedContender;
  readonly samples: Sample[];
}

/** How often and for how long each is measured. */
export interface Length {
  readonly rounds: number;
  readonly seconds: number;
}

export class Bench {
  readonly group: ProcessGroup;
  readonly competitors: Competitors;
  readonly progress: Progress;
  /** What is stored, by competitor and size of values. */
  private readonly stored = new Set<string>();

  constructor(group: ProcessGroup, competitors: Competitors, progress: Progress) {
    this.group = group;
    this.competitors = competitors;
    this.progress = progress;
  }

  /** Measures a workload; `only` names the competitors that take part, null: all of them. */
  async measure(scenario: Scenario, length: Length, only: readonly string[] | null = null): Promise<Measured[]> {
    const { rounds, seconds } = length;
    const contenders: StartedContender[] = [];
    for (const contender of contendersOf(scenario, this.competitors.given(), only)) {
      contenders.push({ ...contender, started: await this.competitors.get(contender.competitor) });
    }
    const turns: { readonly generator: GeneratorProcess; readonly measured: Measured }[] = [];
    for (const contender of contenders) {
      this.progress.step(`${scenario.name}: warming up ${contender.name}`);
      await this.preload(contender.started, contender.load);
      const generator = await GeneratorProcess.open(this.group, contender.started, contender.load);
      // A process that has only just started is compiled while it works.
      await this.run(generator, contender, Math.max(seconds, rounds * seconds * WARM_UP_SHARE));
      turns.push({ generator, measured: { contender, samples: [] } });
    }
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < turns.length; turn++) {
        const { generator, measured } = turns[(round + turn) % turns.length]!;
        this.progress.step(`${scenario.name}: round ${round + 1} of ${rounds}, ${measured.contender.name}`);
        measured.samples.push(await this.sample(generator, measured.contender, seconds));
      }
      const costs = turns.map(({ measured }) => {
        return `${measured.contender.name} ${measured.samples[round]!.cpuMicrosPerRequest.toFixed(2)}`;
      });
      this.progress.note(`${scenario.name}: round ${round + 1} of ${rounds}: ${costs.join(", ")} µs CPU per request`);
    }
    await Promise.all(turns.map(({ generator }) => generator.close()));
    return turns.map(({ measured }) => measured);
  }

  /** Stores every key of the load through the competitor itself, once, and checks that it was stored. */
  async preload(competitor: Competitor, { valueBytes, operation }: Load): Promise<void> {
    const name = `${competitor.name}/${valueBytes}`;
    if (operation === "fill" || this.stored.has(name)) return;
    this.stored.add(name);
    const depth = Math.max(1, Math.min(32, Math.floor(100_000 / valueBytes)));
    const load: Load = {
      connections: 1,
      depth,
      refill: "forEachAnswer",
      operation: "set",
      keysPerRequest: 1,
      valueBytes,
      rate: null,
    };
    const generator = await GeneratorProcess.open(this.group, competitor, load);
    await generator.run({ requests: keyCountFor(valueBytes) });
    await generator.close();
  }

  private async run(generator: GeneratorProcess, { load }: StartedContender, seconds: number): Promise<JobResult> {
    const limit: Limit = load.operation === "fill" ? { requests: keyCountFor(load.valueBytes) } : { seconds };
    return await generator.run(limit);
  }

  private async sample(generator: GeneratorProcess, contender: StartedContender, seconds: number): Promise<Sample> {
    const { pid, serverPids } = contender.started;
    if (contender.load.operation === "fill") await this.forgetFilled(keyCountFor(contender.load.valueBytes));
    const before = readCpu(processTree(pid));
    const serversBefore = readCpu(serverPids);
    const result = await this.run(generator, contender, seconds);
    const cpuMicros = cpuMicrosBetween(before, readCpu(processTree(pid)));
    const serverCpuMicros = cpuMicrosBetween(serversBefore, readCpu(serverPids));
    return {
      cpuMicrosPerRequest: cpuMicros / result.requests,
      serverCpuMicrosPerRequest: serverPids.length === 0 ? null : serverCpuMicros / result.requests,
      requestsPerSecond: result.requests / result.seconds,
      p50Micros: result.p50Micros,
      p99Micros: result.p99Micros,
      p999Micros: result.p999Micros,
      residentBytes: residentBytes(processTree(pid)),
      generatorCpuShare: result.generatorCpuSeconds / result.seconds,
    };
  }

  /** Behind the proxies' backs: what they have filled is missing again. */
  private async forgetFilled(keys: number): Promise<void> {
    for (const { port } of await this.competitors.pool()) {
      const socket = connect({ host: "127.0.0.1", port });
      const names = Array.from({ length: keys }, (_, n) => `delete ${fillKey(n)} noreply\r\n`);
      socket.write(`${names.join("")}version\r\n`);
      await once(socket, "data");
      socket.destroy();
    }
  }
}
