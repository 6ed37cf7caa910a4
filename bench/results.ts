/** Saves the results of a run: JSON and plots in `bench/results`. */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release } from "node:os";
import { join } from "node:path";
import type { Figure } from "./figures.ts";
import type { Length } from "./measure.ts";
import { drawPlots } from "./plots.ts";
import { findProgram } from "./process-group.ts";
import type { WorkloadReport } from "./report.ts";

/** Place, time and settings of a run. */
export interface RunDescription {
  readonly date: string;
  readonly machine: { readonly cpu: string; readonly cpus: number; readonly kernel: string };
  /** By program. */
  readonly versions: Readonly<Record<string, string>>;
  readonly length: Length;
}

export function describeRun(length: Length): RunDescription {
  const own = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8")) as { version: string };
  const versions = {
    Platypus: own.version,
    Node: process.version,
    twemproxy: versionOf("nutcracker", "--version"),
    memcached: versionOf("memcached", "--version"),
  };
  const machine = { cpu: cpus()[0]?.model ?? "unknown CPU", cpus: cpus().length, kernel: release() };
  return { date: new Date().toISOString(), machine, versions, length };
}

/** Returns the path of the JSON file. */
export function saveResults(
  run: RunDescription,
  reports: readonly WorkloadReport[],
  figures: readonly Figure[],
): string {
  const folder = join(import.meta.dirname, "results");
  mkdirSync(folder, { recursive: true });
  const base = join(folder, run.date.slice(0, 19).replaceAll(":", "-"));
  writeFileSync(`${base}.json`, `${JSON.stringify({ ...run, reports, figures }, null, 2)}\n`);
  for (const { name, svg } of drawPlots(reports)) writeFileSync(`${base}-${name}.svg`, svg);
  return `${base}.json`;
}

function versionOf(program: string, option: string): string {
  const path = findProgram(program);
  if (path === null) return "not installed";
  const text = execFileSync("/bin/sh", ["-c", `${path} ${option} 2>&1`], { encoding: "utf8" });
  return /\d+(?:\.\d+)+/.exec(text)?.[0] ?? "unknown";
}
