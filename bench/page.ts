/** Writes what a run measured into `docs/performance.md`, between two marks; what people wrote around them stays. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Figure } from "./figures.ts";
import { drawPlots } from "./plots.ts";
import { BenchError } from "./process-group.ts";
import type { WorkloadReport } from "./report.ts";
import type { RunDescription } from "./results.ts";

const docs = resolve(import.meta.dirname, "../docs");
const BEGIN = "<!-- figures: written by `npm run bench -- --page` -->";
const END = "<!-- end of figures -->";

/** Returns the page's path. */
export function writePage(run: RunDescription, reports: readonly WorkloadReport[], figures: readonly Figure[]): string {
  const path = join(docs, "performance.md");
  const page = readFileSync(path, "utf8");
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new BenchError(`${path}: expected a line "${BEGIN}" and after it "${END}"`);
  const images = join(docs, "images");
  mkdirSync(images, { recursive: true });
  const plots = drawPlots(reports).map(({ name, svg }) => {
    writeFileSync(join(images, `performance-${name}.svg`), svg);
    return `![CPU per request: ${name}](images/performance-${name}.svg)`;
  });
  const parts = [BEGIN, about(run), ...plots, table(reports), figureList(figures)].filter((part) => part !== "");
  writeFileSync(path, `${page.slice(0, begin)}${parts.join("\n\n")}\n\n${page.slice(end)}`);
  return path;
}

function about({ date, machine, versions, length }: RunDescription): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `Measured on ${date.slice(0, 10)}: ${machine.cpus} × ${machine.cpu}, Linux ${machine.kernel}; ${programs.join(", ")}.
Medians of ${length.rounds} rounds of ${length.seconds} s each, the contenders in turn and started anew ${length.starts} times; in brackets the lowest and
the highest round.`;
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
