/** The tables of servers, lists, rules, keys and sources: their columns, and what each column means. */
import { byId, element } from "./dom.js";
import { amount, clockTime, duration, milliseconds, percent, rateText } from "./format.js";
import { rateOf } from "./seen.js";
import { badge, named, Table, text, trouble } from "./table.js";

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

/** A cell with the number of names, and the names behind it. */
const listCell = (of) => (cell, item) => {
  const names = of(item);
  const id = names.join(" ");
  if (cell.dataset.id === id) return;
  cell.dataset.id = id;
  const isOpen = cell.querySelector("details")?.open ?? false;
  const details = element(
    "details",
    {},
    element("summary", {}, String(names.length)),
    element("ul", {}, ...names.map((name) => element("li", { class: "mono" }, name))),
  );
  details.open = isOpen;
  cell.replaceChildren(details);
};

/** Names of `list` that `other` does not have. */
function without(list, other) {
  return list.filter((name) => !other.includes(name)).join(", ") || "none";
}

export const tables = {
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
      "up: used. soft TKO: marked down after timeouts. hard TKO: marked down because no connection could be established. A server that is down is probed and used again when it answers.",
    ],
    [
      "Requests",
      text((item) => rateText(rateOf("servers", same(item), "requests"))),
      "Requests sent to the server, in the last seconds.",
    ],
    [
      "Failed",
      trouble(
        (item) => rateText(rateOf("servers", same(item), "failed")),
        (item) => !rateOf("servers", same(item), "failed"),
      ),
      "Requests that the server refused with SERVER_ERROR, that timed out, or that could not be sent because it is down.",
    ],
    ["Median", text(({ p50Ms }) => milliseconds(p50Ms)), "Half of the replies of the last minute came faster."],
    ["99 %", text(({ p99Ms }) => milliseconds(p99Ms)), "99 of 100 replies of the last minute came faster."],
    [
      "In flight",
      text(({ outstanding }) => amount(outstanding)),
      "Requests of clients that wait for a reply now. Probes do not count.",
    ],
    ["Connections", text(({ connections }) => amount(connections)), "Connections from Platypus to the server."],
    ["Changes of state", changesCell, "The last 20 changes, with their reason."],
  ]),
  rules: new Table(byId("rules"), "Rules", "There are none: misses are forwarded.", [
    [
      "Rule",
      named(
        ({ name }) => name,
        ({ match, source, mode }) => `${match} from ${source}${mode === "on" ? "" : `, mode = ${mode}`}`,
      ),
    ],
    [
      "Tracked",
      text(({ tracked }) => `${amount(tracked)} keys`),
      "Keys that are refreshed before they expire, while clients need them.",
    ],
    [
      "Filled",
      text((item) => rateText(rateOf("rules", same(item), "answered"))),
      "Gets that missed and were answered with a fetched value.",
    ],
    ["Fetches", text((item) => rateText(rateOf("rules", same(item), "fills"))), "Fetches because of a miss."],
    [
      "Joined",
      text((item) => rateText(rateOf("rules", same(item), "joined"))),
      "Gets that waited for a fetch that another get had started.",
    ],
    [
      "Too late",
      text((item) => rateText(rateOf("rules", same(item), "timedOut"))),
      "Gets that were answered as misses because the fetch took longer than fill_timeout.",
    ],
    [
      "Refreshed",
      text((item) => rateText(rateOf("rules", same(item), "refreshes"))),
      "Refreshes that stored a new value or found it unchanged.",
    ],
    [
      "Failed",
      trouble(
        (item) => rateText(failures(item)),
        (item) => !failures(item),
      ),
      "Fetches and refreshes whose source failed.",
    ],
    [
      "Median",
      text(({ p50Ms }) => milliseconds(p50Ms)),
      "Half of the fetches of the last minute were faster, with their wait for the source.",
    ],
    [
      "99 %",
      text(({ p99Ms }) => milliseconds(p99Ms)),
      "99 of 100 fetches of the last minute were faster, with their wait for the source.",
    ],
    [
      "Lag, 99 %",
      text(({ lagMs }) => milliseconds(lagMs)),
      "99 of 100 refreshes of the last minute began less than this after they were due.",
    ],
  ]),
  discoveries: new Table(byId("discoveries"), "Followed lists of servers", "There are none.", [
    [
      "Pool",
      named(
        ({ pool }) => pool,
        ({ place }) => place,
      ),
    ],
    ["Servers", listCell(({ addresses }) => addresses), "The list in use."],
    [
      "Last answer",
      text(({ ageSeconds }) => (ageSeconds < 2 ? "now" : `${duration(ageSeconds)} ago`)),
      "The last look that found a list.",
    ],
    ["Changes", text(({ changes }) => amount(changes)), "Changes of the list since the start."],
    [
      "Error",
      trouble(
        ({ error, failures: count }) => (error === null ? "none" : `${error} (${amount(count)} failed looks)`),
        ({ error }) => error === null,
      ),
      "Why the last look failed. The last list stays in use.",
    ],
  ]),
  moves: new Table(byId("moves"), "Handoffs", "There are none.", [
    ["Pool", text(({ pool }) => pool)],
    [
      "Servers before",
      listCell(({ from }) => from),
      "The servers before the change. They stay connected until the handoff ends.",
    ],
    ["Servers now", listCell(({ to }) => to), "The servers that own the keys now."],
    ["Added", text(({ from, to }) => without(to, from)), "Servers that are new."],
    ["Removed", text(({ from, to }) => without(from, to)), "Servers that have left the pool."],
    [
      "Until",
      text(({ leftMs }) => `${clockTime(Date.now() / 1000 + leftMs / 1000)}, in ${duration(leftMs / 1000)}`),
      "Then keys that have moved are not looked up at their former server any more (handoff).",
    ],
  ]),
  hotKeys: new Table(byId("hot"), "Hot keys", 'None now, or [telemetry] keys is not "full".', [
    ["Key", text(({ key }) => key)],
    [
      "Gets now",
      text((item) => rateText(rateOf("hotKeys", ({ key }) => key === item.key, "gets"))),
      "Gets of the key in the last seconds.",
    ],
    [
      "Gets since hot",
      text(({ gets }) => gets.toLocaleString("en")),
      "All gets since the key became hot, counted one by one.",
    ],
    [
      "From memory",
      text(({ gets, hits }) => `${hits.toLocaleString("en")} (${percent(gets === 0 ? null : (100 * hits) / gets)})`),
      "Those that were answered from memory, and their share.",
    ],
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
      "The circuit breaker. closed: the source is asked. open: it failed and is left alone for a time. half open: one fetch finds out whether it works again.",
    ],
    [
      "Fetches",
      text((item) => rateText(rateOf("sources", same(item), "fetches"))),
      "Calls of the source. A batch is one call.",
    ],
    [
      "Failed",
      trouble(
        (item) => rateText(rateOf("sources", same(item), "failed")),
        (item) => !rateOf("sources", same(item), "failed"),
      ),
      "Calls that failed.",
    ],
    [
      "Not asked",
      text((item) => rateText(rateOf("sources", same(item), "notAsked"))),
      "Calls that were not started: no free place in time, a full queue, or an open breaker.",
    ],
    [
      "Median",
      text(({ p50Ms }) => milliseconds(p50Ms)),
      "Half of the calls of the last minute were faster, without their wait for a place.",
    ],
    [
      "99 %",
      text(({ p99Ms }) => milliseconds(p99Ms)),
      "99 of 100 calls of the last minute were faster, without their wait for a place.",
    ],
    [
      "In flight",
      text(({ inFlight, waiting }) => `${amount(inFlight)}${waiting > 0 ? `, ${amount(waiting)} wait` : ""}`),
      "Calls now, and those that wait for a place (concurrency).",
    ],
    ["Times opened", text(({ opened }) => amount(opened)), "How often the circuit breaker has opened since the start."],
    [
      "Failures since the start",
      text((item) => failureText(item)),
      "Failed calls by reason. Bad answers are listed by their HTTP status.",
    ],
  ]),
};

