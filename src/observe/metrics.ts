/**
 * The table of what Platypus counts: one row for each metric, with its name by OpenTelemetry's conventions, its kind, unit
 * and meaning. Prometheus' text, what is sent by OTLP, and the list in docs/metrics.md all come from it.
 *
 * Attributes have as many values as the configuration has pools, servers, rules and sources; no key ever stands in one.
 *
 * Sources of names: OpenTelemetry semantic conventions, "Database client metrics", "Process metrics", "Node.js runtime".
 */

import { Status } from "../proxy/reply.ts";
import type { RuleCounters } from "../refresh/rules.ts";
import type { SourceCounters } from "../sources/limiter.ts";
import { type BucketCounts, shownBuckets } from "../telemetry/durations.ts";
import type { Counts, ServerNumbers, Snapshot, SourceNumbers, StoreNumbers } from "./snapshot.ts";

/** One series: the values of the metric's attributes in their order, and its number or its counts. */
type Series<Value> = readonly [attributes: readonly string[], value: Value];

interface MetricBase {
  /** With dots; `prometheusName` has the other form. */
  readonly name: string;
  /** As UCUM writes it: s, By; in braces what is counted; 1 for a share. */
  readonly unit: string;
  readonly meaning: string;
  readonly attributes: readonly string[];
}

export type Metric =
  | (MetricBase & { readonly kind: "counter" | "gauge"; read(snapshot: Snapshot): Series<number>[] })
  | (MetricBase & { readonly kind: "histogram"; read(snapshot: Snapshot): Series<BucketCounts>[] });

const units: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

/** By OpenTelemetry's rules for Prometheus: `platypus_client_request_duration_seconds`, `…_total` for counters. */
export function prometheusName({ name, unit, kind }: Metric): string {
  return `${name.replaceAll(".", "_")}${units[unit] ?? ""}${kind === "counter" ? "_total" : ""}`;
}

/** A counter or gauge of one series. */
function single(
  kind: "counter" | "gauge",
  name: string,
  unit: string,
  meaning: string,
  read: (snapshot: Snapshot) => number,
): Metric {
  return { kind, name, unit, meaning, attributes: [], read: (snapshot) => [[[], read(snapshot)]] };
}

const byBackend = ["pool", "backend"];

function ofBackends(
  kind: "counter" | "gauge",
  name: string,
  unit: string,
  meaning: string,
  read: (server: ServerNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.backend.${name}`,
    unit,
    meaning,
    attributes: byBackend,
    read: ({ servers }) => servers.map((server) => [[server.pool, server.name], read(server)]),
  };
}

function ofRules(name: string, unit: string, meaning: string, field: keyof RuleCounters): Metric {
  return {
    kind: "counter",
    name: `platypus.${name}`,
    unit,
    meaning,
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name: rule, counters }) => [[rule], counters[field]]),
  };
}

function ofSources(
  kind: "counter" | "gauge",
  name: string,
  unit: string,
  meaning: string,
  read: (source: SourceNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.source.${name}`,
    unit,
    meaning,
    attributes: ["source"],
    read: ({ sources }) => sources.map((source) => [[source.name], read(source)]),
  };
}

function counted(name: string, meaning: string, field: keyof SourceCounters): Metric {
  return ofSources("counter", name, "{fetch}", meaning, ({ counters }) => counters[field]);
}

function byName(counts: Counts): Series<number>[] {
  return Object.entries(counts).map(([name, count]) => [[name], count]);
}

/** Errors of backends by the names that they have here. */
const backendErrors: readonly (readonly [name: string, statuses: readonly Status[]])[] = [
  ["timeout", [Status.timeout]],
  ["connect", [Status.connectError, Status.connectTimeout]],
  ["lost", [Status.connectionLost]],
  ["server_error", [Status.serverError]],
  ["client_error", [Status.clientError]],
  ["tko", [Status.tko]],
  ["overloaded", [Status.overloaded]],
];

