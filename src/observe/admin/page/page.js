/**
 * The admin page: shows what the server tells every second. All text is put in as text, so that no key, name or message can
 * be markup.
 */

const MAX_SECONDS = 3600;
/** Rates are over the last few states, so that they do not flicker. */
const RATE_STATES = 5;

/** Samples by second, oldest first. */
let samples = [];
/** The last states with the time they came at. */
let states = [];
let rangeSeconds = 300;

const byId = (id) => document.getElementById(id);

/** An element with what it has: `class`, other attributes, children. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Sets the text only if it differs, so that a selection and a screen reader are not disturbed. */
function setText(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function setClass(target, name) {
  if (target.className !== name) target.className = name;
}

// Numbers, as people read them.

function amount(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)}M`;
  if (value >= 1e4) return `${(value / 1e3).toFixed(value >= 1e5 ? 0 : 1)}k`;
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString("en");
  return value.toFixed(1);
}

function rateText(value) {
  return value === null ? "–" : `${amount(value)}/s`;
}

function milliseconds(value) {
  if (value === null || value === undefined) return "–";
  if (value === 0) return "0";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1_000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 10) return `${value.toFixed(0)} ms`;
  if (value >= 1) return `${value.toFixed(1)} ms`;
  return `${Math.round(value * 1000)} µs`;
}

function percent(value) {
  if (value === null || value === undefined) return "–";
  return `${Number(value.toFixed(1))} %`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, value)) / 10));
  return `${(value / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

function duration(seconds) {
  const [days, hours, minutes] = [seconds / 86_400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

function clockTime(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString();
}

function minute(unixSeconds) {
  return new Date(unixSeconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

function hitRatio({ hits, misses }) {
  return hits + misses > 0 ? (100 * hits) / (hits + misses) : null;
}

// Rates of what is told as amounts since the start.

/** `amountOf(state)` per second. `null` if it is unknown. A restarted server begins at 0 again. */
function rate(amountOf) {
  if (states.length < 2) return null;
  const [first, last] = [states[0], states.at(-1)];
  const [before, now] = [amountOf(first.state), amountOf(last.state)];
  if (before === undefined || now === undefined || now < before) return null;
  return (now - before) / ((last.atMs - first.atMs) / 1000);
}

function rateOf(list, isSame, field) {
  return rate((state) => {
    const item = state[list].find(isSame);
    return item === undefined ? undefined : item[field];
  });
}

// Tiles.

const tiles = [
  [
    "Requests",
    (last) => rateText(last.requests),
    (last) => (last.errors > 0 ? `${amount(last.errors)}/s failed` : "none failed"),
  ],
  [
    "Hit ratio",
    (last) => percent(hitRatio(last)),
    (last) => `${amount(last.hits)} hits, ${amount(last.misses)} misses a second`,
  ],
  ["Latency, median", (last) => milliseconds(last.p50Ms), (last) => `99 % under ${milliseconds(last.p99Ms)}`],
  ["Filled", (last) => rateText(last.filled), (last) => `${amount(last.fetches)}/s asked of sources`],
  [
    "Refreshed",
    (last) => rateText(last.refreshes),
    (_last, state) => `${amount(sum(state.rules, "tracked"))} keys kept fresh`,
  ],
  ["Clients", (last) => amount(last.clients), (_last, state) => `${bytes(state.memoryBytes)} of memory`],
];
const tileParts = tiles.map(([name]) => {
  const parts = { value: element("dd"), note: element("dd", { class: "note" }) };
  byId("tiles").append(element("div", {}, element("dt", {}, name), parts.value, parts.note));
  return parts;
});

function sum(list, field) {
  return list.reduce((total, item) => total + item[field], 0);
}

function showTiles(state) {
  // Three seconds together: one second of a quiet server says little.
  const lately = samples.slice(-3);
  if (lately.length === 0) return;
  const last = lately.at(-1);
  const mean = (field) => lately.reduce((total, sample) => total + sample[field], 0) / lately.length;
  const latest = (field) => lately.findLast((sample) => sample[field] !== null)?.[field] ?? null;
  const shown = { ...last, p50Ms: latest("p50Ms"), p99Ms: latest("p99Ms") };
  for (const field of ["requests", "errors", "hits", "misses", "filled", "fetches", "refreshes"])
    shown[field] = mean(field);
  for (const [i, [, value, note]] of tiles.entries()) {
    setText(tileParts[i].value, value(shown, state));
    setText(tileParts[i].note, note(shown, state));
  }
}

// Plots.

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

const plots = plotKinds.map((kind) => {
  const keys = kind.series.map(([name, colour]) => {
    const value = element("b", {}, "–");
    return { value, label: element("span", { class: `key ${colour}` }, `${name} `, value) };
  });
  const place = element("div", { class: "plot", "aria-hidden": "true" });
  const caption = element("figcaption", {}, element("strong", {}, kind.title), ...keys.map(({ label }) => label));
  byId("plots").append(element("figure", {}, caption, place));
  return { kind, keys, place, plot: null, data: [] };
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
  return samples.at(-1)?.unixSeconds ?? Math.floor(Date.now() / 1000);
}

/** The values at a place of the plot; those of now where the pointer is elsewhere. */
function showKeys({ kind, keys, data }, index) {
  const at = index ?? (data[0]?.length ?? 0) - 1;
  for (const [i, [, , , text]] of kind.series.entries()) setText(keys[i].value, text(data[i + 1]?.[at] ?? null));
}

function showPlots() {
  const since = nowSeconds() - rangeSeconds;
  const first = samples.findIndex(({ unixSeconds }) => unixSeconds >= since);
  const visible = first < 0 ? [] : samples.slice(first);
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

// Tables.

/** Tables with at least this number of rows have a filter. */
const FILTERED_ROWS = 8;

/** The number that a cell shows, with its unit: "1.2 k/s", "340 ms". `null` if it shows none. */
function numberIn(shown) {
  const [, digits, scale = ""] = /^(-?\d+(?:\.\d+)?)(?![\d.])\s*(µs|ms|s|min|k|M|G|KiB|MiB|GiB)?/.exec(shown) ?? [];
  if (digits === undefined) return null;
  const factors = {
    µs: 1e-3,
    ms: 1,
    s: 1e3,
    min: 6e4,
    k: 1e3,
    M: 1e6,
    G: 1e9,
    KiB: 1024,
    MiB: 1024 ** 2,
    GiB: 1024 ** 3,
  };
  return Number(digits) * (factors[scale] ?? 1);
}

/** A table whose rows stay the same elements for as long as what they are about is there. */
class Table {
  /** `columns`: label, and what fills a cell with what a row is about. The first one names the row. */
  constructor(place, label, empty, columns) {
    this.place = place;
    this.empty = element("p", { class: "muted" }, empty);
    this.columns = columns;
    this.sortedBy = null;
    this.heads = columns.map(([name], i) => this.head(name, i));
    const { heads } = this;
    this.filter = element("input", {
      type: "search",
      class: "filter",
      placeholder: "Filter",
      "aria-label": `Filter ${label}`,
    });
    this.filter.addEventListener("input", () => this.arrange());
    this.body = element("tbody");
    const table = element(
      "table",
      { "aria-label": label },
      element("thead", {}, element("tr", {}, ...heads)),
      this.body,
    );
    this.table = element("div", { class: "table" }, table);
    this.rows = new Map();
    place.append(this.empty, this.filter, this.table);
  }

  /** A head that sorts the rows: first upwards for names and downwards for numbers, then the other way, then not. */
  head(name, i) {
    const button = element("button", { type: "button", class: "sort" }, name);
    const head = element("th", { scope: "col", class: i === 0 ? "left" : "" }, button);
    button.addEventListener("click", () => {
      const first = i === 0 ? "ascending" : "descending";
      const now = this.sortedBy?.column === i ? this.sortedBy.direction : null;
      const next = now === null ? first : now === first ? (first === "ascending" ? "descending" : "ascending") : null;
      this.sortedBy = next === null ? null : { column: i, direction: next };
      for (const [at, each] of this.heads.entries()) {
        if (at === i && next !== null) each.setAttribute("aria-sort", next);
        else each.removeAttribute("aria-sort");
      }
      this.arrange();
    });
    return head;
  }

  /** Sorts and filters the rows. */
  arrange() {
    const wanted = this.filter.hidden ? "" : this.filter.value.trim().toLowerCase();
    const rows = [...this.rows.values()];
    for (const { row, cells } of rows) row.hidden = !cells[0].textContent.toLowerCase().includes(wanted);
    const ordered = this.sortedBy === null ? rows : rows.toSorted((a, b) => this.compare(a.cells, b.cells));
    for (const [i, { row }] of ordered.entries()) {
      if (this.body.children[i] !== row) this.body.insertBefore(row, this.body.children[i] ?? null);
    }
  }

  compare(a, b) {
    const { column, direction } = this.sortedBy;
    const [one, other] = [a, b].map((cells) => cells[column].textContent);
    const [x, y] = column === 0 ? [null, null] : [one, other].map(numberIn);
    const order =
      x !== null && y !== null
        ? x - y
        : (x ?? -1) - (y ?? -1) || one.localeCompare(other, undefined, { numeric: true });
    return direction === "ascending" ? order : -order;
  }

  show(items, nameOf) {
    this.empty.hidden = items.length > 0;
    this.table.hidden = items.length === 0;
    const names = new Set(items.map(nameOf));
    for (const [name, { row }] of this.rows) {
      if (names.has(name)) continue;
      row.remove();
      this.rows.delete(name);
    }
    for (const item of items) {
      const { cells } = this.rows.get(nameOf(item)) ?? this.add(nameOf(item));
      for (const [i, [, fill]] of this.columns.entries()) fill(cells[i], item);
    }
    this.filter.hidden = items.length < FILTERED_ROWS;
    this.arrange();
  }

  add(name) {
    const cells = this.columns.map(([label], i) =>
      i === 0 ? element("th", { scope: "row", class: "left" }) : element("td", { "data-label": label }),
    );
    const made = { cells, row: element("tr", {}, ...cells) };
    this.rows.set(name, made);
    this.body.append(made.row);
    return made;
  }
}

/** A cell of text. */
const text = (of) => (cell, item) => setText(cell, of(item));

/** A cell of text that is bad news unless it is nothing. */
const trouble = (of, isNothing) => (cell, item) => {
  setText(cell, of(item));
  setClass(cell, isNothing(item) ? "" : "hot");
};

/** A cell with a name, and what there is to say of it below. */
const named = (name, below) => (cell, item) => {
  if (cell.firstChild === null) cell.append(element("span", { class: "mono" }), element("span", { class: "sub" }));
  setText(cell.firstChild, name(item));
  setText(cell.lastChild, below(item));
  cell.lastChild.title = below(item);
};

const badge = (of, goodness) => (cell, item) => {
  if (cell.firstChild === null) cell.append(element("span"));
  setText(cell.firstChild, of(item));
  setClass(cell.firstChild, `badge ${goodness(item)}`);
};

const same = (item) => (other) => other.name === item.name && other.pool === item.pool;

function changesCell(cell, { history }) {
  const latest = history.at(-1);
  const id = `${history.length} ${latest?.unixSeconds}`;
  if (cell.dataset.id === id) return;
  cell.dataset.id = id;
  if (latest === undefined) {
    cell.replaceChildren("none");
    return;
  }
  const isOpen = cell.querySelector("details")?.open ?? false;
  const lines = history.toReversed().map(({ unixSeconds, state, reason }) => {
    return element("li", {}, `${clockTime(unixSeconds)} ${state}${reason === null ? "" : `: ${reason}`}`);
  });
  const details = element(
    "details",
    {},
    element("summary", {}, `${history.length}, last ${clockTime(latest.unixSeconds)}`),
    element("ul", {}, ...lines),
  );
  details.open = isOpen;
  cell.replaceChildren(details);
}

const tables = {
  servers: new Table(byId("servers"), "Servers", "There are none.", [
    [
      "Server",
      named(
        ({ name }) => name,
        ({ pool, version }) => `pool ${pool}${version === null ? "" : `, memcached ${version}`}`,
      ),
    ],
    [
      "State",
      badge(
        ({ state }) => state,
        ({ state }) => (state === "up" ? "good" : "bad"),
      ),
    ],
    ["Requests", text((item) => rateText(rateOf("servers", same(item), "requests")))],
    [
      "Failed",
      trouble(
        (item) => rateText(rateOf("servers", same(item), "failed")),
        (item) => !rateOf("servers", same(item), "failed"),
      ),
    ],
    ["Median", text(({ p50Ms }) => milliseconds(p50Ms))],
    ["99 %", text(({ p99Ms }) => milliseconds(p99Ms))],
    ["Under way", text(({ outstanding }) => amount(outstanding))],
    ["Connections", text(({ connections }) => amount(connections))],
    ["Changes of state", changesCell],
  ]),
  rules: new Table(byId("rules"), "Rules", "There are none: misses are forwarded.", [
    [
      "Rule",
      named(
        ({ name }) => name,
        ({ match, source, mode }) => `${match} from ${source}${mode === "on" ? "" : `, mode = ${mode}`}`,
      ),
    ],
    ["Kept fresh", text(({ tracked }) => `${amount(tracked)} keys`)],
    ["Filled", text((item) => rateText(rateOf("rules", same(item), "answered")))],
    ["Fetches", text((item) => rateText(rateOf("rules", same(item), "fills")))],
    ["Joined", text((item) => rateText(rateOf("rules", same(item), "joined")))],
    ["Too late", text((item) => rateText(rateOf("rules", same(item), "timedOut")))],
    ["Refreshed", text((item) => rateText(rateOf("rules", same(item), "refreshes")))],
    [
      "Failed",
      trouble(
        (item) => rateText(failures(item)),
        (item) => !failures(item),
      ),
    ],
    ["Median", text(({ p50Ms }) => milliseconds(p50Ms))],
    ["99 %", text(({ p99Ms }) => milliseconds(p99Ms))],
    ["Lag, 99 %", text(({ lagMs }) => milliseconds(lagMs))],
  ]),
  hotKeys: new Table(byId("hot"), "Hot keys", 'None now, or [telemetry] keys is not "full".', [
    ["Key", text(({ key }) => key)],
    ["Gets", text((item) => rateText(rateOf("hotKeys", ({ key }) => key === item.key, "gets")))],
    ["Since it is hot", text(({ gets }) => amount(gets))],
    ["From memory", text(({ gets, hits }) => percent(gets === 0 ? null : (100 * hits) / gets))],
  ]),
  sources: new Table(byId("sources"), "Sources", "There are none.", [
    [
      "Source",
      named(
        ({ name }) => name,
        ({ type }) => type,
      ),
    ],
    [
      "Breaker",
      badge(
        ({ breaker }) => breaker,
        ({ breaker }) => ({ closed: "good", open: "bad" })[breaker] ?? "warn",
      ),
    ],
    ["Fetches", text((item) => rateText(rateOf("sources", same(item), "fetches")))],
    [
      "Failed",
      trouble(
        (item) => rateText(rateOf("sources", same(item), "failed")),
        (item) => !rateOf("sources", same(item), "failed"),
      ),
    ],
    ["Not asked", text((item) => rateText(rateOf("sources", same(item), "notAsked")))],
    ["Median", text(({ p50Ms }) => milliseconds(p50Ms))],
    ["99 %", text(({ p99Ms }) => milliseconds(p99Ms))],
    [
      "Under way",
      text(({ inFlight, waiting }) => `${amount(inFlight)}${waiting > 0 ? `, ${amount(waiting)} wait` : ""}`),
    ],
    ["Times opened", text(({ opened }) => amount(opened))],
    ["Failures so far", text((item) => failureText(item))],
  ]),
};

function failures(rule) {
  const [fills, refreshes] = ["failed", "refreshFailed"].map((field) => rateOf("rules", same(rule), field));
  return fills === null ? null : fills + refreshes;
}

function failureText({ failures: all }) {
  const parts = Object.entries(all).map(
    ([code, count]) => `${code.replace("SOURCE_", "").toLowerCase().replaceAll("_", " ")} ${amount(count)}`,
  );
  return parts.length === 0 ? "none" : parts.join(", ");
}

// At a glance.

/** More troubles of one kind than this are one line, with the list behind it. */
const MOST_ALONE = 3;

/** The troubles as groups: a title, and lines. A group of few lines has no title. */
function troublesOf(state) {
  const down = state.servers
    .filter(({ state: of }) => of !== "up")
    .map(({ pool, name, state: of, history }) => {
      const last = history.at(-1);
      const since = last === undefined ? "" : ` since ${clockTime(last.unixSeconds)}`;
      const reason = last?.reason ? `: ${last.reason}` : "";
      return `Server ${name} of pool ${pool} is left alone (${of}${since}${reason}). It is probed, and used again when it answers.`;
    });
  // A half-open breaker waits for a request: nothing is known to fail.
  const failing = state.sources
    .filter(({ breaker }) => breaker === "open")
    .map(({ name, lastError }) => {
      const reason = lastError === null ? "" : ` Last error: ${lastError}.`;
      return `Source ${name} fails and is left alone for a while (breaker open).${reason} It is tried again by itself; platypus breaker close ${name} tries it now.`;
    });
  const others = [
    ...(state.notReady === null ? [] : [`Not ready: ${state.notReady}.`]),
    ...(state.reloadError === null
      ? []
      : [`The configuration was refused, the one before serves: ${state.reloadError}`]),
  ];
  return [
    { title: `${down.length} of ${state.servers.length} servers are down`, lines: down },
    { title: `${failing.length} of ${state.sources.length} sources fail`, lines: failing },
    { title: "", lines: others },
  ].filter(({ lines }) => lines.length > 0);
}

function showStatus(word, goodness) {
  setText(byId("status"), word);
  setClass(byId("status"), `badge ${goodness}`);
  document.title = `${word} · Platypus`;
}

function showTroubles(groups) {
  const place = byId("troubles");
  place.hidden = groups.length === 0;
  const told = JSON.stringify(groups);
  if (place.dataset.text === told) return;
  place.dataset.text = told;
  const isOpen = place.querySelector("details")?.open ?? false;
  place.replaceChildren(
    ...groups.flatMap(({ title, lines }) => {
      const items = lines.map((line) => element("li", {}, line));
      if (lines.length <= MOST_ALONE || title === "") return items;
      const list = element("details", {}, element("summary", {}, title), element("ul", {}, ...items));
      list.open = isOpen;
      return [element("li", {}, list)];
    }),
  );
}

function show({ sample, state }) {
  document.body.classList.remove("stale");
  // A server that was started anew: what it counted before is of no use.
  if (states.length > 0 && state.uptimeSeconds < states.at(-1).state.uptimeSeconds) states = [];
  states.push({ atMs: performance.now(), state });
  if (states.length > RATE_STATES) states.shift();
  if (sample !== null && sample.unixSeconds > (samples.at(-1)?.unixSeconds ?? 0)) samples.push(sample);
  if (samples.length > MAX_SECONDS) samples.splice(0, samples.length - MAX_SECONDS);

  const troubles = troublesOf(state);
  if (state.notReady !== null) showStatus("Not ready", "bad");
  else if (troubles.length > 0) showStatus("Degraded", "warn");
  else showStatus("Healthy", "good");
  showTroubles(troubles);
  const workers = state.workers > 1 ? `, ${state.workers} workers` : "";
  const store =
    state.store === null
      ? ""
      : `, store in this process: ${amount(state.store.items)} items in ${bytes(state.store.bytes)} of ${bytes(state.store.maxBytes)}`;
  setText(
    byId("about"),
    `Platypus ${state.version} on ${state.listen.join(", ")}, up ${duration(state.uptimeSeconds)}${workers}${store}`,
  );
  byId("servers").parentElement.hidden = state.store !== null;
  showTiles(state);
  showPlots();
  tables.servers.show(state.servers, ({ pool, name }) => `${pool} ${name}`);
  tables.rules.show(state.rules, ({ name }) => name);
  tables.sources.show(state.sources, ({ name }) => name);
  showNear(state);
  showNames(
    "rule",
    state.rules.map(({ name }) => name),
  );
  showCommands(state);
}

/** `near`: the section is only shown while there are hot keys. */
function showNear({ near, hotKeys }) {
  byId("hot").parentElement.hidden = near.keys === 0;
  const hits = rate((state) => state.near.hits);
  const gets = rate((state) => state.near.gets);
  const share = gets > 0 ? ` (${percent((100 * hits) / gets)} of all)` : "";
  setText(
    byId("near"),
    `${amount(near.keys)} keys in ${bytes(near.bytes)}, ${rateText(hits)} gets from memory${share}`,
  );
  tables.hotKeys.show(hotKeys, ({ key }) => key);
}

// The server's word.

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("history", ({ data }) => {
    const told = JSON.parse(data);
    // A server that was started anew knows nothing of the time before; this page does.
    const first = told[0]?.unixSeconds ?? Number.POSITIVE_INFINITY;
    samples = [...samples.filter(({ unixSeconds }) => unixSeconds < first), ...told].slice(-MAX_SECONDS);
    states = [];
  });
  source.addEventListener("now", ({ data }) => show(JSON.parse(data)));
  source.addEventListener("error", () => {
    showStatus("No connection, trying again", "bad");
    document.body.classList.add("stale");
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    setTimeout(listen, 1000);
  });
}

// What is asked for.

async function ask(path, parameters) {
  const response = await fetch(`${path}?${new URLSearchParams(parameters)}`);
  if (!response.ok) throw new Error((await response.text()).trim());
  return response.json();
}

byId("explain").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = byId("explained");
  try {
    const lines = await ask("/explain", { key: byId("key").value });
    place.replaceChildren(
      ...lines.flatMap(([name, line]) => [element("dt", {}, name.trim()), element("dd", {}, line)]),
    );
  } catch (error) {
    place.replaceChildren(element("dt", {}, "not explained"), element("dd", {}, error.message));
  }
});

function showNames(id, names) {
  const select = byId(id);
  if (select.dataset.names === names.join(" ")) return;
  select.dataset.names = names.join(" ");
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => element("option", {}, name)));
  if (names.includes(chosen)) select.value = chosen;
}

byId("tracked").addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = byId("tracked-keys");
  try {
    const keys = await ask("/tracked", { rule: byId("rule").value });
    place.replaceChildren();
    const table = new Table(place, "Keys kept fresh", "There are none.", [
      [
        "Key",
        named(
          ({ key, index }) => (key === "" ? `key ${index + 1}` : key),
          () => "",
        ),
      ],
      ["Gets", text(({ gets }) => (gets >= 255 ? "255 and more" : String(gets)))],
      ["Last get", text(({ lastGetMs }) => `${duration(lastGetMs / 1000)} ago`)],
      [
        "Fresh for",
        text(({ freshMs }) => (freshMs > 0 ? duration(freshMs / 1000) : `stale for ${duration(-freshMs / 1000)}`)),
      ],
      [
        "Failed",
        trouble(
          ({ failures: count }) => amount(count),
          ({ failures: count }) => count === 0,
        ),
      ],
    ]);
    table.show(
      keys.map((key, index) => ({ ...key, index })),
      ({ index }) => index,
    );
  } catch (error) {
    place.replaceChildren(element("p", {}, error.message));
  }
});

// Commands, with the token.

function showCommands({ hasCommands, servers, sources }) {
  byId("commands").hidden = !hasCommands;
  if (!hasCommands) return;
  showNames("server", [...new Set(servers.map(({ name }) => name))]);
  showNames(
    "source",
    sources.map(({ name }) => name),
  );
}

/** The query of a command, from the form. */
function parametersOf(command) {
  const pattern = byId("pattern").value;
  if (command === "breaker/close") return { source: byId("source").value };
  if (command === "drain" || command === "undrain") return { server: byId("server").value };
  return pattern.endsWith("*") ? { prefix: pattern.slice(0, -1) } : { key: pattern };
}

/** Sends a command. Calls `told` with the counts of each line of the answer. */
async function command(name, told) {
  const headers = { authorization: `Bearer ${byId("token").value}` };
  const response = await fetch(`/${name}?${new URLSearchParams(parametersOf(name))}`, { method: "POST", headers });
  if (!response.ok) throw new Error((await response.text()).trim());
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) told(JSON.parse(line));
  }
}

function countsText(name, { matched, left, ...counts }) {
  if (matched === undefined) return `${name}: done`;
  const parts = Object.entries(counts).map(([outcome, count]) => `${amount(count)} ${outcome}`);
  const progress = left > 0 ? `, ${amount(left)} left` : "";
  return `${name}: ${amount(matched)} tracked keys${parts.length > 0 ? `: ${parts.join(", ")}` : ""}${progress}`;
}

byId("commands").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = event.submitter.value;
  const place = byId("commanded");
  if ((name === "refresh" || name === "forget") && byId("pattern").value === "") {
    setText(place, "Name a key, or a prefix that ends with *.");
    return;
  }
  try {
    await command(name, (counts) => setText(place, countsText(event.submitter.textContent, counts)));
  } catch (error) {
    setText(place, error.message);
  }
});

byId("config").addEventListener("toggle", async ({ target }) => {
  if (!target.open) return;
  const place = target.querySelector("pre");
  try {
    setText(place, JSON.stringify(await ask("/config", {}), null, 2));
  } catch (error) {
    setText(place, error.message);
  }
});

listen();
