/** The results of scenarios as a table in Markdown, which reads as well on a terminal. */
import type { Result } from "./measure.ts";

const HEADER = [
  "what is done",
  "requests",
  "wrong",
  "lost",
  "failed",
  "missed fills",
  "refused",
  "p99 ms, before → during",
  "longest ms (clients' own delay)",
  "RSS MiB, idle → peak",
  "recovered after",
];

export function formatTable(results: readonly Result[]): string {
  const lines = [HEADER, ...results.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  const format = (line: readonly string[]) =>
    `| ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join(" | ")} |`;
  const rule = `| ${widths.map((width, column) => (column === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [format(lines[0]!), rule, ...lines.slice(1).map(format)].join("\n");
}

function cells(result: Result): string[] {
  const count = (value: number) => value.toLocaleString("en");
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  return [
    result.title,
    ...[result.requests, result.wrong, result.lost, result.failed, result.missedFills, result.refused].map(count),
    `${result.p99BeforeMs.toFixed(1)} → ${result.p99DuringMs.toFixed(1)}`,
    `${result.longestMs.toFixed(0)} (${result.ownDelayMs.toFixed(0)})`,
    `${mebibytes(result.idleBytes)} → ${mebibytes(result.peakBytes)}`,
    result.recoveredMs === null ? "not" : `${(result.recoveredMs / 1_000).toFixed(1)} s`,
  ];
}
