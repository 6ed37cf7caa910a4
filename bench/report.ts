/** Computes medians and ratios of samples, and formats the table. */

import type { Measured, Sample } from "./measure.ts";
import type { Scenario } from "./scenarios/scenario.ts";

/** Median of the rounds, with minimum, maximum, and quartiles. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly lower: number;
  readonly upper: number;
}

/** One line of the table: a contender in a workload. */
export interface Row {
  readonly contender: string;
  readonly cpuMicrosPerRequest: Spread;
  readonly cpuMicrosPerKey: number;
  /** CPU per request as a multiple of the peer's in that round. `null` for the peer, or if the peer did not run. */
  readonly ratio: Spread | null;
  /** True if the median ratio meets the workload's goal. `null` for yardsticks and without a ratio. */
  readonly meetsGoal: boolean | null;
  readonly serverCpuMicrosPerRequest: number | null;
  readonly requestsPerSecond: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
  readonly residentBytes: number;
  readonly generatorCpuShare: number;
  readonly samples: readonly Sample[];
}

/** A workload with all contenders. */
export interface WorkloadReport {
  readonly scenario: Scenario;
  readonly rows: readonly Row[];
}

export function summarize(scenario: Scenario, measured: readonly Measured[]): WorkloadReport {
  const { goal, peer } = scenario;
  const peerSamples = measured.find(({ contender }) => contender.name === peer)?.samples ?? null;
  const rows = measured.map(({ contender, samples }): Row => {
    const medianOf = (field: Exclude<keyof Sample, "serverCpuMicrosPerRequest">) =>
      spread(samples.map((sample) => sample[field])).median;
    const cpu = spread(samples.map((sample) => sample.cpuMicrosPerRequest));
    const serverCpu = samples.flatMap((sample) => sample.serverCpuMicrosPerRequest ?? []);
    const ratio =
      peerSamples === null || peerSamples === samples
        ? null
        : spread(samples.map((sample, i) => sample.cpuMicrosPerRequest / peerSamples[i]!.cpuMicrosPerRequest));
    return {
      contender: contender.name,
      cpuMicrosPerRequest: cpu,
      cpuMicrosPerKey: cpu.median / contender.load.keysPerRequest,
      ratio,
      meetsGoal: contender.hasGoal && ratio !== null && goal !== null ? ratio.median <= goal : null,
      serverCpuMicrosPerRequest: serverCpu.length === 0 ? null : spread(serverCpu).median,
      requestsPerSecond: medianOf("requestsPerSecond"),
      p50Micros: medianOf("p50Micros"),
      p99Micros: medianOf("p99Micros"),
      p999Micros: medianOf("p999Micros"),
      residentBytes: Math.max(...samples.map((sample) => sample.residentBytes)),
      generatorCpuShare: medianOf("generatorCpuShare"),
      samples,
    };
  });
  return { scenario, rows };
}

/** Columns are separated by two spaces. The first is left-aligned, the others right-aligned. */
export function formatTable(reports: readonly WorkloadReport[]): string {
  const header = [
    "",
    "CPU µs/request",
    "µs/key",
    "× peer",
    "(min–max)",
    "goal",
    "requests/s",
    "p50 µs",
    "p99 µs",
    "p99.9 µs",
    "RSS MiB",
    "servers' µs",
    "load's CPU",
  ];
  const blocks = reports.map(({ scenario, rows }) => ({
    title: `${scenario.name}, × ${scenario.peer}`,
    lines: rows.map((row) => cells(scenario, row)),
  }));
  const all = [header, ...blocks.flatMap((block) => block.lines)];
  const widths = header.map((_, column) => Math.max(...all.map((line) => line[column]!.length)));
  const format = (line: readonly string[]) =>
    line
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join("  ")
      .trimEnd();
  return [format(header), ...blocks.flatMap(({ title, lines }) => ["", title, ...lines.map(format)])].join("\n");
}

function cells(scenario: Scenario, row: Row): string[] {
  const { ratio, meetsGoal, serverCpuMicrosPerRequest } = row;
  return [
    `  ${row.contender}`,
    row.cpuMicrosPerRequest.median.toFixed(2),
    row.cpuMicrosPerKey.toFixed(2),
    ratio === null ? "" : ratio.median.toFixed(2),
    ratio === null ? "" : `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`,
    meetsGoal === null ? "" : `${scenario.goal?.toFixed(2)} ${meetsGoal ? "ok" : "over"}`,
    Math.round(row.requestsPerSecond).toLocaleString("en"),
    row.p50Micros.toFixed(0),
    row.p99Micros.toFixed(0),
    row.p999Micros.toFixed(0),
    (row.residentBytes / 2 ** 20).toFixed(1),
    serverCpuMicrosPerRequest === null ? "" : serverCpuMicrosPerRequest.toFixed(2),
    `${Math.round(row.generatorCpuShare * 100)}%`,
  ];
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[upper]! : (sorted[upper - 1]! + sorted[upper]!) / 2;
  const quarter = Math.floor((sorted.length - 1) / 4);
  return { median, min: sorted[0]!, max: sorted.at(-1)!, lower: sorted[quarter]!, upper: sorted.at(-1 - quarter)! };
}
