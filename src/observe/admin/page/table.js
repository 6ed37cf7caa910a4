/** A table that can be sorted and filtered, and its cells. */
import { element, setClass, setText } from "./dom.js";

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
export class Table {
  /** `columns`: label, function that fills a cell for an item, and meaning. The first column names the row. */
  constructor(place, label, empty, columns) {
    this.place = place;
    this.empty = element("p", { class: "muted" }, empty);
    this.columns = columns;
    this.sortedBy = null;
    this.heads = columns.map(([name, , meaning], i) => this.head(name, i, meaning));
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
    this.legend = legendOf(columns);
    place.append(this.empty, this.filter, this.table, this.legend);
  }

  /** A head that sorts the rows: first upwards for names and downwards for numbers, then the other way, then not. */
  head(name, i, meaning) {
    const button = element("button", { type: "button", class: "sort", ...(meaning && { title: meaning }) }, name);
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
    this.legend.hidden = items.length === 0;
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

/** The meaning of the columns, for touch screens and keyboards: a tooltip needs a pointer. */
function legendOf(columns) {
  const lines = columns.filter(([, , meaning]) => meaning);
  if (lines.length === 0) return element("p", { hidden: "" });
  return element(
    "details",
    { class: "legend" },
    element("summary", {}, "What the columns mean"),
    element(
      "dl",
      { class: "lines" },
      ...lines.flatMap(([name, , meaning]) => [element("dt", {}, name), element("dd", {}, meaning)]),
    ),
  );
}

/** A cell of text. */
export const text = (of) => (cell, item) => setText(cell, of(item));

/** A cell of text that is bad news unless it is nothing. */
export const trouble = (of, isNothing) => (cell, item) => {
  setText(cell, of(item));
  setClass(cell, isNothing(item) ? "" : "hot");
};

/** A cell with a name, and what there is to say of it below. */
export const named = (name, below) => (cell, item) => {
  if (cell.firstChild === null) cell.append(element("span", { class: "mono" }), element("span", { class: "sub" }));
  setText(cell.firstChild, name(item));
  setText(cell.lastChild, below(item));
  cell.lastChild.title = below(item);
};

export const badge = (of, goodness) => (cell, item) => {
  if (cell.firstChild === null) cell.append(element("span"));
  setText(cell.firstChild, of(item));
  setClass(cell.firstChild, `badge ${goodness(item)}`);
};