const breakerNumbers = { closed: 0, "half open": 1, open: 2 } as const;

const server: readonly Metric[] = [
  {
    kind: "gauge",
    name: "platypus.info",
    unit: "1",
    meaning: "1; its attribute is the version that runs.",
    attributes: ["version"],
    read: ({ process: own }) => [[[own.version], 1]],
  },
  single("gauge", "platypus.ready", "1", "1: clients may be sent here; what /readyz says.", ({ process: own }) => {
    return own.notReady === null ? 1 : 0;
  }),
  single("gauge", "platypus.config.age", "s", "Since the configuration was taken over.", ({ config }) => {
    return config.ageSeconds;
  }),
  single(
    "gauge",
    "platypus.config.refused",
    "1",
    "1: the last reload was refused, the configuration before serves.",
    ({ config }) => (config.reloadError === null ? 0 : 1),
  ),
  single(
    "counter",
    "platypus.log.lost_lines",
    "{line}",
    "Log lines that could not be written anywhere.",
    ({ process: own }) => own.lostLogLines,
  ),
  {
    kind: "counter",
    name: "platypus.report.failures",
    unit: "{failure}",
    meaning: "What could not be reported: lines of the async log, files, messages to systemd, OTLP exports, pages.",
    attributes: ["report"],
    read: ({ process: own }) => byName(own.reportFailures),
  },
  single(
    "counter",
    "platypus.process.file_limit_hits",
    "{hit}",
    "Times (once a second) at which no file could be opened: new clients are cut off.",
    ({ process: own }) => own.fileLimitHits,
  ),
  single(
    "gauge",
    "platypus.process.memory_limit",
    "By",
    "Limit of the resident memory (`max_memory`). 0 if it is not set.",
    ({ process: own }) => own.maxMemoryBytes,
  ),
  {
    kind: "counter",
    name: "platypus.process.memory_shed",
    unit: "{time}",
    meaning: "Times that memory was shed near `max_memory`; for fills and connections, how many were refused.",
    attributes: ["step"],
    read: ({ process: own }) => byName(own.memoryShed),
  },
];

const clients: readonly Metric[] = [
  single("gauge", "platypus.client.connections", "{connection}", "Clients that are connected.", ({ clients: all }) => {
    return all.connections;
  }),
  single("counter", "platypus.client.accepted", "{connection}", "Clients that were let in.", ({ clients: all }) => {
    return all.accepted;
  }),
  single(
    "counter",
    "platypus.client.rejected",
    "{connection}",
    "Clients refused because of `max_connections`.",
    (snapshot) => {
      return snapshot.clients.rejected;
    },
  ),
  single(
    "counter",
    "platypus.client.cut_off",
    "{connection}",
    "Clients closed because they did not read.",
    (snapshot) => {
      return snapshot.clients.cutOff;
    },
  ),
  single(
    "counter",
    "platypus.client.silent",
    "{connection}",
    "Clients closed because they sent no first byte, did not end their TLS handshake, or did not log in, in time.",
    (snapshot) => snapshot.clients.silent,
  ),
  {
    kind: "counter",
    name: "platypus.client.logins",
    unit: "{attempt}",
    meaning: "Attempts of clients to log in, by password or certificate.",
    attributes: ["result"],
    read: ({ clients: { authCommands, authErrors } }) => [
      [["accepted"], authCommands - authErrors],
      [["refused"], authErrors],
    ],
  },
  single(
    "counter",
    "platypus.client.denied",
    "{command}",
    "Commands refused because of the prefixes of the user, or because the client may only read.",
    (snapshot) => snapshot.clients.denied,
  ),
  {
    kind: "counter",
    name: "platypus.client.io",
    unit: "By",
    meaning: "Bytes from clients (receive) and to them (transmit).",
    attributes: ["direction"],
    read: ({ clients: { bytesRead, bytesWritten } }) => [
      [["receive"], bytesRead],
      [["transmit"], bytesWritten],
    ],
  },
  {
    kind: "histogram",
    name: "platypus.client.request.duration",
    unit: "s",
    meaning: "From reading a request to its answer, by operation and protocol.",
    attributes: ["operation", "protocol"],
    read: ({ clients: { requests } }) =>
      requests.map(({ operation, protocol, latency }) => [[operation, protocol], shownBuckets(latency)]),
  },
  {
    kind: "counter",
    name: "platypus.client.request.errors",
    unit: "{request}",
    meaning: "Requests that were wrong (client), or that we or a server could not carry out (server).",
    attributes: ["operation", "protocol", "error"],
    read: ({ clients: { requests } }) =>
      requests.flatMap(({ operation, protocol, clientErrors, serverErrors }): Series<number>[] => [
        [[operation, protocol, "client"], clientErrors],
        [[operation, protocol, "server"], serverErrors],
      ]),
  },
  {
    kind: "counter",
    name: "platypus.client.get.keys",
    unit: "{key}",
    meaning: "Keys of gets by what clients were told; of the hits `platypus.fill.answered` came from fills.",
    attributes: ["result"],
    read: ({ clients: { getHits, getMisses } }) => [
      [["hit"], getHits],
      [["miss"], getMisses],
    ],
  },
];

