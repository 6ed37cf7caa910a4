/** The plots of the last minutes, with uPlot. */
import { byId, element, setText } from "./dom.js";
import { amount, clockTime, hitRatio, milliseconds, minute, percent, rateText } from "./format.js";
import { seen } from "./seen.js";

const plotKinds = [
  {
    title: "Requests a second",
    series: [
      ["all", "one", ({ requests }) => requests, rateText],
      ["failed", "two", ({ errors }) => errors, rateText],
    ],
  },
  {
    title: "Hit ratio",
    max: 100,
    tick: percent,
    series: [["of gets", "one", hitRatio, percent]],
  },
  {
    title: "Latency",
    tick: milliseconds,
    series: [
      ["median", "one", ({ p50Ms }) => p50Ms, milliseconds],
      ["99 %", "two", ({ p99Ms }) => p99Ms, milliseconds],
    ],
  },
  {
    title: "Sources",
    series: [
      ["fetches", "one", ({ fetches }) => fetches, rateText],
      ["refreshes", "three", ({ refreshes }) => refreshes, rateText],
    ],
  },
  {
    title: "Refresh lag",
    tick: milliseconds,
    series: [["99 %", "two", ({ lagMs }) => lagMs, milliseconds]],
  },
  {
    title: "Clients",
    series: [["connected", "one", ({ clients }) => clients, amount]],
  },
];

let rangeSeconds = 300;

const plots = plotKinds.map((kind) => {
  const keys = kind.series.map(([name, colour]) => {
    const value = element("b", {}, "–");
    return { value, label: element("span", { class: `key ${colour}` }, `${name} `, value) };
  });
  const place = element("div", { class: "plot", "aria-hidden": "true" });
  const time = element("time", { class: "muted" });
  const caption = element("figcaption", {}, element("strong", {}, kind.title), ...keys.map(({ label }) => label), time);
  byId("plots").append(element("figure", {}, caption, place));
  return { kind, keys, place, time, plot: null, data: [] };
});

function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function makePlot(shown) {
  const { kind, place } = shown;
  shown.plot?.destroy();
  const axis = {
    stroke: colourOf("muted"),
    grid: { stroke: colourOf("line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui",
  };
  shown.plot = new window.uPlot(
    {
      width: place.clientWidth,
      height: place.clientHeight,
      legend: { show: false },
      cursor: { sync: { key: "time" }, y: false, points: { size: 6 } },
      scales: {
        x: { range: () => [nowSeconds() - rangeSeconds, nowSeconds()] },
        y: { range: (_plot, _min, max) => [0, kind.max ?? Math.max(1, (max ?? 0) * 1.1)] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 70, size: 30, values: (_plot, ticks) => ticks.map(minute) },
        {
          ...axis,
          size: 56,
          space: 32,
          values: (_plot, ticks) => ticks.map(kind.tick ?? amount),
        },
      ],
      series: [
        {},
        ...kind.series.map(([, colour]) => ({
          stroke: colourOf(colour),
          fill: kind.series.length === 1 ? `${colourOf(colour)}22` : undefined,
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      hooks: { setCursor: [(plot) => showKeys(shown, plot.cursor.idx)] },
    },
    shown.data,
    place,
  );
}

function nowSeconds() {
  return seen.samples.at(-1)?.unixSeconds ?? Math.floor(Date.now() / 1000);
}

/** The values and the time at the pointer. If it is elsewhere, the latest values. */
function showKeys({ kind, keys, time, data }, index) {
  const at = index ?? (data[0]?.length ?? 0) - 1;
  const unixSeconds = index == null ? undefined : data[0]?.[index];
  setText(time, unixSeconds === undefined ? "" : clockTime(unixSeconds));
  for (const [i, [, , , text]] of kind.series.entries()) setText(keys[i].value, text(data[i + 1]?.[at] ?? null));
}

export function showPlots() {
  const since = nowSeconds() - rangeSeconds;
  const first = seen.samples.findIndex(({ unixSeconds }) => unixSeconds >= since);
  const visible = first < 0 ? [] : seen.samples.slice(first);
  for (const shown of plots) {
    shown.data = [
      visible.map(({ unixSeconds }) => unixSeconds),
      ...shown.kind.series.map(([, , value]) => visible.map(value)),
    ];
    if (shown.plot === null) makePlot(shown);
    else shown.plot.setData(shown.data);
    showKeys(shown, shown.plot.cursor.idx);
  }
}

new ResizeObserver(() => {
  for (const { plot, place } of plots) plot?.setSize({ width: place.clientWidth, height: place.clientHeight });
}).observe(byId("plots"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const shown of plots) if (shown.plot !== null) makePlot(shown);
});
byId("range").addEventListener("change", ({ target }) => {
  rangeSeconds = Number(target.value);
  setText(byId("plots-title"), rangeSeconds < 3600 ? `The last ${rangeSeconds / 60} minutes` : "The last hour");
  showPlots();
});
