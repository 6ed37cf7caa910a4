/** Draws reports as SVG: bars of ratios to a peer, and lines of cost as a load grows. */

import type { Row, WorkloadReport } from "./report.ts";

const WIDTH = 900;
const TEXT = 'font-family="system-ui, sans-serif" font-size="12" fill="#24292f"';
const COLORS = ["#1f6feb", "#bf8700", "#6e7781", "#8250df", "#1a7f37"];

interface Plot {
  /** File name, without the extension. */
  readonly name: string;
  readonly svg: string;
}

/** One bar plot for each group without an axis, and one line plot for each group with an axis. */
export function drawPlots(reports: readonly WorkloadReport[]): Plot[] {
  const groups = Map.groupBy(reports, ({ scenario }) => scenario.group);
  return [...groups].map(([group, own]) => {
    const isLines = own.every(({ scenario }) => scenario.x !== null) && own.length > 1;
    const name = group.replaceAll(/\W+/g, "-");
    return { name, svg: isLines ? lines(group, own) : bars(own) };
  });
}

/**
 * CPU per request as a multiple of the peer's: median, with a line from the minimum to the maximum round, and the goal.
 */
function bars(reports: readonly WorkloadReport[]): string {
  const left = 440;
  const rowHeight = 26;
  const rows = reports.flatMap(({ scenario, rows }) =>
    rows.flatMap((row) => (row.ratio === null ? [] : [{ scenario, row, ratio: row.ratio }])),
  );
  const most = Math.max(1.5, ...rows.map(({ ratio }) => Math.min(ratio.max, 4)));
  const x = (ratio: number) => left + (Math.min(ratio, most) / most) * (WIDTH - left - 60);
  const height = rows.length * rowHeight + 60;
  const parts = rows.map(({ scenario, row, ratio }, i) => {
    const y = 30 + i * rowHeight;
    const color =
      row.meetsGoal === false ? "#cf222e" : COLORS[scenario.hasGivenPeers && row.contender !== "platypus" ? 2 : 0];
    const isFirst = i === 0 || rows[i - 1]!.scenario !== scenario;
    const label = isFirst ? `${scenario.name}: ${row.contender}` : row.contender;
    const goal = scenario.goal !== null && row.meetsGoal !== null ? x(scenario.goal) : null;
    return [
      `<text x="${left - 8}" y="${y + 14}" text-anchor="end" ${TEXT}>${escapeXml(label)}</text>`,
      `<rect x="${left}" y="${y + 3}" width="${(x(ratio.median) - left).toFixed(1)}" height="14" fill="${color}"/>`,
      `<path d="M${x(ratio.min).toFixed(1)} ${y + 10}H${x(ratio.max).toFixed(1)}" stroke="#24292f"/>`,
      goal === null ? "" : `<path d="M${goal.toFixed(1)} ${y}v20" stroke="#1a7f37" stroke-width="2"/>`,
      `<text x="${x(ratio.max) + 6}" y="${y + 14}" ${TEXT}>${ratio.median.toFixed(2)}</text>`,
    ].join("");
  });
  const one = `<path d="M${x(1).toFixed(1)} 24V${height - 30}" stroke="#24292f" stroke-dasharray="4 3"/>`;
  const title = `CPU per request, × ${[...new Set(reports.map(({ scenario }) => scenario.peer))].slice(0, 3).join(", ")}`;
  const foot = "bar: median; thin line: lowest to highest round; green: goal; dashed: the same as the peer";
  return svg(height, title, [one, ...parts, `<text x="8" y="${height - 10}" ${TEXT}>${foot}</text>`]);
}

/** CPU per request over the group's parameter; both axes are logarithmic. */
function lines(group: string, reports: readonly WorkloadReport[]): string {
  const [left, right, top, bottom] = [60, WIDTH - 150, 40, 330];
  const points = reports.flatMap(({ scenario, rows }) =>
    rows.map((row) => ({ x: scenario.x!, micros: row.cpuMicrosPerRequest.median, name: seriesOf(row) })),
  );
  const xs = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const levels = powersOfTwo(points.map(({ micros }) => micros));
  const px = logarithmic([xs[0]!, xs.at(-1)!], [left, right]);
  const py = logarithmic([levels[0]!, levels.at(-1)!], [bottom, top]);
  const byName = [...Map.groupBy(points, ({ name }) => name)];
  const last = byName.map(([name, own]) => ({ name, y: py(own.at(-1)!.micros) })).sort((a, b) => a.y - b.y);
  // Names are next to the ends of their lines. Where they would overlap, they are below each other.
  for (let i = 1; i < last.length; i++) last[i]!.y = Math.max(last[i]!.y, last[i - 1]!.y + 16);
  const series = byName.map(([name, own], i) => {
    const color = COLORS[i % COLORS.length]!;
    const path = own.map(({ x, micros }) => `${px(x).toFixed(1)} ${py(micros).toFixed(1)}`);
    const marks = own.map(({ x, micros }) => `<circle cx="${px(x)}" cy="${py(micros)}" r="3" fill="${color}"/>`);
    const { y } = last.find((each) => each.name === name)!;
    const label = `<text x="${right + 22}" y="${y + 4}" ${TEXT}>${escapeXml(name)}</text>`;
    const key = `<rect x="${right + 10}" y="${y - 4}" width="8" height="8" fill="${color}"/>`;
    return `<path d="M${path.join("L")}" fill="none" stroke="${color}" stroke-width="2"/>${marks.join("")}${key}${label}`;
  });
  const ticks = xs.map((x) => {
    return `<text x="${px(x)}" y="${bottom + 18}" text-anchor="middle" ${TEXT}>${x.toLocaleString("en")}</text>`;
  });
  const grid = levels.map((micros) => {
    const label = `<text x="${left - 6}" y="${py(micros) + 4}" text-anchor="end" ${TEXT}>${micros}</text>`;
    return `<path d="M${left} ${py(micros)}H${right}" stroke="#d0d7de"/>${label}`;
  });
  return svg(370, `CPU µs per request by ${group}`, [...grid, ...ticks, ...series]);
}

function logarithmic([low, high]: readonly [number, number], [from, to]: readonly [number, number]) {
  return (value: number) => from + (Math.log(value / low) / Math.log(high / low)) * (to - from);
}

/** The powers of two around the values. */
function powersOfTwo(values: readonly number[]): number[] {
  const first = Math.floor(Math.log2(Math.min(...values)));
  const last = Math.max(first + 1, Math.ceil(Math.log2(Math.max(...values))));
  return Array.from({ length: last - first + 1 }, (_, i) => 2 ** (first + i));
}

/** Variants of a contender in several workloads are one line: "platypus, 10 servers" is "platypus". */
function seriesOf({ contender }: Row): string {
  return contender.replace(/, \d+ servers?$/, "");
}

function svg(height: number, title: string, parts: readonly string[]): string {
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`;
  const back = `<rect width="100%" height="100%" fill="#ffffff"/>`;
  const heading = `<text x="8" y="18" font-weight="bold" ${TEXT}>${escapeXml(title)}</text>`;
  const name = `<title>${escapeXml(title)}</title>`;
  return `${[head, name, back, heading, ...parts, "</svg>"].join("\n")}\n`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