const backends: readonly Metric[] = [
  {
    kind: "histogram",
    name: "db.client.operation.duration",
    unit: "s",
    meaning: "From sending a request to a server to its answer.",
    attributes: [...byBackend, "db.system.name"],
    read: ({ servers }) => servers.map(({ pool, name, latency }) => [[pool, name, "memcached"], shownBuckets(latency)]),
  },
  ofBackends("counter", "requests", "{request}", "Requests sent to a server.", ({ requests }) => requests),
  {
    kind: "counter",
    name: "platypus.backend.errors",
    unit: "{request}",
    meaning: "Requests to a server that failed, by how; tko: not sent, because it is being left alone.",
    attributes: [...byBackend, "error"],
    read: ({ servers }) =>
      servers.flatMap(({ pool, name, results }) =>
        backendErrors.map(([error, statuses]): Series<number> => {
          return [[pool, name, error], statuses.reduce((sum, status) => sum + results[status]!, 0)];
        }),
      ),
  },
  ofBackends("gauge", "up", "1", "0: the server is being left alone (TKO).", ({ state }) => (state === "up" ? 1 : 0)),
  {
    kind: "counter",
    name: "platypus.backend.tko",
    unit: "{change}",
    meaning:
      "Times a server was marked as to be left alone: after time-outs (soft), or because it cannot be reached (hard).",
    attributes: [...byBackend, "kind"],
    read: ({ servers }) =>
      servers.flatMap(({ pool, name, softTko, hardTko }): Series<number>[] => [
        [[pool, name, "soft"], softTko],
        [[pool, name, "hard"], hardTko],
      ]),
  },
  ofBackends("gauge", "outstanding", "{request}", "Requests sent to a server and not answered yet.", (backend) => {
    return backend.outstanding;
  }),
  ofBackends("gauge", "connections", "{connection}", "Connections to a server.", ({ connections }) => connections),
  ofBackends("counter", "connects", "{connection}", "Connections made to a server.", ({ connects }) => connects),
  ofBackends(
    "counter",
    "out_of_step",
    "{connection}",
    "Connections closed because an answer did not fit.",
    (backend) => {
      return backend.outOfStep;
    },
  ),
];

