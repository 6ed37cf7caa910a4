/**
 * `npm run bench`: compares Platypus, twemproxy and a plain memcached under equal load in one run, by CPU time per
 * request. CPU time is the cost of a proxy next to an application; unlike requests per second, it does not depend on
 * the CPU that the load generator leaves. The table goes to stdout; all samples as JSON and plots go to bench/results.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { comparable, readReports, regressions } from "./against.ts";
import { Competitors } from "./competitors.ts";
import { type Figure, figureSteps, formatFigures, measureFigures } from "./figures.ts";
import { livedSteps, measureLived } from "./lived.ts";
import { Bench, measureSteps } from "./measure.ts";
import { type Options, readOptions, usage } from "./options.ts";
import { writePage } from "./page.ts";
import { BenchError, ProcessGroup } from "./process-group.ts";
import { Progress } from "./progress.ts";
import { measureRefresh, refreshSteps } from "./refresh.ts";
import { formatTable, summarize, type WorkloadReport } from "./report.ts";
import { measureResize } from "./resize.ts";
import { describeRun, saveResults } from "./results.ts";
import { contendersOf, type Scenario } from "./scenarios/scenario.ts";
import { livedWorkloads, workloads } from "./scenarios/workloads.ts";
import { measureTracing, tracingSteps } from "./tracing.ts";

const QUICK_LIVED_ROUNDS = 3;

interface Outcome {
  readonly reports: readonly WorkloadReport[];
  readonly figures: readonly Figure[];
}

async function runAll(group: ProcessGroup, folder: string, options: Options): Promise<Outcome> {
  const competitors = new Competitors(group, folder, options.proxies);
  const { length } = options;
  const given = competitors.given();
  const fresh = options.parts.has("workloads") ? chosen(workloads, options, given) : [];
  const livedLength = { ...length, rounds: options.isQuick ? QUICK_LIVED_ROUNDS : length.rounds };
  const lived = options.parts.has("lived") ? chosen(livedWorkloads, options, given) : [];
  if (options.parts.has("workloads") && fresh.length + lived.length === 0) throw nothingLeft(options);
  const turns = (some: readonly Scenario[]) =>
    some.map((scenario) => contendersOf(scenario, given, options.competitors).length);
  const steps =
    turns(fresh).reduce((sum, count) => sum + measureSteps(length, count), 0) +
    turns(lived).reduce((sum, count) => sum + livedSteps(livedLength, count), 0) +
    (options.parts.has("refresh") ? refreshSteps(length) : 0) +
    (options.parts.has("tracing") ? tracingSteps(length) : 0) +
    (options.parts.has("figures") ? figureSteps(length) : 0);
  const progress = new Progress(steps);
  const bench = new Bench(group, competitors, progress);
  const reports: WorkloadReport[] = [];
  const figures: Figure[] = [];
  try {
    for (const scenario of fresh) {
      reports.push(summarize(scenario, await bench.measure(scenario, length, options.competitors)));
    }
    if (lived.length > 0) reports.push(...(await measureLived(bench, lived, livedLength, options.competitors)));
    if (options.parts.has("refresh")) {
      const refresh = await measureRefresh(bench, length);
      reports.push(...refresh.reports);
      figures.push(...refresh.figures);
    }
    if (options.parts.has("tracing")) reports.push(...(await measureTracing(bench, length)));
    if (options.parts.has("figures")) figures.push(...(await measureFigures(bench, length)));
  } finally {
    progress.end();
  }
  return { reports, figures };
}

function chosen(all: readonly Scenario[], options: Options, given: readonly string[]): Scenario[] {
  return all.filter((scenario) => {
    const isChosen = scenario.isQuick || !options.isQuick;
    const isNamed = scenario.name.toLowerCase().includes(options.workload);
    return isChosen && isNamed && contendersOf(scenario, given, options.competitors).length > 0;
  });
}

function nothingLeft({ workload }: Options): BenchError {
  const names = [...workloads, ...livedWorkloads].map(({ name }) => name);
  if (names.some((name) => name.toLowerCase().includes(workload))) {
    return new BenchError("--workload, --competitors, --quick: nothing is left to measure");
  }
  return new BenchError(`--workload: expected part of one of\n  ${names.join("\n  ")}`);
}

/** Rejects when a signal ends the benchmark. Later signals do not disturb the shutdown. */
function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
      process.on(signal, () => reject(new BenchError(`stopped by ${signal}`)));
    }
  });
}

/** Resolves to the exit code. */
async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.isHelp) {
    console.log(usage);
    return 0;
  }
  if (process.platform !== "linux") throw new BenchError("CPU per thread is read from /proc: this needs Linux");
  const earlier = options.against === null ? null : readReports(options.against);
  const run = describeRun(options.length);
  const group = new ProcessGroup();
  const folder = mkdtempSync(join(tmpdir(), "platypus-bench-"));
  try {
    const outcome = await Promise.race([runAll(group, folder, options), group.failed, interruption()]);
    if (options.parts.has("resize")) {
      console.log(await Promise.race([measureResize(group, folder), group.failed, interruption()]));
    }
    if (outcome.reports.length > 0) console.log(formatTable(outcome.reports));
    if (outcome.figures.length > 0) console.log(`\n${formatFigures(outcome.figures)}`);
    if (options.parts.size === 1 && options.parts.has("resize")) return 0;
    console.error(`\nall samples: ${saveResults(run, outcome.reports, outcome.figures)}`);
    if (options.isPage) console.error(`page: ${writePage(run, outcome.reports, outcome.figures)}`);
    return earlier === null ? 0 : reportRegressions(outcome.reports, earlier);
  } finally {
    await group.stopAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function reportRegressions(now: readonly WorkloadReport[], earlier: readonly WorkloadReport[]): number {
  const count = comparable(now, earlier);
  if (count === 0) throw new BenchError("--against: that run has none of the workloads of this one");
  const slower = regressions(now, earlier);
  const verdict =
    slower.length === 0 ? "none is slower beyond noise" : `slower beyond noise:\n  ${slower.join("\n  ")}`;
  console.log(`\n${count} ratios compared with the earlier run: ${verdict}`);
  return slower.length === 0 ? 0 : 1;
}

try {
  process.exit(await main());
} catch (error) {
  console.error(error instanceof BenchError ? `bench: ${error.message}` : error);
  process.exit(1);
}
