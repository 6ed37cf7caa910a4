/**
 * Source calls over simulated time as an SVG image, with and without refresh. It adapts to the viewer's light or dark
 * theme.
 */

/** One line of the image: its name, and source calls per second in intervals of equal length. */
export interface PlotLine {
  readonly name: string;
  readonly callsPerSecond: readonly number[];
}

const WIDTH = 860;
const HEIGHT = 320;
const LEFT = 60;
const TOP = 40;
const BOTTOM = 40;
const RIGHT = 20;
const COLORS = ["#0969da", "#bc4c00"];

/** `duration` is the total time, as the axis shows it. */
export function renderPlot(title: string, duration: string, lines: readonly PlotLine[]): string {
  const highest = Math.max(1, ...lines.flatMap(({ callsPerSecond }) => callsPerSecond));
  const x = (index: number, count: number) => LEFT + (index / Math.max(1, count - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (calls: number) => HEIGHT - BOTTOM - (calls / highest) * (HEIGHT - TOP - BOTTOM);
  const levels = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * highest).toFixed(1);
    const label = `<text x="${LEFT - 8}" y="${at}" dy="4" text-anchor="end">${number(share * highest)}</text>`;
    return `<path class="grid" d="M${LEFT} ${at}H${WIDTH - RIGHT}"/>${label}`;
  });
  const paths = lines.map(({ callsPerSecond }, index) => {
    const points = callsPerSecond.map((calls, i) => `${x(i, callsPerSecond.length).toFixed(1)} ${y(calls).toFixed(1)}`);
    return `<path d="M${points.join("L")}" fill="none" stroke="${COLORS[index]}" stroke-width="1.5"/>`;
  });
  const legend = lines.map(
    ({ name }, index) =>
      `<text x="${WIDTH - RIGHT}" y="${TOP - 22 + 16 * index}" text-anchor="end" style="fill:${COLORS[index]}">${escaped(name)}</text>`,
  );
  const axis = `<text x="${LEFT}" y="${HEIGHT - 14}">0</text><text x="${WIDTH - RIGHT}" y="${HEIGHT - 14}" text-anchor="end">${escaped(duration)}</text>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
<title>${escaped(title)}</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #24292f } .grid { stroke: #d0d7de } .page { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } .grid { stroke: #30363d } .page { fill: #0d1117 } }
</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}"/>
<text x="${LEFT}" y="${TOP - 18}">${escaped(title)}</text>
${levels.join("\n")}
${paths.join("\n")}
${legend.join("\n")}
${axis}
</svg>
`;
}

function number(value: number): string {
  return value >= 10 || value === 0 ? value.toFixed(0) : value.toPrecision(2);
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