const fills: readonly Metric[] = [
  ofRules("fill.flights", "{fetch}", "Fetches begun because of a miss.", "fills"),
  ofRules("fill.joined", "{get}", "Gets that joined a fetch under way: single flight.", "joined"),
  ofRules(
    "fill.answered",
    "{get}",
    "Gets that a fill gave a value, or that were answered with a held one.",
    "answered",
  ),
  ofRules("fill.stored", "{key}", "Fetched values that the pool has stored.", "filled"),
  ofRules("fill.not_there", "{key}", "Fetches whose source said that there is nothing.", "notThere"),
  ofRules("fill.failed", "{fetch}", "Fetches for a miss that failed.", "failed"),
  ofRules(
    "fill.timed_out",
    "{get}",
    "Gets that were a miss because the fetch took longer than `fill_timeout`.",
    "timedOut",
  ),
  ofRules("fill.overtaken", "{fetch}", "Fetched values thrown away because a client had written.", "overtaken"),
  ofRules("fill.held", "{key}", "Values kept in memory because the pool could not store them.", "held"),
  ofRules("fill.observed", "{get}", 'Gets that would have been filled (mode = "observe").', "observed"),
  ofRules("lease.taken", "{lease}", "Leases won for a fill.", "leasesTaken"),
  ofRules("lease.awaited", "{lease}", "Fills that waited for another process' lease.", "leasesAwaited"),
  {
    kind: "histogram",
    name: "platypus.rule.fetch.duration",
    unit: "s",
    meaning: "Fetches under a rule, fills and refreshes, their wait for the source included.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, fetch }) => [[name], shownBuckets(fetch)]),
  },
];

const refreshes: readonly Metric[] = [
  {
    kind: "gauge",
    name: "platypus.refresh.tracked",
    unit: "{key}",
    meaning: "Keys that are kept fresh.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, tracked }) => [[name], tracked]),
  },
  {
    kind: "gauge",
    name: "platypus.rule.in_flight",
    unit: "{fetch}",
    meaning: "Fetches under way or waiting for their source.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, inFlight }) => [[name], inFlight]),
  },
  {
    kind: "histogram",
    name: "platypus.refresh.lag",
    unit: "s",
    meaning: "By how much refreshes begin later than they should.",
    attributes: ["rule"],
    read: ({ rules }) => rules.map(({ name, lag }) => [[name], shownBuckets(lag)]),
  },
  ofRules("refresh.due", "{key}", "Refreshes begun.", "due"),
  ofRules("refresh.stored", "{key}", "Refreshes that wrote a new value.", "refreshed"),
  ofRules("refresh.unchanged", "{key}", "Refreshes that found the same value and extended it.", "unchanged"),
  ofRules("refresh.failed", "{key}", "Refreshes whose source failed.", "refreshFailed"),
  ofRules("refresh.deferred", "{key}", "Refreshes put off because the source had no room.", "deferred"),
  ofRules("refresh.dropped", "{key}", "Keys no longer kept fresh, because nobody asks or the item is gone.", "dropped"),
  ofRules(
    "refresh.picked_up",
    "{key}",
    "Keys tracked because a hit showed that nobody here was tracking them.",
    "pickedUp",
  ),
];

const sources: readonly Metric[] = [
  {
    kind: "histogram",
    name: "platypus.source.fetch.duration",
    unit: "s",
    meaning: "Fetches from a source, without their wait for a place.",
    attributes: ["source"],
    read: (snapshot) => snapshot.sources.map(({ name, latency }) => [[name], shownBuckets(latency)]),
  },
  counted("fetches", "Fetches that a source was asked for.", "fetches"),
  {
    kind: "counter",
    name: "platypus.source.failures",
    unit: "{fetch}",
    meaning: "Fetches that failed, by how.",
    attributes: ["source", "error"],
    read: (snapshot) =>
      snapshot.sources.flatMap(({ name, failures }) =>
        Object.entries(failures).map(
          ([code, count]): Series<number> => [[name, code.replace("SOURCE_", "").toLowerCase()], count],
        ),
      ),
  },
  counted("retried", "Fetches tried again.", "retried"),
  counted("overloaded", "Fetches not begun: no place in time, or the queue was full.", "overloaded"),
  counted("left_alone", "Fetches not begun: the breaker was open.", "leftAlone"),
  ofSources("gauge", "in_flight", "{fetch}", "Fetches under way.", ({ inFlight }) => inFlight),
  ofSources("gauge", "waiting", "{fetch}", "Fetches that wait for a place.", ({ waiting }) => waiting),
  ofSources("gauge", "breaker", "1", "The breaker: 0 closed, 1 half open, 2 open.", (source) => {
    return breakerNumbers[source.breaker];
  }),
  ofSources("counter", "breaker_opened", "{change}", "Times the breaker opened.", (source) => source.breakerOpened),
];

