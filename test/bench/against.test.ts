import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { comparable, readReports, regressions } from "../../bench/against.ts";
import type { Measured, Sample } from "../../bench/measure.ts";
import { drawPlots } from "../../bench/plots.ts";
import { BenchError } from "../../bench/process-group.ts";
import { formatTable, summarize, type WorkloadReport } from "../../bench/report.ts";
import type { Scenario } from "../../bench/scenarios/scenario.ts";
import { workloads } from "../../bench/scenarios/workloads.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const [single] = workloads as [Scenario];

function sample(cpuMicrosPerRequest: number): Sample {
  const rest = { p50Micros: 100, p99Micros: 200, p999Micros: 300, residentBytes: 2 ** 20, generatorCpuShare: 0.5 };
  return { cpuMicrosPerRequest, serverCpuMicrosPerRequest: 6, requestsPerSecond: 1_000, ...rest };
}

/** A run in which the peer costs 10 µs a request, and Platypus `micros`, a number for each round. */
function run(micros: readonly number[], scenario = single): WorkloadReport {
  const measured = scenario.contenders.map((contender): Measured => {
    const costs = contender.name === scenario.peer ? micros.map(() => 10) : micros;
    return { contender, samples: costs.map(sample) };
  });
  return summarize(scenario, measured);
}

describe("a run against an earlier one", () => {
  it("is slower if the median has grown by more than the noise of both runs", () => {
    const before = [run([9.8, 10, 10.2, 10.1, 9.9])];
    const [line, ...others] = regressions([run([11.8, 12, 12.2, 12.1, 11.9])], before);
    expect(line).toBe("single gets, 50 connections, platypus: 1.00 → 1.20 × twemproxy");
    expect(others).toEqual(["single gets, 50 connections, direct: 1.00 → 1.20 × twemproxy"]);
  });

  it.each([
    ["is as fast", [9.8, 10, 10.2, 10.1, 9.9]],
    ["is slower by less than 5 %", [10.4, 10.4, 10.4, 10.4, 10.4]],
    ["has rounds among those of the earlier one", [10, 10, 11, 14, 15]],
    ["is faster", [7, 7, 7, 7, 7]],
  ])("is not slower if it %s", (_what, micros) => {
    expect(regressions([run(micros)], [run([9.5, 10, 10.5, 10.1, 9.9])])).toEqual([]);
  });

  it("compares the workloads that both runs have", () => {
    const other = workloads.find(({ name }) => name.startsWith("TLS"))!;
    expect(comparable([run([1])], [run([1]), run([2], other)])).toBe(2);
    expect(regressions([run([50], other)], [run([1])])).toEqual([]);
  });

  it("is read from a file of bench/results, and reports errors in the file", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "bench-"));
    folders.push(folder);
    const file = path.join(folder, "run.json");
    writeFileSync(file, JSON.stringify({ reports: [run([10, 11])] }));
    expect(readReports(file)[0]!.scenario.name).toBe(single.name);
    writeFileSync(file, "{");
    expect(() => readReports(file)).toThrow(
      new BenchError(`--against: ${file} is no JSON; expected a file from bench/results`),
    );
    writeFileSync(file, "{}");
    expect(() => readReports(file)).toThrow(/has no reports/);
    expect(() => readReports(path.join(folder, "none"))).toThrow(/--against: ENOENT/);
  });
});

describe("a benchmark report", () => {
  it("has the ratio to the peer of the same round, and whether the goal is met", () => {
    const { rows } = run([9, 10, 12]);
    const platypus = rows.find(({ contender }) => contender === "platypus")!;
    expect(platypus.ratio).toEqual({ median: 1, min: 0.9, max: 1.2, lower: 0.9, upper: 1.2 });
    expect(platypus.meetsGoal).toBe(true);
    expect(formatTable([run([9, 10, 12])])).toMatch(/platypus +10\.00 +10\.00 +1\.00 +0\.90–1\.20 +1\.00 ok/);
    expect(run([10.1, 10.2]).rows[0]!.meetsGoal).toBe(false);
  });

  it("is drawn with bars for workloads, and lines for growing values", () => {
    const sizes = workloads.filter(({ group }) => group.startsWith("value size"));
    const plots = drawPlots([run([9, 10]), ...sizes.map((scenario, i) => run([8 + i, 9 + i], scenario))]);
    expect(plots.map(({ name }) => name)).toEqual(["twemproxy", "value-size-bytes"]);
    for (const { svg } of plots) {
      expect(svg).toMatch(/^<svg [^>]*>[\s\S]*<\/svg>\n$/);
      expect(svg).not.toMatch(/NaN|undefined|Infinity/);
    }
  });
});
