/**
 * Writes the results of a run into the docs, between two marks. Text outside of the marks stays. Workloads in processes
 * that have lived go to `docs/performance.md`, all others to `docs/performance-all.md`.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Figure } from "./figures.ts";
import { drawPlots } from "./plots.ts";
import { BenchError } from "./process-group.ts";
import type { WorkloadReport } from "./report.ts";
import type { RunDescription } from "./results.ts";
import { LIVED } from "./scenarios/workloads.ts";

const docs = resolve(import.meta.dirname, "../docs");
const BEGIN = "<!-- figures: written by `npm run bench -- --page` -->";
const END = "<!-- end of figures -->";

/** Returns the path of the last page that was written. */
export function writePage(run: RunDescription, reports: readonly WorkloadReport[], figures: readonly Figure[]): string {
  const [lived, fresh] = [true, false].map((isLived) => {
    return reports.filter(({ scenario }) => (scenario.group === LIVED) === isLived);
  });
  let page = "";
  if (lived!.length > 0) {
    const way = "The programs take turns, and serve all of these workloads in turn without a restart.";
    page = replaceFigures("performance.md", [about(run, way), table(lived!)]);
  }
  if (fresh!.length === 0) return page;
  const images = join(docs, "images");
  mkdirSync(images, { recursive: true });
  const plots = drawPlots(fresh!).map(({ name, svg }) => {
    writeFileSync(join(images, `performance-${name}.svg`), svg);
    return `![CPU per request: ${name}](images/performance-${name}.svg)`;
  });
  const way = `The programs take turns and are restarted ${run.length.starts} times.`;
  return replaceFigures("performance-all.md", [about(run, way), ...plots, table(fresh!), figureList(figures)]);
}

/** Returns the path of the page. */
function replaceFigures(name: string, parts: readonly string[]): string {
  const path = join(docs, name);
  const page = readFileSync(path, "utf8");
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new BenchError(`${path}: expected a line "${BEGIN}" and after it "${END}"`);
  const text = [BEGIN, ...parts.filter((part) => part !== "")].join("\n\n");
  writeFileSync(path, `${page.slice(0, begin)}${text}\n\n${page.slice(end)}`);
  return path;
}

function about({ date, machine, versions, length }: RunDescription, way: string): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `Measured on ${date.slice(0, 10)}: ${machine.cpus} × ${machine.cpu}, Linux ${machine.kernel}; ${programs.join(", ")}.
Medians of ${length.rounds} rounds of ${length.seconds} s. ${way} The lowest and the highest round are in parentheses.`;
}

function table(reports: readonly WorkloadReport[]): string {
  const lines = reports.flatMap(({ scenario, rows }) => {
    return rows.map((row, i) => {
      const { ratio, meetsGoal } = row;
      const spread =
        ratio === null ? "" : `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`;
      const goal = meetsGoal === null ? "" : `${scenario.goal} ${meetsGoal ? "met" : "**missed**"}`;
      const rate = Math.round(row.requestsPerSecond).toLocaleString("en");
      const cells = [row.contender, row.cpuMicrosPerRequest.median.toFixed(1), spread, goal, rate];
      const latency = [row.p50Micros, row.p99Micros, row.p999Micros].map((micros) => micros.toFixed(0)).join(" / ");
      return `| ${[i === 0 ? scenario.name : "", ...cells, latency].join(" | ")} |`;
    });
  });
  return `| workload | | CPU µs a request | × peer | goal | requests/s | p50 / p99 / p99.9 µs |
| --- | --- | ---: | ---: | --- | ---: | ---: |
${lines.join("\n")}`;
}

function figureList(figures: readonly Figure[]): string {
  const lines = figures.map(({ name, value, unit, goal, note }) => {
    const verdict = goal === null ? "" : `, goal ${goal}: ${value <= goal ? "met" : "**missed**"}`;
    return `- ${name}: **${value.toFixed(value < 10 ? 2 : 0)} ${unit}**${verdict} (${note})`;
  });
  return lines.join("\n");
}