function failures(rule) {
  const [fills, refreshes] = ["failed", "refreshFailed"].map((field) => rateOf("rules", same(rule), field));
  return fills === null ? null : fills + refreshes;
}

/** Names of failures by their codes: one, and several. */
const failureNames = {
  SOURCE_TIMEOUT: ["timeout", "timeouts"],
  SOURCE_UNREACHABLE: ["time unreachable", "times unreachable"],
  SOURCE_STATUS: ["bad answer", "bad answers"],
  SOURCE_TOO_LARGE: ["answer too large", "answers too large"],
  SOURCE_REFUSED: ["key refused", "keys refused"],
  SOURCE_FAILED: ["failure", "failures"],
};

/** "15 bad answers (12 × status 503, 3 × status 500), 2 timeouts". */
function failureText({ failures: all, statuses }) {
  const parts = Object.entries(all).map(([code, count]) => {
    const [one, many] = failureNames[code] ?? [code, code];
    const which = Object.entries(statuses).map(([status, times]) => `${amount(times)} × status ${status}`);
    const shown = code === "SOURCE_STATUS" && which.length > 0 ? ` (${which.join(", ")})` : "";
    return `${amount(count)} ${count === 1 ? one : many}${shown}`;
  });
  return parts.length === 0 ? "none" : parts.join(", ");
}
