/** The admin page: shows what the server tells every second. */
import { byId, element, setClass, setText } from "./dom.js";
import { amount, bytes, clockTime, duration, hitRatio, milliseconds, percent, rateText } from "./format.js";
import { showPlots } from "./plots.js";
import { MAX_SECONDS, note, rate, seen } from "./seen.js";
import { named, Table, text, trouble } from "./table.js";
import { tables } from "./tables.js";

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
  ["Latency, median", (last) => milliseconds(last.p50Ms), (last) => `99 %: ${milliseconds(last.p99Ms)}`],
  ["Filled", (last) => rateText(last.filled), (last) => `${amount(last.fetches)}/s asked of sources`],
  [
    "Refreshed",
    (last) => rateText(last.refreshes),
    (_last, state) => `${amount(sum(state.rules, "tracked"))} keys tracked`,
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
  const lately = seen.samples.slice(-3);
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
      return `Server ${name} of pool ${pool} is marked down (${of}${since}${reason}). It is probed, and used again when it answers.`;
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
  note({ sample, state });

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
  showMoves(state);
  showNames(
    "rule",
    state.rules.map(({ name }) => name),
  );
  showCommands(state);
}

/** Followed lists, and handoffs: shown only if there are any. */
function showMoves({ discoveries, moves, handoffs }) {
  byId("discoveries").parentElement.hidden = discoveries.length === 0;
  tables.discoveries.show(discoveries, ({ pool }) => pool);
  byId("moves").parentElement.hidden = moves.length === 0;
  tables.moves.show(moves, ({ pool }) => pool);
  const { copied, absent, overtaken, failed } = handoffs;
  setText(
    byId("moved"),
    `Keys looked up at their former server since the start: ${amount(copied)} copied, ${amount(absent)} not there, ${amount(overtaken)} written by a client meanwhile, ${amount(failed)} failed.`,
  );
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
    seen.samples = [...seen.samples.filter(({ unixSeconds }) => unixSeconds < first), ...told].slice(-MAX_SECONDS);
    seen.states = [];
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
    const table = new Table(place, "Tracked keys", "There are none.", [
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
