/**
 * Costs of a proxy apart from CPU per request: latency at a fixed rate, memory with a thousand idle clients, time from
 * start to the first reply, delays by the event loop and the garbage collector.
 */

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Competitor } from "./competitors.ts";
import { GeneratorProcess } from "./generator-process.ts";
import type { Bench, Length } from "./measure.ts";
import { processTree, residentBytes } from "./process-cost.ts";
import { BenchError } from "./process-group.ts";
import { spread } from "./report.ts";
import { base as load } from "./scenarios/workloads.ts";

/** One number of the report, and the goal that it must not exceed if there is a goal. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly goal: number | null;
  /** Context for the reader, such as the peer's figure. */
  readonly note: string;
}

const SATURATION_SHARE = 0.7;
const IDLE_CONNECTIONS = 1_000;
/** Number of steps of `measureFigures`, for the progress. */
export function figureSteps({ rounds }: Length): number {
  return 2 * rounds + rounds + rounds + 1;
}

export async function measureFigures(bench: Bench, length: Length): Promise<Figure[]> {
  return [...(await latencyAtRate(bench, length)), ...(await starts(bench, length)), await idleMemory(bench)];
}

/** Platypus and twemproxy in turn, both at one rate: a share of the maximum of the slower one. */
async function latencyAtRate(bench: Bench, { rounds, seconds }: Length): Promise<Figure[]> {
  const platypus = await bench.competitors.get("platypus");
  const competitors = [platypus, await bench.competitors.get("twemproxy")];
  const most: number[] = [];
  for (const competitor of competitors) {
    await bench.preload(competitor, load);
    const generator = await GeneratorProcess.open(bench.group, competitor, load);
    const runs: number[] = [];
    for (let round = 0; round < rounds; round++) {
      bench.progress.step(`saturation: round ${round + 1} of ${rounds}, ${competitor.name}`);
      const result = await generator.run({ seconds });
      runs.push(result.requests / result.seconds);
    }
    await generator.close();
    most.push(spread(runs).median);
  }
  const rate = Math.round(Math.min(...most) * SATURATION_SHARE);
  const offered = `${rate.toLocaleString("en")} gets a second offered`;
  const generators: GeneratorProcess[] = [];
  for (const each of competitors) generators.push(await GeneratorProcess.open(bench.group, each, { ...load, rate }));
  for (const generator of generators) await generator.run({ seconds });
  const before = await pauses(platypus);
  const results: Awaited<ReturnType<GeneratorProcess["run"]>>[][] = [[], []];
  for (let round = 0; round < rounds; round++) {
    bench.progress.step(`${offered}: round ${round + 1} of ${rounds}`);
    for (const turn of [0, 1]) {
      const i = (round + turn) % 2;
      results[i]!.push(await generators[i]!.run({ seconds }));
    }
  }
  const after = await pauses(platypus);
  await Promise.all(generators.map((generator) => generator.close()));
  const figures = (["p50Micros", "p99Micros", "p999Micros"] as const).map((field): Figure => {
    const [own, peer] = results.map((runs) => spread(runs.map((run) => run[field])));
    const name = { p50Micros: "p50", p99Micros: "p99", p999Micros: "p99.9" }[field];
    const note = `${own!.median.toFixed(0)} µs (${own!.min.toFixed(0)}–${own!.max.toFixed(0)}), twemproxy ${peer!.median.toFixed(0)} µs (${peer!.min.toFixed(0)}–${peer!.max.toFixed(0)}), ${offered}`;
    return {
      name: `${name} at ${SATURATION_SHARE * 100} % of saturation`,
      value: own!.median / peer!.median,
      unit: "× twemproxy",
      goal: field === "p99Micros" ? 1.5 : null,
      note,
    };
  });
  const perSecond = 1 / (rounds * seconds);
  const collecting = (after.collectingSeconds - before.collectingSeconds) * perSecond;
  const late = 1_000 * ((after.lateSeconds - before.lateSeconds) / Math.max(1, after.looks - before.looks));
  return [
    ...figures,
    { name: "event loop late", value: late, unit: "ms", goal: null, note: `mean of a timer's delay, ${offered}` },
    { name: "garbage collection", value: collecting * 100, unit: "% of the time", goal: null, note: offered },
  ];
}

