/**
 * Measures one workload: every contender is started and warmed up, then they take turns, each round in another order, so
 * that whatever else the machine does falls on all of them alike. Then they are started anew: two processes of one program
 * differ for as long as they live (where their memory lies, what was compiled when), and more rounds would not show it.
 */

import { once } from "node:events";
import { connect } from "node:net";
import type { Competitor, Competitors } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import type { JobResult, Limit } from "./job.ts";
import { cpuMicrosBetween, processTree, readCpu, residentBytes } from "./process-cost.ts";
import type { ProcessGroup } from "./process-group.ts";
import type { Progress } from "./progress.ts";
import { type Contender, contendersOf, type Load, type Scenario, type StartedContender } from "./scenarios/scenario.ts";
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

/** A process that has only just started is compiled while it works. */
const WARM_UP_SECONDS = 1.5;

/** A contender's samples of one workload, in the order of the rounds. */
export interface Measured {
  readonly contender: Contender;
  readonly samples: Sample[];
}

/** How often and for how long each is measured. */
export interface Length {
  readonly rounds: number;
  readonly seconds: number;
  /** Times the processes are started anew in these rounds, at least 1. */
  readonly starts: number;
}

/** Steps that `Bench.measure` takes with so many contenders, for the progress. */
export function measureSteps({ rounds, starts }: Length, contenders: number): number {
  return contenders * (rounds + starts);
}

/** A contender whose process runs, with the load that is sent to it. */
interface Running {
  readonly contender: StartedContender;
  readonly generator: GeneratorProcess;
  readonly samples: Sample[];
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

  /**
   * Measures a workload; `only` names the competitors that take part, null: all of them. `prepare` is called whenever they
   * have been started.
   */
  async measure(
    scenario: Scenario,
    length: Length,
    only: readonly string[] | null = null,
    prepare: () => Promise<void> = async () => {},
  ): Promise<Measured[]> {
    const { rounds, seconds, starts } = length;
    const measured = contendersOf(scenario, this.competitors.given(), only).map((contender): Measured => {
      return { contender, samples: [] };
    });
    for (let start = 0; start < starts; start++) {
      await this.competitors.stopProxies();
      const running: Running[] = [];
      for (const { contender, samples } of measured) {
        this.progress.step(`${scenario.name}: warming up ${contender.name}`);
        running.push({ ...(await this.start(contender)), samples });
      }
      await prepare();
      for (const each of running) await this.warmUp(each, Math.max(seconds, WARM_UP_SECONDS));
      const [from, to] = [start, start + 1].map((part) => Math.round((rounds * part) / starts));
      for (let round = from!; round < to!; round++) await this.round(scenario, running, round, length);
      await Promise.all(running.map(({ generator }) => generator.close()));
    }
    return measured;
  }

  private async start(contender: Contender): Promise<Omit<Running, "samples">> {
    const started = await this.competitors.get(contender.competitor);
    await this.preload(started, contender.load);
    const generator = await GeneratorProcess.open(this.group, started, contender.load);
    return { contender: { ...contender, started }, generator };
  }

  /** Sends it its load for so long; a load that ends by itself, again and again. */
  private async warmUp(running: Running, seconds: number): Promise<void> {
    const untilMs = performance.now() + seconds * 1000;
    do await this.sample(running, seconds);
    while (performance.now() < untilMs);
  }

  private async round(
    scenario: Scenario,
    running: Running[],
    round: number,
    { rounds, seconds }: Length,
  ): Promise<void> {
    const title = `${scenario.name}: round ${round + 1} of ${rounds}`;
    for (let turn = 0; turn < running.length; turn++) {
      const each = running[(round + turn) % running.length]!;
      this.progress.step(`${title}, ${each.contender.name}`);
      each.samples.push(await this.sample(each, seconds));
    }
    const costs = running.map(({ contender, samples }) => {
      return `${contender.name} ${samples[round]!.cpuMicrosPerRequest.toFixed(2)}`;
    });
    this.progress.note(`${title}: ${costs.join(", ")} µs CPU per request`);
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

  private async run({ generator, contender: { load } }: Running, seconds: number): Promise<JobResult> {
    const limit: Limit = load.operation === "fill" ? { requests: keyCountFor(load.valueBytes) } : { seconds };
    return await generator.run(limit);
  }

  private async sample(running: Running, seconds: number): Promise<Sample> {
    const { contender } = running;
    const { pid, serverPids } = contender.started;
    if (contender.load.operation === "fill") await this.forgetFilled(keyCountFor(contender.load.valueBytes));
    const before = readCpu(processTree(pid));
    const serversBefore = readCpu(serverPids);
    const result = await this.run(running, seconds);
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
