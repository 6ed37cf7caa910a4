/**
 * `npm run bench`: Platypus, twemproxy and a bare memcached under the same load in one run, compared by CPU time per
 * request. That is what a proxy beside an application costs; unlike requests per second it does not depend on what the
 * load generator leaves of the machine. The table goes to stdout, all samples as JSON to bench/results.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { startCompetitors } from "./competitors.ts";
import { measure, preload } from "./measure.ts";
import { type Options, readOptions, usage } from "./options.ts";
import { BenchError, ProcessGroup } from "./process-group.ts";
import { Progress } from "./progress.ts";
import { measureRefresh } from "./refresh.ts";
import { formatTable, summarize, type WorkloadReport } from "./report.ts";
import { hits, type Scenario } from "./scenarios/hits.ts";

async function runAll(group: ProcessGroup, folder: string, options: Options): Promise<WorkloadReport[]> {
  const scenarios = chosenScenarios(options);
  const competitors = await startCompetitors(group, folder, options.competitors, options.proxies);
  if (competitors.length === 0) throw new BenchError("--competitors: nothing is left to measure");
  for (const competitor of competitors) await preload(group, competitor);

  const progress = new Progress(scenarios.length * competitors.length * (options.rounds + 1));
  const reports: WorkloadReport[] = [];
  try {
    for (const scenario of scenarios) {
      const measured = await measure(group, scenario, competitors, options.rounds, options.seconds, progress);
      reports.push(summarize(scenario, measured));
    }
  } finally {
    progress.end();
  }
  return reports;
}

function chosenScenarios(options: Options): Scenario[] {
  const scenarios = hits.filter(
    (scenario) => (scenario.isQuick || !options.isQuick) && scenario.name.toLowerCase().includes(options.workload),
  );
  if (scenarios.length === 0) {
    throw new BenchError(`--workload: expected part of one of\n  ${hits.map(({ name }) => name).join("\n  ")}`);
  }
  return scenarios;
}

function saveResults(options: Options, reports: readonly WorkloadReport[]): string {
  const folder = join(import.meta.dirname, "results");
  mkdirSync(folder, { recursive: true });
  const date = new Date().toISOString();
  const path = join(folder, `${date.slice(0, 19).replaceAll(":", "-")}.json`);
  const machine = { cpu: cpus()[0]?.model, cpus: cpus().length, kernel: release(), node: process.version };
  writeFileSync(path, `${JSON.stringify({ date, machine, options, reports }, null, 2)}\n`);
  return path;
}

/** Rejects when the user or the system wants the benchmark to end; later signals do not disturb the stopping. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => reject(new BenchError(`stopped by ${signal}`)));
    }
  });
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    console.log(usage);
    return;
  }
  if (process.platform !== "linux") throw new BenchError("CPU per thread is read from /proc: this needs Linux");
  const group = new ProcessGroup();
  const folder = mkdtempSync(join(tmpdir(), "platypus-bench-"));
  try {
    const run = options.isRefresh ? measureRefresh(group, folder, options) : runAll(group, folder, options);
    const reports = await Promise.race([run, group.failed, interruption()]);
    console.log(formatTable(reports));
    console.error(`\nall samples: ${saveResults(options, reports)}`);
  } finally {
    await group.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
  process.exit();
} catch (error) {
  console.error(error instanceof BenchError ? `bench: ${error.message}` : error);
  process.exit(1);
}
