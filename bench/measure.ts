/**
 * Measures one workload: all contenders are started and warmed up, then take turns, in another order in each round, so
 * that other load on the machine affects all of them equally. Then they are restarted: two processes of one program
 * differ for their whole lifetime (memory layout, time of compilation), and more rounds would not show this.
 */

import { once } from "node:events";
import { connect } from "node:net";
import type { Competitor, Competitors } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import { cpuMicrosBetween, processTree, readCpu, residentBytes } from "./process-cost.ts";
import type { ProcessGroup } from "./process-group.ts";
import type { Progress } from "./progress.ts";
import { type Contender, contendersOf, type Load, type Scenario } from "./scenarios/scenario.ts";
import { fillKey, keyCountFor, zipfKeyCount } from "./tape.ts";

/** One contender in one round. */
export interface Sample {
  /** A multiget counts as one request. */
  readonly cpuMicrosPerRequest: number;
  /** CPU of the memcached servers behind the contender. `null` if they are unknown. */
  readonly serverCpuMicrosPerRequest: number | null;
  readonly requestsPerSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
  readonly residentBytes: number;
  /** Share of one CPU that the load generator used. */
  readonly generatorCpuShare: number;
}

/** A new process compiles code while it works. */
const WARM_UP_SECONDS = 1.5;

/** A contender's samples of one workload, in the order of rounds. */
export interface Measured {
  readonly contender: Contender;
  readonly samples: Sample[];
}

/** Number and length of measurements. */
export interface Length {
  readonly rounds: number;
  readonly seconds: number;
  /** Number of process starts in these rounds, at least 1. */
  readonly starts: number;
}

/** Number of steps of `Bench.measure` with this number of contenders, for the progress. */
export function measureSteps({ rounds, starts }: Length, contenders: number): number {
  return contenders * (rounds + starts);
}

/** A running process under a load. */
export interface Opened {
  readonly load: Load;
  readonly started: Competitor;
  readonly generator: GeneratorProcess;
}

interface Running extends Opened {
  readonly contender: Contender;
  readonly samples: Sample[];
}

export class Bench {
  readonly group: ProcessGroup;
  readonly competitors: Competitors;
  readonly progress: Progress;
  /** Stored data, by competitor and size of values. */
  private readonly stored = new Set<string>();

  constructor(group: ProcessGroup, competitors: Competitors, progress: Progress) {
    this.group = group;
    this.competitors = competitors;
    this.progress = progress;
  }

  /**
   * Measures a workload. `only` names the participating competitors; `null` for all. `prepare` is called after each
   * start.
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
        running.push({ ...(await this.open(contender)), contender, samples });
      }
      await prepare();
      for (const each of running) await this.warmUp(each, Math.max(seconds, WARM_UP_SECONDS));
      const [from, to] = [start, start + 1].map((part) => Math.round((rounds * part) / starts));
      for (let round = from!; round < to!; round++) await this.round(scenario, running, round, length);
      await Promise.all(running.map(({ generator }) => generator.close()));
    }
    return measured;
  }

  /** Starts the contender's competitor unless it is running, and opens the connections of its load. */
  async open({ competitor, load }: Contender): Promise<Opened> {
    const started = await this.competitors.get(competitor);
    await this.preload(started, load);
    return { load, started, generator: await GeneratorProcess.open(this.group, started, load) };
  }

  /** Sends the load for this time; a load that ends by itself is repeated. */
  private async warmUp(running: Opened, seconds: number): Promise<void> {
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

  /** Stores all keys of the load through the competitor once, and checks that they are stored. */
  async preload(competitor: Competitor, { valueBytes, operation }: Load): Promise<void> {
    const isZipf = operation === "zipf";
    const name = `${competitor.name}/${valueBytes}${isZipf ? "/zipf" : ""}`;
    if (operation === "fill" || this.stored.has(name)) return;
    this.stored.add(name);
    const depth = Math.max(1, Math.min(32, Math.floor(100_000 / valueBytes)));
    const load: Load = {
      connections: 1,
      depth,
      refill: "forEachAnswer",
      operation: isZipf ? "zipf set" : "set",
      keysPerRequest: 1,
      valueBytes,
      rate: null,
    };
    const generator = await GeneratorProcess.open(this.group, competitor, load);
    await generator.run({ requests: isZipf ? zipfKeyCount() : keyCountFor(valueBytes) });
    await generator.close();
  }

  /** Sends the load for this time, or once if it ends by itself. */
  async sample({ load, started, generator }: Opened, seconds: number): Promise<Sample> {
    const { pid, serverPids } = started;
    const keys = keyCountFor(load.valueBytes);
    if (load.operation === "fill") await this.forgetFilled(keys);
    const before = readCpu(processTree(pid));
    const serversBefore = readCpu(serverPids);
    const result = await generator.run(load.operation === "fill" ? { requests: keys } : { seconds });
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

  /** Deletes filled values directly on the servers, so that they are missing again. */
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