const routes: readonly Metric[] = [
  single(
    "counter",
    "platypus.route.failovers",
    "{request}",
    "Requests that went to another route after a failure.",
    (snapshot) => {
      return snapshot.routes.failoverAll;
    },
  ),
  single(
    "counter",
    "platypus.route.failovers_failed",
    "{request}",
    "Those of them that failed there too.",
    (snapshot) => {
      return snapshot.routes.failoverAllFailed;
    },
  ),
];

function ofStore(
  kind: "counter" | "gauge",
  name: string,
  unit: string,
  meaning: string,
  read: (store: StoreNumbers) => number,
): Metric {
  return {
    kind,
    name: `platypus.store.${name}`,
    unit,
    meaning,
    attributes: [],
    read: ({ store }) => (store === null ? [] : [[[], read(store)]]),
  };
}

const store: readonly Metric[] = [
  ofStore("gauge", "items", "{item}", "Items of the in-process store.", ({ items }) => items),
  ofStore("gauge", "size", "By", "Bytes that they take.", ({ bytes }) => bytes),
  ofStore("gauge", "limit", "By", "Bytes that they may take.", ({ maxBytes }) => maxBytes),
  ofStore("counter", "evictions", "{item}", "Items that made room for others.", ({ counters }) => counters.evicted),
];

const ofProcess: readonly Metric[] = [
  single("gauge", "process.uptime", "s", "Since the process was started.", ({ process: own }) => own.uptimeSeconds),
  {
    kind: "counter",
    name: "process.cpu.time",
    unit: "s",
    meaning: "CPU time used.",
    attributes: ["cpu.mode"],
    read: ({ process: { userSeconds, systemSeconds } }) => [
      [["user"], userSeconds],
      [["system"], systemSeconds],
    ],
  },
  single(
    "gauge",
    "process.memory.usage",
    "By",
    "Memory of the process (resident set).",
    ({ process: own }) => own.residentBytes,
  ),
  single(
    "gauge",
    "platypus.memory.heap",
    "By",
    "Memory of JavaScript objects that is in use.",
    (snapshot) => snapshot.process.heapBytes,
  ),
  single(
    "gauge",
    "platypus.memory.external",
    "By",
    "Memory of buffers and other things outside the heap.",
    (snapshot) => {
      return snapshot.process.externalBytes;
    },
  ),
  {
    kind: "counter",
    name: "nodejs.eventloop.time",
    unit: "s",
    meaning: "Time of the event loop, busy (active) and waiting (idle).",
    attributes: ["nodejs.eventloop.state"],
    read: ({ process: { activeSeconds, idleSeconds } }) => [
      [["active"], activeSeconds],
      [["idle"], idleSeconds],
    ],
  },
  {
    kind: "histogram",
    name: "platypus.eventloop.delay",
    unit: "s",
    meaning: "How late a timer of this process was, looked at ten times a second.",
    attributes: [],
    read: ({ process: own }) => [[[], shownBuckets(own.loopDelay)]],
  },
  {
    kind: "histogram",
    name: "v8js.gc.duration",
    unit: "s",
    meaning: "Pauses of the garbage collector, by kind.",
    attributes: ["v8js.gc.type"],
    read: ({ process: own }) =>
      Object.entries(own.collections).map(([kind, pauses]): Series<BucketCounts> => [[kind], shownBuckets(pauses)]),
  },
];

/** Every metric, in the order of the docs. */
export const metrics: readonly Metric[] = [
  ...server,
  ...clients,
  ...backends,
  ...fills,
  ...refreshes,
  ...sources,
  ...routes,
  ...store,
  ...ofProcess,
];