/** Time from the start of the process to the reply to a get. The first start is left out: it compiles code. */
async function starts(bench: Bench, { rounds }: Length): Promise<Figure[]> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bench.progress.step(`start to first answer: ${round + 1} of ${rounds}`);
    await bench.competitors.pool();
    const startMs = performance.now();
    const competitor = await bench.competitors.platypus(`start ${round + 1}`, {});
    await ask(competitor, "get start\r\n", "END\r\n");
    if (round > 0 || rounds === 1) times.push((performance.now() - startMs) / 1000);
    await bench.group.stopPid(competitor.pid);
  }
  const { median, min, max } = spread(times);
  const note = `from source, the second start and later ones; ${min.toFixed(2)}–${max.toFixed(2)}`;
  return [{ name: "start to first answer", value: median, unit: "s", goal: 0.7, note }];
}

async function idleMemory(bench: Bench): Promise<Figure> {
  bench.progress.step(`memory with ${IDLE_CONNECTIONS} connections`);
  const competitor = await bench.competitors.platypus("idle", {});
  const sockets: Socket[] = [];
  while (sockets.length < IDLE_CONNECTIONS) {
    const batch = Array.from({ length: 100 }, () => connect({ host: competitor.host, port: competitor.port }));
    await Promise.all(batch.map((socket) => once(socket, "connect")));
    sockets.push(...batch);
  }
  for (const socket of sockets) {
    socket.write("get idle\r\n");
    await once(socket, "data");
  }
  await delay(2_000); // memory that is released after work ends belongs to the idle state
  const bytes = residentBytes(processTree(competitor.pid));
  for (const socket of sockets) socket.destroy();
  await bench.group.stopPid(competitor.pid);
  return {
    name: `RSS, ${IDLE_CONNECTIONS.toLocaleString("en")} idle connections`,
    value: bytes / 2 ** 20,
    unit: "MiB",
    goal: 120,
    note: "each has asked for a key",
  };
}

interface Pauses {
  readonly looks: number;
  readonly lateSeconds: number;
  readonly collectingSeconds: number;
}

/** Sums of the event loop's and the garbage collector's numbers in `/metrics`. */
async function pauses({ admin }: Competitor): Promise<Pauses> {
  const response = await fetch(`http://${admin}/metrics`);
  if (!response.ok) throw new BenchError(`/metrics answered ${response.status}`);
  const text = await response.text();
  const sum = (name: string) => {
    const lines = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)`, "gm"))];
    if (lines.length === 0) throw new BenchError(`/metrics has no ${name}`);
    return lines.reduce((total, line) => total + Number(line[1]), 0);
  };
  return {
    looks: sum("platypus_eventloop_delay_seconds_count"),
    lateSeconds: sum("platypus_eventloop_delay_seconds_sum"),
    collectingSeconds: sum("v8js_gc_duration_seconds_sum"),
  };
}

async function ask({ host, port }: Competitor, command: string, end: string): Promise<void> {
  const socket = connect({ host, port, noDelay: true });
  socket.write(command);
  let text = "";
  while (!text.endsWith(end)) text += String((await once(socket, "data"))[0]);
  socket.destroy();
}

/** Lines for the terminal. */
export function formatFigures(figures: readonly Figure[]): string {
  return figures
    .map(({ name, value, unit, goal, note }) => {
      const verdict = goal === null ? "" : ` (goal ${goal}: ${value <= goal ? "ok" : "over"})`;
      return `${name}: ${value.toFixed(value < 10 ? 2 : 0)} ${unit}${verdict}; ${note}`;
    })
    .join("\n");
}
